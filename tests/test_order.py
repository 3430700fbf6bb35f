"""Each of several requests on a connection is handled once, however it is answered."""

import asyncio
from functools import partial

import pytest

BODY = b"0123456789" * 10


async def in_parts(res):
    res.write(BODY[:50])
    res.end(BODY[50:])


async def of_told_length(res):
    await res.send_chunk(BODY, len(BODY))


async def in_parts_of_told_length(res):
    for start in range(0, len(BODY), 25):
        await res.send_chunk(BODY[start : start + 25], len(BODY))


async def behind_a_first_part(res):
    res.try_end(BODY[:50], len(BODY))
    await asyncio.sleep(0)
    res.try_end(BODY[50:], len(BODY))


def as_coroutine(answer):
    async def handle(res, req):
        await answer(res)

    return handle


def as_task(answer):
    return lambda res, req: res.run_async(answer(res))


@pytest.mark.parametrize("handler_of", [as_coroutine, as_task])
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", in_parts),
        ("GET", of_told_length),
        ("GET", in_parts_of_told_length),
        ("GET", behind_a_first_part),
        ("HEAD", in_parts),
        ("HEAD", of_told_length),
    ],
)
def test_what_is_behind_an_answer_in_parts_is_answered_too(
    serve, method, answer, handler_of
):
    called = []

    def count(res, req):
        called.append(req.get_url())
        res.end(called[-1])

    server = serve(lambda app: app.any("/", handler_of(answer)).get("/*", count))
    client = server.client()
    head = b"%b / HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode()
    behind = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(2))
    client.send(head + behind)
    # In parts: the head of an answer tells no length that `read` could use.
    wanted = (b"/0", b"/1")
    got = b""
    while not got.endswith(wanted[-1]):
        got += client.socket.recv(65536)
    assert [got.count(b"\r\n\r\n" + path) for path in wanted] == [1, 1]
    assert called == ["/0", "/1"]


async def answer_late(error, res, req):
    await asyncio.sleep(0)
    res.end(f"late {req.get_url()}")


def answer_in_a_task(error, res, req):
    res.run_async(answer_late(error, res, req))


def raise_it(res, req, calls):
    calls.append(req.get_url())
    raise ValueError


async def raise_it_in_a_coroutine(res, req, calls):
    raise_it(res, req, calls)


@pytest.mark.parametrize("on_error", [answer_late, answer_in_a_task])
@pytest.mark.parametrize("handler", [raise_it, raise_it_in_a_coroutine])
def test_requests_behind_one_whose_error_is_answered_later_are_handled_once(
    serve, handler, on_error
):
    calls = []
    bound = partial(handler, calls=calls)

    def setup(app):
        app.get("/*", lambda res, req: bound(res, req))
        app.on_error(on_error)

    client = serve(setup).client()
    paths = [f"/{i}" for i in range(4)]
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(4)))
    assert [client.read().body.decode() for _ in paths] == [f"late {p}" for p in paths]
    assert calls == paths


def test_a_task_that_ends_as_it_is_cancelled_in_its_first_segment_is_forgotten(serve):
    async def cancel_itself(res, req):
        res.end("done")
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    server = serve(lambda app: app.get("/", cancel_itself))
    client = server.client()
    for _ in range(3):
        assert client.ask().body == b"done"
    assert server.call(lambda: list(server.app._tasks)) == []


def test_a_client_that_goes_while_its_answer_drains_is_no_error(serve, caplog):
    ended = []

    async def write_on(res, req):
        try:
            while True:
                res.write(b"x" * 100_000)
                await res.drain()
        finally:
            ended.append(res)

    def setup(app):
        app.get("/", write_on)
        app.get("/ended", lambda res, req: res.end(str(len(ended))))
        app.on_error(lambda error, res, req: ended.append(error))

    server = serve(setup)
    for _ in range(20):
        client = server.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.socket.recv(1000)
        client.close()
    other = server.client()
    while int(other.ask("/ended").body) < 20:
        pass
    assert len(ended) == 20
    assert not [it for it in caplog.records if it.levelname == "ERROR"]
