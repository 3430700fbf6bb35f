"""Run with `python -m pytest` in the application's folder."""

import pytest
from app import make_app

ANN = {"authorization": "Bearer ann-s-secret"}


@pytest.fixture
def client():
    return make_app().test_client(explain=True)


def test_everybody_may_read_the_feeds(client):
    assert client.get("/").json() == {"feeds": ["news", "weather"], "next": None}


def test_a_dashboard_is_its_owners(client):
    assert client.get("/dashboard/152", headers=ANN).text == "dashboard 152 of Ann"
    assert client.get("/dashboard/152").status == 401
    assert client.get("/dashboard/7", headers=ANN).status == 403


def test_every_answer_tells_its_time(client):
    for url in ("/", "/dashboard/152", "/nothing"):
        assert client.get(url).header("server-timing").startswith("app;dur=")


def test_permission_is_asked_after_authentication(client):
    steps = client.get("/dashboard/7", headers=ANN).explain().steps
    assert [f"{it.name}.{it.phase}" for it in steps] == [
        "Timing.before",
        "Authenticate.before",
        "Permission:@user_id.before",
        "Timing.after",
    ]
