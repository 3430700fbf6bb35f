"""Limits, bodies as they come, and clients that leave: as a client sees them."""

import contextlib
import dataclasses
import math
import queue
import socket
import struct
import threading
import time

import pytest

from socketify_mw import App, Limits, RouteError
from socketify_mw._binding import lib, server_options

SIZES = ["max_line", "max_head", "max_fields", "max_body", "max_connections"]
TIMES = [f"{name}_timeout" for name in ("head", "body", "idle", "send", "answer")]
OPTIONAL = ["max_body", "max_connections", *TIMES]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MEBIBYTE = bytes(range(256)) * 4096

# A step's clock is at most a tick behind, 10 ms on the slowest of kernels.
SHORT = 0.05
NOT_BEFORE = SHORT - 0.012


class Seen:
    """What the handlers of one request were called with; each can be awaited."""

    def __init__(self):
        self.chunks = []
        self.ends = 0
        self.aborts = 0
        self.response = None
        self.began = threading.Event()  # a first piece has come
        self.aborted = threading.Event()

    def on_data(self, res, chunk, is_end):
        assert self.ends == 0, "nothing comes behind the end"
        assert type(chunk) is bytes and type(is_end) is bool
        self.chunks.append(chunk)
        self.ends += is_end
        self.began.set()

    def on_aborted(self, res):
        self.response = res
        self.aborts += 1
        self.aborted.set()

    @property
    def body(self):
        return b"".join(self.chunks)


def hello(res, req):
    res.end("Hello, World!")


def echo(res, req):
    """Answer with the body once it is complete."""
    chunks = []

    def on_data(res, chunk, is_end):
        chunks.append(chunk)
        if is_end:
            res.end(b"".join(chunks))

    res.on_data(on_data)


def reader(seen):
    """Return a handler that notes the body, and answers with its length."""

    def handler(res, req):
        def on_data(res, chunk, is_end):
            seen.on_data(res, chunk, is_end)
            if is_end:
                res.end(str(len(seen.body)))

        res.on_data(on_data).on_aborted(seen.on_aborted)

    return handler


def post(length, path="/", *lines):
    fields = "".join(f"{line}\r\n" for line in lines)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{fields}\r\n"
    )
    return head.encode()


def chunked_post(path="/"):
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode()


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunks(data, size):
    parts = (data[i : i + size] for i in range(0, len(data), size))
    return b"".join(map(chunk, parts)) + b"0\r\n\r\n"


