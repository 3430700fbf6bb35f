"""Bodies of requests, as coroutines and handlers get them."""

import asyncio
import json
import logging
import time

import pytest

from socketify_mw import ClientGone

MEBIBYTE = bytes(range(256)) * 4096


def eventually(claim):
    """Wait until a claim about the server holds."""
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def posting(coroutine, **options):
    """Return the setup of an app that answers with what a coroutine returns."""

    async def answer(res):
        res.end(await coroutine(res))

    def setup(app):
        app.post("/", lambda res, req: res.run_async(answer(res)), **options)

    return setup


def plain(body):
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunked(body):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    parts = (body[i : i + 50_000] for i in range(0, len(body), 50_000))
    sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return head + sent + b"0\r\n\r\n"


def post(server, body, framed=plain):
    client = server.client()
    client.send(framed(body))
    return client.read()


# ---- the whole body ----


async def data(res):
    return (await res.get_data()).read()


async def text(res):
    return await res.get_text()


async def parsed(res):
    return [await res.get_json()]


async def form(res):
    return await res.get_form_urlencoded()


async def twice(res):
    first, second = await res.get_data(), await res.get_data()
    assert first is not second
    return first.read() if first.getvalue() == second.getvalue() else "differs"


async def at_once(res):
    a, b, c = await asyncio.gather(res.get_data(), res.get_data(), res.get_text())
    return a.read() if a.getvalue() == b.getvalue() == c.encode() else "differs"


async def later(res):
    await asyncio.sleep(0.05)
    return await data(res)


async def kept_for_later(res):
    await res.get_data()
    await asyncio.sleep(0.05)
    return await data(res)


@pytest.mark.parametrize("framed", [plain, chunked])
@pytest.mark.parametrize("body", [b"", b"a", b"\0" * 70_000], ids=len)
@pytest.mark.parametrize("read", [data, text, twice, at_once, later, kept_for_later])
def test_a_coroutine_gets_the_whole_body(serve, read, body, framed):
    server = serve(posting(read))
    for _ in range(2):
        assert post(server, body, framed).body == body


@pytest.mark.parametrize("framed", [plain, chunked])
@pytest.mark.parametrize("read", [data, twice, later])
def test_a_coroutine_gets_a_mebibyte(serve, read, framed):
    assert post(serve(posting(read)), MEBIBYTE, framed).body == MEBIBYTE


def test_a_body_that_comes_in_pieces_is_joined(serve):
    client = serve(posting(data)).client()
    for n, piece in enumerate((plain(b"abcdef")[:-4], b"cd", b"ef")):
        time.sleep(0.02 * bool(n))
        client.send(piece)
    assert client.read().body == b"abcdef"


def test_pipelined_bodies_keep_apart(serve):
    client = serve(posting(later)).client()
    client.send(plain(b"one") + chunked(b"two") + plain(b"") + plain(b"three"))
    bodies = [client.read().body for _ in range(4)]
    assert bodies == [b"one", b"two", b"", b"three"]


@pytest.mark.parametrize("framed", [plain, chunked])
@pytest.mark.parametrize("value", [None, 5, "ä😀", [], {"a": [1.5, True]}])
def test_json_is_parsed(serve, value, framed):
    answer = post(serve(posting(parsed)), json.dumps(value).encode(), framed)
    assert json.loads(answer.body) == [value]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", {}),
        (b"a=1&b=2&a=3", {"a": ["1", "3"], "b": ["2"]}),
        (b"a=&b", {"a": [""], "b": [""]}),
        (b"a+b=%C3%A4+%26", {"a b": ["ä &"]}),
        (b"a=%ff", {"a": ["\ufffd"]}),
        ("ä=ö".encode(), {"ä": ["ö"]}),
    ],
)
def test_a_form_is_parsed(serve, body, found):
    assert json.loads(post(serve(posting(form)), body).body) == found


def test_text_and_forms_may_have_another_encoding(serve):
    async def both(res):
        found = await res.get_form_urlencoded("latin-1")
        return [await res.get_text("latin-1"), found]

    answer = post(serve(posting(both)), b"a=\xe4%e4")
    assert json.loads(answer.body) == ["a=ä%e4", {"a": ["ää"]}]


def test_a_body_is_had_without_a_content_length(serve):
    client = serve(posting(data)).client()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = client.read()
    assert (answer.status, answer.body) == (200, b"")


# ---- what cannot be read ----

