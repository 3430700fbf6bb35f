"""What a response can do, member by member, as a client sees it."""

import asyncio
import http.client
import socket
import threading
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from socketify_mw import ClientGone
from socketify_mw.head import cookie_line

MEBIBYTE = bytes(range(256)) * 4096
LARGE = b"".join(bytes([n]) * 65521 for n in range(128)) + MEBIBYTE[: 128 * 15]
assert len(LARGE) == 8 * 2**20

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def getting(handler):
    """Return the setup of an app with one handler."""
    return lambda app: app.get("/", handler)


def eventually(claim):
    """Wait until a claim about the server holds."""
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def exchange(server, request):
    """Return all that the server sends until it closes."""
    client = server.client()
    client.send(request)
    found = b""
    while data := client.socket.recv(65536):
        found += data
    return found


def fetch(server, method="GET", path="/"):
    """Return the answer and its body, read by a common client."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def slow_client(server, request=GET):
    """Ask, and read nothing: the buffer of the client is small."""
    client = server.client()
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.send(request)
    return client


def read_slowly(client):
    time.sleep(0.1)
    return client.read()


def is_tidy(server):
    """Whether nothing of any exchange is kept."""
    turns = server.app._loop.turns
    return server.call(lambda: (turns.claims, turns.bodies, turns.parts)) == (
        {},
        {},
        [],
    )


def catching(*calls):
    """Return a handler that answers with the names of what its calls raise."""

    def handler(res, req):
        names = []
        for call in calls:
            try:
                call(res)
            except Exception as error:
                names.append(type(error).__name__)
            else:
                names.append("fine")
        res.end(" ".join(names))

    return handler


# ---- streams ----


def stream(res, req):
    res.write_status(201).write_header("X-A", "b")
    res.write("ä").write(b"").write("").write(None).write(b"bc").write([1]).end("d")


def test_a_stream_is_chunked_and_its_empty_parts_send_nothing(serve):
    server = serve(getting(stream))
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, _, body = exchange(server, request).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 201 ")
    assert b"transfer-encoding: chunked" in head.lower()
    assert b"content-length" not in head.lower()
    parts = body.split(b"\r\n")
    assert parts[-3:] == [b"0", b"", b""] and parts.count(b"0") == 1
    answer, body = fetch(server)
    assert (answer.status, answer.getheader("X-A"), body) == (
        201,
        "b",
        "äbc[1]d".encode(),
    )
    assert answer.getheader("Content-Type") == "text/plain; charset=utf-8"


def test_a_stream_to_http_1_0_is_raw_and_closed(serve):
    ancient = []

    def handler(res, req):
        ancient.append(req.is_ancient())
        stream(res, req)

    found = exchange(serve(getting(handler)), b"GET / HTTP/1.0\r\n\r\n")
    head, _, body = found.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert body == "äbc[1]d".encode()
    assert ancient == [True]


@pytest.mark.parametrize(
    ("last", "body"), [(None, b"a"), (b"", b"a"), ("", b"a"), (b"last", b"alast")]
)
def test_a_connection_is_kept_behind_a_stream(serve, last, body):
    server = serve(getting(lambda res, req: res.write("a").end(last)))
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/")
        assert connection.getresponse().read() == body
    connection.close()


def test_a_stream_of_empty_parts_alone_is_an_empty_body(serve):
    server = serve(getting(lambda res, req: res.write("").write(b"").end()))
    answer, body = fetch(server)
    assert (answer.status, body) == (200, b"")


def test_head_gets_no_content_of_a_stream(serve):
    client = serve(getting(stream)).client()
    assert client.ask("/", "HEAD").status == 201
    client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert client.read(has_body=False).status == 201
    assert client.is_closed_by_server()


@pytest.mark.parametrize(
    "late",
    [
        lambda res: res.write_status(404),
        lambda res: res.write_header("a", "b"),
        lambda res: res.set_cookie("a", "b"),
        lambda res: res.redirect("/"),
        lambda res: res.send("", status=404),
        lambda res: res.try_end(b"a", 1),
        lambda res: res.send_chunk(b"a", 1),
    ],
)
def test_the_head_cannot_be_changed_behind_the_first_part(serve, late):
    server = serve(getting(catching(lambda res: res.write("a"), late)))
    assert fetch(server)[1] == b"afine RuntimeError"


@pytest.mark.parametrize("first", [lambda res: res.end("a"), stream])
@pytest.mark.parametrize(
    "again",
    [
        lambda res: res.end("b"),
        lambda res: res.write("b"),
        lambda res: res.try_end("b", 1),
        lambda res: res.send_chunk("b", 1),
        lambda res: res.write_status(404),
        lambda res: res.drain(),
    ],
)
def test_nothing_can_be_said_behind_the_end(serve, first, again):
    caught = []

    def handler(res, req):
        first(res) if first is not stream else stream(res, req)
        with pytest.raises(RuntimeError, match="ended") as error:
            again(res)
        caught.append(error)

    server = serve(getting(handler))
    assert fetch(server)[1] == (b"a" if first is not stream else "äbc[1]d".encode())
    assert caught


def test_a_stream_that_is_never_ended_is_cut_off_and_logged(serve, caplog):
    server = serve(getting(lambda res, req: res.write("begun")))
    found = exchange(server, GET)
    assert b"begun" in found and not found.endswith(b"0\r\n\r\n")
    eventually(lambda: caplog.text)
    assert is_tidy(server)


def test_a_stream_whose_handler_raises_is_cut_off_and_logged(serve, caplog):
    def handler(res, req):
        res.write("begun")
        raise ValueError("a mishap")

    found = exchange(serve(getting(handler)), GET)
    assert b"begun" in found and b"500" not in found
    assert not found.endswith(b"0\r\n\r\n")
    assert "a mishap" in caplog.text


def test_a_stream_can_go_on_later_and_close(serve):
    async def answer(res):
        for n in range(20):
            res.write(f"{n},")
            await res.drain()
        res.end("end", end_connection=True)

    server = serve(getting(lambda res, req: res.run_async(answer(res))))
    found = exchange(server, GET)
    assert found.endswith(b"0\r\n\r\n")
    assert fetch(server)[1] == b"".join(b"%d," % n for n in range(20)) + b"end"


# ---- bodies of an announced length ----


def test_try_end_sends_what_fits_at_once(serve):
    results = []

    def handler(res, req):
        results.append(res.get_write_offset())
        results.append(res.write_header("X-A", "b").try_end("whole", 5))
        results.append(res.has_responded())

    client = serve(getting(handler)).client()
    for _ in range(3):
        answer = client.ask("/")
        assert (answer.body, answer["x-a"]) == (b"whole", "b")
    eventually(lambda: results == [0, (True, True), True] * 3)


def test_try_end_takes_a_body_in_parts(serve):
    results = []

    def handler(res, req):
        for part in (b"ab", b"cd", b"e"):
            results.append((*res.try_end(part, 5), res.get_write_offset()))

    assert serve(getting(handler)).ask("/").body == b"abcde"
    eventually(lambda: len(results) == 3)
    assert results[:2] == [(True, False, 2), (True, False, 4)]
    assert results[2][:2] == (True, True)


def test_a_slow_reader_gets_all_of_a_large_body_by_on_writable(serve):
    offsets = []

    def handler(res, req):
        def go_on(res, offset):
            assert offset == res.get_write_offset()
            offsets.append(offset)
            return res.try_end(LARGE[offset:], len(LARGE))

        res.on_writable(go_on)
        assert go_on(res, 0) == (False, False)

    server = serve(getting(handler))
    assert read_slowly(slow_client(server)).body == LARGE
    assert len(offsets) > 1 and offsets == sorted(set(offsets))
    eventually(lambda: is_tidy(server))


def test_a_slow_reader_is_waited_for_in_the_middle_of_parts(serve):
    part = 300_001

    def handler(res, req):
        def go_on(res, offset):
            is_taken, is_done = True, False
            while is_taken and not is_done:
                offset = res.get_write_offset()
                is_taken, is_done = res.try_end(
                    LARGE[offset : offset + part], len(LARGE)
                )

        res.on_writable(go_on)
        go_on(res, 0)

    assert read_slowly(slow_client(serve(getting(handler)))).body == LARGE


def test_head_gets_the_length_of_try_end_alone(serve):
    results = []
    server = serve(
        getting(lambda res, req: results.append(res.try_end(LARGE, len(LARGE))))
    )
    client = server.client()
    for _ in range(2):
        assert client.ask("/", "HEAD")["content-length"] == str(len(LARGE))
    eventually(lambda: [is_done for _, is_done in results] == [True, True])
    assert is_tidy(server)


@pytest.mark.parametrize("total", [0, 1, 3])
def test_try_end_sends_no_more_than_it_announced(serve, total):
    client = serve(getting(lambda res, req: res.try_end(b"abcdef", total))).client()
    for _ in range(2):
        assert client.ask("/").body == b"abcdef"[:total]


@pytest.mark.parametrize("total", [-1, -(2**70), 2**63, 2**70, "5", None, 1.5])
def test_a_total_that_is_no_length_is_500_and_logged(serve, caplog, total):
    server = serve(getting(lambda res, req: res.try_end(b"abc", total)))
    assert server.ask("/").status == 500
    assert caplog.text


@pytest.mark.parametrize("mixed", [lambda res: res.end("b"), lambda res: res.end()])
def test_what_try_end_began_is_not_ended_by_end(serve, mixed):
    def handler(res, req):
        res.try_end(b"a", 2)
        with pytest.raises(RuntimeError, match="try_end"):
            mixed(res)
        res.try_end(b"b", 2)

    assert serve(getting(handler)).ask("/").body == b"ab"


def test_what_try_end_began_is_not_written_to(serve):
    def handler(res, req):
        res.try_end(b"a", 2)
        with pytest.raises(RuntimeError):
            res.write("x")
        res.try_end(b"b", 2)

    assert serve(getting(handler)).ask("/").body == b"ab"


def test_write_offset_sets_where_a_body_goes_on(serve):
    def handler(res, req):
        for wrong in (-1, "1", None, 1.5):
            with pytest.raises(ValueError, match="offset"):
                res.write_offset(wrong)
        assert res.write_offset(4) is res and res.get_write_offset() == 4
        with pytest.raises(ValueError, match="begins at 4"):
            res.try_end(b"", 3)
        assert res.try_end(b"e", 7) == (True, False)
        with pytest.raises(RuntimeError):
            res.write_offset(6)
        assert res.try_end(b"fg", 7) == (True, True)

    # The length is that of the rest.
    assert serve(getting(handler)).ask("/").body == b"efg"


def chunk_sender(results, chunks, total):
    async def send(res):
        for data in chunks:
            results.append(await res.send_chunk(data, total))

    return lambda res, req: res.run_async(send(res))


@pytest.mark.parametrize("size", [len(LARGE), 500_000, 1_000_003])
def test_send_chunk_sends_all_to_a_slow_reader(serve, size):
    results = []
    chunks = [LARGE[i : i + size] for i in range(0, len(LARGE), size)]
    server = serve(getting(chunk_sender(results, chunks, len(LARGE))))
    assert read_slowly(slow_client(server)).body == LARGE
    eventually(lambda: len(results) == len(chunks))
    assert results == [(True, False)] * (len(chunks) - 1) + [(True, True)]
    eventually(lambda: is_tidy(server))


def test_send_chunk_tells_when_its_client_leaves(serve, caplog):
    results = []
    server = serve(getting(chunk_sender(results, [LARGE, b"more"], len(LARGE) + 4)))
    client = slow_client(server)
    client.socket.recv(100)
    client.close()
    eventually(lambda: len(results) == 2)
    assert results == [(False, True)] * 2
    assert is_tidy(server)
    assert caplog.text == ""


def test_a_chunk_beside_one_that_is_being_sent_is_an_error(serve):
    async def send(res):
        first = res.send_chunk(LARGE, len(LARGE) + 1)
        with pytest.raises(RuntimeError, match="await it"):
            res.send_chunk(b"z", len(LARGE) + 1)
        await first
        await res.send_chunk(b"z", len(LARGE) + 1)

    server = serve(getting(lambda res, req: res.run_async(send(res))))
    assert read_slowly(slow_client(server)).body == LARGE + b"z"


# ---- drain ----


def test_drain_bounds_what_waits_for_a_slow_reader(serve):
    waiting = []

    async def send(res):
        for i in range(0, len(LARGE), 65536):
            res.write(LARGE[i : i + 65536])
            waiting.append(res._outbox.backlog(res._exchange))
            await res.drain()
        res.end()

    server = serve(getting(lambda res, req: res.run_async(send(res))))
    client = slow_client(server)
    time.sleep(0.2)
    assert len(waiting) < 128  # it waits for the reader
    answer = http.client.HTTPResponse(client.socket)
    answer.begin()
    assert answer.read() == LARGE
    answer.close()
    assert max(waiting) < 3 * 65536


def test_drain_is_over_when_another_ends_the_response(serve):
    waiting = []

    async def send(res):
        waiting.append(res.write(LARGE).drain())
        await waiting[0]
        waiting.append("over")

    def handler(res, req):
        res.run_async(send(res))
        res.app.loop.call_later(0.01, lambda: waiting[0].done() or res.end())

    server = serve(getting(handler))
    client = slow_client(server)
    eventually(lambda: len(waiting) == 2)
    assert client.read()["transfer-encoding"] == "chunked"
    eventually(lambda: not server.app._tasks)


def test_drain_raises_in_its_awaiter_when_the_client_leaves(serve, caplog):
    caught = []

    async def answer(res):
        try:
            while True:
                res.write(MEBIBYTE)
                await res.drain()
        except ClientGone as error:
            caught.append(error)
        with pytest.raises(ClientGone):
            await res.drain()
        caught.append(res.aborted)
        res.write("ignored").end("too")

    server = serve(getting(lambda res, req: res.run_async(answer(res))))
    client = slow_client(server)
    client.socket.recv(100)
    client.close()
    eventually(lambda: len(caught) == 2)
    assert caught[1] is True
    assert is_tidy(server) and caplog.text == ""


def test_a_task_behind_a_handler_that_failed_in_a_stream_is_not_left_waiting(serve):
    caught = []
    has_ended = asyncio.Event()

    async def late(res):
        await has_ended.wait()
        try:
            await res.get_text()
        except ClientGone as error:
            caught.append(error)

    def handler(res, req):
        res.write("part")
        res.run_async(late(res))
        raise RuntimeError("in the middle")

    server = serve(getting(handler))
    client = server.client()
    client.send(GET)
    while client.socket.recv(1000):
        continue
    server.call(has_ended.set)
    eventually(lambda: caught)
    assert is_tidy(server)


# ---- whole answers ----


@pytest.mark.parametrize("status", [404, "404", "404 Not Found", b"404 Not Found"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-A": "1", b"X-B": 2},
        [("X-A", b"1"), ("X-B", "2")],
        (("X-A", 1), (b"X-B", b"2")),
    ],
)
def test_send_takes_status_headers_and_type(serve, status, headers):
    server = serve(getting(lambda res, req: res.send("a", "text/css", status, headers)))
    answer = server.ask("/")
    assert (answer.status, answer.reason, answer.body) == (404, "Not Found", b"a")
    assert (answer["x-a"], answer["x-b"]) == ("1", "2")
    assert [v for k, v in answer.fields if k == "content-type"] == ["text/css"]


@pytest.mark.parametrize("name", ["send", "cork_send"])
@pytest.mark.parametrize("close", [False, True])
def test_send_by_name_and_with_nothing(serve, name, close):
    def handler(res, req):
        assert getattr(res, name)(end_connection=close) is res

    client = serve(getting(handler)).client()
    answer = client.ask("/")
    assert (answer.status, answer.body) == (200, b"")
    assert not close or client.is_closed_by_server()
    assert close or client.ask("/").status == 200


@pytest.mark.parametrize("name", ["end", "cork_end", "send", "write"])
@pytest.mark.parametrize(
    ("message", "body", "kind"),
    [
        ("ä", b"\xc3\xa4", "text/plain; charset=utf-8"),
        (b"\xff", b"\xff", None),
        (bytearray(b"\0a"), b"\0a", None),
        (memoryview(b"abcd")[::2], b"ac", None),
        (None, b"", None),
        ({"a": [1, None]}, b'{"a": [1, null]}', "application/json"),
        ([], b"[]", "application/json"),
        (5, b"5", "application/json"),
        (True, b"true", "application/json"),
    ],
)
def test_each_way_to_answer_takes_each_message(serve, name, message, body, kind):
    def handler(res, req):
        getattr(res, name)(message)
        if name == "write":
            res.end()

    answer, found = fetch(serve(getting(handler)))
    assert (found, answer.getheader("Content-Type")) == (body, kind)


@pytest.mark.parametrize("name", ["end", "send", "write", "try_end", "send_chunk"])
@pytest.mark.parametrize("message", [{1, 2}, object(), {"a": object()}, "\ud800"])
def test_what_cannot_be_sent_is_500_and_logged(serve, caplog, name, message):
    extra = (5,) if name in ("try_end", "send_chunk") else ()
    server = serve(getting(lambda res, req: getattr(res, name)(message, *extra)))
    answer = server.ask("/")
    assert answer.status == 500
    assert "Error" in caplog.text


@pytest.mark.parametrize("name", ["end", "send", "write"])
def test_a_coroutine_is_no_message(serve, name):
    async def later():
        return "text"

    call = lambda res: getattr(res, name)(later())  # noqa: E731
    assert serve(getting(catching(call))).ask("/").body == b"TypeError"


@pytest.mark.parametrize(
    "say",
    [
        lambda res: res.end("a", True),
        lambda res: res.end("a", end_connection=True),
        lambda res: res.end(b"a" * 20_000, True),
        lambda res: res.end_without_body(True),
        lambda res: res.cork_end({"a": 1}, True),
        lambda res: res.try_end("a", 1, True),
        lambda res: res.write("a").end("b", True),
    ],
)
def test_end_connection_closes_behind_the_answer(serve, say):
    found = exchange(serve(getting(lambda res, req: say(res))), GET)
    assert found.startswith(b"HTTP/1.1 200 ")


# ---- redirect, render, cork ----


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/a?b=c&d=%20#e", "/a?b=c&d=%20#e"),
        ("https://[::1]:80/~a;b=c,(d)!", "https://[::1]:80/~a;b=c,(d)!"),
        ("/ä b", "/%C3%A4%20b"),
        ('/<">\\^`{|}', "/%3C%22%3E%5C%5E%60%7B%7C%7D"),
    ],
)
@pytest.mark.parametrize("status", [302, 301, 303, 307, 308])
def test_redirect_sends_elsewhere(serve, location, sent, status):
    arguments = () if status == 302 else (status,)
    server = serve(getting(lambda res, req: res.redirect(location, *arguments)))
    answer = server.ask("/")
    assert (answer.status, answer["location"], answer.body) == (status, sent, b"")


def test_a_redirect_cannot_break_out_of_its_line(serve):
    server = serve(getting(lambda res, req: res.redirect("/a\r\nX-Evil: 1\n\0")))
    answer = server.ask("/")
    assert answer["x-evil"] is None
    assert answer.status == 500 or "%0D%0A" in answer["location"]


def test_what_raises_in_its_message_leaves_nothing_of_it_said(serve):
    def handler(res, req):
        for wrong in (lambda: res.redirect("\ud800"), lambda: res.write("\ud800")):
            with pytest.raises(UnicodeEncodeError):
                wrong()
        res.end(b"as it is")

    answer = serve(getting(handler)).ask("/")
    assert (answer.status, answer.body) == (200, b"as it is")
    assert answer["content-type"] is None


class Engine:
    def render(self, name, **names):
        return f"<p>{name} {names}"


def test_render_answers_with_what_the_engine_makes(serve):
    def setup(app):
        app.template(Engine())
        app.get("/", lambda res, req: res.render("ä", b=1))
        app.get(
            "/own",
            lambda res, req: res.write_header("content-type", "a/b").render("c"),
        )

    server = serve(setup)
    answer = server.ask("/")
    assert answer.body == "<p>ä {'b': 1}".encode()
    assert answer["content-type"] == "text/html; charset=utf-8"
    own = server.ask("/own").fields
    assert [v for k, v in own if k == "content-type"] == ["a/b"]


def test_render_without_an_engine_says_so(serve, caplog):
    assert serve(getting(lambda res, req: res.render("a"))).ask("/").status == 500
    assert "App.template" in caplog.text


def test_cork_calls_its_callback(serve):
    def handler(res, req):
        assert res.cork(lambda res: res.write_status(201).end("corked")) is res

    answer = serve(getting(handler)).ask("/")
    assert (answer.status, answer.body) == (201, b"corked")


def test_cork_takes_no_coroutine_function(serve):
    async def later(res):
        res.end("never")

    server = serve(getting(catching(lambda res: res.cork(later))))
    assert server.ask("/").body == b"TypeError"


def test_an_error_in_cork_reaches_the_error_handler(serve):
    def setup(app):
        app.on_error(lambda error, res, req: res.write_status(418).end(str(error)))
        app.get("/", lambda res, req: res.cork(lambda res: {}["missing"]))

    answer = serve(setup).ask("/")
    assert (answer.status, answer.body) == (418, b"'missing'")


# ---- cookies ----


def cookie(serve, value="v", options=None, name="n"):
    handler = lambda res, req: res.set_cookie(name, value, options).end()  # noqa: E731
    return serve(getting(handler)).ask("/")


def test_each_cookie_has_a_line_of_its_own(serve):
    def handler(res, req):
        assert res.set_cookie("a", 1).set_cookie("b", "2", {"Path": "/a"}) is res
        res.set_cookie("a", 3).end()

    fields = serve(getting(handler)).ask("/").fields
    lines = [value for key, value in fields if key == "set-cookie"]
    assert lines == ["a=1; Path=/", "b=2; Path=/a", "a=3; Path=/"]


WHEN = datetime(2030, 1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, ""),
        ({"path": "/a b"}, "; Path=/a b"),
        ({"domain": "example.com"}, "; Domain=example.com"),
        ({"max_age": 60}, "; Max-Age=60"),
        ({"max-age": "0"}, "; Max-Age=0"),
        ({"Max-Age": -1}, "; Max-Age=-1"),
        ({"expires": WHEN}, "; Expires=Wed, 02 Jan 2030 03:04:05 GMT"),
        (
            {"expires": WHEN.replace(tzinfo=UTC)},
            "; Expires=Wed, 02 Jan 2030 03:04:05 GMT",
        ),
        (
            {"expires": WHEN.replace(tzinfo=timezone(timedelta(hours=2)))},
            "; Expires=Wed, 02 Jan 2030 01:04:05 GMT",
        ),
        ({"expires": "Thu, 01 Jan 1970 00:00:00 GMT"}, "; Expires=Thu, 01 Jan 1970"),
        ({"secure": True, "httponly": True}, "; Secure; HttpOnly"),
        ({"http_only": True, "Partitioned": True}, "; HttpOnly; Partitioned"),
        ({"secure": False, "httponly": None, "path": None}, ""),
        ({"samesite": "strict"}, "; SameSite=Strict"),
        ({"SameSite": "LAX"}, "; SameSite=Lax"),
        ({"same_site": "None", "secure": True}, "; SameSite=None; Secure"),
    ],
)
def test_a_cookie_has_attributes(serve, options, sent):
    line = cookie(serve, "v", options)["set-cookie"]
    path = "" if "path" in options else "; Path=/"
    assert line == f"n=v{sent}{path}" or (
        sent.endswith("1970") and line.startswith("n=v" + sent)
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {}) for name in ("", "a b", "a=b", "a;b", "ä", "a\r\nb", "€", "a,b")),
        *(("n", {"path": value}) for value in ("/;a", "/\r\nX: y", "/ä", "/\0")),
        *(("n", {"domain": value}) for value in ("a;b", "a\nb")),
        *(("n", {"expires": value}) for value in ("a;b", "a\r\nb")),
        *(("n", {"samesite": value}) for value in ("often", "", True, "Lax; x")),
        *(("n", {"max_age": value}) for value in ("soon", "1; Secure")),
        ("n", {"lifetime": 5}),
        ("n", {"": True}),
    ],
)
def test_a_cookie_that_cannot_be_sent_is_refused(serve, name, options):
    server = serve(getting(catching(lambda res: res.set_cookie(name, "v", options))))
    answer = server.ask("/")
    assert (answer.body, answer["set-cookie"]) == (b"ValueError", None)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        " a ",
        "a;b",
        'a"b"',
        "a,b",
        "a=b",
        "a\\b",
        "%41",
        "100%",
        "ä€😀",
        "\r\n\0\t",
        "+",
        "".join(map(chr, range(256))),
    ],
)
def test_a_cookie_comes_back_as_it_was_set(serve, value):
    def setup(app):
        app.get("/", lambda res, req: res.set_cookie("n", value).end())
        app.get("/back", lambda res, req: res.end([req.get_cookie("n") == value]))

    server = serve(setup)
    line = server.ask("/")["set-cookie"]
    assert line.isascii() and line.isprintable()
    assert server.ask("/back", "GET", f"Cookie: z=1; {line}").body == b"[true]"


# ---- the end of an exchange ----


@pytest.mark.parametrize(
    "end",
    [
        lambda res: res.end(),
        lambda res: res.write("a").end(),
        lambda res: res.try_end("a", 1),
        lambda res: res.redirect("/"),
    ],
)
def test_it_is_known_whether_the_answer_was_ended(serve, end):
    found = []

    def handler(res, req):
        found.append(res.has_responded())
        res.write_status(202)
        found.append(res.has_responded())
        end(res)
        found.append(res.has_responded())

    fetch(serve(getting(handler)))
    eventually(lambda: found == [False, False, True])


def test_a_stream_that_has_begun_is_not_ended(serve):
    found = []

    def handler(res, req):
        found.append(res.write("a").has_responded())
        res.end()

    fetch(serve(getting(handler)))
    assert found == [False]


def test_close_closes_without_an_answer(serve, caplog):
    def handler(res, req):
        assert res.close() is res and res.close() is res

    server = serve(lambda app: getting(handler)(app).get("/fine", stream))
    assert exchange(server, GET) == b""
    assert fetch(server, path="/fine")[0].status == 201
    assert is_tidy(server)


def test_close_behind_an_answer_lets_it_go_out(serve):
    server = serve(getting(lambda res, req: res.end("said").close()))
    assert exchange(server, GET).endswith(b"said")


SAY = {
    "end": lambda res: res.end("x"),
    "end large": lambda res: res.end(MEBIBYTE, True),
    "end JSON": lambda res: res.end({}),
    "write": lambda res: res.write("x").write("y").end(),
    "try_end": lambda res: res.try_end(MEBIBYTE, 2**20),
    "send": lambda res: res.send("x", "a/b", 404, {"a": "b"}),
    "redirect": lambda res: res.redirect("/"),
    "cookie": lambda res: res.set_cookie("a", "b").end(),
    "cork": lambda res: res.cork(lambda res: res.end("x")),
    "body": lambda res: res.pause().resume(),
    "offset": lambda res: res.write_offset(5).get_write_offset(),
    "close": lambda res: res.close(),
    "on_writable": lambda res: res.on_writable(print),
    "grab": lambda res: res.grab_aborted_handler(),
    "continue": lambda res: res.write_continue(),
    "address": lambda res: res.get_remote_address(),
    "handle": lambda res: res.get_native_handle(),
}


@pytest.fixture(scope="module")
def gone(serve_for_module):
    """Give a server, and a response whose client has gone."""
    kept = []
    handler = lambda res, req: kept.append(res.grab_aborted_handler())  # noqa: E731
    server = serve_for_module(getting(handler))
    client = server.client()
    client.send(GET)
    eventually(lambda: kept)
    assert not kept[0].aborted
    client.close()
    eventually(lambda: kept[0].aborted)
    return server, kept[0]


@pytest.mark.parametrize("name", SAY)
def test_what_is_said_to_a_peer_that_has_gone_is_ignored(gone, caplog, name):
    server, res = gone

    def say():
        SAY[name](res)
        return res.aborted, res.has_responded()

    assert server.call(say) == (True, False)
    assert is_tidy(server) and caplog.text == ""


def test_try_end_and_send_chunk_say_that_the_peer_has_gone(gone):
    server, res = gone
    assert server.call(lambda: res.try_end(b"a", 1)) == (False, True)
    assert server.call(lambda: res.send_chunk(b"a", 1).result()) == (False, True)


# ---- the peer ----


def tell_peer(res, req):
    address = res.get_remote_address_bytes()
    assert type(address) is bytes and type(res.get_native_handle()) is int
    res.end([res.get_remote_address(), list(address)])


def test_the_address_of_an_ipv4_client(serve):
    server = serve(getting(tell_peer))
    assert server.ask("/").body == b'["127.0.0.1", [127, 0, 0, 1]]'


def test_a_client_of_a_unix_socket_has_no_address(serve, tmp_path):
    path = str(tmp_path / "s")
    server = serve(lambda app: getting(tell_peer)(app).listen(path=path))
    assert server.client(path).ask("/").body == b'["", []]'


def test_the_handle_is_that_of_one_exchange_alone(serve):
    handles = []

    def handler(res, req):
        handles.append(res.get_native_handle())
        res.end()

    client = serve(getting(handler)).client()
    for _ in range(100):
        client.ask("/")
    assert len(set(handles)) == 100


def test_a_response_is_answered_from_the_loop_by_another_thread(serve):
    def handler(res, req):
        res.grab_aborted_handler()
        loop = res.app.loop
        threading.Thread(
            target=lambda: loop.call_soon_threadsafe(lambda: res.end("late"))
        ).start()

    assert serve(getting(handler)).ask("/").body == b"late"


@pytest.mark.parametrize("name", ["path_", "_path", "pa-th"])
def test_a_cookie_has_one_path_however_the_option_is_spelled(name):
    assert cookie_line("a", "b", {name: "/q"}) == b"a=b; Path=/q"
