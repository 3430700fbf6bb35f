"""What a developer of this application would test, without a browser."""

import re

import pytest
from app import make_app


@pytest.fixture
def client():
    return make_app().test_client()


def token(answer):
    return re.search(r'name="__token" value="([^"]+)"', answer.text)[1]


def log_in(client, password="a long password"):
    form = {"name": "ann", "password": password}
    return client.post("/login", form={**form, "__token": token(client.get("/login"))})


def test_who_has_not_logged_in_is_sent_to_the_form(client):
    answer = client.get("/")
    assert (answer.status, answer.header("location")) == (302, "/login")
    assert "Log in first." in client.get("/login").text
    assert "Log in first." not in client.get("/login").text


def test_logging_in_and_out(client):
    assert log_in(client).header("location") == "/"
    page = client.get("/")
    assert "Hello, ann" in page.text
    before = dict(client.cookies)
    client.post("/logout", form={"__token": token(page)})
    client.cookies.update(before)  # somebody has kept it
    assert client.get("/").status == 302


def test_the_session_has_another_id_after_the_log_in(client):
    client.get("/login")
    before = dict(client.cookies)
    log_in(client)
    assert client.get("/").status == 200
    client.cookies.update(before)
    assert client.get("/").status == 302


def test_a_form_without_its_token_is_refused(client):
    client.get("/login")
    form = {"name": "ann", "password": "a long password"}
    assert client.post("/login", form=form).status == 403


def test_five_wrong_passwords_are_enough(client):
    assert [log_in(client, "wrong").status for _ in range(6)] == [401] * 5 + [429]
    assert log_in(client).status == 429


@pytest.mark.parametrize(
    "json",
    [
        {"name": ["ann"], "password": "x"},
        {"name": {}, "password": "x"},
        {"name": "ann", "password": 5},
        {"name": "ann", "password": None},
    ],
)
def test_what_is_no_text_is_no_name_and_no_password(client, json):
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert client.post("/login", json=json, headers=headers).status == 401