BAD = [
    (parsed, b"", "JSONDecodeError"),
    (parsed, b"{", "JSONDecodeError"),
    (parsed, b'"\xff"', "UnicodeDecodeError"),
    (text, b"a\xff", "UnicodeDecodeError"),
    (form, b"a=\xff", "UnicodeDecodeError"),
]


@pytest.mark.parametrize(("read", "body", "name"), BAD)
def test_a_bad_body_is_400_and_no_error_of_the_server(serve, caplog, read, body, name):
    caplog.set_level(logging.INFO, "socketify_mw")
    server = serve(posting(read))
    answer = post(server, body)
    assert (answer.status, answer.body) == (400, b"Bad Request")
    (record,) = caplog.records
    assert record.levelno == logging.INFO and "POST /" in record.getMessage()


def test_a_form_with_too_many_fields_is_400(serve):
    server = serve(posting(form))
    assert post(server, b"a&" * 999 + b"a").status == 200
    assert post(server, b"a&" * 1000 + b"a").status == 400


@pytest.mark.parametrize(("read", "body", "name"), BAD)
def test_a_bad_body_reaches_the_error_handler(serve, caplog, read, body, name):
    def setup(app):
        posting(read)(app)
        app.on_error(
            lambda error, res, req: res.write_status(400).end(
                f"{type(error).__name__} {type(error.__cause__).__name__}"
            )
        )

    answer = post(serve(setup), body)
    assert (answer.status, answer.body.decode()) == (400, f"BadRequest {name}")
    assert caplog.text == ""


@pytest.mark.parametrize("framed", [plain, chunked])
def test_a_body_over_the_limit_is_413(serve, framed):
    server = serve(posting(data, max_body=10))
    assert post(server, b"a" * 10, framed).body == b"a" * 10
    client = server.client()
    client.send(framed(b"a" * 11))
    answer = client.read()
    assert (answer.status, answer["connection"]) == (413, "close")


def catcher(caught):
    async def read(res):
        try:
            await res.get_data()
        except ClientGone as error:
            caught.append(error)
            raise

    return read


def test_a_body_that_grows_over_the_limit_is_client_gone(serve, caplog):
    caught = []
    server = serve(posting(catcher(caught), max_body=10))
    client = server.client()
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    client.send(head + b"5\r\nabcde\r\n")
    time.sleep(0.05)
    client.send(b"6\r\nabcdef\r\n")
    assert client.read().status == 413
    eventually(lambda: caught)
    assert caplog.text == ""


@pytest.mark.parametrize("part", [plain(b"abcd")[:-2], plain(b"abcd")[:-4]])
def test_a_client_that_leaves_in_the_middle_is_client_gone(serve, caplog, part):
    caught = []
    server = serve(posting(catcher(caught)))
    client = server.client()
    client.send(part)
    time.sleep(0.05)
    client.close()
    eventually(lambda: caught)
    assert isinstance(caught[0], ConnectionError)
    assert server.call(lambda: dict(server.app._loop.turns.claims)) == {}
    assert caplog.text == ""


def test_all_who_wait_are_told_that_the_client_has_gone(serve):
    results = []

    async def read(res):
        waits = (res.get_data(), res.get_text(), res.get_json())
        results.extend(await asyncio.gather(*waits, return_exceptions=True))
        try:
            await res.get_data()
        except ClientGone as error:
            results.append(error)

    client = serve(posting(read)).client()
    client.send(plain(b"abcd")[:-2])
    time.sleep(0.05)
    client.close()
    eventually(lambda: len(results) == 4)
    assert {type(result) for result in results} == {ClientGone}


def test_who_waits_for_a_body_is_told_that_another_has_ended_the_response(serve):
    results = []

    async def read(res):
        res.app.loop.call_later(0.01, res.end, "too late")
        waits = (res.get_data(), res.get_json())
        results.extend(await asyncio.gather(*waits, return_exceptions=True))

    server = serve(posting(read))
    client = server.client()
    client.send(plain(b"abcd")[:-2])
    assert client.read().body == b"too late"
    eventually(lambda: len(results) == 2)
    assert {str(result) for result in results} == {
        "the response was ended before the body had come"
    }
    eventually(lambda: not server.app._tasks)


# ---- handlers and coroutines mixed ----


def test_a_body_that_on_data_took_is_not_had_again(serve, caplog):
    def handler(res, req):
        def take(res, chunk, is_end):
            if is_end:
                res.run_async(res.get_data())

        res.on_data(take)

    server = serve(lambda app: app.post("/", handler))
    assert post(server, b"abc").status == 500
    assert "given the body already" in caplog.text


