"""The programs in examples/, run as a user runs them."""

import hashlib
import os
import re
import socket
from pathlib import Path

import httpx
import pytest
from test_programs import ROOT, run  # noqa: F401

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
