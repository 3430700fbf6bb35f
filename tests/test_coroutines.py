"""Coroutine handlers: how they start, what they may read, and how they end."""

import asyncio
import contextlib
import contextvars
import functools
import gc
import io
import json
import random
import select
import socket
import struct
import sys
import threading
import time
import types
import weakref

import pytest
from conftest import Client

from socketify_mw import (
    App,
    ClientGone,
    RequestExpired,
    _binding,
    eager,
    request,
    turns,
)
from socketify_mw.loop import thread_loop

MEBIBYTE = bytes(range(256)) * 4096


def eventually(claim):
    """Wait until a claim about the server holds."""
    deadline = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def get(target, *lines):
    return "\r\n".join((f"GET {target} HTTP/1.1", "Host: a", *lines, "", "")).encode()


def plain(body, target="/"):
    head = f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def chunked(body):
    parts = (body[i : i + 50_000] for i in range(0, len(body), 50_000))
    return CHUNKED + b"".join(map(chunk, parts)) + b"0\r\n\r\n"


class Gate:
    """What handlers wait for, until a test opens it from its own thread."""

    def __init__(self):
        self._is_open = asyncio.Event()
        self.waiting = 0

    async def wait(self):
        self.waiting += 1
        await self._is_open.wait()

    def open(self, server):
        server.call(self._is_open.set)


def tasks_of(server):
    """Return the tasks of a server's loop, and those that its app knows."""
    found = server.call(lambda: asyncio.all_tasks(server.app.loop))
    return found | server.call(lambda: set(server.app._tasks))


def is_quiet(server):
    """Whether nothing is left of any exchange."""
    turns_ = server.app.loop.turns
    return not tasks_of(server) and not server.call(lambda: dict(turns_.claims))


@pytest.fixture
def preserved(monkeypatch):
    """List the requests that are preserved from here on."""
    made = []

    class Counted(request._Preserved):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(arguments)

    monkeypatch.setattr(request, "_Preserved", Counted)
    return made


@pytest.fixture
def full_batches(monkeypatch):
    """Let no clock cut a batch: a busy machine must not change what is counted."""
    monkeypatch.setattr(turns, "_BATCH_SECONDS", 3600)


# ---- what may be a coroutine handler ----


async def answer(res, req):
    started = res.app.loop.turns.is_walking
    if pause := req.get_query("pause"):
        await asyncio.sleep(float(pause))
    assert asyncio.current_task() is not None
    res.end([started, req.get_url()])


class Answering:
    async def __call__(self, res, req):
        await answer(res, req)

    async def method(self, res, req):
        await answer(res, req)


@functools.wraps(answer)
def decorated(res, req):
    return answer(res, req)


async def with_prefix(prefix, res, req):
    assert prefix == "prefix"
    await answer(res, req)


AT_ONCE = {
    "async def": answer,
    "partial": functools.partial(with_prefix, "prefix"),
    "callable object": Answering(),
    "bound method": Answering().method,
    "decorated": decorated,
    "lambda": lambda res, req: answer(res, req),
}


@pytest.mark.parametrize("pause", ["", "?pause=0", "?pause=0.01"])
@pytest.mark.parametrize("kind", AT_ONCE)
def test_each_kind_of_coroutine_handler_starts_within_its_turn(kind, pause):
    client = App().get("/a", AT_ONCE[kind]).test_client()
    for _ in range(3):
        assert client.get("/a" + pause).json() == [True, "/a"]


class Awaitable:
    """Something that can be awaited, and has no hash."""

    __hash__ = None

    def __init__(self, coroutine):
        self._coroutine = coroutine

    def __await__(self):
        return self._coroutine.__await__()


@types.coroutine
def generator(res, req):
    yield from answer(res, req).__await__()


def future(res, req):
    done = res.app.loop.create_future()
    res.app.loop.call_soon(done.set_result, None)
    done.add_done_callback(lambda _: res.end(["future", req.get_url()]))
    return done


OTHERS = {
    "awaitable": lambda res, req: Awaitable(answer(res, req)),
    "generator": generator,
    "future": future,
    "task": lambda res, req: asyncio.ensure_future(answer(res, req)),
    "run_async": lambda res, req: res.run_async(answer(res, req)),
    "gather": lambda res, req: asyncio.gather(answer(res, req), asyncio.sleep(0)),
}


@pytest.mark.parametrize("pause", ["", "?pause=0", "?pause=0.01"])
@pytest.mark.parametrize("kind", OTHERS)
def test_a_handler_may_return_whatever_can_be_awaited(kind, pause):
    client = App().get("/a", OTHERS[kind]).test_client()
    for _ in range(3):
        assert client.get("/a" + pause).json()[1] == "/a"


@pytest.mark.usefixtures("full_batches")
def test_a_coroutine_that_never_suspends_costs_no_turn_and_no_copy(
    serve, monkeypatch, preserved
):
    calls = []

    class Counted:
        def __getattr__(self, name):
            member = getattr(lib, name)
            if not callable(member):
                return member
            return lambda *arguments: (calls.append(name), member(*arguments))[1]

    lib = _binding.lib
    monkeypatch.setattr(_binding, "lib", Counted())
    rounds = []

    def setup(app):
        app.get("/a", answer)
        select_ = app.loop.turns.select

        def counted(timeout=None):
            rounds.append(timeout)
            return select_(timeout)

        monkeypatch.setattr(app.loop.turns, "select", counted)

    client = serve(setup).client()
    for _ in range(3):
        client.ask("/a")
    calls.clear()
    rounds.clear()
    client.send(get("/a") * 100)
    for _ in range(100):
        assert client.read().body == b'[true, "/a"]'
    assert calls == ["smw_turn"]
    assert rounds == []  # asyncio's loop has not gone round once
    assert preserved == []


# ---- the task ----


def test_the_first_segment_has_the_task_of_the_later_ones():
    async def handler(res, req):
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task) and not task.done()
        assert asyncio.get_running_loop() is task.get_loop() is res.app.loop
        await asyncio.sleep(0)
        assert asyncio.current_task() is task
        await asyncio.sleep(0.001)
        assert asyncio.current_task() is task and task in asyncio.all_tasks()
        assert "pending" in repr(task)  # which looks at the coroutine
        stack = io.StringIO()
        task.print_stack(file=stack)
        assert "Stack for" in stack.getvalue()
        res.end("same")

    client = App().get("/", handler).test_client()
    for _ in range(3):
        assert client.get("/").text == "same"


async def timeout_that_ends(res):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(3600)
            return "it was not over"
        return "it did not raise"
    return "ok"


async def timeout_that_is_over_at_once(res):
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(-1):
            await asyncio.sleep(3600)
            return "it was not over"
        return "it did not raise"
    return "ok"


async def timeout_that_does_not_end(res):
    async with asyncio.timeout(3600):
        await asyncio.sleep(0)
    return "ok"


async def wait_for(res):
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(3600), 0.001)
        return "it was not over"
    return "ok"


async def group(res):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(0, i)) for i in range(3)]
    return "ok" if [task.result() for task in tasks] == [0, 1, 2] else "differs"


