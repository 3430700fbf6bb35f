"""Any calls in any order, for clients that behave in any way: the process lives, what
is sent is HTTP, the next request is served, and nothing stays behind.
"""

import contextlib
import inspect
import socket
import struct
import time
from asyncio import Future
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace

import pytest
from conftest import examples
from hypothesis import given
from hypothesis import strategies as st
from strict_client import StrictClient

from socketify_mw import Limits, Response


class Stands(Enum):
    """An argument that is made when its call is, or is too long to be printed."""

    COROUTINE = "answer_late"
    MUCH = "x" * 20_000
    TOO_MUCH = b"y" * 300_000  # to be sent at once

    __repr__ = Enum.__str__


# ---- calls ----


@dataclass
class Call:
    """A call of a response's or a request's member by a handler."""

    name: str
    arguments: tuple = ()
    is_caught: bool = True  # what it raises
    is_cancelled: bool = False  # the future that it returns

    def run(self, res, req):
        try:
            self._run(res, req)
        except Exception:
            if not self.is_caught:
                raise

    def _run(self, res, req):
        owner, _, name = self.name.rpartition(".")
        member = getattr(req if owner == "req" else res, name)
        if not callable(member):
            return
        arguments = [stood_for(argument, res) for argument in self.arguments]
        result = None
        try:
            result = member(*arguments)
        finally:
            if not isinstance(result, Future):  # else a task has it
                for coroutine in filter(inspect.iscoroutine, arguments):
                    coroutine.close()
        if inspect.iscoroutine(result):
            result = res.run_async(result)
        if isinstance(result, Future) and self.is_cancelled:
            result.cancel()


def stood_for(argument, res):
    if argument is Stands.COROUTINE:
        return answer_late(res)
    return argument.value if isinstance(argument, Stands) else argument


async def answer_late(res):
    res.end(await res.get_text())


async def end_in_coroutine(res, *_):
    res.end("ended in a coroutine")


def end(res, *_):
    res.end("ended by a handler")


def end_with_the_body(res, chunk, is_last):
    if is_last:
        res.end("the body came")


def write_on(res, *_):
    res.write_header("X-Late", "1").write(b"part")


def fail(*_):
    raise ZeroDivisionError


class NotJson:
    def __repr__(self):
        return "NotJson()"


def one_of(*values):
    return st.sampled_from(values)


def any_of(*choices):
    return st.tuples(*choices)


NOTHING = st.just(())
MESSAGES = one_of(
    *("", "text", "\ud800", b"", b"bytes", bytearray(b"array"), memoryview(b"view")),
    *(None, 1, [1], {"a": None}, NotJson(), *Stands),
)
NAMES = one_of("X-A", b"X-B", "Content-Type", "Date", "Connection", "", "a b", "ä", 3)
NAMES |= one_of("Content-Length", "Transfer-Encoding", "a\r\nb", "\ud800", None)
VALUES = one_of("a", "", " b ", "close", "a\r\nX-Evil: b", "\0", "ä", "€", "\ud800")
VALUES |= one_of(b"\xff", b"a\nb", None, 7, 1.5)
STATUSES = one_of(200, 204, 205, 304, 404, 599, 999, 99, 101, 1000, True, 2**70, None)
STATUSES |= one_of("404 Gone", "404", "x", "200 a\r\nb: c", b"500 \xff", "", "２00")
SIZES = one_of(0, 1, 5, 20_000, 40_000, 300_000, -1, 2**63, 2**64, 2**80, 1.5, "1")
SIZES |= one_of(None, True)
HANDLERS = one_of(end, end_with_the_body, write_on, fail, end_in_coroutine, None, 1)
ENCODINGS = NOTHING | any_of(one_of("utf-8", "ascii", "no such", None))

CALLS = {
    "write_status": any_of(STATUSES),
    "write_header": any_of(NAMES, VALUES),
    "status": any_of(STATUSES),
    "get_status": NOTHING,
    "header": any_of(NAMES, VALUES),
    "cookie": any_of(NAMES, VALUES),
    "back": NOTHING | any_of(one_of(None, 3)),
    "delete_cookie": any_of(NAMES) | any_of(NAMES, one_of("/", "/a;b", None)),
    "json": any_of(MESSAGES) | any_of(MESSAGES, STATUSES),
    "view": any_of(one_of("page", None)),
    "set_cookie": any_of(
        NAMES,
        VALUES,
        one_of(None, {"path": "/"}, {"max_age": "x"}, {"path": "a;b"}, {"no": 1}, 5),
    ),
    "end": any_of(MESSAGES) | any_of(MESSAGES, st.booleans()),
    "cork_end": any_of(MESSAGES),
    "end_without_body": NOTHING | any_of(st.booleans()),
    "send": any_of(
        MESSAGES,
        one_of(None, "text/plain", "a\r\nb"),
        one_of(None, 200, "x"),
        one_of(None, {"X-C": "c"}, [("X-D", 1)], [1], 7),
    ),
    "cork_send": any_of(MESSAGES),
    "redirect": any_of(one_of("/a", "/ä b\r\nc", "\ud800", None))
    | any_of(st.just("/a"), STATUSES),
    "render": any_of(st.just("page.html")),
    "cork": any_of(HANDLERS),
    "write": any_of(MESSAGES),
    "drain": NOTHING,
    "try_end": any_of(MESSAGES, SIZES) | any_of(MESSAGES, SIZES, st.booleans()),
    "send_chunk": any_of(MESSAGES, SIZES),
    "get_write_offset": NOTHING,
    "write_offset": any_of(SIZES),
    "on_writable": any_of(HANDLERS),
    "on_data": any_of(HANDLERS),
    "on_aborted": any_of(HANDLERS),
    "get_data": NOTHING,
    "get_text": ENCODINGS,
    "get_json": NOTHING,
    "get_form_urlencoded": ENCODINGS,
    "pause": NOTHING,
    "resume": NOTHING,
    "write_continue": NOTHING,
    "aborted": NOTHING,
    "grab_aborted_handler": NOTHING,
    "has_responded": NOTHING,
    "close": NOTHING,
    "app": NOTHING,
    "run_async": any_of(one_of(Stands.COROUTINE, None)),
    "get_remote_address_bytes": NOTHING,
    "get_remote_address": NOTHING,
    "get_native_handle": NOTHING,
    "req.preserve": NOTHING,
    "req.set_yield": any_of(st.booleans()),
    "req.get_headers": NOTHING,
    "req.get_cookies": NOTHING,
    "req.get_queries": NOTHING,
    "req.no_such_member": NOTHING,
}

