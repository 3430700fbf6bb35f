"""Talk to a server without wrk, to check what wrk's figures rest on."""

import http.client
import socket
import time
from collections.abc import Mapping
from typing import BinaryIO

HOST = "127.0.0.1"
HELLO = b"Hello, World!"
HELLO_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
TIMEOUT = 5.0
# What the server read before wrk hung up is still being handled for a moment.
SETTLE = 0.05


def get(
    port: int,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> str:
    """Fetch a path, by POST with a body, and return the body of its 200 answer."""
    method = "GET" if body is None else "POST"
    connection = http.client.HTTPConnection(HOST, port, timeout=TIMEOUT)
    try:
        connection.request(method, path, body, dict(headers or {}))
        answer = connection.getresponse()
        body = answer.read().decode()
    finally:
        connection.close()
    if answer.status != 200:
        raise http.client.HTTPException(f"{path} answered {answer.status}")
    return body


def handler_runs(port: int) -> int:
    """Ask the server how often the handler of / has run."""
    time.sleep(SETTLE)
    return int(get(port, "/count"))


def busy_turns(port: int) -> tuple[float, int]:
    """Read the time and how far the busy thread beside the server has come."""
    turns = int(get(port, "/turns"))
    return time.perf_counter(), turns


def turns_per_second(begin: tuple[float, int], end: tuple[float, int]) -> float:
    """Return the busy thread's speed between two readings."""
    return (end[1] - begin[1]) / (end[0] - begin[0])


def read_answer(stream: BinaryIO) -> None:
    """Read one answer to / and raise unless it is the expected one."""
    status = stream.readline()
    if not status.startswith(b"HTTP/1.1 200"):
        raise http.client.HTTPException(f"status line {status!r}")
    length = None
    while (line := stream.readline().strip()) != b"":
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length is None:
        raise http.client.HTTPException("answer without Content-Length")
    body = stream.read(length)
    if body != HELLO:
        raise http.client.HTTPException(f"body {body!r}")


def send_exactly(port: int, total: int, depth: int) -> None:
    """Send a number of requests in pipelined groups and read every answer."""
    with socket.create_connection((HOST, port), timeout=TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection.makefile("rb") as stream:
            for start in range(0, total, depth):
                group = min(depth, total - start)
                connection.sendall(HELLO_REQUEST * group)
                for _ in range(group):
                    read_answer(stream)


def exact_fault(port: int, total: int, depth: int) -> str | None:
    """Return what is wrong when requests and handler runs differ."""
    before = handler_runs(port)
    send_exactly(port, total, depth)
    runs = handler_runs(port) - before
    if runs == total:
        return None
    return f"{total} requests were answered by {runs} handler runs"