async def group_with_an_error(res):
    async def fail():
        raise ValueError

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            await asyncio.sleep(3600)
    except* ValueError:
        pass
    return "ok"


async def empty_group(res):
    async with asyncio.TaskGroup():
        pass
    return "ok"


async def locks(res):
    lock = asyncio.Lock()
    async with lock:
        waiting = asyncio.ensure_future(lock.acquire())
        await asyncio.sleep(0)
    return "ok" if await waiting else "differs"


async def thread(res):
    return await asyncio.to_thread(lambda: "ok")


@pytest.mark.parametrize(
    "use",
    [
        timeout_that_ends,
        timeout_that_is_over_at_once,
        timeout_that_does_not_end,
        wait_for,
        group,
        group_with_an_error,
        empty_group,
        locks,
        thread,
    ],
)
def test_what_needs_a_task_works_before_the_first_wait(use):
    async def handler(res, req):
        res.end(await use(res))
        assert asyncio.current_task().cancelling() == 0

    client = App().get("/", handler).test_client()
    for _ in range(3):
        assert client.get("/").text == "ok"


WAITS = {
    "a bare yield": lambda: asyncio.sleep(0),
    "a timer": lambda: asyncio.sleep(3600),
    "a future": lambda: asyncio.get_running_loop().create_future(),
    "an event": lambda: asyncio.Event().wait(),
    "a task": lambda: asyncio.ensure_future(asyncio.sleep(3600)),
}


@pytest.mark.parametrize("kind", WAITS)
def test_a_task_cancelled_before_its_first_wait_is_cancelled_there(kind):
    async def handler(res, req):
        task = asyncio.current_task()
        task.cancel()
        res.write_header("Cancelling", task.cancelling())
        try:
            await WAITS[kind]()
        except asyncio.CancelledError:
            task.uncancel()
            await asyncio.sleep(0)
            res.end("cancelled")
        else:
            res.end("not cancelled")

    client = App().get("/", handler).test_client()
    for _ in range(3):
        found = client.get("/")
        assert (found.text, found.header("cancelling")) == ("cancelled", "1")


# ---- what a first segment leaves behind ----

variable = contextvars.ContextVar("variable", default=0)
listed = contextvars.ContextVar("listed")
BEFORE = []  # equals what another request may set, and is another


class Kept:
    """What a test's requests left; the tasks are kept in each way there is."""

    def __init__(self):
        self.tasks = []
        self.called = []
        self.names = []
        self.by_task = weakref.WeakKeyDictionary()
        self.weak = []

    def set_variable(self, task):
        variable.set(1)

    def set_an_equal_value(self, task):
        listed.set([])

    def set_a_name(self, task):
        task.set_name("mine")

    def set_an_attribute(self, task):
        task.user = "Ann"

    def set_one_of_a_common_name(self, task):
        task.context = {}

    def ask_for_the_name(self, task):
        self.names.append(task.get_name())

    def cancel(self, task):
        assert task.cancel()

    def cancel_with_a_message(self, task):
        assert task.cancel("why")

    def cancel_and_take_it_back(self, task):
        task.cancel()
        assert task.uncancel() == 0

    def add_a_callback(self, task):
        task.add_done_callback(self.called.append)

    def keep(self, task):
        self.tasks.append(task)

    def keep_by_weak_key(self, task):
        self.by_task[task] = "kept"

    def keep_a_weak_reference(self, task):
        self.weak.append(weakref.ref(task))

    def cancel_soon(self, task):
        asyncio.get_running_loop().call_soon(task.cancel)

    def cancel_later(self, task):
        asyncio.get_running_loop().call_later(0.001, task.cancel)

    def raise_an_error(self, task):
        raise ValueError("a mishap")

    def raise_cancelled(self, task):
        raise asyncio.CancelledError

    def keep_and_raise(self, task):
        self.tasks.append(task)
        raise asyncio.CancelledError

    def leave_nothing(self, task):
        pass


async def probe(res, req):
    task = asyncio.current_task()
    kept = res.app.kept
    facts = [
        variable.get(),
        listed.get() is BEFORE,
        task.get_name() == "mine",
        task.cancelling(),
        task.done(),
        kept.by_task.get(task),
        task in kept.tasks,
        getattr(task, "user", None),
        getattr(task, "context", None),
        task.get_name() in kept.names,
    ]
    if req.get_query("wait"):
        await asyncio.sleep(0)
        await asyncio.sleep(0.002)
    res.end(facts)


UNTOUCHED = [0, True, False, 0, False, None, False, None, None, False]


@pytest.fixture
def leaving():
    """Give a function that asks an app whose /leave does what it is told."""
    token = listed.set(BEFORE)

    async def leave(res, req):
        action = getattr(res.app.kept, req.get_query("how"))
        if req.get_query("wait"):
            await asyncio.sleep(0)
        action(asyncio.current_task())
        res.end("left")

    app = App().get("/leave", leave).get("/probe", probe)
    app.kept = Kept()
    yield app
    listed.reset(token)


@pytest.mark.parametrize("how", [name for name in vars(Kept) if name[0] != "_"])
def test_nothing_of_a_first_segment_leaks_into_another_request(leaving, how):
    client = leaving.test_client()

    def probe_all():
        assert client.get("/probe").json() == UNTOUCHED
        assert client.get("/probe?wait=1").json() == UNTOUCHED
        assert client.get("/probe").json() == UNTOUCHED

    probe_all()
    status = 500 if "raise" in how else 200
    for wait in ("", "&wait=1"):
        for _ in range(2):
            assert client.get(f"/leave?how={how}{wait}").status == status
        probe_all()


def _run_a_little(loop):
    loop.run_until_complete(asyncio.sleep(0))


@pytest.mark.parametrize("wait", ["", "&wait=1"])
@pytest.mark.parametrize("how", ["keep", "keep_and_raise", "cancel_and_keep"])
def test_a_task_that_was_kept_is_done_when_its_handler_is(leaving, how, wait):
    def cancel_and_keep(task):
        task.cancel()
        leaving.kept.tasks.append(task)

    leaving.kept.cancel_and_keep = cancel_and_keep
    leaving.test_client().get(f"/leave?how={how}{wait}")
    leaving.test_client().get(f"/leave?how={how}{wait}")
    _run_a_little(leaving.loop)
    first, second = leaving.kept.tasks
    assert first is not second
    assert first.done() and second.done()
    if how != "keep":
        assert first.cancelled() and second.cancelled()
    assert asyncio.all_tasks(leaving.loop) == set()


@pytest.mark.parametrize("wait", ["", "&wait=1"])
def test_a_callback_added_to_the_task_is_called_once(leaving, wait):
    leaving.test_client().get(f"/leave?how=add_a_callback{wait}")
    _run_a_little(leaving.loop)
    leaving.test_client().get("/probe")
    _run_a_little(leaving.loop)
    (task,) = leaving.kept.called
    assert task.done() and not task.cancelled()


@pytest.mark.parametrize("wait", ["", "&wait=1"])
def test_what_is_kept_by_a_weak_key_goes_with_its_request(leaving, wait):
    for how in ("keep_by_weak_key", "keep_a_weak_reference"):
        leaving.test_client().get(f"/leave?how={how}{wait}")
    _run_a_little(leaving.loop)
    gc.collect()
    assert dict(leaving.kept.by_task) == {}
    assert [it() for it in leaving.kept.weak] == [None]