def test_on_data_behind_a_body_that_was_had_is_an_error(serve, caplog):
    async def read(res):
        await res.get_data()
        res.on_data(print)

    assert post(serve(posting(read)), b"abc").status == 500
    assert "given the body already" in caplog.text


def test_a_coroutine_that_asks_behind_on_data_is_told_so(serve, caplog):
    async def answer(res):
        res.end(await data(res))

    def handler(res, req):
        res.on_data(lambda res, chunk, is_end: None).run_async(answer(res))

    server = serve(lambda app: app.post("/", handler))
    assert post(server, b"abc").status == 500
    assert "given the body already" in caplog.text


# ---- pause and resume ----


def test_nothing_comes_while_the_body_is_paused(serve):
    seen, kept = [], []

    def handler(res, req):
        def take(res, chunk, is_end):
            seen.append(chunk)
            if len(seen) == 1:
                assert res.pause() is res
            if is_end:
                res.end(str(sum(map(len, seen))))

        kept.append(res.on_data(take))

    server = serve(lambda app: app.post("/", handler))
    client = server.client()
    request = plain(MEBIBYTE)
    client.send(request[:100])
    eventually(lambda: seen)
    client.send(request[100:50_000])
    time.sleep(0.1)
    assert len(seen) == 1
    assert server.call(kept[0].resume) is kept[0]
    client.send(request[50_000:])
    assert client.read().body == str(len(MEBIBYTE)).encode()
    assert b"".join(seen) == MEBIBYTE


def test_a_body_paused_in_its_handler_begins_with_resume(serve):
    seen = []

    async def go_on(res):
        await asyncio.sleep(0.05)
        assert seen == []
        res.resume()

    def handler(res, req):
        def take(res, chunk, is_end):
            seen.append(chunk)
            if is_end:
                res.end(b"".join(seen))

        res.pause().on_data(take).run_async(go_on(res))

    server = serve(lambda app: app.post("/", handler))
    assert post(server, b"abc").body == b"abc"


def test_pausing_again_and_again_loses_nothing(serve):
    seen = []

    async def go_on(res):
        await asyncio.sleep(0)
        res.resume().resume()

    def handler(res, req):
        def take(res, chunk, is_end):
            seen.append(chunk)
            if is_end:
                res.end(str(len(seen)))
            else:
                res.pause().pause().run_async(go_on(res))

        res.resume().on_data(take)

    server = serve(lambda app: app.post("/", handler))
    answer = post(server, MEBIBYTE, chunked)
    assert answer.status == 200 and b"".join(seen) == MEBIBYTE


# ---- errors ----


@pytest.mark.parametrize("pause", [None, 0, 0.02])
def test_what_a_coroutine_raises_reaches_the_error_handler(serve, pause):
    found = []

    async def fail():
        if pause is not None:
            await asyncio.sleep(pause)
        raise ValueError("a mishap")

    def handler(res, req):
        req.preserve()
        found.extend((res, req))
        res.run_async(fail())

    def failed(error, res, req):
        found.extend((res, req))
        res.write_status(418).end(str(error))

    def setup(app):
        app.post("/", handler).on_error(failed)

    answer = post(serve(setup), b"")
    assert (answer.status, answer.body) == (418, b"a mishap")
    assert found[0] is found[2] and found[1] is found[3]


def test_an_error_handler_may_be_a_coroutine_function(serve):
    async def failed(error, res, req):
        await asyncio.sleep(0.01)
        res.write_status(418).end(str(error))

    def setup(app):
        posting(parsed)(app)
        app.on_error(failed)

    assert post(serve(setup), b"{").status == 418


def test_what_a_coroutine_raises_behind_its_answer_is_logged_alone(serve, caplog):
    async def answer(res):
        res.end("said")
        raise ValueError("a mishap")

    server = serve(lambda app: app.post("/", lambda r, q: r.run_async(answer(r))))
    assert post(server, b"").body == b"said"
    eventually(lambda: "a mishap" in caplog.text)


def test_a_coroutine_that_returns_without_an_answer_leaves_it_to_others(serve):
    async def nothing():
        await asyncio.sleep(0)

    async def answer(res):
        await asyncio.sleep(0.05)
        res.end("said")

    def handler(res, req):
        res.run_async(nothing())
        res.run_async(answer(res))

    server = serve(lambda app: app.post("/", handler))
    assert post(server, b"").body == b"said"
