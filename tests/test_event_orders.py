"""What ends, raises or goes in an unusual order hangs no client and leaves nothing."""

import asyncio
import gc
import threading
import weakref
from contextvars import ContextVar
from functools import partial

import pytest
from conftest import Client

from socketify_mw import App, middleware

variable = ContextVar("variable", default="unset")


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def text(res, req):
    res.end("text")


def seen(res, req):
    res.end(variable.get())


def fail(*arguments):
    raise ValueError("on purpose")


# ---- what is behind an answer ----


def end_it(res, chunk, is_last):
    res.end("late")


def end_it_in_parts(res, chunk, is_last):
    res.try_end(b"late", 4)


def answer_in_on_data(res, req, on_data):
    res.on_data(on_data)


async def answer_in_on_data_of_a_coroutine(res, req, on_data):
    res.on_data(on_data)
    await asyncio.sleep(0)


@pytest.mark.parametrize("on_data", [end_it, end_it_in_parts, fail])
@pytest.mark.parametrize(
    "handler", [answer_in_on_data, answer_in_on_data_of_a_coroutine]
)
def test_requests_behind_one_that_on_data_answers_at_once_are_answered(
    serve, handler, on_data
):
    bound = partial(handler, on_data=on_data)

    def setup(app):
        app.get("/data", lambda res, req: bound(res, req)).get("/text", text)

    client = serve(setup).client()
    client.send(get("/data") + get("/text") * 2)
    assert client.read().status == (500 if on_data is fail else 200)
    assert [client.read().body for _ in range(2)] == [b"text"] * 2


# ---- error handlers ----


def test_an_error_handler_may_answer_and_return_a_coroutine(serve):
    ran = threading.Event()

    async def later():
        ran.set()

    def answer(error, res, req):
        res.end("answered")
        return later()

    def setup(app):
        app.get("/", fail).on_error(answer)

    client = serve(setup).client()
    assert client.ask().body == b"answered"
    assert ran.wait(10)
    assert client.ask().body == b"answered"


async def fail_later():
    await asyncio.sleep(0)
    fail()


def fail_in_on_data(error, res, req):
    res.on_data(fail)


def fail_in_a_task(error, res, req):
    res.run_async(fail_later())


@pytest.mark.parametrize("on_error", [fail_in_on_data, fail_in_a_task])
def test_what_an_error_handler_has_begun_is_not_told_to_it_again(serve, on_error):
    calls = []

    def count(error, res, req):
        calls.append(error)
        on_error(error, res, req)

    def setup(app):
        app.get("/", fail).get("/text", text).on_error(count)

    client = serve(setup).client()
    client.send(get("/") + get("/text"))
    assert [client.read().status for _ in range(2)] == [500, 200]
    assert len(calls) == 1


def test_an_error_that_comes_from_a_task_and_its_waiter_is_handled_once(serve):
    calls = []

    async def answer(error, res, req):
        calls.append(error)
        await asyncio.sleep(0.01)
        res.end("answered")

    def setup(app):
        app.get("/", middleware(lambda res, req, data: res.run_async(fail_later())))
        app.on_error(answer)

    assert serve(setup).client().ask().body == b"answered"
    assert len(calls) == 1


def test_a_log_that_raises_does_not_end_the_server(serve):
    def setup(app):
        app.get("/", fail)
        app.access_log(fail)
        app.access_log(fail)

    client = serve(setup).client()
    assert [client.ask().status for _ in range(2)] == [500, 500]


def test_a_task_that_could_not_be_made_keeps_nothing_open(serve):
    def handler(res, req):
        with pytest.raises(TypeError):
            res.run_async("no coroutine")

    assert serve(lambda app: app.get("/", handler)).client().ask().status == 500


# ---- contextvars ----