def test_a_context_variable_may_hold_what_cannot_be_compared(caplog):
    class Odd:
        __hash__ = None

        def __eq__(self, other):
            raise ValueError("these are not compared")

    odd = contextvars.ContextVar("odd")
    first = Odd()
    token = odd.set(first)

    async def handler(res, req):
        found = odd.get() is first
        odd.set(Odd())
        res.end([found])

    app = App().get("/", handler)
    client = app.test_client()
    assert [client.get("/").json() for _ in range(3)] == [[True]] * 3
    odd.reset(token)
    assert caplog.text == ""


def test_a_context_variable_is_seen_after_a_wait_and_by_tasks():
    async def child():
        found = variable.get()
        variable.set(99)
        return found

    async def handler(res, req):
        variable.set(int(req.get_query("n")))
        found = [await asyncio.ensure_future(child())]
        await asyncio.sleep(0.001)
        res.end([*found, variable.get()])

    client = App().get("/", handler).test_client()
    for n in range(1, 4):
        assert client.get(f"/?n={n}").json() == [n, n]
    assert variable.get() == 0


def test_all_tasks_are_those_that_are_suspended(serve):
    gate = Gate()

    async def wait(res, req):
        await gate.wait()
        res.end("done")

    server = serve(lambda app: app.get("/wait", wait).get("/a", answer))
    server.ask("/a")
    assert tasks_of(server) == set()
    clients = [server.client() for _ in range(5)]
    for client in clients:
        client.send(get("/wait"))
    eventually(lambda: gate.waiting == 5)
    server.ask("/a")
    assert len(server.call(lambda: asyncio.all_tasks(server.app.loop))) == 5
    assert len(tasks_of(server)) == 5
    gate.open(server)
    assert [client.read().body for client in clients] == [b"done"] * 5
    assert tasks_of(server) == set()


def test_coroutines_run_in_the_debug_mode_of_asyncio(caplog):
    app = App().get("/a", answer)
    app.loop.set_debug(True)
    try:
        client = app.test_client()
        for pause in ("", "?pause=0", "", "?pause=0.001"):
            assert client.get("/a" + pause).json() == [True, "/a"]
    finally:
        app.loop.set_debug(False)
    assert "never" not in caplog.text


# ---- the request, later ----


def facts(res, req):
    """Return all that a request tells."""
    lines = []
    req.for_each_header(lambda name, value: lines.append([name, value]))
    headers = req.get_headers()
    return [
        req.get_method(),
        req.get_url(),
        req.get_full_url(),
        [req.get_header(name) for name in ("host", "X-Two", "x-odd", "none")],
        dict(headers),
        headers.lines,
        headers.get_all("x-two"),
        lines,
        [req.get_cookie("a"), req.get_cookie("b"), req.get_cookies()],
        [req.get_query("q"), req.get_query("none"), req.get_queries()],
        req.get_parameters(),
        [req.get_parameter(0), req.get_parameter("id"), req.get_parameter(7)],
        req.is_ancient(),
        req.get_yield(),
        res.get_remote_address(),
        req.app is res.app,
        req.user,
        res.mark,
    ]


def extend(request, response, ws):
    request.property("user", {"name": "nobody"})
    response.property("mark", [])


HEADS = [
    b"GET /p HTTP/1.1\r\nHost: a\r\n",
    b"GET /p? HTTP/1.1\r\nHost: a\r\n",
    b"GET /p?q=1&q=%C3%A4+b&e= HTTP/1.1\r\nHost: a\r\n",
    b"PURGE /p/7/%C3%A4 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nx-two: 2\r\nX-ODD: \xe4\r\n",
    b"HEAD /p/7/a HTTP/1.1\r\nhost: a\r\nCookie: a=1; b=%20\r\nCookie: a=2\r\n",
    b"GET /p/7/a?q=" + b"z" * 3000 + b" HTTP/1.1\r\nHost: a\r\nX-Two:\r\n",
    b"GET /p HTTP/1.0\r\nConnection: keep-alive\r\n",
]


@pytest.mark.parametrize("head", HEADS)
def test_every_member_of_a_request_answers_the_same_after_a_wait(
    serve, preserved, head
):
    gate = Gate()
    found = []

    async def handler(res, req):
        req.user["name"] = "somebody"
        res.mark.append("marked")
        found.append(facts(res, req))
        await gate.wait()
        found.append(facts(res, req))
        await asyncio.sleep(0)
        assert req.preserve() is req
        found.append(facts(res, req))
        res.end("ok")

    def setup(app):
        app.register(extend)
        app.any("/p", handler).any("/p/:id/:name", handler)
        app.get("/other/*", lambda res, req: res.end(req.get_header("x-fill")))

    server = serve(setup)
    client = server.client()
    client.send(head + b"\r\n")
    eventually(lambda: gate.waiting)
    for letter in "xyz":  # over what the first request was read from
        filled = letter * 5000
        assert server.ask("/other/a", "GET", f"X-Fill: {filled}").body.decode() == (
            filled
        )
    gate.open(server)
    eventually(lambda: len(found) == 3)
    assert found[0] == found[1] == found[2]
    assert found[0][-2] == {"name": "somebody"} and found[0][-1] == ["marked"]
    assert len(preserved) == 1


HOLDERS = {
    "a task": lambda held, req: held.append(asyncio.ensure_future(_read_later(req))),
    "a list": lambda held, req: held.append(req),
    "a closure": lambda held, req: held.append(lambda: req),
    "a bound method": lambda held, req: held.append(req.get_url),
    "another object": lambda held, req: held.append(types.SimpleNamespace(req=req)),
}


async def _read_later(req):
    await asyncio.sleep(0)
    return req


def _held(holder):
    if isinstance(holder, asyncio.Task):
        return holder.result()
    if isinstance(holder, types.SimpleNamespace):
        return holder.req
    if isinstance(holder, types.FunctionType):
        return holder()
    return getattr(holder, "__self__", holder)


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_request_that_somebody_holds_is_preserved(serve, preserved, kind):
    held = []

    async def handler(res, req):
        res.end("ok")
        HOLDERS[kind](held, req)

    def setup(app):
        app.get("/hold", handler)
        app.get("/*", lambda res, req: res.end(req.get_header("x-fill")))

    server = serve(setup)
    server.ask("/hold?q=kept", "GET", "X-A: kept")
    for letter in "xyz":
        server.ask("/other", "GET", f"X-Fill: {letter * 5000}")
    (found,) = server.call(lambda: list(map(_held, held)))
    assert (found.get_query("q"), found.get_header("x-a")) == ("kept", "kept")
    assert len(preserved) == 1


def test_one_batch_of_held_requests_keeps_each_ones_own_bytes(serve):
    held = []

    async def handler(res, req):
        held.append(req)
        res.end("ok")

    client = serve(lambda app: app.get("/:n", handler)).client()
    client.send(b"".join(get(f"/{n}") for n in range(50)))
    for _ in range(50):
        client.read()
    client.ask("/last")
    numbers = [str(n) for n in range(50)]
    assert [req.get_parameter("n") for req in held] == [*numbers, "last"]