def eventually(claim):
    """Wait until a claim about the server holds."""
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---- the values ----


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, True) for name in SIZES + TIMES),
        *((name, False) for name in SIZES + TIMES),
        *((name, "10") for name in SIZES + TIMES),
        *((name, b"10") for name in SIZES + TIMES),
        *((name, [10]) for name in SIZES + TIMES),
        *((name, 1 + 0j) for name in SIZES + TIMES),
        *((name, 10.0) for name in SIZES),
        *((name, None) for name in SIZES + TIMES if name not in OPTIONAL),
    ],
)
def test_a_limit_that_is_no_number_is_an_error_that_names_it(name, value):
    with pytest.raises(TypeError) as caught:
        Limits(**{name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in SIZES + TIMES),
        *((name, -1) for name in SIZES + TIMES),
        *((name, 0.0) for name in TIMES),
        *((name, -0.5) for name in TIMES),
        *((name, math.nan) for name in TIMES),
        *((name, math.inf) for name in TIMES),
        *((name, 2**31 // 1000 + 1) for name in TIMES),
        ("max_line", 64 * 1024 + 1),
        ("max_head", 64 * 1024 + 1),
        ("max_fields", 101),
        ("max_body", 2**63 + 1),
        ("max_connections", 2**31),
    ],
)
def test_a_limit_out_of_range_is_an_error_that_names_it(name, value):
    with pytest.raises(ValueError) as caught:
        Limits(**{name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, None) for name in OPTIONAL),
        *((name, 1) for name in SIZES + TIMES),
        *((name, 0.0001) for name in TIMES),
        *((name, 2**31 // 1000 - 1) for name in TIMES),
        ("max_line", 64 * 1024),
        ("max_head", 64 * 1024),
        ("max_fields", 100),
        ("max_body", 2**62),
        ("max_connections", 2**31 - 2),
    ],
)
def test_a_limit_in_range_is_kept_and_taken_by_an_app(name, value):
    limits = Limits(**{name: value})
    assert getattr(limits, name) == value
    App(limits=limits)


def test_limits_are_named_frozen_and_equal_by_value():
    with pytest.raises(TypeError):
        Limits(100)
    with pytest.raises(TypeError):
        Limits(max_bodies=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_body = 1
    assert Limits() == Limits(max_body=16 * 1024 * 1024) != Limits(max_body=1)


def test_each_limit_reaches_its_own_option():
    names = [field.name for field in dataclasses.fields(Limits)]
    names.remove("max_inputs")  # which is kept by the package, and not by the core
    assert sorted(names) == sorted(SIZES + TIMES)
    values = {name: i for i, name in enumerate(names, 1)}
    options = server_options(Limits(**values))
    for name, value in values.items():
        assert getattr(options, name) == value * (1000 if name in TIMES else 1)


def test_none_is_no_limit_and_the_shortest_time_is_no_eternity():
    options = server_options(Limits(**dict.fromkeys(OPTIONAL)))
    assert {getattr(options, name) for name in TIMES} == {lib.SMW_NEVER}
    assert options.max_body == 2**64 - 1
    assert options.max_connections == 0
    # 0 would stand for the default.
    options = server_options(Limits(**dict.fromkeys(TIMES, 0.0001)))
    assert {getattr(options, name) for name in TIMES} == {1}


# ---- each limit, met by a request ----


@pytest.mark.parametrize(
    ("limits", "below", "above", "status"),
    [
        ({"max_line": 40}, ["/" + "a" * 20], ["/" + "a" * 40], 414),
        (
            {"max_head": 100},
            ["/", "GET", "X: " + "a" * 20],
            ["/", "GET", "X: " + "a" * 100],
            431,
        ),
        # Host is the first one.
        (
            {"max_fields": 3},
            ["/", "GET", "A: 1", "B: 2"],
            ["/", "GET", *["A: 1"] * 3],
            431,
        ),
    ],
)
def test_a_head_over_its_limit_is_refused(serve, limits, below, above, status):
    server = serve(lambda app: app.get("/*", hello), limits=Limits(**limits))
    assert server.ask(*below).status == 200
    client = server.client()
    answer = client.ask(*above)
    assert (answer.status, answer["connection"]) == (status, "close")
    assert client.is_closed_by_server()


def test_a_body_over_its_limit_is_refused_before_its_handler(serve):
    ran = []

    def note(res, req):
        ran.append(1)
        echo(res, req)

    server = serve(lambda app: app.post("/", note), limits=Limits(max_body=5))
    client = server.client()
    client.send(post(5) + b"12345" + post(6))
    assert client.read().body == b"12345"
    answer = client.read()
    assert (answer.status, answer["connection"]) == (413, "close")
    assert client.is_closed_by_server()
    assert ran == [1]


def test_without_a_limit_a_body_may_be_announced_of_any_size(serve):
    server = serve(lambda app: app.post("/", hello), limits=Limits(max_body=None))
    client = server.client()
    client.send(post(10**15))
    assert client.read().status == 200


def test_a_head_that_takes_too_long_is_refused(serve):
    limits = Limits(head_timeout=SHORT, idle_timeout=None)
    server = serve(lambda app: app.get("/", hello), limits=limits)
    client = server.client()
    assert client.ask("/").status == 200
    started = time.monotonic()
    client.send(b"GET / HT")
    answer = client.read()
    assert (answer.status, answer["connection"]) == (408, "close")
    assert time.monotonic() - started >= NOT_BEFORE
    assert client.is_closed_by_server()


def test_a_body_that_takes_too_long_is_refused_and_its_handler_told(serve):
    seen = Seen()
    server = serve(
        lambda app: app.post("/", reader(seen)), limits=Limits(body_timeout=SHORT)
    )
    client = server.client()
    started = time.monotonic()
    client.send(post(4) + b"ab")
    answer = client.read()
    assert (answer.status, answer["connection"]) == (408, "close")
    assert time.monotonic() - started >= NOT_BEFORE
    assert client.is_closed_by_server()
    assert seen.aborted.wait(10)
    assert (seen.body, seen.ends, seen.aborts) == (b"ab", 0, 1)
    assert seen.response.aborted


def test_an_answer_that_takes_too_long_is_the_servers(serve):
    seen = Seen()
    server = serve(
        lambda app: app.get("/", lambda res, req: res.on_aborted(seen.on_aborted)),
        limits=Limits(answer_timeout=SHORT),
    )
    client = server.client()
    started = time.monotonic()
    answer = client.ask("/")
    assert (answer.status, answer["connection"]) == (503, "close")
    assert time.monotonic() - started >= NOT_BEFORE
    assert seen.aborted.wait(10)
    assert seen.response.aborted


def test_an_idle_connection_is_closed_without_a_word(serve):
    server = serve(lambda app: app.get("/", hello), limits=Limits(idle_timeout=SHORT))
    started = time.monotonic()
    fresh = server.client()
    assert fresh.is_closed_by_server()
    assert time.monotonic() - started >= NOT_BEFORE
    used = server.client()
    started = time.monotonic()
    assert used.ask("/").status == 200
    assert used.is_closed_by_server()
    assert time.monotonic() - started >= NOT_BEFORE


def test_a_client_that_takes_nothing_is_cut_off(serve):
    server = serve(
        lambda app: app.get("/", lambda res, req: res.end(bytes(30_000_000))),
        limits=Limits(send_timeout=SHORT, idle_timeout=None),
    )

    def is_free():
        app = server.app
        return server.call(
            lambda: app._server.connections() == 0 and app._loop.turns.bodies == {}
        )

    client = server.client()
    started = time.monotonic()
    client.send(GET)
    client.socket.recv(1)
    eventually(is_free)
    assert time.monotonic() - started >= NOT_BEFORE


# ---- connections ----


def test_as_many_connections_as_allowed_are_kept(serve):
    server = serve(lambda app: app.get("/", hello), limits=Limits(max_connections=3))
    clients = [server.client() for _ in range(3)]
    for client in clients * 2:
        answer = client.ask("/")
        assert (answer.status, answer["connection"]) == (200, None)


def test_a_further_client_takes_the_place_of_an_idle_one(serve):
    server = serve(lambda app: app.get("/", hello), limits=Limits(max_connections=2))
    clients = [server.client() for _ in range(2)]
    for client in clients:
        assert client.ask("/").status == 200
    assert server.ask("/").status == 200

    def closed():
        found = 0
        for client in clients:
            client.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                found += client.socket.recv(1) == b""
        return found

    eventually(lambda: closed() == 1)
    assert server.call(server.app._server.connections) == 2


def test_a_further_client_waits_until_a_busy_one_is_answered(serve):
    open_ones = []
    ready = threading.Semaphore(0)

    def later(res, req):
        open_ones.append(res.on_aborted(lambda res: None))
        ready.release()

    server = serve(
        lambda app: app.get("/later", later).get("/", hello),
        limits=Limits(max_connections=2),
    )
    busy = [server.client() for _ in range(2)]
    for client in busy:
        client.send(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        assert ready.acquire(timeout=10)
    further = server.client()
    further.send(GET)
    further.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        further.read()
    further.socket.settimeout(10)
    server.call(lambda: open_ones[0].end("first"))
    answer = busy[0].read()
    assert (answer.body, answer["connection"]) == (b"first", "close")
    busy[0].close()
    assert further.read()["connection"] is None
    server.call(lambda: open_ones[1].end("second"))
    assert busy[1].read()["connection"] is None


def test_a_crowd_is_served_with_few_connections(serve):
    server = serve(lambda app: app.get("/", hello), limits=Limits(max_connections=4))
    held, gate = threading.Event(), threading.Event()

    def hold():
        held.set()
        gate.wait(10)

    # All requests are to be there when the first client is let in: who has not asked
    # yet is idle, and makes room.
    server.app._loop.call_soon_threadsafe(hold)
    assert held.wait(10)
    clients = [server.client() for _ in range(60)]
    for client in clients:
        client.send(GET)
    gate.set()
    for client in clients:
        assert client.read().body == b"Hello, World!"
        client.close()


# ---- a route's own limit ----


@pytest.mark.parametrize(
    ("own", "fits", "is_too_large"),
    [(2, 2, 3), (1000, 1000, 1001), ("default", 10, 11), (0, 0, 1), (None, 2000, None)],
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_route_may_have_its_own_limit(serve, own, fits, is_too_large, is_chunked):
    server = serve(
        lambda app: app.post("/", echo, max_body=own).post("/other", echo),
        limits=Limits(max_body=10),
    )

    def ask(size, path="/"):
        client = server.client()
        if is_chunked:
            client.send(chunked_post(path) + chunks(b"x" * size, 7))
        else:
            client.send(post(size, path) + b"x" * size)
        return client.read()

    answer = ask(fits)
    assert (answer.status, answer.body) == (200, b"x" * fits)
    if is_too_large is not None:
        assert ask(is_too_large).status == 413
    assert ask(10, "/other").status == 200
    assert ask(11, "/other").status == 413


@pytest.mark.parametrize(
    "verb", ["get", "post", "options", "delete", "patch", "put", "head", "any"]
)
def test_each_verb_takes_a_limit(serve, verb):
    server = serve(lambda app: getattr(app, verb)("/", hello, max_body=3))

    def ask(body):
        client = server.client()
        method = "SEARCH" if verb == "any" else verb.upper()
        head = f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        client.send(head.encode() + body)
        return client.read(has_body=verb != "head").status

    assert ask(b"123") == 200
    assert ask(b"1234") == 413


@pytest.mark.parametrize(
    "value", [-1, 2**63, 1.5, "1", "Default", b"1", True, False, []]
)
def test_what_is_no_size_is_an_error_at_registration(value):
    app = App()
    with pytest.raises(RouteError, match="max_body is a number of bytes") as caught:
        app.post("/", hello, max_body=value)
    assert repr(value) in str(caught.value)
    app.post("/", hello, max_body=1)  # nothing was registered


def test_what_matches_no_route_has_the_apps_limit(serve):
    server = serve(
        lambda app: app.post("/", hello, max_body=None), limits=Limits(max_body=10)
    )
    for size, status in ((10, 404), (11, 413)):
        client = server.client()
        client.send(post(size, "/nowhere") + b"x" * size)
        assert client.read().status == status


# ---- bodies as they come ----


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_comes_whole_in_pieces(serve, is_chunked):
    seen = Seen()
    client = serve(lambda app: app.post("/", reader(seen))).client()
    if is_chunked:
        client.send(chunked_post() + chunks(MEBIBYTE, 10_007))
    else:
        client.send(post(len(MEBIBYTE)) + MEBIBYTE)
    assert client.read().body == str(len(MEBIBYTE)).encode()
    assert seen.body == MEBIBYTE
    assert len(seen.chunks) > 4
    assert seen.ends == 1
    assert seen.aborts == 0


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_comes_byte_by_byte_is_given_as_it_comes(serve, is_chunked):
    seen = Seen()
    steps = threading.Semaphore(0)

    def handler(res, req):
        def on_data(res, chunk, is_end):
            seen.on_data(res, chunk, is_end)
            steps.release()
            if is_end:
                res.end(seen.body)

        res.on_data(on_data)

    client = serve(lambda app: app.post("/", handler)).client()
    client.send(chunked_post() if is_chunked else post(5))
    for i in range(5):
        byte = b"%d" % i
        client.send(chunk(byte) if is_chunked else byte)
        assert steps.acquire(timeout=10)
        assert seen.chunks[-1] == byte
    if is_chunked:
        client.send(b"0\r\n\r\n")
    assert client.read().body == b"01234"
    assert seen.ends == 1


@pytest.mark.parametrize(
    "request_without_a_body",
    [
        GET,
        post(0),
        chunked_post() + b"0\r\n\r\n",
    ],
)
def test_an_empty_body_is_one_call(serve, request_without_a_body):
    calls = []

    def handler(res, req):
        def on_data(res, chunk, is_end):
            calls.append((chunk, is_end))
            res.end("empty")

        res.on_data(on_data)

    client = serve(lambda app: app.any("/", handler)).client()
    client.send(request_without_a_body * 3)
    for _ in range(3):
        assert client.read().body == b"empty"
    assert calls == [(b"", True)] * 3


def test_the_body_begins_when_the_handler_has_returned(serve):
    order = []

    def handler(res, req):
        def on_data(res, chunk, is_end):
            order.append(chunk)
            if is_end:
                res.end()

        res.on_data(on_data)
        order.append("returned")

    client = serve(lambda app: app.post("/", handler)).client()
    client.send(post(4) + b"body")
    assert client.read().status == 200
    assert order == ["returned", b"body"]


def test_two_handlers_for_a_body_get_all_of_it(serve):
    first, second = Seen(), Seen()

    def handler(res, req):
        def answer(res, chunk, is_end):
            second.on_data(res, chunk, is_end)
            if is_end:
                res.end("both")

        res.on_data(first.on_data).on_data(answer)

    client = serve(lambda app: app.post("/", handler)).client()
    client.send(post(len(MEBIBYTE)) + MEBIBYTE)
    assert client.read().body == b"both"
    assert first.body == second.body == MEBIBYTE
    assert first.ends == second.ends == 1


def test_requests_behind_a_body_are_served_after_it(serve):
    server = serve(lambda app: app.post("/", echo).get("/", hello))
    client = server.client()
    one = post(3) + b"abc" + GET + chunked_post() + chunks(b"defg", 2) + GET
    client.send(one * 3)
    for _ in range(3):
        bodies = [client.read().body for _ in range(4)]
        assert bodies == [b"abc", b"Hello, World!", b"defg", b"Hello, World!"]


def test_a_body_may_be_asked_for_later(serve):
    def later(res, req):
        res.on_aborted(lambda res: None)
        req.app._loop.call_later(0.02, echo, res, None)

    client = serve(lambda app: app.post("/", later)).client()
    for size in (10, len(MEBIBYTE)):
        client.send(post(size) + MEBIBYTE[:size])
        assert client.read().body == MEBIBYTE[:size]


def test_100_continue_is_said_to_who_is_asked_for_the_body(serve):
    client = serve(lambda app: app.post("/", echo)).client()
    client.send(post(4, "/", "Expect: 100-continue"))
    assert client.read(has_body=False).status == 100
    client.send(b"body")
    assert client.read().body == b"body"


# ---- answers before the end of a body ----


def answer_once(res, req):
    """Answer with the first piece; nothing is to come behind that."""
    calls = []

    def on_data(res, chunk, is_end):
        calls.append(chunk)
        assert len(calls) == 1
        res.end("enough")

    res.on_data(on_data)


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (post(8) + b"half", b"rest"),
        (chunked_post() + chunk(b"half"), chunk(b"rest") + b"0\r\n\r\n"),
    ],
)
def test_an_answer_in_the_middle_of_a_small_body_keeps_the_connection(
    serve, caplog, begin, rest
):
    server = serve(lambda app: app.post("/", answer_once).get("/", hello))
    client = server.client()
    client.send(begin)
    answer = client.read()
    assert (answer.body, answer["connection"]) == (b"enough", None)
    client.send(rest)
    assert client.ask("/").body == b"Hello, World!"
    assert caplog.text == ""


def test_an_answer_in_the_middle_of_a_large_body_reaches_who_still_sends(serve, caplog):
    client = serve(lambda app: app.post("/", answer_once)).client()
    client.send(post(len(MEBIBYTE)) + MEBIBYTE[: len(MEBIBYTE) // 2])
    answer = client.read()
    assert (answer.body, answer["connection"]) == (b"enough", "close")
    client.send(MEBIBYTE[len(MEBIBYTE) // 2 :])
    assert client.is_closed_by_server()
    assert caplog.text == ""


@pytest.mark.parametrize("size", [1, 60_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_that_nobody_reads_is_skipped(serve, size, is_chunked):
    client = serve(lambda app: app.post("/", hello)).client()
    for _ in range(3):
        if is_chunked:
            client.send(chunked_post() + chunks(b"x" * size, 1000))
        else:
            client.send(post(size) + b"x" * size)
        answer = client.read()
        assert (answer.status, answer["connection"]) == (200, None)


def test_a_large_body_that_nobody_reads_closes_behind_the_answer(serve):
    client = serve(lambda app: app.post("/", hello)).client()
    client.send(post(len(MEBIBYTE)) + MEBIBYTE)
    answer = client.read()
    assert (answer.body, answer["connection"]) == (b"Hello, World!", "close")
    assert client.is_closed_by_server()


# ---- answers that come later, and clients that leave ----


def test_a_handler_may_answer_later(serve):
    ran = []

    def later(res, req):
        number = req.get_parameter(0)
        ran.append(number)
        res.on_aborted(lambda res: None)
        req.app._loop.call_later(0.01, lambda: res.write_status(202).end(number))

    server = serve(lambda app: app.get("/:n", later))
    client = server.client()
    for number in ("1", "2"):
        answer = client.ask(f"/{number}")
        assert (answer.status, answer.body) == (202, number.encode())
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(5)))
    assert [client.read().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]
    assert ran == ["1", "2", "0", "1", "2", "3", "4"]  # once each
    assert server.call(lambda: dict(server.app._loop.turns.claims)) == {}


def abort_in_a_body(client):
    client.send(post(10) + b"half")


def abort_in_a_chunk(client):
    client.send(chunked_post() + b"a\r\nhalf")


def abort_before_the_answer(client):
    client.send(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")


def abort_before_the_answer_to_a_body(client):
    client.send(post(4, "/wait") + b"body")


LEAVING = [
    abort_in_a_body,
    abort_in_a_chunk,
    abort_before_the_answer,
    abort_before_the_answer_to_a_body,
]


@pytest.mark.parametrize("begin", LEAVING)
@pytest.mark.parametrize("resets", [False, True])
def test_the_handler_is_told_when_its_client_leaves(serve, caplog, begin, resets):
    seen = Seen()

    def wait(res, req):
        res.on_aborted(seen.on_aborted)
        seen.began.set()

    def setup(app):
        app.post("/", reader(seen)).any("/wait", wait).get("/", hello)

    server = serve(setup)
    client = server.client()
    begin(client)
    assert seen.began.wait(10)
    if resets:
        linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.close()
    assert seen.aborted.wait(10)
    assert server.ask("/").body == b"Hello, World!"
    assert (seen.aborts, seen.ends) == (1, 0)
    assert seen.response.aborted
    assert server.call(lambda: dict(server.app._loop.turns.claims)) == {}
    assert caplog.text == ""


def test_what_is_said_to_a_client_that_has_left_is_ignored(serve, caplog):
    seen, later = Seen(), Seen()
    server = serve(lambda app: app.post("/", reader(seen)).get("/", hello))
    client = server.client()
    client.send(post(4) + b"ab")
    assert seen.began.wait(10)
    client.close()
    assert seen.aborted.wait(10)
    res = seen.response

    def say():
        assert res.write_status(404).write_header("X", "y") is res
        assert res.on_data(later.on_data).on_aborted(later.on_aborted) is res
        assert res.end("nobody") is res.end(b"x" * 100_000) is res.end({}) is res
        assert res.cork_end("nobody", True) is res
        return res.aborted

    assert server.call(say) is True
    assert server.ask("/").status == 200
    assert (later.chunks, later.aborts) == ([], 0)
    turns = server.app._loop.turns
    assert server.call(lambda: (turns.claims, turns.bodies, turns.parts)) == (
        {},
        {},
        [],
    )
    assert caplog.text == ""


def test_a_response_is_not_aborted_before_and_after_its_answer(serve):
    found = []

    def handler(res, req):
        found.append(res.aborted)
        res.on_aborted(lambda res: found.append("called"))
        found.append(res.aborted)
        res.end("fine")
        found.append(res.aborted)

    server = serve(lambda app: app.get("/", handler))
    client = server.client()
    assert client.ask("/").body == b"fine"
    client.close()
    eventually(lambda: server.call(server.app._server.connections) == 0)
    assert found == [False] * 3


def test_each_handler_for_the_end_is_called_though_one_raises(serve, caplog):
    seen = Seen()

    def broken(res):
        raise LookupError("too late")

    def handler(res, req):
        res.on_aborted(broken).on_aborted(seen.on_aborted)
        seen.began.set()

    server = serve(lambda app: app.get("/", handler).get("/other", hello))
    client = server.client()
    client.send(GET)
    assert seen.began.wait(10)
    client.close()
    assert seen.aborted.wait(10)
    assert "LookupError: too late" in caplog.text
    assert "GET /" in caplog.text and "handler" in caplog.text
    assert server.ask("/other").status == 200


def test_a_body_that_grows_too_large_aborts_its_handler(serve):
    seen = Seen()
    server = serve(
        lambda app: app.post("/", reader(seen), max_body=10), limits=Limits()
    )
    client = server.client()
    client.send(chunked_post() + chunk(b"12345678"))
    assert seen.began.wait(10)
    client.send(chunk(b"9abcdefg"))
    answer = client.read()
    assert (answer.status, answer["connection"]) == (413, "close")
    assert client.is_closed_by_server()
    assert seen.aborted.wait(10)
    assert (seen.body, seen.ends, seen.aborts) == (b"12345678", 0, 1)
    assert seen.response.aborted


def test_chunks_that_break_off_abort_their_handler(serve):
    seen = Seen()
    client = serve(lambda app: app.post("/", reader(seen))).client()
    client.send(chunked_post() + chunk(b"12345678"))
    assert seen.began.wait(10)
    client.send(b"no size\r\n")
    answer = client.read()
    assert (answer.status, answer["connection"]) == (400, "close")
    assert seen.aborted.wait(10)
    assert (seen.body, seen.ends, seen.aborts) == (b"12345678", 0, 1)


# ---- handlers that fail ----


def test_a_body_handler_that_raises_is_500_and_a_log_line(serve, caplog):
    calls = []

    def handler(res, req):
        def broken(res, chunk, is_end):
            calls.append(chunk)
            raise LookupError("cannot read this")

        res.write_header("X-Half", "said").on_data(broken)

    server = serve(lambda app: app.post("/", handler).get("/", hello))
    client = server.client()
    client.send(post(8) + b"half")
    answer = client.read()
    assert (answer.status, answer["x-half"]) == (500, None)
    assert answer.body == b"Internal Server Error"
    assert "LookupError: cannot read this" in caplog.text
    assert "POST /" in caplog.text and "handler" in caplog.text
    client.send(b"rest")
    assert client.ask("/").body == b"Hello, World!"
    assert calls == [b"half"]  # the rest is nobody's


def test_a_body_handler_that_raises_after_its_answer_is_a_log_line_alone(serve, caplog):
    def handler(res, req):
        def late(res, chunk, is_end):
            res.end("fine")
            raise LookupError

        res.on_data(late)

    client = serve(lambda app: app.post("/", handler)).client()
    for _ in range(2):
        client.send(post(4) + b"body")
        assert client.read().body == b"fine"
    assert "after it had answered" in caplog.text


def test_a_handler_that_raises_after_it_asked_for_the_body_is_500(serve, caplog):
    seen = Seen()

    def handler(res, req):
        res.on_data(seen.on_data).on_aborted(seen.on_aborted)
        raise LookupError

    server = serve(lambda app: app.post("/", handler).get("/", hello))
    client = server.client()
    client.send(post(4) + b"body")
    assert client.read().status == 500
    assert client.ask("/").status == 200
    client.close()
    eventually(lambda: server.call(server.app._server.connections) == 0)
    assert (seen.chunks, seen.aborts) == ([], 0)


@pytest.mark.parametrize("name", ["on_data", "on_aborted"])
def test_what_is_not_callable_is_the_handlers_error(serve, caplog, name):
    handler = lambda res, req: getattr(res, name)("nothing")  # noqa: E731
    assert serve(lambda app: app.get("/", handler)).ask("/").status == 500
    assert (
        f"TypeError: the handler of {name}, 'nothing', is not callable" in caplog.text
    )


@pytest.mark.parametrize("name", ["on_data", "on_aborted"])
def test_asking_after_the_answer_is_an_error(serve, caplog, name):
    def handler(res, req):
        res.end("done")
        getattr(res, name)(print)

    assert serve(lambda app: app.get("/", handler)).ask("/").body == b"done"
    assert "ended already" in caplog.text


# ---- clients that end their side alone ----


def say_last(client, data):
    client.send(data)
    client.socket.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("data", [GET, post(4) + b"body"])
def test_a_late_answer_reaches_a_half_closed_client_if_the_app_allows(serve, data):
    seen = Seen()

    def later(res, req):
        res.on_aborted(seen.on_aborted)
        req.app._loop.call_later(0.05, res.end, "late")

    server = serve(lambda app: app.any("/", later), half_close=True)
    client = server.client()
    say_last(client, data)
    assert client.read().body == b"late"
    assert client.is_closed_by_server()
    assert seen.aborts == 0


@pytest.mark.parametrize("data", [GET, post(4) + b"body"])
def test_else_a_half_closed_client_has_gone(serve, data):
    seen = Seen()
    server = serve(
        lambda app: app.any("/", lambda res, req: res.on_aborted(seen.on_aborted))
    )
    client = server.client()
    say_last(client, data)
    assert seen.aborted.wait(10)
    assert client.is_closed_by_server()


@pytest.mark.parametrize("half_close", [False, True])
def test_an_answer_at_once_reaches_a_half_closed_client(serve, half_close):
    server = serve(
        lambda app: app.get("/", hello).post("/", echo), half_close=half_close
    )
    client = server.client()
    say_last(client, GET + post(4) + b"body" + GET)
    bodies = [client.read().body for _ in range(3)]
    assert bodies == [b"Hello, World!", b"body", b"Hello, World!"]
    assert client.is_closed_by_server()


@pytest.mark.parametrize("half_close", [False, True])
def test_half_a_body_is_no_body(serve, half_close):
    seen = Seen()
    server = serve(lambda app: app.post("/", reader(seen)), half_close=half_close)
    client = server.client()
    say_last(client, post(8) + b"half")
    assert seen.aborted.wait(10)
    assert (seen.body, seen.ends) == (b"half", 0)


def test_who_waits_behind_an_answer_that_met_the_end_learns_of_it(serve):
    """The first answer finds the client gone; the request behind it is told so, too."""
    told = threading.Event()
    entered, gate = threading.Event(), threading.Event()

    def first(res, req):
        entered.set()
        gate.wait(10)
        res.end("x" * 100_000)

    def second(res, req):
        res.on_aborted(lambda res: told.set())

    server = serve(lambda app: app.get("/first", first).get("/second", second))
    client = server.client()
    client.send(
        b"GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    assert entered.wait(10)
    linger = struct.pack("ii", 1, 0)  # a reset, so that the answer cannot be sent
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.close()
    gate.set()
    assert told.wait(10)
    assert server.call(lambda: len(server.app._loop.turns.claims)) == 0


def test_a_request_behind_one_that_is_answered_before_the_next_turn_is_served(serve):
    def setup(app):
        def late(res, req):
            res.on_aborted(lambda res: None)
            app._loop.call_soon(res.end, "late")

        app.get("/late", late).get("/", hello)

    client = serve(setup).client()
    for _ in range(3):
        client.send(b"GET /late HTTP/1.1\r\nHost: a\r\n\r\n" + GET + GET)
        assert [client.read().body for _ in range(3)] == [
            b"late",
            *[b"Hello, World!"] * 2,
        ]


def test_who_was_handed_out_behind_an_answer_is_answered_when_the_app_closes(serve):
    kept = queue.Queue()

    def setup(app):
        def closing(res, req):
            app.close()
            res.end("closing")

        def late(res, req):
            kept.put(res.on_aborted(lambda res: kept.put(None)))
            app._loop.call_later(0.05, res.end, "late")

        app.get("/closing", closing).get("/late", late)

    server = serve(setup)
    client = server.client()
    one = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
    client.send(one % b"/closing" + one % b"/late")
    assert client.read().body == b"closing"
    answer = client.read()
    assert (answer.body, answer["connection"]) == (b"late", "close")
