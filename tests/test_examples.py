"""The programs in examples/, run as a user runs them."""

import hashlib
import os
import re
import socket
import sys
from pathlib import Path

import httpx
import pytest
from test_programs import ROOT, run, run_in  # noqa: F401

EXAMPLES = ROOT / "examples"


@pytest.fixture
def start(run):  # noqa: F811
    return lambda name, port=0: run(str(EXAMPLES / name), str(port))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda it: it.name)
def test_an_example_is_short_enough_to_be_read(path: Path):
    assert len(path.read_text().splitlines()) < 40


def test_routes_go_by_precedence(start):
    program = start("routes.py")
    with httpx.Client(base_url=program.url) as client:
        assert client.get("/", follow_redirects=True).json() == {"name": "you"}
        found = client.get("/api/users/7?a=1&a=2").json()
        assert found == {"id": "7", "fields": {"a": ["1", "2"]}}
        assert client.get("/api/nothing").json()["error"].endswith("/api/nothing")
    assert program.stop() == (0, "")


def test_cookies_come_back(start):
    program = start("cookies.py")
    with httpx.Client(base_url=program.url) as client:
        found = [client.get("/").text for _ in range(3)]
    assert found == [f"visit number {n}\n" for n in (1, 2, 3)]
    assert program.stop() == (0, "")


def test_streams_and_large_bodies_arrive_whole(start):
    program = start("streaming.py")
    with httpx.Client(base_url=program.url) as client:
        assert client.get("/ticks").text == "".join(f"tick {n}\n" for n in range(5))
        assert client.get("/large").content == bytes(range(256)) * 40_000
    assert program.stop() == (0, "")


def test_uploads_of_any_size_are_taken(start):
    program = start("upload.py")
    data = os.urandom(20_000_000)  # over the default limit
    answer = httpx.post(program.url, content=data).json()
    assert answer == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert program.stop() == (0, "")


def test_errors_are_answered_in_one_place(start):
    program = start("errors.py")
    with httpx.Client(base_url=program.url) as client:
        paths = ("/half/3", "/half/x", "/bug", "/nothing")
        found = [client.get(path) for path in paths]
    assert [answer.status_code for answer in found] == [200, 400, 500, 404]
    assert found[0].json() == 1.5
    assert "invalid literal" in found[1].json()["error"]
    assert program.stop() == (0, "")


def test_processes_share_a_port(start):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = start("prefork.py", port)
    assert re.fullmatch(r"process \d+\n", httpx.get(program.url).text)
    assert program.stop() == (0, "")


def test_members_alone_are_let_in(start):
    program = start("auth.py")
    with httpx.Client(base_url=program.url) as client:
        assert client.get("/").text == "open to all\n"
        for headers in ({}, {"Authorization": "Bearer guessed"}):
            refused = client.get("/members/me", headers=headers)
            assert (refused.status_code, refused.text) == (401, "who are you?\n")
            assert refused.headers["www-authenticate"] == "Bearer"
        client.headers["Authorization"] = "Bearer ann-s-secret"
        assert client.get("/members/me").text == "you are Ann\n"
        assert client.get("/members/hello/Bo").text == "Ann greets Bo\n"
    assert program.stop() == (0, "")


def test_each_request_is_logged_with_its_time(start):
    program = start("timing.py")
    with httpx.Client(base_url=program.url) as client:
        assert client.get("/?a=1").text == "at once\n"
        assert client.get("/slow").text == "that took a while\n"
    assert program.stop() == (0, "")
    _, quick, slow = program.printed.splitlines()
    assert re.fullmatch(r"GET /\?a=1: \d+\.\d ms", quick)
    assert re.fullmatch(r"GET /slow: \d{2,}\.\d ms", slow)


def test_data_goes_from_member_to_member(start):
    program = start("data_passing.py")
    with httpx.Client(base_url=program.url) as client:
        paths = (
            "/order/tea",
            "/order/coffee?count=3",
            "/order/x",
            "/order/tea?count=y",
        )
        found = [client.get(path) for path in paths]
    assert [answer.status_code for answer in found] == [200, 200, 404, 400]
    assert found[0].json() == {"item": "tea", "price": 3, "count": 1, "total": 3}
    assert found[1].json() == {"item": "coffee", "price": 4, "count": 3, "total": 12}
    assert found[2].json() == {"error": "there is no x"}
    assert found[3].json() == {"error": "count is a number"}
    assert program.stop() == (0, "")


def test_plain_functions_and_coroutines_mix(start):
    program = start("mixed.py")
    with httpx.Client(base_url=program.url) as client:
        assert client.get("/?word=one&word=two").text == "eno owt\n"
        assert client.get("/stream?word=one&word=two").text == "eno\nowt\n"
        for path in ("/", "/stream"):
            assert client.get(path).status_code == 400
    assert program.stop() == (0, "")


def test_the_log_in_applications_own_tests_pass(monkeypatch):
    monkeypatch.setenv("APP_ENV", "testing")
    pytest_here = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    tests = run_in(EXAMPLES / "login_app", *pytest_here)
    assert "9 passed" in tests.stdout, tests.stdout


def test_the_kernel_application_answers_and_its_own_tests_pass(start):
    folder = EXAMPLES / "kernel_app"
    pytest_here = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    tests = run_in(folder, *pytest_here)
    assert "4 passed" in tests.stdout, tests.stdout
    program = start("kernel_app/app.py")
    with httpx.Client(base_url=program.url) as client:
        assert client.get("/", params={"page": 2}).json()["next"] == "2"
        headers = {"authorization": "Bearer ann-s-secret"}
        assert client.get("/dashboard/152", headers=headers).status_code == 200
        assert client.get("/dashboard/7", headers=headers).status_code == 403
        assert client.get("/nothing").headers["server-timing"].startswith("app;")
    assert program.stop() == (0, "")