def test_the_request_of_a_plain_handler_expires_and_says_what_to_do():
    held = []

    def handler(res, req):
        held.append(req)
        res.end("ok")

    client = App().get("/", handler).test_client()
    client.get("/")
    client.get("/")
    with pytest.raises(RequestExpired, match=r"call req\.preserve\(\)"):
        held[0].get_url()


STAYS_OPEN = {
    "run_async": lambda res, later: res.run_async(later()),
    "on_aborted": lambda res, later: res.on_aborted(print) and _soon(res, later),
    "grab": lambda res, later: res.grab_aborted_handler() and _soon(res, later),
    "on_data": lambda res, later: (
        res.on_data(lambda res, data, is_end: None) and _soon(res, later)
    ),
}


def _soon(res, later):
    """Have it done later by somebody of whom the app does not know."""
    loop = res.app.loop
    loop.call_later(0.002, lambda: loop.create_task(later()) and None)


@pytest.mark.parametrize("kind", STAYS_OPEN)
def test_the_request_of_a_plain_handler_is_readable_while_it_is_open(kind):
    def handler(res, req):
        async def later():
            await asyncio.sleep(0.001)
            res.end(req.get_header("x-a"))

        STAYS_OPEN[kind](res, later)

    client = App().get("/", handler).test_client()
    assert client.get("/", headers={"X-A": "kept"}).text == "kept"


# ---- pipelines ----


def answering(log):
    """Return the setup of an app whose handlers end in each way there is."""

    def begin(req):
        n = req.get_query("n")
        log.append(("begin", n))
        return n

    def end(res, n):
        log.append(("end", n))
        res.end(n)

    def plain_handler(res, req):
        end(res, begin(req))

    async def never(res, req):
        end(res, begin(req))

    async def bare(res, req):
        n = begin(req)
        await asyncio.sleep(0)
        end(res, n)

    async def timer(res, req):
        n = begin(req)
        await asyncio.sleep(0.001)
        end(res, n)

    async def late(res, req):
        end(res, begin(req))
        await asyncio.sleep(0.001)

    async def large(res, req):
        n = begin(req)
        await asyncio.sleep(0)
        log.append(("end", n))
        res.end(n + "." * 100_000)

    async def body(res, req):
        n = begin(req)
        assert await res.get_data() is not None
        end(res, n)

    async def fail_first(res, req):
        n = begin(req)
        log.append(("end", n))
        raise ValueError(n)

    async def fail_later(res, req):
        n = begin(req)
        await asyncio.sleep(0)
        log.append(("end", n))
        raise ValueError(n)

    def fail_plain(res, req):
        n = begin(req)
        log.append(("end", n))
        raise ValueError(n)

    def run(res, req):
        n = begin(req)

        async def work():
            await asyncio.sleep(0)
            end(res, n)

        res.run_async(work())

    async def hand_on(res, req):
        await asyncio.sleep(0)
        req.set_yield(True)

    async def failed(error, res, req):
        await asyncio.sleep(0)
        res.write_status(418).end(str(error))

    handlers = [plain_handler, never, bare, timer, late, large, body]
    handlers += [fail_first, fail_later, fail_plain, run]

    def setup(app):
        for handler in handlers:
            app.get(f"/{handler.__name__}", handler)
        app.get("/handed/on", hand_on).get("/handed/:on", bare)
        app.on_error(failed)

    return setup, [f"/{handler.__name__}" for handler in handlers] + ["/handed/on"]


def mixed(seed, count):
    log = []
    setup, paths = answering(log)
    pick = random.Random(seed)
    targets = [f"{pick.choice(paths)}?n={n}" for n in range(count)]
    return log, setup, targets


def check_pipeline(client, targets):
    for n, target in enumerate(targets):
        found = client.read()
        assert found.body.rstrip(b".") == str(n).encode(), target
        assert found.status == (418 if "fail" in target else 200), target


@pytest.mark.parametrize("seed", range(5))
def test_a_pipeline_of_all_kinds_is_answered_in_order(serve, seed):
    log, setup, targets = mixed(seed, 100)
    server = serve(setup)
    client = server.client()
    client.send(b"".join(map(get, targets)))
    check_pipeline(client, targets)
    # Each begins when the one before it was answered.
    expected = [(what, str(n)) for n in range(100) for what in ("begin", "end")]
    assert log == expected
    eventually(lambda: is_quiet(server))


def test_a_pipeline_that_comes_byte_by_byte_is_answered_in_order(serve):
    log, setup, targets = mixed(5, 100)
    server = serve(setup)
    client = server.client()
    client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reader = threading.Thread(target=lambda: [client.send(byte) for byte in sent])
    sent = [bytes([byte]) for byte in b"".join(map(get, targets))]
    reader.start()
    check_pipeline(client, targets)
    reader.join()
    eventually(lambda: is_quiet(server))


def test_many_pipelines_at_once_keep_apart(serve):
    log, setup, targets = mixed(6, 50)
    server = serve(setup)
    clients = [server.client() for _ in range(10)]
    for client in clients:
        client.send(b"".join(map(get, targets)))
    for client in clients:
        check_pipeline(client, targets)
    eventually(lambda: is_quiet(server))


def test_the_next_request_waits_and_other_connections_do_not(serve):
    gate = Gate()
    begun = []

    async def wait(res, req):
        begun.append("wait")
        await gate.wait()
        res.end("waited")

    def plain_handler(res, req):
        begun.append(req.get_full_url())
        res.end("plain")

    server = serve(lambda app: app.get("/wait", wait).get("/plain", plain_handler))
    client = server.client()
    client.send(get("/wait") + get("/plain?behind"))
    eventually(lambda: gate.waiting)
    for n in range(5):
        assert server.ask(f"/plain?{n}").body == b"plain"
    assert begun == ["wait", *(f"/plain?{n}" for n in range(5))]
    gate.open(server)
    assert [client.read().body for _ in range(2)] == [b"waited", b"plain"]
    assert begun[-1] == "/plain?behind"


@pytest.mark.parametrize("count", [1, 10])
def test_what_a_later_segment_writes_leaves_in_one_send_a_connection(serve, count):
    gate = Gate()

    async def handler(res, req):
        await gate.wait()
        for n in range(20):
            res.write(str(n))
        res.end("end")

    server = serve(lambda app: app.get("/", handler))
    clients = [server.client() for _ in range(count)]
    for client in clients:
        client.send(get("/", "Connection: close"))
    eventually(lambda: gate.waiting == count)
    before = server.stats()["sends"]
    gate.open(server)
    for client in clients:
        assert b"3\r\nend\r\n0\r\n\r\n" in read_all(client)
    assert server.stats()["sends"] - before == count


def read_all(client):
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := client.socket.recv(65536):
            received += data
    return received


# ---- the request's body ----


async def data(res, req):
    return (await res.get_data()).read()


async def text(res, req):
    return (await res.get_text()).encode()


async def parsed(res, req):
    return json.dumps(await res.get_json()).encode()