@pytest.mark.parametrize("pauses", [False, True])
def test_a_chain_behind_a_coroutine_has_the_context_of_its_task(serve, pauses):
    async def first(res, req):
        if pauses:
            await asyncio.sleep(0)
        req.set_yield(True)

    def set_it(res, req, data):
        variable.set("set")
        return True

    async def last(res, req, data):
        await asyncio.sleep(0)
        res.end(variable.get())

    def setup(app):
        app.get("/on", first).get("/*", middleware(set_it, last))
        app.get("/seen", middleware(lambda res, req, data: seen(res, req)))

    client = serve(setup).client()
    client.send(get("/on") + get("/seen"))
    assert [client.read().body for _ in range(2)] == [b"set", b"unset"]


def test_what_callbacks_set_in_contextvars_is_seen_by_no_other_request(serve):
    def answer(res, *others):
        variable.set("set")
        res.end("answered")

    def setup(app):
        app.get("/data", lambda res, req: res.on_data(answer)).get("/error", fail)
        app.on_error(lambda error, res, req: answer(res))
        app.get("/seen", seen)

    client = serve(setup).client()
    for path in ("/data", "/error"):
        assert client.ask(path).body == b"answered"
        assert client.ask("/seen").body == b"unset"


def test_on_data_sees_what_was_set_in_front_of_its_handler(serve):
    def set_it(res, req, data):
        variable.set("set")
        return True

    def handler(res, req, data):
        res.on_data(lambda res, chunk, is_last: res.end(variable.get()))

    server = serve(lambda app: app.get("/", middleware(set_it, handler)))
    assert server.ask().body == b"set"


# ---- what is left ----


class Token:
    """Goes with the request that has it."""


async def in_sleep(res, req):
    await asyncio.sleep(60)


async def in_data(res, req):
    await res.get_data()


async def in_stream(res, req):
    async for _ in req.stream():
        pass


@pytest.mark.parametrize(
    ("wait", "cancels"),
    [
        (in_data, False),
        (in_stream, False),
        (in_sleep, True),
        (in_data, True),
        (in_stream, True),
    ],
)
def test_a_request_whose_client_left_goes_without_the_garbage_collector(
    serve, wait, cancels
):
    tokens = []
    begun = threading.Event()
    gone = threading.Event()

    async def handler(res, req):
        req.state.token = token = Token()
        tokens.append(weakref.ref(token, lambda _: gone.set()))
        del token
        begun.set()
        await wait(res, req)

    server = serve(lambda app: app.post("/", handler), cancel_abandoned=cancels)
    gc.collect()
    gc.disable()
    try:
        client = server.client()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
        assert begun.wait(10)
        client.close()
        assert gone.wait(10)
    finally:
        gc.enable()


def test_what_was_cancelled_waits_for_no_room(serve):
    async def handler(res, req):
        res.on_aborted(lambda res: None)
        res.write(b"x" * 10_000_000)  # more than goes without a reader
        futures = []
        for _ in range(10):
            drained = res.drain()
            drained.cancel()
            futures.append(weakref.ref(drained))
            del drained
            await asyncio.sleep(0)
        left.append(sum(it() is not None for it in futures))
        counted.set()
        res.close()

    left, counted = [], threading.Event()
    client = serve(lambda app: app.get("/", handler)).client()
    client.send(get("/"))
    assert counted.wait(10)
    assert left[0] <= 1  # the last one goes with the next


def test_an_answer_whose_on_writable_was_interrupted_is_cut_off():
    body = b"x" * 20_000_000

    def interrupt(res, offset):
        raise KeyboardInterrupt

    has_begun = threading.Event()  # nobody reads before, so it cannot all be sent

    def handler(res, req):
        res.on_writable(interrupt)
        assert res.try_end(body, len(body)) == (False, False)
        has_begun.set()

    app = App().get("/", handler)
    ports, lengths = [], []
    app.listen(0, lambda config: ports.append(config.port))

    def ask():
        client = Client(ports[0])
        client.send(get("/"))
        has_begun.wait(10)
        length = 0
        try:
            while data := client.socket.recv(65536):
                length += len(data)
            lengths.append(length)
        finally:
            client.close()
            app.loop.call_soon_threadsafe(app.close)

    asker = threading.Thread(target=ask)
    asker.start()
    with pytest.raises(KeyboardInterrupt):
        app.run()
    app.run()
    asker.join(10)
    assert len(lengths) == 1 and lengths[0] < len(body)