# Each member as often as the others, however many arguments it may be given.
PLANS = st.lists(
    st.sampled_from(sorted(CALLS)).flatmap(
        lambda name: st.builds(
            Call, st.just(name), CALLS[name], st.booleans(), st.booleans()
        )
    ),
    max_size=8,
)


def test_the_calls_are_all_that_a_response_has():
    public = {name for name in dir(Response) if not name.startswith("_")}
    assert public == {name for name in CALLS if "." not in name}


# ---- one client ----


@pytest.fixture(scope="module")
def calls(serve_for_module):
    """A server whose handlers do what `plans` says, by a number in the path."""
    plans = {}

    def run(res, req):
        plan, is_to_be_ended = plans[req.get_parameter("number")]
        if is_to_be_ended:
            res.app.loop.call_soon(end_in_rounds, res, 10)
        for call in plan:
            call.run(res, req)

    server = serve_for_module(
        lambda app: app.any("/plan/:number", run).get("/alive", alive),
        limits=Limits(send_timeout=0.2),
    )
    return SimpleNamespace(server=server, plans=plans, port=server.port)


def alive(res, req):
    res.end("alive")


def end_in_rounds(res, rounds):
    """End an answer that nobody else has ended in so many rounds of the loop."""
    if res.has_responded():
        return
    if rounds:
        res.app.loop.call_soon(end_in_rounds, res, rounds - 1)
        return
    try:
        res.end("late")
    except Exception:  # a part of it was sent, or what was said cannot be
        res.close()


@examples(5)
@given(PLANS, one_of("GET", "HEAD", "POST"), one_of(b"", b"body", b"b" * 20_000))
def test_any_calls_give_one_answer_or_a_closed_connection(calls, plan, method, body):
    calls.plans["0"] = plan, True
    with StrictClient(calls.port) as client:
        client.ask(method, "/plan/0", body=body)
        # A stream that fails is cut off, and a handler may close.
        with contextlib.suppress(EOFError, ConnectionError):
            answer = client.read(method)
            if answer.is_last:
                assert client.is_at_end()
            else:
                client.ask("GET", "/alive")
                assert client.read().body == b"alive"
    with StrictClient(calls.port) as client:
        client.ask("GET", "/alive")
        assert client.read().body == b"alive"
    assert left_behind(calls.server) == []


def left_behind(server):
    """Wait until nothing is kept for any response; return what stays."""
    turns = server.app.loop.turns

    def kept():
        claims = [vars(claim) for claim in turns.claims.values()]
        return [*claims, *turns.bodies, *map(repr, server.app._tasks)]

    deadline = time.monotonic() + 5
    while (left := server.call(kept)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return left


# ---- many clients ----


@dataclass
class Visit:
    """What a client sends, and how it leaves."""

    plans: list[list[Call]]  # of pipelined requests
    body: int  # bytes, of each request
    share: float  # of all that, which is sent
    reads: int  # bytes
    leave: str

    def data(self, number):
        content = b"b" * self.body
        requests = [
            f"POST /plan/{number}.{i} HTTP/1.1\r\nHost: a\r\n"
            f"Content-Length: {self.body}\r\n\r\n".encode()
            + content
            for i in range(len(self.plans))
        ]
        whole = b"".join(requests)
        return whole[: round(len(whole) * self.share)]


VISITS = st.lists(
    st.builds(
        Visit,
        plans=st.lists(PLANS, min_size=1, max_size=3),
        # No more than sockets hold: a FIN behind what nobody reads is never seen.
        body=one_of(0, 3, 20_000),
        share=st.just(1.0) | st.floats(0, 1),
        reads=one_of(0, 1, 1000, 100_000),
        leave=one_of("stays", "closes", "aborts", "ends its side"),
    ),
    min_size=1,
    max_size=6,
)


@examples(0.5)
@given(VISITS)
def test_clients_that_leave_at_any_place_leave_nothing_behind(calls, visits):
    with contextlib.ExitStack() as stack:
        clients = []
        for number, visit in enumerate(visits):
            for i, plan in enumerate(visit.plans):
                calls.plans[f"{number}.{i}"] = plan, False
            client = socket.create_connection(("127.0.0.1", calls.port), timeout=10)
            stack.callback(client.close)
            client.sendall(visit.data(number))
            clients.append(client)
        calls.server.call(lambda: None)  # most requests have come to their handlers
        for client, visit in zip(clients, visits, strict=True):
            with contextlib.suppress(OSError):  # nobody is owed an answer here
                client.setblocking(False)
                client.recv(visit.reads)
            with contextlib.suppress(OSError):  # the server may have reset it
                leave(client, visit.leave)
        assert calls.server.ask("/alive").body == b"alive"
    assert left_behind(calls.server) == []


def leave(client, how):
    if how == "closes":
        client.close()
    elif how == "aborts":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    elif how == "ends its side":
        client.shutdown(socket.SHUT_WR)