async def form(res, req):
    ((name, (value,)),) = (await res.get_form_urlencoded()).items()
    return f"{name}={value}".encode()


async def twice(res, req):
    first, second = await data(res, req), await data(res, req)
    return first if first == second else b"differs"


async def at_once(res, req):
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(res, req)) for read in (data, text, data)]
    found = {task.result() for task in tasks}
    return found.pop() if len(found) == 1 else b"differs"


async def streamed(res, req):
    pieces = [piece async for piece in req.stream()]
    assert all(pieces)
    return b"".join(pieces)


async def streamed_behind_data(res, req):
    first = await data(res, req)
    return first if await streamed(res, req) == first else b"differs"


async def no_wait():
    pass


PAUSES = {
    "at once": no_wait,
    "after a round": lambda: asyncio.sleep(0),
    "late": lambda: asyncio.sleep(0.01),
}

BODIES = [b"", b"1", b"7" * 70_000]


@pytest.mark.parametrize("framed", [plain, chunked])
@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize(
    "read", [data, text, twice, at_once, streamed, streamed_behind_data]
)
def test_a_coroutine_handler_has_the_whole_body(serve, read, pause, framed):
    async def handler(res, req):
        await PAUSES[pause]()
        found = await read(res, req)
        await asyncio.sleep(0)
        res.end(found)

    client = serve(lambda app: app.post("/", handler)).client()
    client.send(b"".join(map(framed, BODIES)))
    for body in BODIES:
        assert client.read().body == body


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize(("read", "body"), [(parsed, b'{"a": 1}'), (form, b"a=1")])
def test_a_coroutine_handler_has_json_and_forms(read, body, pause):
    async def handler(res, req):
        await PAUSES[pause]()
        res.end(await read(res, req))

    client = App().post("/", handler).test_client()
    assert client.post("/", body=body).body == body


def test_a_slow_reader_of_a_stream_holds_its_client_back(serve):
    gate = Gate()
    size = 64 * len(MEBIBYTE)

    async def handler(res, req):
        total = 0
        async for piece in req.stream():
            if not total:
                await gate.wait()
            total += len(piece)
        res.end(str(total))

    server = serve(lambda app: app.post("/", handler, max_body=None))
    client = server.client()
    client.send(
        f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n".encode()
    )
    client.socket.setblocking(False)
    sent = 0
    # No more is taken when the kernel's own buffers are full, which are of some MiB.
    while sent < size and select.select([], [client.socket], [], 0.5)[1]:
        sent += client.socket.send(MEBIBYTE[: size - sent])
    assert gate.waiting == 1
    assert sent < size / 2
    gate.open(server)
    client.socket.settimeout(10)
    while sent < size:
        sent += client.socket.send(MEBIBYTE[: size - sent])
    assert client.read().body == str(size).encode()


def test_a_stream_that_was_left_early_leaves_the_connection_in_order(serve):
    async def handler(res, req):
        async for piece in req.stream():
            assert piece
            break
        await asyncio.sleep(0)
        res.end(req.get_url())

    server = serve(lambda app: app.post("/*", handler))
    client = server.client()
    client.send(plain(b"a" * 1000, "/1") + plain(b"", "/2") + plain(b"b", "/3"))
    assert [client.read().body for _ in range(3)] == [b"/1", b"/2", b"/3"]
    client.send(plain(b"a" * 10, "/4")[:-5])
    assert client.read().body == b"/4"
    client.send(b"aaaaa" + plain(b"", "/5"))
    assert client.read().body == b"/5"
    eventually(lambda: is_quiet(server))


async def break_then(read, res, req):
    async for _ in req.stream():
        break
    await read(res, req)


async def two_streams_at_once(res, req):
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(streamed(res, req))


async def data_within_a_stream(res, req):
    async for _ in req.stream():
        await data(res, req)


async def data_behind_a_stream(res, req):
    await streamed(res, req)
    await data(res, req)


@pytest.mark.parametrize(
    "read",
    [
        functools.partial(break_then, data),
        functools.partial(break_then, streamed),
        two_streams_at_once,
        data_within_a_stream,
        data_behind_a_stream,
    ],
    ids=["break, data", "break, stream", "two streams", "within", "behind"],
)
def test_a_body_is_given_once(serve, caplog, read):
    async def handler(res, req):
        await read(res, req)
        res.end("it was had")

    server = serve(lambda app: app.post("/", handler))
    client = server.client()
    client.send(plain(b"abc"))
    assert client.read().status == 500
    assert "given the body already" in caplog.text
    eventually(lambda: is_quiet(server))


def test_a_plain_handler_has_no_stream(caplog):
    app = App().post("/", lambda res, req: req.stream())
    assert app.test_client().post("/", body="abc").status == 500
    assert "a request's stream is for coroutines" in caplog.text


@pytest.mark.parametrize("read", [data, streamed])
@pytest.mark.parametrize("framed", [plain, chunked])
def test_a_body_over_the_limit_is_refused(serve, caplog, framed, read):
    async def handler(res, req):
        await asyncio.sleep(0)
        res.end(await read(res, req))

    server = serve(lambda app: app.post("/", handler, max_body=10))
    client = server.client()
    client.send(framed(b"a" * 10) + framed(b"a" * 11))
    assert client.read().body == b"a" * 10
    found = client.read()
    assert (found.status, found["connection"]) == (413, "close")
    eventually(lambda: is_quiet(server))
    assert caplog.text == ""


def test_a_stream_that_grows_over_the_limit_ends_with_client_gone(serve, caplog):
    seen = []

    async def handler(res, req):
        try:
            async for piece in req.stream():
                seen.append(piece)
        except ClientGone:
            seen.append(res.aborted)
            raise

    server = serve(lambda app: app.post("/", handler, max_body=10))
    client = server.client()
    client.send(CHUNKED + chunk(b"abcde"))
    eventually(lambda: seen)
    client.send(chunk(b"abcdef"))
    assert client.read().status == 413
    eventually(lambda: seen[-1] is True)
    assert caplog.text == ""


@pytest.mark.parametrize("framed", [plain, chunked])
def test_an_answer_may_come_before_the_body_has(serve, framed):
    async def handler(res, req):
        await asyncio.sleep(0)
        res.end("early")
        await asyncio.sleep(0)

    server = serve(lambda app: app.post("/", handler))
    client = server.client()
    whole = framed(b"a" * 1000)
    client.send(whole[:500])
    assert client.read().body == b"early"
    client.send(whole[500:] + framed(b""))
    assert client.read().body == b"early"
    eventually(lambda: is_quiet(server))


def test_a_stream_is_echoed_piece_by_piece(serve):
    async def handler(res, req):
        async for piece in req.stream():
            res.write(piece)
            await res.drain()
        res.end()

    client = serve(lambda app: app.post("/", handler)).client()
    client.send(CHUNKED)
    reader = client.socket.makefile("rb")
    for n in range(20):
        piece = f"piece {n}".encode()
        client.send(chunk(piece))
        if n == 0:
            while reader.readline() != b"\r\n":
                pass
        assert reader.readline() == b"%x\r\n" % len(piece)
        assert reader.readline() == piece + b"\r\n"
    client.send(b"0\r\n\r\n")
    assert reader.readline() + reader.readline() == b"0\r\n\r\n"
    client.send(plain(b""))
    assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
    reader.close()


