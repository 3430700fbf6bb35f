"""Measure the memory that idle keep-alive connections take."""

import resource
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import client
from processes import Running, session_pids

WARM_UP = 200
SPARE = 200  # descriptors for what is no connection


def room_for(count: int) -> int:
    """Allow as many descriptors as the system lets us; return how many that serves.

    Servers that are started afterwards inherit the limit.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return count if hard == resource.RLIM_INFINITY else min(count, hard - SPARE)


def bytes_each(live: Running, count: int) -> float:
    """Open `count` connections, send a request on each, and share out the growth."""
    with ExitStack() as warm:
        for _ in range(WARM_UP):
            ask(warm.enter_context(connect(live.port)))
    time.sleep(0.2)
    with ExitStack() as stack:
        before = resident(live.process.pid)
        for _ in range(count):
            ask(stack.enter_context(connect(live.port)))
        time.sleep(0.5)
        return (resident(live.process.pid) - before) / count


def connect(port: int) -> socket.socket:
    """Open one connection."""
    return socket.create_connection((client.HOST, port), timeout=10)


def ask(connection: socket.socket) -> None:
    """Send one request and take its answer, which is short."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n")
    if not connection.recv(4096).startswith(b"HTTP/1.1 200"):
        raise ValueError("an answer that is not 200")


def resident(session: int) -> int:
    """Add up the bytes of memory that the processes of a session hold."""
    total = 0
    for pid in session_pids(session):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total