# ---- clients that leave ----


def close(client):
    client.close()


def reset(client):
    client.socket.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client.close()


def half_close(client):
    client.socket.shutdown(socket.SHUT_WR)


async def in_sleep(res, req):
    while not res.aborted:
        await asyncio.sleep(0.002)


async def in_data(res, req):
    await res.get_data()


async def in_stream(res, req):
    async for _ in req.stream():
        pass


async def in_drain(res, req):
    while True:
        res.write(MEBIBYTE)
        await res.drain()


async def in_send_chunk(res, req):
    for _ in range(64):
        taken, is_done = await res.send_chunk(MEBIBYTE, 64 * len(MEBIBYTE))
        if not taken:
            assert is_done
            return
    raise AssertionError("it was all taken")


READERS = {in_data, in_stream}
SENDERS = {in_drain, in_send_chunk}
GONE = {*READERS, in_drain}  # these raise ClientGone

# Who does not take its answers is not read from: so its half-close is not seen.
LEAVING = [
    (where, leave)
    for where in (in_sleep, in_data, in_stream, in_drain, in_send_chunk)
    for leave in (close, reset, half_close)
    if where not in SENDERS or leave is not half_close
]


@pytest.mark.parametrize(("where", "leave"), LEAVING)
def test_a_client_that_leaves_is_noticed_quietly(serve, caplog, where, leave):
    seen = []
    begun = threading.Event()

    async def handler(res, req):
        res.on_aborted(lambda it: seen.append(("aborted", it is res, it.aborted)))
        await asyncio.sleep(0)
        begun.set()
        try:
            await where(res, req)
        except ClientGone:
            seen.append("gone")
            raise
        finally:
            seen.append(res.aborted)
            res.write_status(201).write_header("A", "b").write("x").end("y")
            res.set_cookie("a", "b")
            assert res.try_end("x", 5) == (False, True)
            assert await res.send_chunk("x", 5) == (False, True)
            assert res.get_remote_address() == ""
            with contextlib.suppress(ClientGone):
                await res.drain()
                seen.append("drained")
            with contextlib.suppress(ClientGone):
                await res.get_data()
                seen.append("had")

    server = serve(lambda app: app.post("/", handler))
    client = server.client()
    # For the readers a part of the body is still to come.
    client.send(plain(b"abcd")[: -2 if where in READERS else None])
    assert begun.wait(10)
    if where in SENDERS:
        client.socket.recv(100)  # the answer has begun
    leave(client)
    eventually(lambda: is_quiet(server))
    expected = [("aborted", True, True), *(["gone"] if where in GONE else []), True]
    # A write may find out before it is told.
    assert sorted(map(str, seen)) == sorted(map(str, expected))
    assert caplog.text == ""


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204)])
@pytest.mark.parametrize("pause", PAUSES)
def test_a_body_that_is_not_sent_is_complete_at_once(caplog, pause, method, status):
    async def handler(res, req):
        await PAUSES[pause]()
        res.write_status(status)
        assert await res.send_chunk("abc", 10) == (True, True)
        assert res.has_responded() and not res.aborted

    found = App().get("/", handler).test_client().request(method, "/")
    assert (found.status, found.body) == (status, b"")
    assert caplog.text == ""


def test_a_thousand_clients_that_leave_leave_nothing(serve, caplog):
    begun, aborted = [], []

    async def handler(res, req):
        res.on_aborted(aborted.append)
        begun.append(1)
        await in_sleep(res, req)
        raise ClientGone("as it does in what waits for it")

    server = serve(lambda app: app.get("/", handler))
    for n in range(1, 21):
        clients = [server.client() for _ in range(50)]
        for client in clients:
            client.send(get("/"))
        eventually(lambda n=n: len(begun) == n * 50)
        for leave, client in zip([close, reset] * 25, clients, strict=True):
            leave(client)
        eventually(lambda n=n: len(aborted) == n * 50)
    eventually(lambda: is_quiet(server))
    assert len(set(map(id, aborted))) == 1000 and all(it.aborted for it in aborted)
    assert server.call(server.app._server.connections) == 0
    assert caplog.text == ""


@pytest.mark.parametrize("leave", [close, reset, half_close])
@pytest.mark.parametrize("abandons", [False, True])
def test_an_abandoned_coroutine_is_cancelled_if_the_app_says_so(
    serve, caplog, abandons, leave
):
    gate = Gate()
    seen = []

    async def handler(res, req):
        res.on_aborted(lambda res: seen.append("aborted"))
        try:
            await gate.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        seen.append("ended")

    server = serve(lambda app: app.get("/", handler), cancel_abandoned=abandons)
    client = server.client()
    client.send(get("/"))
    eventually(lambda: gate.waiting)
    leave(client)
    eventually(lambda: seen)
    if not abandons:
        assert len(tasks_of(server)) == 1
        gate.open(server)
    eventually(lambda: is_quiet(server))
    assert seen == ["aborted", "cancelled" if abandons else "ended"]
    assert caplog.text == ""


def test_a_client_that_half_closes_is_answered_where_the_app_lets_it(serve):
    gate = Gate()

    async def handler(res, req):
        await gate.wait()
        res.end([res.aborted])

    server = serve(lambda app: app.get("/", handler), half_close=True)
    client = server.client()
    client.send(get("/"))
    half_close(client)
    eventually(lambda: gate.waiting)
    gate.open(server)
    assert client.read().body == b"[false]"


# ---- errors ----


class Stop(BaseException):
    """What is no Exception."""


SEGMENTS = {"first": no_wait, "later": lambda: asyncio.sleep(0)}


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_what_a_coroutine_handler_raises_is_500(caplog, segment, error):
    async def handler(res, req):
        await SEGMENTS[segment]()
        raise error("a mishap")

    client = App().get("/a", handler).get("/b", answer).test_client()
    for _ in range(3):
        assert client.get("/a").status == 500
        assert client.get("/b").status == 200
    assert caplog.text.count("GET /a (") == (3 if error is ValueError else 0)


@pytest.mark.parametrize("segment", SEGMENTS)
def test_an_error_behind_the_answer_is_logged_alone(serve, caplog, segment):
    async def handler(res, req):
        await SEGMENTS[segment]()
        res.end("said")
        await SEGMENTS[segment]()
        raise ValueError("a mishap")

    server = serve(lambda app: app.get("/a", handler))
    client = server.client()
    client.send(get("/a") * 2)
    assert [client.read().body for _ in range(2)] == [b"said"] * 2
    eventually(lambda: caplog.text.count("raised after it had answered") == 2)
    assert caplog.text.count("ValueError: a mishap") == 2


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("segment", [*SEGMENTS, "none", "task"])
def test_the_error_handler_has_the_request(serve, segment, is_async):
    """Also with requests behind it on its connection, which wait for its answer."""

    async def handler(res, req):
        await SEGMENTS[segment]()
        raise ValueError("a mishap")

    async def fail():
        raise ValueError("a mishap")

    def plain_handler(res, req):
        if segment == "task":
            res.run_async(fail())
        else:
            raise ValueError("a mishap")

    def tell(error, res, req):
        found = [str(error), req.get_header("x-a"), req.get_query("q"), req.get_url()]
        res.write_status(418).end(found)

    async def tell_later(error, res, req):
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        tell(error, res, req)

    def setup(app):
        app.get("/a", handler if segment in SEGMENTS else plain_handler)
        app.get("/ok", lambda res, req: res.end("ok"))
        app.on_error(tell_later if is_async else tell)

    server = serve(setup)
    client = server.client()
    for n in range(3):
        client.send(get(f"/a?q={n}", "X-A: told") + get("/ok"))
    for n in range(3):
        found = client.read()
        assert found.status == 418
        assert json.loads(found.body) == ["a mishap", "told", str(n), "/a"]
        assert client.read().body == b"ok"
    eventually(lambda: is_quiet(server))


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("way", ["on_data", "run_async", "get_data"])
def test_an_error_handler_may_read_the_body_before_it_answers(serve, segment, way):
    async def handler(res, req):
        await SEGMENTS[segment]()
        raise ValueError("a mishap")

    def failed(error, res, req):
        if way == "on_data":
            body = []

            def take(res, data, is_end):
                body.append(data)
                if is_end:
                    res.end(b"".join(body))

            res.on_data(take)
        elif way == "run_async":
            res.run_async(read_and_answer(res))
        else:
            return read_and_answer(res)

    async def read_and_answer(res):
        res.end(await res.get_text())

    server = serve(lambda app: app.post("/", handler).on_error(failed))
    client = server.client()
    client.send(plain(b"abc") + plain(b"def"))
    assert [client.read().body for _ in range(2)] == [b"abc", b"def"]


@pytest.mark.parametrize("segment", SEGMENTS)
def test_an_error_handler_that_fails_or_says_nothing_is_500(serve, caplog, segment):
    async def handler(res, req):
        await SEGMENTS[segment]()
        raise ValueError("a mishap")

    async def failed(error, res, req):
        await SEGMENTS[segment]()
        if req.get_query("fail"):
            raise KeyError("another mishap")

    server = serve(lambda app: app.get("/", handler).on_error(failed))
    client = server.client()
    client.send(get("/?fail=1") + get("/") + get("/?fail=1"))
    assert [client.read().status for _ in range(3)] == [500] * 3
    assert caplog.text.count("another mishap") >= 2
    eventually(lambda: is_quiet(server))


@pytest.mark.parametrize("segment", SEGMENTS)
def test_a_coroutine_without_an_answer_is_500_and_named(caplog, segment):
    async def forgetful(res, req):
        await SEGMENTS[segment]()

    assert App().get("/a", forgetful).test_client().get("/a").status == 500
    (record,) = caplog.records
    assert "GET /a (" in record.message and "forgetful" in record.message


def test_a_stream_without_an_end_is_cut_off(serve, caplog):
    async def handler(res, req):
        res.write("part")
        await asyncio.sleep(0)

    server = serve(lambda app: app.get("/", handler))
    client = server.client()
    client.send(get("/") * 2)
    received = read_all(client)
    assert received.count(b"part") == 1 and not received.endswith(b"0\r\n\r\n")
    assert caplog.text.count("without an answer") == 1


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_task_that_ends_without_an_answer_is_500(caplog, is_async, fails):
    async def work():
        await asyncio.sleep(0)
        if fails:
            raise ValueError("a mishap")

    def handler(res, req):
        res.run_async(work())

    async def async_handler(res, req):
        await asyncio.sleep(0)
        res.run_async(work())

    app = App().get("/a", async_handler if is_async else handler)
    assert app.test_client().get("/a").status == 500
    (record,) = caplog.records
    assert "GET /a (" in record.message


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, Stop])
def test_what_is_no_exception_ends_run_which_can_go_on(segment, error):
    async def handler(res, req):
        await SEGMENTS[segment]()
        raise error("the end")

    async def last(res, req):
        await SEGMENTS[segment]()
        res.end("last")
        res.app.close()

    app = App().get("/end", handler).get("/last", last)
    ports, found = [], []
    app.listen(0, lambda config: ports.append(config.port))

    def ask():
        client = Client(ports[0])
        client.send(get("/end") + get("/last"))
        found.extend(client.read() for _ in range(2))
        client.close()

    asker = threading.Thread(target=ask)
    asker.start()
    if error is Stop and segment == "later":
        app.run()  # asyncio keeps it in its task, and nobody asks for it there
    else:
        with pytest.raises(error):
            app.run()
        app.run()
    asker.join(10)
    assert [it.status for it in found] == [500, 200]
    assert found[1].body == b"last"


# ---- requests that are handed on ----


def plain_last(res, req):
    res.end(["plain", req.get_parameters(), req.get_query("q")])


async def first_last(res, req):
    res.end(["async", req.get_parameters(), req.get_query("q")])


async def later_last(res, req):
    await asyncio.sleep(0)
    res.end(["later", req.get_parameters(), req.get_query("q")])


@pytest.mark.parametrize("segment", SEGMENTS)
@pytest.mark.parametrize("last", [plain_last, first_last, later_last])
def test_a_coroutine_hands_a_request_on_to_any_kind(serve, segment, last):
    async def hand_on(res, req):
        await SEGMENTS[segment]()
        res.write_header("Via", "coroutine")
        req.set_yield(True)

    def setup(app):
        app.get("/a/b", hand_on).get("/a/:x", hand_on).get("/a/*", last)

    client = serve(setup).client()
    client.send(get("/a/b?q=1") + get("/a/c?q=2"))
    kind = last.__name__.partition("_")[0]
    kind = {"plain": "plain", "first": "async", "later": "later"}[kind]
    for q in "12":
        found = client.read()
        assert json.loads(found.body)[::2] == [kind, q]
    assert found["via"] == "coroutine"


@pytest.mark.parametrize("segment", SEGMENTS)
def test_a_request_that_nobody_takes_is_404(segment):
    async def hand_on(res, req):
        await SEGMENTS[segment]()
        req.set_yield(True)

    def plain_hand_on(res, req):
        req.set_yield(True)

    app = App().get("/a/b", hand_on).get("/a/:x", plain_hand_on).get("/a/*", hand_on)
    assert app.test_client().get("/a/b").status == 404

    async def missed(res, req):
        await SEGMENTS[segment]()
        res.write_status(404).end("nobody")

    app.not_found(missed)
    assert app.test_client().get("/a/b").text == "nobody"


def test_an_error_in_a_route_that_a_request_was_handed_to_is_500(caplog):
    async def hand_on(res, req):
        await asyncio.sleep(0)
        req.set_yield(True)

    def fail(res, req):
        raise ValueError("a mishap")

    app = App().get("/a/b", hand_on).get("/a/:x", fail)
    assert app.test_client().get("/a/b").status == 500
    assert "GET /a/:x" in caplog.text


# ---- closing ----


def closing(handler, **options):
    """Run an app that is closed once its handler waits; return what a client got."""
    app = App().get("/", handler)
    ports, received = [], []
    app.listen(0, lambda config: ports.append(config.port))

    def ask():
        client = Client(ports[0])
        client.send(get("/"))
        received.append(read_all(client))
        client.close()

    asker = threading.Thread(target=ask)
    asker.start()
    app.run(**options)
    asker.join(10)
    assert app._tasks == set() and asyncio.all_tasks(thread_loop()) == set()
    return received[0]


def test_a_suspended_handler_may_end_when_the_app_is_closed():
    async def handler(res, req):
        res.app.close()
        for _ in range(5):
            await asyncio.sleep(0.001)
        res.end("ended")

    assert closing(handler).endswith(b"ended")


@pytest.mark.parametrize("catches", [False, True])
def test_a_handler_that_outlasts_the_grace_is_cancelled(catches):
    seen = []

    async def handler(res, req):
        res.app.close()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            seen.append("cancelled")
            if not catches:
                raise
            await asyncio.sleep(0)
            res.end("last words")

    received = closing(handler, grace=0.05)
    assert seen == ["cancelled"]
    assert received.endswith(b"last words" if catches else b"Internal Server Error")


def test_what_another_thread_adds_beside_a_new_task_is_not_lost(serve, monkeypatch):
    """A carrier's first step is taken out of the queue that others add to."""
    called = []
    carrier = eager.Carrier

    async def handler(res, req):
        asyncio.current_task().add_done_callback(lambda task: None)  # its own, then
        await asyncio.sleep(0)
        res.end("x")

    server = serve(lambda app: app.get("/", handler))
    loop = server.app.loop

    def make(*arguments, **options):
        task = carrier(*arguments, **options)
        loop.call_soon_threadsafe(called.append, task)  # as if just between
        return task

    client = server.client()
    client.ask("/")
    monkeypatch.setattr(eager, "Carrier", make)
    for _ in range(3):
        assert client.ask("/").body == b"x"
    server.call(lambda: None)
    assert len(called) == 3


# ---- tasks that serve one request after the other ----

REUSED = {
    "a bare yield": lambda: asyncio.sleep(0),
    "bare yields": lambda: sleep_twice(0),
    "a timer": lambda: asyncio.sleep(0.001),
    "timers": lambda: sleep_twice(0.001),
    "a thread": lambda: asyncio.to_thread(int),
    "a timeout": lambda: asyncio.wait_for(asyncio.sleep(0), 10),
    "a group": lambda: sleep_in_a_group(),
}


async def sleep_twice(seconds):
    await asyncio.sleep(seconds)
    await asyncio.sleep(seconds)


async def sleep_in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(0))


@pytest.mark.skipif(
    not hasattr(sys, "getrefcount"),
    reason="this interpreter counts no references, so no task is used twice",
)
@pytest.mark.parametrize("kind", REUSED)
def test_a_task_that_nobody_keeps_serves_the_next_request(serve, monkeypatch, kind):
    """It shows that the tests above can fail."""
    made = []
    new = eager.Starter._new

    def counting(starter, *arguments):
        made.append(1)
        return new(starter, *arguments)

    async def handler(res, req):
        await REUSED[kind]()
        res.end("x")

    client = serve(lambda app: app.get("/", handler)).client()
    client.ask("/")
    monkeypatch.setattr(eager.Starter, "_new", counting)
    for _ in range(5):
        assert client.ask("/").body == b"x"
    assert len(made) <= 1


def test_many_tasks_may_wait_at_once_and_are_let_go(serve, monkeypatch):
    monkeypatch.setattr(eager, "_MOST_IDLE", 3)
    gate = None

    async def wait(res, req):
        await gate.wait()
        res.end(req.get_url())

    server = serve(lambda app: app.get("/*", wait))
    for count in (10, 2, 10):
        gate = Gate()
        clients = [server.client() for _ in range(count)]
        for number, client in enumerate(clients):
            client.send(get(f"/{number}"))
        eventually(lambda gate=gate, count=count: gate.waiting == count)
        gate.open(server)
        found = [client.read().body for client in clients]
        assert found == [b"/%d" % number for number in range(count)]
    eventually(lambda: tasks_of(server) == set())
    assert len(server.app.loop.turns.starter.idle) <= 3


def test_what_is_set_before_run_is_seen_by_handlers():
    async def handler(res, req):
        res.end([variable.get()])

    app = App().get("/", handler)
    client = app.test_client()
    for value in (1, 2):
        token = variable.set(value)
        assert client.get("/").json() == [value]
        variable.reset(token)
    assert client.get("/").json() == [0]


def test_what_a_plain_wrapper_sets_is_seen_by_its_coroutine_alone(serve):
    """Plain functions have a context of their own, too."""

    def with_user(handler):
        def wrapper(res, req):
            variable.set(int(req.get_header("x-user")))
            return handler(res, req)

        return wrapper

    async def read(res, req):
        if req.get_query("wait"):
            await asyncio.sleep(0)
        res.end([variable.get()])

    def setup(app):
        app.get("/set", with_user(read)).get("/coroutine", read)
        app.get("/plain", lambda res, req: res.end([variable.get()]))
        app.get("/plain-set", with_user(lambda res, req: res.end([variable.get()])))

    server = serve(setup)
    client = server.client()
    paths = ["/set", "/set?wait=1", "/plain-set"]
    others = ["/coroutine", "/coroutine?wait=1", "/plain"]
    pairs = [(path, n) for n in range(1, 4) for path in paths]
    pairs = [it for path, n in pairs for it in ((path, n), *((p, 0) for p in others))]
    for path, n in pairs:
        assert client.ask(path, "GET", f"X-User: {n}").body == b"[%d]" % n
    for path, n in pairs:  # all in one batch
        client.send(get(path).replace(b"\r\n\r\n", b"\r\nX-User: %d\r\n\r\n" % n))
    assert [client.read().body for _ in pairs] == [b"[%d]" % n for _, n in pairs]


def test_a_carrier_of_one_run_is_not_used_in_the_next():
    async def go_on(res, req):
        res.end("early")
        await asyncio.sleep(0.02)

    async def read(res, req):
        await asyncio.sleep(0.05)
        res.end([variable.get()])

    client = App().get("/", go_on).get("/read", read).test_client()
    for value in range(1, 4):
        token = variable.set(value)
        client.get("/")  # its task is under way when the next run begins
        assert client.get("/read").json() == [value]
        assert client.get("/read").json() == [value]
        variable.reset(token)


def test_who_looks_at_all_tasks_at_the_start_does_not_hide_what_is_kept(serve):
    seen = {}
    held = []

    async def handler(res, req):
        task = asyncio.current_task()
        found = task in seen
        seen[task] = True
        await asyncio.sleep(0)
        res.end([found])

    def setup(app):
        app.get("/", handler)
        held.append(gc.get_objects())

    client = serve(setup).client()
    for _ in range(3):
        assert client.ask().body == b"[false]"
        held.clear()


@pytest.mark.parametrize("what", [5, "text", object()])
def test_a_cancelled_task_that_yields_what_cannot_be_awaited_answers(what):
    @types.coroutine
    def odd():
        yield what

    async def handler(res, req):
        asyncio.current_task().cancel()
        await odd()

    client = App().get("/", handler).test_client()
    assert client.get("/").status == 500
