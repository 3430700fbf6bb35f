"""Middleware classes in chains: `before` down, `after` up, whatever answers."""

import asyncio
import contextlib
import contextvars
import inspect
import itertools
import json
import logging
import socket
import struct
from dataclasses import dataclass, field

import pytest
from test_coroutines import Gate, eventually, get, is_quiet

from socketify_mw import (
    App,
    Middleware,
    MiddlewareRouter,
    RouteError,
    middleware,
    turns,
)

MODES = ["sync", "async", "waits"]
PAIRS = list(itertools.product(MODES, repeat=2))
FOURS = list(itertools.product(MODES, repeat=4))
LARGE = bytes(range(256)) * 100  # over 16 KiB
TIMEOUT = 30  # seconds
sites = []


@pytest.fixture(autouse=True)
def no_warning_about_time(monkeypatch):
    """Keep a busy machine out of the logs, which are compared."""
    monkeypatch.setattr(turns, "_BLOCKING_SECONDS", 3600)


@pytest.fixture(autouse=True)
def closed_sites():
    """Have no app outlive its test: with all of them in memory, garbage collections
    take seconds.
    """
    yield
    while sites:
        sites.pop().app.close()


def in_mode(mode, function):
    """Return a function as it is, or as a coroutine function, which may wait."""
    if mode == "sync":
        return lambda *arguments: function(*arguments)

    async def coroutine(*arguments):
        if mode == "waits":
            await asyncio.sleep(0)
        return function(*arguments)

    return coroutine


def class_of(before=None, after=None, modes=("sync", "sync")):
    """Return a middleware class whose methods call functions, or go on."""
    members = {}
    if before is None and modes[0] != "sync":
        before = lambda req, res: req  # noqa: E731 - to go on, but as a coroutine
    for phase, function, mode in zip(
        ("before", "after"), (before, after), modes, strict=True
    ):
        if function is not None:
            members[phase] = _method(in_mode(mode, function), mode)
    return type("Made", (Middleware,), members)


def _method(function, mode):
    if mode == "sync":

        def method(self, request, response):
            return function(request, response)

    else:

        async def method(self, request, response):
            return await function(request, response)

    return method


# ---- the table: each method is told what to do, and a reference says what follows ----

# What `before` does. All but the first three end the chain.
BEFORE = ["go", "end and go", "set and go", "none", "false", "number", "object"]
BEFORE += ["end", "end with status", "end and false", "response", "bare response"]
BEFORE += ["bare status response", "str", "empty str", "bytes", "dict", "empty dict"]
BEFORE += ["list", "tuple", "tuple of dict", "long tuple", "raise", "end and raise"]
FUNCTION = ["pass", "falsy", "end", "end and pass", "raise", "end and raise"]
AFTER = ["go", "change", "none", "false", "response", "end and go", "end"]
AFTER += ["str", "bytes", "dict", "empty list", "tuple", "raise", "end and raise"]

RETURNED = {
    "str": ("text", 200, b"text"),
    "empty str": ("", 200, b""),
    "bytes": (b"bytes", 200, b"bytes"),
    "dict": ({"a": 1}, 200, b'{"a": 1}'),
    "empty dict": ({}, 200, b"{}"),
    "list": ([1], 200, b"[1]"),
    "empty list": ([], 200, b"[]"),
    "tuple": (("body", 202), 202, b"body"),
    "tuple of dict": (({}, "203 So"), 203, b"{}"),
}
STOPS = ["none", "false", "number", "object"]
SILENT = {"none": None, "false": False, "number": 7}


@dataclass
class Step:
    """A class or a function of a chain; modes: of `before` and `after`."""

    name: str
    deed: str
    after: str = ""  # empty for a function
    modes: tuple = ("sync", "sync")

    def member(self, calls):
        if not self.after:
            return in_mode(self.modes[0], lambda *given: self.call(calls, *given))
        # One object for both: each is told apart by what it was given first.
        return class_of(
            lambda req, res: self.before_(calls, req, res),
            lambda req, res: self.after_(calls, req, res),
            self.modes,
        )

    def call(self, calls, res, req, data):
        calls.append(self.name)
        if "end" in self.deed:
            res.end(self.name)
        if "raise" in self.deed:
            raise KeyError(self.name)
        return "pass" in self.deed

    def before_(self, calls, req, res):
        calls.append(f"{self.name} before")
        deed = self.deed
        if deed == "set and go":
            res.write_status(201).write_header("X-Set", self.name)
        elif deed == "bare status response":
            return res.write_status(403)
        elif deed == "end with status":
            res.write_status(402)
        if deed.startswith("end") or deed == "response":
            res.end(self.name)
        if "raise" in deed:
            raise KeyError(self.name)
        if deed == "long tuple":
            return "body", 200, "more"
        if deed in RETURNED:
            return RETURNED[deed][0]
        if "response" in deed:
            return res
        if deed == "object":
            return object()
        return req if "go" in deed else SILENT.get(deed)

    def after_(self, calls, req, res):
        calls.append(f"{self.name} after {res._head.status} {res.has_responded()}")
        deed = self.after
        if deed == "change":
            res.write_status(299).write_header("X-After", self.name)
            res.set_cookie("after", self.name)
        if "end" in deed or deed == "response":
            res.end(self.name + " replaced")
        if "raise" in deed:
            raise KeyError(self.name)
        if deed in RETURNED:
            return RETURNED[deed][0]
        if deed == "response":
            return res
        return req if deed in ("go", "change", "end and go") else SILENT.get(deed)


@dataclass
class Outcome:
    """What a chain is to do, as straight as the contract says it."""

    calls: list = field(default_factory=list)
    status: int = 200
    body: bytes | None = None  # None: nothing was answered yet
    fields: list = field(default_factory=list)
    told: int = 0  # errors that the error handler was given
    logs: list = field(default_factory=list)

    def answer(self, body, status=None):
        self.body = body
        self.status = status or self.status

    def fail(self, on_error):
        if self.body is not None:
            self.logs.append("raised after it had answered")
        elif on_error == "none":
            self.logs.append(" raised")
            self.refuse()
        elif on_error in ("async", "waits") and self.told:
            # It was asked behind an error already, and is not asked again.
            self.logs.append("raised behind an error")
            self.refuse()
        else:
            self.told += 1
            if on_error == "silent":
                self.logs.append("its error handler has not answered")
                self.refuse()
            elif on_error == "raises":
                self.logs.append("its error handler raised")
                self.refuse()
            else:
                self.answer(b"failed", 418)

    def refuse(self):
        self.answer(b"Internal Server Error", 500)
        self.fields = []


def descend(steps, it):
    """Run the way down; return the classes to come back through, and the last name."""
    entered = []
    for step in steps:
        deed = step.deed
        was_answered = it.body is not None
        ends = deed.startswith("end") or deed == "response"
        if not step.after:
            it.calls.append(step.name)
        else:
            it.calls.append(f"{step.name} before")
            if deed == "set and go":
                it.status = 201
                it.fields.append(("x-set", step.name))
            elif deed == "bare status response":
                it.status = 403
            elif deed == "end with status":
                it.status = 402
        if ends and it.body is not None:
            return entered, step, True  # it was ended already
        if ends:
            it.answer(step.name.encode())
        if "raise" in deed or deed == "long tuple":
            return entered, step, True
        if not step.after:
            if "pass" not in deed:
                return entered, step, False
            continue
        if deed in RETURNED:
            _, status, body = RETURNED[deed]
            if it.body is not None:
                return entered, step, True
            it.answer(body, status if deed.startswith("tuple") else None)
        if "go" not in deed:
            return entered, step, False
        entered.append(step)
        if it.body is not None and not was_answered:
            it.logs.append("returned the request: nobody behind it runs")
            return entered, step, False
    return entered, step, False


def reference(steps, on_error):
    it = Outcome()
    entered, last, has_raised = descend(steps, it)
    if has_raised:
        it.fail(on_error)
    elif it.body is None:
        it.logs.append("returned without an answer")
        it.refuse()
    for step in reversed(entered):
        deed = step.after
        it.calls.append(f"{step.name} after {it.status} True")
        if deed == "change":
            it.status = 299
            it.fields.append(("x-after", step.name))
            it.fields.append(("set-cookie", f"after={step.name}; Path=/"))
        if "end" in deed or deed == "response":
            it.answer(f"{step.name} replaced".encode())
        if "raise" in deed:
            it.status, it.body, it.fields = 200, None, []
            it.fail(on_error)
            continue
        if deed in RETURNED:
            _, status, body = RETURNED[deed]
            it.answer(body, status if deed == "tuple" else None)
        if deed == "none" or deed == "end":
            it.logs.append("returned None: no other `after` runs")
        if deed not in ("go", "change", "end and go"):
            break
    return it


ON_ERROR = ["none", "sync", "async", "waits", "silent", "raises"]


class Site:
    """An app with many chains, and an error handler of a kind."""

    def __init__(self, on_error, caplog):
        self.on_error = on_error
        self.caplog = caplog
        self.app = App()
        self.told = []
        self.number = 0
        mode = on_error if on_error in MODES else "sync"
        if on_error != "none":
            self.app.on_error(in_mode(mode, self.fail))
        self.client = self.app.test_client()
        sites.append(self)

    def fail(self, error, res, req):
        self.told.append(req.get_url())
        if self.on_error == "raises":
            raise LookupError
        if self.on_error != "silent":
            res.write_status(418).end("failed")

    def check(self, steps, join=lambda members: (middleware(*members),)):
        self.number += 1
        path = f"/{self.number}"
        calls = []
        self.app.get(path, *join([step.member(calls) for step in steps]))
        self.told.clear()
        self.caplog.clear()
        self.client.cookies.clear()
        expected = reference(steps, self.on_error)
        try:
            answer = self.client.get(path, timeout=TIMEOUT)
        except (TimeoutError, ConnectionError) as error:
            pytest.fail(f"{error!r} for {steps}, after {calls}")
        names = ("x-set", "x-after", "set-cookie")
        pairs = [(k.lower(), v) for k, v in answer.headers if k.lower() in names]
        found = (calls, answer.status, answer.body, pairs, len(self.told))
        wanted = (expected.calls, expected.status, expected.body, expected.fields)
        assert found == (*wanted, expected.told), steps
        logs = [it.getMessage() for it in self.caplog.records if it.levelno >= 30]
        assert len(logs) == len(expected.logs), (steps, logs)
        for text, part in zip(logs, expected.logs, strict=True):
            assert part in text, steps


MODES_OF_THREE = list(itertools.product(MODES, repeat=3))


def cycle_of_modes():
    """Give modes for the next case, so that all meet all in the long run."""
    for _ in itertools.count():
        yield from itertools.product(MODES, repeat=5)


@pytest.mark.parametrize("on_error", ON_ERROR)
@pytest.mark.parametrize("place", [0, 1])
def test_each_deed_of_before_in_all_modes(on_error, place, caplog):
    site = Site(on_error, caplog)
    for deed, modes in itertools.product(BEFORE, MODES_OF_THREE):
        deeds = ["go", "go"]
        deeds[place] = deed
        first, second, third = modes
        site.check(
            [
                Step("a", deeds[0], "change", (first, third)),
                Step("b", deeds[1], "change", (second, first)),
                Step("h", "end", "", (third, "")),
            ]
        )


@pytest.mark.parametrize("on_error", ON_ERROR)
@pytest.mark.parametrize("deed", FUNCTION)
def test_each_deed_of_functions_between_and_behind_classes(on_error, deed, caplog):
    site = Site(on_error, caplog)
    modes = cycle_of_modes()
    for place, _ in itertools.product(range(4), range(27)):
        mode = next(modes)
        deeds = ["pass", "pass", "pass", "end"]
        deeds[place] = deed
        f, g, h, last = (
            Step(name, it, "", (mode[i], ""))
            for i, (name, it) in enumerate(zip("fghi", deeds, strict=True))
        )
        a = Step("a", "go", "change", mode[:2])
        b = Step("b", "go", "change", mode[2:4])
        site.check([f, a, g, b, h, last])


@pytest.mark.parametrize("on_error", ON_ERROR)
@pytest.mark.parametrize("handler", ["end", "falsy", "raise", "end and raise"])
@pytest.mark.parametrize("before", ["go", "set and go", "none", "str", "raise"])
def test_each_deed_of_after_under_all_that_comes_up(on_error, handler, before, caplog):
    site = Site(on_error, caplog)
    modes = cycle_of_modes()
    for one, two in itertools.product(AFTER, AFTER):
        mode = next(modes)
        site.check(
            [
                Step("a", "go", one, mode[:2]),
                Step("b", "go", two, mode[2:4]),
                Step("c", before, "change", (mode[4], mode[0])),
                Step("h", handler, "", (mode[1], "")),
            ]
        )


@pytest.mark.parametrize("deed", AFTER)
@pytest.mark.parametrize("place", [0, 1])
def test_each_deed_of_after_in_all_modes(deed, place, caplog):
    site = Site("sync", caplog)
    for modes in itertools.product(MODES, repeat=4):
        deeds = ["change", "change"]
        deeds[place] = deed
        site.check(
            [
                Step("a", "go", deeds[0], (modes[0], modes[1])),
                Step("b", "go", deeds[1], (modes[2], modes[3])),
                Step("h", "end", "", (modes[0], "")),
            ]
        )


# ---- where classes stand ----


def nested_deep(members):
    a, f, b, h = members
    return (middleware(a, middleware(f, middleware(middleware(b), h))),)


NESTINGS = {
    "flat": lambda members: (middleware(*members),),
    "first": lambda m: (middleware(middleware(*m[:2]), *m[2:]),),
    "last": lambda m: (middleware(*m[:2], middleware(*m[2:])),),
    "each": lambda m: (middleware(*(middleware(it) for it in m)),),
    "deep": nested_deep,
    "called last": lambda m: (middleware(*m[:2], call_chain(*m[2:])),),
    "called all": lambda m: (call_chain(*m),),
}


def call_chain(*functions):
    """Return a handler that calls a chain, which the chain around it cannot see."""
    inner = middleware(*functions)

    def calling(res, req, data=None):
        return inner(res, req, data)

    return calling


DEEDS_OF_TWO = [("go", "go"), ("none", "go"), ("str", "go"), ("raise", "go")]
DEEDS_OF_TWO += [("go", "end"), ("go", "none"), ("go", "tuple"), ("go", "raise")]


@pytest.mark.parametrize("nesting", NESTINGS)
@pytest.mark.parametrize("handler", ["end", "falsy", "raise"])
def test_chains_within_chains_are_one_onion(nesting, handler, caplog):
    site = Site("sync", caplog)
    modes = cycle_of_modes()
    for (one, two), _ in itertools.product(DEEDS_OF_TWO, range(9)):
        mode = next(modes)
        steps = [
            Step("a", one, "change", mode[:2]),
            Step("f", "pass", "", (mode[4], "")),
            Step("b", two, "change", mode[2:4]),
            Step("h", handler, "", (mode[0], "")),
        ]
        site.check(steps, NESTINGS[nesting])


@pytest.mark.parametrize("mode", MODES)
def test_a_chain_of_classes_that_a_function_calls_lets_the_rest_run(mode):
    passing = class_of(
        None, lambda req, res: res.write_header("X-After", "a") and req, ("sync", mode)
    )
    inner = middleware(passing, lambda res, req, data: ["inner"])

    def calling(res, req, data):
        return inner(res, req, data)

    def handler(res, req, data):
        res.end(data)

    answer = App().get("/", middleware(calling, handler)).test_client().get("/")
    assert (answer.status, answer.text) == (200, '["inner"]')


def stand_in_middleware(app, path, members):
    app.get(path, middleware(*members))


def stand_in_argument(app, path, members):
    app.get(path, members[-1], middlewares=members[:-1])


def stand_in_chain_and_argument(app, path, members):
    app.get(path, middleware(*members[1:]), middlewares=members[:1])


def stand_in_middleware_router(app, path, members):
    MiddlewareRouter(app, *members[:-1]).get(path, members[-1])


def stand_in_router(app, path, members):
    app.router("", members[0]).get(path, middlewares=members[1:-1])(members[-1])


def stand_in_use(app, path, members):
    app.get(path, members[-1], middlewares=members[1:-1])
    app.use(members[0])


WAYS = [stand_in_middleware, stand_in_argument, stand_in_chain_and_argument]
WAYS += [stand_in_middleware_router, stand_in_router, stand_in_use]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("deeds", DEEDS_OF_TWO, ids=str)
def test_classes_stand_wherever_functions_do(way, deeds, caplog):
    for modes in itertools.product(MODES, repeat=4):
        calls = []
        steps = [
            Step("a", deeds[0], "change", modes[:2]),
            Step("b", deeds[1], "change", modes[2:]),
            Step("h", "end", "", (modes[0], "")),
        ]
        site = Site("sync", caplog)
        way(site.app, "/", [step.member(calls) for step in steps])
        answer = site.client.get("/")
        it = reference(steps, "sync")
        assert (calls, answer.status, answer.body) == (it.calls, it.status, it.body)


def noting(name, seen, modes=("sync", "sync")):
    """Return a class that notes what it sees, and marks the answer."""

    def before(req, res):
        seen.append(f"{name} {req.get_method()} {req.get_url()}")
        return req

    def after(req, res):
        seen.append(f"{name} {res._head.status}")
        res.write_header("X-After", name).set_cookie("after", name)
        return req

    return class_of(before, after, modes)


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
def test_classes_of_use_run_for_whatever_comes(modes):
    seen = []
    app = App().get("/get", lambda res, req: res.end("get"))
    app.use(noting("a", seen, modes), noting("b", seen, modes[::-1]))
    app.post("/post", lambda res, req: res.end("post"))
    app.any("/any", lambda res, req: res.end("any"))
    client = app.test_client()
    asked = [
        ("GET", "/get", 200, "get"),
        ("HEAD", "/get", 200, ""),
        ("POST", "/get", 405, "Method Not Allowed"),
        ("GET", "/post", 405, "Method Not Allowed"),
        ("HEAD", "/post", 405, ""),
        ("OPTIONS", "/post", 204, ""),
        ("OPTIONS", "*", 204, ""),
        ("GET", "/nothing", 404, "Not Found"),
        ("HEAD", "/nothing", 404, ""),
        ("PATCH", "/any", 200, "any"),
    ]
    for method, path, status, text in asked:
        seen.clear()
        answer = client.request(method, path)
        assert (answer.status, answer.text) == (status, text)
        assert answer.all("x-after") == ["b", "a"]
        assert answer.all("set-cookie") == ["after=b; Path=/", "after=a; Path=/"]
        down = [f"{name} {method} {path}" for name in "ab"]
        assert seen == [*down, f"b {status}", f"a {status}"]
        if method == "HEAD" and path == "/get":
            assert answer.header("content-length") == "3"
        if status in (405, 204):
            assert answer.header("allow")
    app.not_found(lambda res, req: res.write_status(404).end("mine"))
    answer = client.get("/nothing")
    assert (answer.text, answer.all("x-after")) == ("mine", ["b", "a"])


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
def test_a_class_of_use_may_answer_404_and_405_itself(modes):
    app = App().post("/post", lambda res, req: res.end("post"))
    app.use(
        class_of(None, lambda req, res: ("mine", 299), modes),
        class_of(lambda req, res: ("early", 401), None, modes),
    )
    for method, path in [("GET", "/nothing"), ("GET", "/post"), ("POST", "/post")]:
        answer = app.test_client().request(method, path)
        assert (answer.status, answer.text) == (299, "mine")
    assert app.test_client().head("/nothing").header("content-length") == "4"


# ---- what answers ----


def later(res):
    async def answering():
        await asyncio.sleep(0)
        res.write_header("X-Own", "own").end("later")

    return answering()


async def wait(res, req, data):
    await asyncio.sleep(0)
    res.end("waited")


async def stream(res, req, data):
    for part in ("one ", b"two ", "three"):
        res.write(part)
        await asyncio.sleep(0)
    res.end()


async def stream_on(res, req, data):
    await asyncio.sleep(0)
    res.write("one ").write("two ")
    await res.drain()
    res.end("three")


async def send_chunks(res, req, data):
    for i in range(0, len(LARGE), 10_000):
        await res.send_chunk(LARGE[i : i + 10_000], len(LARGE))


async def read_json(res, req, data):
    res.end(await res.get_json())


async def read_stream(res, req, data):
    res.end(b"".join([piece async for piece in req.stream()]))


def on_data(res, req, data):
    pieces = []

    def collect(res, piece, is_end):
        pieces.append(piece)
        if is_end:
            res.end(b"".join(pieces))

    res.on_data(collect)


def on_data_stream(res, req, data):
    def copy(res, piece, is_end):
        res.write(piece)
        if is_end:
            res.end()

    res.on_data(copy)


def stream_later(res, req, data):
    async def writing():
        await asyncio.sleep(0)
        res.write("one ")
        await asyncio.sleep(0)
        res.end("two")

    res.run_async(writing())


def redirect(res, req, data):
    res.redirect("/ä b")


def fail(res, req, data):
    raise KeyError


async def fail_later(res, req, data):
    await asyncio.sleep(0)
    raise KeyError


def fail_in_run_async(res, req, data):
    async def failing():
        raise KeyError

    res.run_async(failing())


def fail_in_on_data(res, req, data):
    res.on_data(lambda res, piece, is_end: {}["key"])


def silent_run_async(res, req, data):
    res.run_async(asyncio.sleep(0))


def hand_on(res, req, data):
    req.set_yield(True)


async def hand_on_later(res, req, data):
    await asyncio.sleep(0)
    req.set_yield(True)


def ending(*arguments):
    return lambda res, req, data: res.end(*arguments)


BODY = b'{"key": "value"}'
SORRY = b"Internal Server Error"

# Handler, status and body of its answer. Streams have no length.
KINDS = {
    "str": (ending("täxt"), 200, "täxt".encode()),
    "bytes": (ending(b"bytes"), 200, b"bytes"),
    "none": (ending(), 200, b""),
    "dict": (ending({"a": [1]}), 200, b'{"a": [1]}'),
    "large": (ending(LARGE), 200, LARGE),
    "large str": (ending("x" * 50_000), 200, b"x" * 50_000),
    "cork_end": (lambda res, req, data: res.cork_end("corked"), 200, b"corked"),
    "cork": (lambda res, req, data: res.cork(lambda it: it.end("c")), 200, b"c"),
    "send": (lambda res, *_: res.send("s", "text/x", 203, {"X-Own": 1}), 203, b"s"),
    "status": (lambda res, *_: res.write_status(404).end("none"), 404, b"none"),
    "redirect": (redirect, 302, b""),
    "wait": (wait, 200, b"waited"),
    "read json": (read_json, 200, BODY),
    "read stream": (read_stream, 200, BODY),
    "run_async": (lambda res, *_: res.run_async(later(res)), 200, b"later"),
    "app.run_async": (
        lambda res, *_: res.app.run_async(later(res), res) and None,
        200,
        b"later",
    ),
    "on_data": (on_data, 200, BODY),
    "raise": (fail, 500, SORRY),
    "raise later": (fail_later, 500, SORRY),
    "raise in run_async": (fail_in_run_async, 500, SORRY),
    "raise in on_data": (fail_in_on_data, 500, SORRY),
    "silent": (lambda res, req, data: None, 500, SORRY),
    "silent coroutine": (in_mode("waits", lambda *_: None), 500, SORRY),
    "silent run_async": (silent_run_async, 500, SORRY),
    "write": (lambda res, *_: res.write("a").write(b"b").end("c"), 200, b"abc"),
    "write and nothing": (lambda res, *_: res.write("a").end(), 200, b"a"),
    "write coroutine": (stream, 200, b"one two three"),
    "write later coroutine": (stream_on, 200, b"one two three"),
    "write in run_async": (stream_later, 200, b"one two"),
    "write in on_data": (on_data_stream, 200, BODY),
}
# These cannot wait for an `after` that is a coroutine function.
PARTS = {
    "try_end": (lambda res, *_: res.try_end(b"part", 4) and None, 200, b"part"),
    "try_end large": (
        lambda res, *_: res.try_end(LARGE, len(LARGE)) and None,
        200,
        LARGE,
    ),
    "send_chunk": (send_chunks, 200, LARGE),
}
HANDING = {"hands on": hand_on, "hands on later": hand_on_later}
STREAMS = [name for name in KINDS if name.startswith("write")]
WHOLE = [name for name in KINDS if name not in STREAMS]
RAISING = [name for name in KINDS if name.startswith("raise")]


def ask(app, timeout=TIMEOUT, method="POST", path="/"):
    return app.test_client().request(
        method, path, body=BODY if method == "POST" else b"", timeout=timeout
    )


def change(req, res):
    assert req.get_url() == "/"
    res.write_status(299).write_header("X-After", "a").set_cookie("after", "a")
    return req


def is_changed(answer):
    fields = (answer.all("x-after"), answer.all("set-cookie"))
    return answer.status == 299 and fields == (["a"], ["after=a; Path=/"])


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
@pytest.mark.parametrize("kind", KINDS)
def test_after_changes_every_kind_of_answer(kind, modes):
    handler, status, body = KINDS[kind]
    seen = []

    def note(req, res):
        seen.append(res._head.status)
        return req

    app = App().post(
        "/",
        middleware(class_of(None, change, modes), class_of(None, note, modes), handler),
    )
    answer = ask(app)
    assert is_changed(answer)
    assert answer.body == body
    assert seen == [status]
    has_length = answer.header("content-length") is not None
    assert has_length == (kind in WHOLE)
    if kind == "redirect":
        assert answer.header("location") == "/%C3%A4%20b"
    assert len(answer.all("content-type")) <= 1


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("before", MODES)
def test_after_changes_an_answer_in_parts(kind, before):
    handler, _, body = PARTS[kind]
    seen = class_of(None, change, (before, "sync"))
    answer = ask(App().post("/", middleware(seen, handler)))
    assert is_changed(answer)
    assert answer.body == body
    assert answer.header("content-length") == str(len(body))


@pytest.mark.parametrize("mode", ["async", "waits"])
@pytest.mark.parametrize("kind", PARTS)
def test_an_answer_in_parts_tells_that_it_cannot_wait_for_after(kind, mode, caplog):
    handler, _, _ = PARTS[kind]
    seen = class_of(None, change, ("sync", mode))
    answer = ask(App().post("/", middleware(seen, handler)))
    assert "try_end cannot wait" in caplog.text
    assert answer.body == SORRY
    assert is_changed(answer)


REPLACING = {
    "str": (lambda req, res: "new", 200, b"new"),
    "bytes": (lambda req, res: b"new", 200, b"new"),
    "dict": (lambda req, res: {"new": 1}, 200, b'{"new": 1}'),
    "large": (lambda req, res: LARGE, 200, LARGE),
    "tuple": (lambda req, res: ("new", 203), 203, b"new"),
    "end": (lambda req, res: res.write_status(203).end("new") and req, 203, b"new"),
    "response": (lambda req, res: res.write_status(203).end("new"), 203, b"new"),
    "none": (lambda req, res: res.write_status(203) and None, 203, None),
    "raise": (lambda req, res: {}["key"], 500, SORRY),
}


@pytest.mark.parametrize("deed", REPLACING)
@pytest.mark.parametrize("kind", WHOLE)
def test_after_replaces_every_whole_answer(kind, deed, caplog):
    for modes in PAIRS:
        caplog.clear()
        check_replaced(kind, deed, modes, caplog)


def check_replaced(kind, deed, modes, caplog):
    handler, status, body = KINDS[kind]
    replace, new_status, new_body = REPLACING[deed]
    app = App()
    outer = class_of(
        None, lambda req, res: res.write_header("X-Outer", "o") and req, modes[::-1]
    )
    app.post("/", middleware(outer, class_of(None, replace, modes), handler))
    answer = ask(app)
    keeps_status = new_status == 200
    assert answer.status == (status if keeps_status else new_status)
    assert answer.body == (body if new_body is None else new_body)
    # Only going on lets the next one run; after an error the others run, too.
    assert (answer.header("x-outer") == "o") == (deed in ("end", "raise"))
    assert ("returned None" in caplog.text) == (deed == "none")
    if kind != "send" and deed != "none":  # whose type was said, and stays
        types = {"bytes": [], "large": [], "dict": ["application/json"]}
        wanted = types.get(deed, ["text/plain; charset=utf-8"])
        assert answer.all("content-type") == wanted
    assert answer.header("content-length") == str(len(answer.body))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["str", "dict", "bytes", "on_data", "wait"])
def test_after_may_say_another_content_type(kind, mode):
    def after(req, res):
        res.write_header("Content-Type", "application/problem+json")
        return req

    handler = KINDS[kind][0]
    answer = ask(
        App().post("/", middleware(class_of(None, after, ("sync", mode)), handler))
    )
    assert answer.all("content-type") == ["application/problem+json"]


# `try_end` tells at once what was taken, so it cannot wait for an `after`.
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *itertools.product([*WHOLE, *STREAMS], MODES),
        *((kind, "sync") for kind in PARTS),
    ],
)
@pytest.mark.parametrize("status", [204, 304])
def test_after_may_make_an_answer_one_without_a_body(kind, mode, status):
    handler = {**KINDS, **PARTS}[kind][0]
    after = class_of(
        None, lambda req, res: res.write_status(status) and req, ("sync", mode)
    )
    answer = ask(App().post("/", middleware(after, handler)))
    assert (answer.status, answer.body) == (status, b"")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "kind", [it for it in KINDS if "data" not in it and "read" not in it]
)
def test_head_gets_what_get_would(kind, mode):
    handler = KINDS[kind][0]
    app = App().get("/", middleware(class_of(None, change, ("sync", mode)), handler))
    head, whole = (ask(app, method=it) for it in ("HEAD", "GET"))
    assert is_changed(head) and is_changed(whole)
    assert head.body == b""
    assert head.header("content-length") == whole.header("content-length")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_error", ["sync", "async", "waits"])
@pytest.mark.parametrize("kind", RAISING)
def test_after_changes_what_the_error_handler_answers(kind, on_error, mode):
    app = App()
    app.on_error(
        in_mode(on_error, lambda e, res, req: res.write_status(418).end("failed"))
    )
    app.post("/", middleware(class_of(None, change, ("sync", mode)), KINDS[kind][0]))
    answer = ask(app)
    assert is_changed(answer) and answer.text == "failed"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_error", ON_ERROR)
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_in_after_is_answered_behind_every_kind(kind, on_error, mode, caplog):
    app = App()

    def answer_error(error, res, req):
        if on_error == "raises":
            raise LookupError
        if on_error != "silent":
            res.write_status(418).end("failed")

    if on_error != "none":
        app.on_error(in_mode(on_error if on_error in MODES else "sync", answer_error))
    raising = class_of(None, lambda req, res: {}["key"], ("sync", mode))
    app.post("/", middleware(class_of(None, change), raising, KINDS[kind][0]))
    answer = ask(app)
    assert is_changed(answer)
    if on_error in ("async", "waits") and kind.startswith("write"):
        assert answer.body == SORRY  # who streams does not wait for an error handler
    elif on_error in MODES and kind in RAISING:
        assert answer.body in (b"failed", SORRY)  # it may not be asked twice
    else:
        assert answer.body == (b"failed" if on_error in MODES else SORRY)


BAD = {
    "long tuple": ("a", 200, "c"),
    "status": ("a", "no status"),
    "unserialisable": {"a": object()},
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deed", BAD)
@pytest.mark.parametrize("kind", ["str", "wait", "on_data", "app.run_async", "raise"])
@pytest.mark.parametrize("on_error", ["none", "sync", "waits"])
def test_an_answer_of_after_that_cannot_be_sent_is_an_error(
    kind, deed, mode, on_error, caplog
):
    app = App()
    if on_error != "none":
        app.on_error(
            in_mode(on_error, lambda e, res, req: res.write_status(418).end("failed"))
        )
    bad = class_of(None, lambda req, res: BAD[deed], ("sync", mode))
    app.post("/", middleware(bad, KINDS[kind][0]))
    answer = ask(app)
    is_second = on_error == "waits" and kind == "raise"
    assert answer.status == (500 if on_error == "none" or is_second else 418)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["str", "wait", "on_data", "app.run_async", "write"])
def test_a_field_of_after_that_cannot_be_sent_is_an_error(kind, mode, caplog):
    def after(req, res):
        res.write_header("X-Split", "a\r\nb: c")
        return req

    answer = ask(
        App().post(
            "/", middleware(class_of(None, after, ("sync", mode)), KINDS[kind][0])
        )
    )
    assert (answer.status, answer.body) == (500, SORRY)
    assert answer.header("b") is None


# ---- streams ----


def write_and_raise(res, req, data):
    res.write("a")
    raise KeyError


async def write_wait_and_raise(res, req, data):
    res.write("a")
    await asyncio.sleep(0)
    raise KeyError


def write_and_leave(res, req, data):
    res.write("a")


async def write_wait_and_leave(res, req, data):
    res.write("a")
    await asyncio.sleep(0)


CUT = [write_and_raise, write_wait_and_raise, write_and_leave, write_wait_and_leave]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_error", ["none", "sync"])
@pytest.mark.parametrize("handler", CUT)
def test_a_stream_that_is_not_ended_never_looks_whole(serve, handler, mode, on_error):
    def setup(app):
        after = class_of(None, lambda req, res: req, ("sync", mode))
        app.get("/", middleware(after, handler))
        if on_error == "sync":
            app.on_error(lambda e, res, req: res.write_status(418).end("failed"))

    client = serve(setup).client()
    client.socket.settimeout(TIMEOUT)
    client.send(get("/"))
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.socket.recv(65536):  # a timeout fails the test
            data += piece
            if data.endswith((b"0\r\n\r\n", b"failed", SORRY)):
                break
    # Either the error's own answer or a stream that is cut off.
    assert not data.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("mode", MODES)
def test_after_runs_before_the_head_of_a_stream(serve, mode):
    calls = []
    gate = []

    async def handler(res, req, data):
        gate.append(Gate())
        calls.append("write")
        res.write("first")
        await gate[0].wait()
        calls.append("end")
        res.end("last")

    def after(req, res):
        calls.append("after")
        res.write_header("X-After", "a")
        return req

    app_class = class_of(None, after, ("sync", mode))
    server = serve(lambda app: app.get("/", middleware(app_class, handler)))
    client = server.client()
    client.send(get("/"))
    held = b""
    while b"first" not in held:
        held += client.socket.recv(65536)
    assert b"\r\nX-After: a\r\n" in held
    assert calls == ["write", "after"]
    gate[0].open(server)
    while not held.endswith(b"0\r\n\r\n"):
        held += client.socket.recv(65536)
    assert calls == ["write", "after", "end"]


@pytest.mark.parametrize("deed", ["str", "tuple", "dict", "end", "response"])
@pytest.mark.parametrize("kind", STREAMS)
def test_after_cannot_mix_its_own_answer_with_a_stream(kind, deed, caplog):
    app = App().post(
        "/", middleware(class_of(None, REPLACING[deed][0]), KINDS[kind][0])
    )
    answer = ask(app)
    body = KINDS[kind][2]
    if deed in ("end", "response"):  # an error of the `after`, before the head
        assert (answer.status, answer.body) == (500, SORRY)
    else:
        assert answer.body == body
    assert caplog.records != []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parts", [[b"a", {"b": 1}, "c"], [b"", "a", ""], [LARGE] * 3])
def test_parts_that_wait_for_after_go_out_as_they_were(parts, mode):
    def handler(res, req, data):
        for part in parts:
            res.write(bytearray(part) if isinstance(part, bytes) else part)
        res.end("end")

    after = class_of(None, lambda req, res: req, ("sync", mode))
    answer = ask(App().post("/", middleware(after, handler)))
    kinds = {bytes: bytes, str: str.encode, dict: lambda it: json.dumps(it).encode()}
    assert answer.body == b"".join(kinds[type(it)](it) for it in parts) + b"end"


@pytest.mark.parametrize("mode", MODES)
def test_a_part_is_taken_as_it_is_when_it_is_written(mode):
    raised = []

    def handler(res, req, data):
        buffer = bytearray(b"first ")
        res.write(buffer)
        buffer[:] = b"second"
        res.write(buffer)
        try:
            res.write(object())
        except TypeError as error:
            raised.append(error)
        res.end()

    after = class_of(None, lambda req, res: req, ("sync", mode))
    answer = ask(App().post("/", middleware(after, handler)))
    assert (answer.status, answer.body) == (200, b"first second")
    assert len(raised) == 1


# ---- the next route ----


def marking(name, modes=("sync", "sync")):
    return class_of(
        lambda req, res: res.write_header("X-Before", name) and req,
        lambda req, res: res.write_header("X-After", name) and req,
        modes,
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("hand", HANDING)
@pytest.mark.parametrize("classes", ["first", "both"])
def test_the_next_route_answers_in_the_same_onion(classes, hand, kind, mode):
    handler, status, body = KINDS[kind]
    a, b = marking("a", (mode, mode)), marking("b", (mode, mode))
    app = App().post("/x", middleware(a, HANDING[hand]))
    next_ = middleware(*([b] if classes == "both" else []), handler)
    answer = ask(app.post("/:any", next_), path="/x")
    assert (answer.status, answer.body) == (status, body)
    # An error's answer has nothing of what was said before, but what comes after.
    names = ["b", "a"] if classes == "both" else ["a"]
    assert answer.all("x-after") == names


@pytest.mark.parametrize("hand", HANDING)
@pytest.mark.parametrize("mode", MODES)
def test_a_route_with_classes_behind_one_without(hand, mode):
    """What is said to one client is said to no other."""

    def before(req, res):
        res.write_header("X-User", req.get_query("user"))
        return req

    def first(res, req):
        return HANDING[hand](res, req, None)

    app = App().get("/x", first)
    app.get(
        "/:any", middleware(class_of(before, change_any, (mode, mode)), ending("x"))
    )
    client = app.test_client()
    for user in ("alice", "bob"):
        answer = client.get(f"/x?user={user}")
        assert answer.all("x-user") == [user]
        assert answer.all("x-after") == ["a"]


def change_any(req, res):
    res.write_header("X-After", "a")
    return req


@pytest.mark.parametrize("how", ["read", "called", "on_aborted"])
def test_no_field_goes_to_another_client_when_something_came_before(how):
    def before(req, res):
        res.write_header("X-User", req.get_query("user"))
        return req

    chain = middleware(class_of(before, change_any), ending("x"))

    async def handler(res, req):
        if how == "read":
            await res.get_data()
        elif how == "called":
            await asyncio.sleep(0)
        else:
            res.on_aborted(lambda res: None)
        chain(res, req)

    client = App().get("/", handler).test_client()
    for user in ("alice", "bob"):
        assert client.get(f"/?user={user}").all("x-user") == [user]


@pytest.mark.parametrize("hand", HANDING)
@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
def test_handing_on_to_404_runs_after(hand, modes):
    app = App().get("/", middleware(marking("a", modes), HANDING[hand]))
    answer = app.test_client().get("/")
    assert (answer.status, answer.text) == (404, "Not Found")
    assert answer.all("x-before") == answer.all("x-after") == ["a"]


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
def test_a_class_of_use_runs_once_more_for_each_route(modes):
    app = App().use(marking("use", modes))
    app.get("/x", hand_on).get("/:any", lambda res, req: res.end("any"))
    answer = app.test_client().get("/x")
    assert answer.text == "any"
    assert answer.all("x-before") == answer.all("x-after") == ["use", "use"]


@pytest.mark.parametrize("mode", MODES)
def test_before_may_hand_the_request_on(mode):
    def before(req, res):
        req.set_yield(True)

    app = App().get(
        "/x", middleware(marking("a"), class_of(before, None, (mode, mode)), fail)
    )
    app.get("/:any", middleware(marking("b"), ending("any")))
    answer = app.test_client().get("/x")
    assert (answer.text, answer.all("x-after")) == ("any", ["b", "a"])


# ---- objects, state and context ----


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
@pytest.mark.parametrize("kind", KINDS)
def test_one_object_serves_before_and_after_of_one_request(kind, modes):
    made = []

    class Timed:
        """It need not inherit."""

        def __init__(self):
            made.append(self)

        def before(self, request, response):
            return before(self, request)

        def after(self, request, response):
            return after(self, request)

    def note(self, request):
        self.request = request
        request.state.made = self
        return request

    def check(self, request):
        assert self.request is request and request.state.made is self
        made.append("after")
        return request

    before, after = in_mode(modes[0], note), in_mode(modes[1], check)
    app = App().post("/", middleware(Timed, KINDS[kind][0]))
    for _ in range(2):
        assert ask(app).status == KINDS[kind][1]
    first, one, second, two = made
    assert one == two == "after"
    assert first is not second


def test_an_object_that_cannot_be_made_is_an_error(caplog):
    class Broken(Middleware):
        def __init__(self):
            raise KeyError("broken")

    app = App().get("/", middleware(marking("a"), Broken, ending("x")))
    answer = app.test_client().get("/")
    assert (answer.status, answer.all("x-after")) == (500, ["a"])
    assert "KeyError: 'broken'" in caplog.text


@pytest.mark.parametrize("modes", FOURS, ids=" ".join)
def test_state_is_shared_and_data_passes_classes_untouched(modes):
    def before(req, res):
        req.state.names = [*getattr(req.state, "names", []), "before"]
        return req

    def after(req, res):
        res.write_header("X-Names", "/".join(req.state.names))
        return req

    def give(res, req, data):
        assert data is None
        req.state.names.append("function")
        return {"data": 1}

    def handler(res, req, data):
        req.state.names.append("handler")
        res.end(data)

    a = class_of(before, after, modes[:2])
    b = class_of(before, None, modes[:2])
    chain = middleware(a, in_mode(modes[2], give), b, in_mode(modes[3], handler))
    answer = App().get("/", chain).test_client().get("/")
    assert answer.json() == {"data": 1}
    assert answer.header("x-names") == "before/function/before/handler"


VARIABLE = contextvars.ContextVar("variable", default="unset")


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
@pytest.mark.parametrize("kind", [*KINDS, "hands on"])
def test_a_context_variable_set_in_before_is_seen_and_reset_in_after(kind, modes):
    seen = []

    class Setting(Middleware):
        def before(self, request, response):
            return before(self, request)

        def after(self, request, response):
            return after(self, request)

    def set_it(self, request):
        self.token = VARIABLE.set("set")
        return request

    def reset(self, request):
        seen.append(VARIABLE.get())
        VARIABLE.reset(self.token)
        return request

    before, after = in_mode(modes[0], set_it), in_mode(modes[1], reset)
    handler, status, _ = KINDS.get(kind, (hand_on, 200, b""))
    app = App().post("/", middleware(Setting, handler))
    app.post("/*", lambda res, req: res.end("next"))
    answer = ask(app)
    assert (seen, answer.status) == (["set"], status)
    assert VARIABLE.get() == "unset"


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
def test_context_variables_are_not_seen_by_the_next_request(serve, modes):
    def before(req, res):
        res.write_header("X-Seen", VARIABLE.get())
        VARIABLE.set(req.get_url())
        return req

    def after(req, res):
        res.write_header("X-After", VARIABLE.get())
        return req

    chain = middleware(class_of(before, after, modes), ending("x"))
    client = serve(lambda app: app.get("/*", chain)).client()
    for _ in range(5):
        client.send(get("/a") + get("/b"))
        for path in ("/a", "/b"):
            answer = client.read()
            assert (answer["x-seen"], answer["x-after"]) == ("unset", path)


# ---- pipelines ----


@pytest.mark.parametrize("phase", ["before", "after", "handler"])
def test_requests_behind_a_suspended_chain_are_answered_in_order(serve, phase):
    gate = []

    async def waiting(req, res):
        if req.get_url() == "/wait":
            await gate[0].wait()
        res.write_header("X-Waited", phase)
        return req

    class Waiting(Middleware):
        pass

    async def method(self, request, response):
        return await waiting(request, response)

    if phase != "handler":
        setattr(Waiting, phase, method)

    async def handler(res, req, data):
        if phase == "handler":
            await waiting(req, res)
        res.end(req.get_url())

    def setup(app):
        gate.append(Gate())
        app.get("/plain", lambda res, req: res.end("/plain"))
        app.get("/*", middleware(marking("a"), Waiting, handler))

    server = serve(setup)
    client = server.client()
    targets = ["/x", "/wait", "/y", "/plain", "/z", "/wait", "/plain", "/w"]
    client.send(b"".join(map(get, targets)))
    assert client.read().body == b"/x"
    eventually(lambda: gate[0].waiting == 1)
    assert server.ask("/other").body == b"/other"
    client.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        client.read()
    client.socket.settimeout(10)
    gate[0].open(server)
    for target in targets[1:]:
        answer = client.read()
        assert (answer.status, answer.body) == (200, target.encode())
        if target != "/plain":
            assert (answer["x-after"], answer["x-waited"]) == ("a", phase)
    eventually(lambda: is_quiet(server))


def test_a_pipeline_of_all_kinds_keeps_its_order(serve):
    names = [it for it in WHOLE if it not in ("read stream",)]
    modes = cycle_of_modes()

    def setup(app):
        for number, name in enumerate(names):
            mode = next(modes)
            a = noting(f"{number}", [], mode[:2])
            app.post(
                f"/{number}", middleware(a, marking("m", mode[2:4]), KINDS[name][0])
            )

    client = serve(setup).client()
    head = f"Host: a\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    order = [*range(len(names)), *reversed(range(len(names)))]
    client.send(b"".join(b"POST /%d HTTP/1.1\r\n" % it + head for it in order))
    for number in order:
        answer = client.read()
        _, status, body = KINDS[names[number]]
        assert (answer.status, answer.body) == (status, body), names[number]
        fields = [v for k, v in answer.fields if k == "x-after"]
        assert fields == ["m", f"{number}"]


# ---- clients that leave ----

POINTS = ["before", "function", "handler", "run_async", "on_data", "stream", "after"]


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("point", POINTS)
def test_a_client_that_leaves_disturbs_nobody(
    serve, point, cancels, how, second, caplog
):
    gates = []
    ended = []

    async def wait_at(here, req):
        if here == point and req.get_query("leave"):
            try:
                await gates[0].wait()
            finally:
                ended.append(here)

    class Outer(Middleware):
        async def after(self, request, response):
            if second:
                await wait_at("after", request)
            return request

    class Inner(Middleware):
        async def before(self, request, response):
            await wait_at("before", request)
            return request

        async def after(self, request, response):
            if not second:
                await wait_at("after", request)
            return request

    async def function(res, req, data):
        await wait_at("function", req)
        return True

    async def handler(res, req, data):
        if point == "stream":
            res.write("part")
        if point in ("run_async", "on_data") and req.get_query("leave"):
            req.preserve()

            async def answering():
                await wait_at(point, req)
                res.end("late")

            if point == "run_async":
                res.run_async(answering())
            else:
                res.on_data(lambda res, piece, is_end: answering())
            return
        await wait_at("handler", req)
        await wait_at("stream", req)
        res.end("end")

    def setup(app):
        gates.append(Gate())
        app.get("/", middleware(Outer, function, Inner, handler))

    server = serve(setup, cancel_abandoned=cancels)
    client = server.client()
    client.send(get("/?leave=1"))
    eventually(lambda: gates[0].waiting == 1)
    if how == "reset":
        linger = struct.pack("ii", 1, 0)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.close()
    eventually(lambda: server.call(server.app._server.connections) == 0)
    other = server.client()
    if point != "stream":
        assert other.ask("/").body == b"end"
    if cancels and point not in ("run_async", "on_data"):
        eventually(lambda: ended == [point])  # at once
    gates[0].open(server)
    eventually(lambda: ended == [point])
    eventually(lambda: is_quiet(server))
    if point != "stream":
        assert other.ask("/").body == b"end"
    assert [it for it in caplog.records if it.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("kind", ["silent", "raise", "on_data", "app.run_async"])
def test_an_after_that_nobody_waits_for_is_cancelled_if_the_app_says_so(serve, kind):
    gates = []
    ended = []

    class Waiting(Middleware):
        async def after(self, request, response):
            try:
                await gates[0].wait()
            finally:
                ended.append("after")
            return request

    def setup(app):
        gates.append(Gate())
        app.get("/", middleware(Waiting, KINDS[kind][0]))

    server = serve(setup, cancel_abandoned=True)
    client = server.client()
    client.send(get("/"))
    eventually(lambda: gates[0].waiting == 1)
    client.close()
    eventually(lambda: server.call(server.app._server.connections) == 0)
    for _ in range(20):
        server.call(lambda: None)
    was_cancelled = ended == ["after"]
    gates[0].open(server)
    eventually(lambda: is_quiet(server))
    assert was_cancelled


@pytest.mark.parametrize("kind", ["str", "silent", "raise", "on_data", "app.run_async"])
def test_an_after_that_waits_can_tell_that_its_client_has_gone(serve, kind):
    gates = []
    told = []

    class Waiting(Middleware):
        async def after(self, request, response):
            await gates[0].wait()
            told.append(response.aborted)
            response.write_header("X-After", "ignored").end("ignored")
            return request

    def setup(app):
        gates.append(Gate())
        app.get("/", middleware(Waiting, KINDS[kind][0]))

    server = serve(setup)
    client = server.client()
    client.send(get("/"))
    eventually(lambda: gates[0].waiting == 1)
    client.close()
    eventually(lambda: server.call(server.app._server.connections) == 0)
    gates[0].open(server)
    eventually(lambda: told)
    eventually(lambda: is_quiet(server))
    assert told == [True]


@pytest.mark.parametrize("point", ["before", "handler"])
def test_after_runs_for_what_before_has_let_through_though_the_client_left(
    serve, point
):
    gates = []
    calls = []

    class Opening(Middleware):
        def before(self, request, response):
            calls.append("open")
            return request

        def after(self, request, response):
            calls.append("close")
            return request

    class Waiting(Middleware):
        async def before(self, request, response):
            if point == "before":
                await gates[0].wait()
            return request

    async def handler(res, req, data):
        if point == "handler":
            await gates[0].wait()
        res.end("x")
        calls.append("handler")

    def setup(app):
        gates.append(Gate())
        app.get("/", middleware(Opening, Waiting, handler))

    server = serve(setup)
    client = server.client()
    client.send(get("/"))
    eventually(lambda: gates[0].waiting == 1)
    client.close()
    eventually(lambda: server.call(server.app._server.connections) == 0)
    gates[0].open(server)
    eventually(lambda: is_quiet(server))
    assert calls == ["open", "handler", "close"]


# ---- access log ----


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", [*KINDS, "hands on"])
def test_the_access_log_has_one_line_with_the_final_status(kind, mode):
    lines = []
    app = App()
    app.access_log(lines.append)
    handler, _, body = KINDS.get(kind, (hand_on, 200, b"next"))
    app.post("/", middleware(class_of(None, change, ("sync", mode)), handler))
    app.post("/*", lambda res, req: res.end("next"))
    answer = ask(app)
    assert answer.status == 299
    (line,) = lines
    _, method, url, status, size, _ = line.split(" ")
    assert (method, url, status) == ("POST", "/", "299")
    assert size == ("-" if kind in STREAMS else str(len(body)))


@pytest.mark.parametrize("deed", REPLACING)
@pytest.mark.parametrize("mode", MODES)
def test_the_access_log_tells_what_after_has_made_of_the_answer(deed, mode):
    lines = []
    app = App()
    app.access_log(lines.append)
    app.use(class_of(None, REPLACING[deed][0], ("sync", mode)))
    app.get("/", lambda res, req: res.end("old"))
    for path, status in (("/", 200), ("/none", 404)):
        answer = app.test_client().get(path)
        wanted = REPLACING[deed][1]
        assert answer.status == (status if wanted == 200 else wanted)
        fields = lines.pop().split(" ")
        assert fields[2:5] == [path, str(answer.status), str(len(answer.body))]
        assert lines == []


# ---- what a response says of itself ----


@pytest.mark.parametrize("modes", PAIRS, ids=" ".join)
def test_has_responded_and_aborted_tell_the_truth_inside(modes):
    told = []

    def tell(req, res):
        told.append((res.has_responded(), res.aborted))
        return req

    def handler(res, req, data):
        tell(req, res)
        res.end("x")
        tell(req, res)
        with pytest.raises(RuntimeError, match="ended already"):
            res.end("y")

    chain = middleware(class_of(tell, tell, modes), in_mode(modes[0], handler))
    assert App().get("/", chain).test_client().get("/").text == "x"
    assert told == [(False, False), (False, False), (True, False), (True, False)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("place", ["before", "handler", "after", "ended"])
def test_close_within_a_chain_closes(serve, place, mode, caplog):
    def close(req, res):
        res.close()
        return req

    def handler(res, req, data):
        if place == "handler":
            res.close()
        res.end("x")
        if place == "ended":
            res.close()

    cls = {
        "before": class_of(close, None, (mode, mode)),
        "after": class_of(None, close, (mode, mode)),
    }.get(place, marking("a", (mode, mode)))
    server = serve(lambda app: app.get("/", middleware(cls, in_mode(mode, handler))))
    client = server.client()
    client.send(get("/"))
    if place in ("after", "ended"):
        answer = client.read()
        assert (answer.body, answer["connection"]) == (b"x", "close")
    assert client.is_closed_by_server()
    eventually(lambda: is_quiet(server))
    assert [it for it in caplog.records if it.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("mode", MODES)
def test_end_connection_closes_behind_the_answer(serve, mode):
    def handler(res, req, data):
        res.end("x", end_connection=True)

    chain = middleware(marking("a", (mode, mode)), handler)
    client = serve(lambda app: app.get("/", chain)).client()
    client.send(get("/") * 2)
    answer = client.read()
    assert (answer["x-after"], answer["connection"]) == ("a", "close")
    assert client.is_closed_by_server()


# ---- log lines ----


@pytest.mark.parametrize("mode", MODES)
def test_the_log_names_who_has_stopped_without_an_answer(mode, caplog):
    class Guard(Middleware):
        if mode == "sync":

            def before(self, request, response):
                pass

        else:

            async def before(self, request, response):
                if mode == "waits":
                    await asyncio.sleep(0)

    for app in (
        App().get("/", middleware(marking("a"), Guard, ending("x"))),
        App().use(Guard).get("/", lambda res, req: res.end("x")),
    ):
        caplog.clear()
        assert app.test_client().get("/").status == 500
        (record,) = caplog.records
        text = record.getMessage()
        assert text.startswith("GET / (") and "Guard.before" in text
        line = Guard.before.__code__.co_firstlineno
        assert f"({__file__}:{line})" in text


@pytest.mark.parametrize("mode", MODES)
def test_the_log_names_the_after_that_has_returned_none(mode, caplog):
    class Forgetful(Middleware):
        if mode == "sync":

            def after(self, request, response):
                pass

        else:

            async def after(self, request, response):
                if mode == "waits":
                    await asyncio.sleep(0)

    app = App().get("/", middleware(marking("a"), Forgetful, ending("x")))
    answer = app.test_client().get("/")
    assert (answer.status, answer.text, answer.all("x-after")) == (200, "x", [])
    (record,) = caplog.records
    text = record.getMessage()
    line = Forgetful.after.__code__.co_firstlineno
    assert "Forgetful.after" in text and f"({__file__}:{line})" in text
    assert text.startswith("GET / (") and "returned None" in text


def test_stop_iteration_reaches_the_error_handler_as_it_is():
    def handler(res, req, data):
        next(iter(()))

    errors = []
    app = App().get("/", middleware(marking("a"), handler))
    app.on_error(lambda error, res, req: errors.append(type(error)))
    assert app.test_client().get("/").status == 500
    assert errors == [StopIteration]


# ---- registration ----


class NoAfter:
    def before(self, request, response):
        return request


class NoBefore:
    def after(self, request, response):
        return request


class NotCallable(Middleware):
    before = "before"


class AfterNotCallable(Middleware):
    after = 7


class AfterNone(Middleware):
    after = None


class TooMany(Middleware):
    def before(self, request, response, more):
        return request


class TooFew(Middleware):
    def after(self, request):
        return request


class NoSelf(Middleware):
    def before(request, response):
        return request


class KeywordOnly(Middleware):
    def before(self, request, response, *, more):
        return request


class StaticWithSelf(Middleware):
    @staticmethod
    def before(self, request, response):
        return request


class WithArguments(Middleware):
    def __init__(self, option):
        pass


REFUSED = {
    NoAfter: "NoAfter has no method 'after'",
    NoBefore: "NoBefore has no method 'before'",
    NotCallable: "has no method 'before'",
    AfterNotCallable: "has no method 'after'",
    AfterNone: "has no method 'after'",
    TooMany: "TooMany.before",
    TooFew: "TooFew.after",
    NoSelf: "NoSelf.before",
    KeywordOnly: "KeywordOnly.before",
    StaticWithSelf: "StaticWithSelf.before",
    WithArguments: "WithArguments",
    int: "int",
    dict: "dict",
}

PLACES = {
    "middleware()": lambda app, it: middleware(it, ending("x")),
    "use()": lambda app, it: app.use(it),
    "router('/p')": lambda app, it: app.router("/p", it),
    "MiddlewareRouter()": lambda app, it: MiddlewareRouter(app, it),
    "GET /m": lambda app, it: app.get("/m", ending("x"), middlewares=[it]),
}


@pytest.mark.parametrize("cls", REFUSED)
@pytest.mark.parametrize("place", PLACES)
def test_a_class_that_cannot_be_middleware_is_refused(cls, place):
    app = App()
    with pytest.raises(RouteError) as error:
        PLACES[place](app, cls)
    text = str(error.value)
    assert text.startswith(f"{place}: ") and REFUSED[cls] in text
    # The app goes on as if nothing was said.
    assert app.get("/m", lambda res, req: res.end("m")) is app
    assert app.test_client().get("/m").text == "m"


class Static(Middleware):
    @staticmethod
    def before(request, response):
        return request

    @classmethod
    def after(cls, request, response):
        response.write_header("X-After", cls.__name__)
        return request


class WithValues(Middleware):
    def before(self, request, response, *values, **more):
        return request

    def after(self, request, response, minutes=5):
        response.write_header("X-After", f"{minutes}")
        return request


class WithDefault(Middleware):
    def __init__(self, option="default"):
        self.option = option

    def after(self, request, response):
        response.write_header("X-After", self.option)
        return request


class Doubly(WithDefault):
    async def before(self, request, response):
        return await asyncio.sleep(0, request)


class WithCallable(Middleware):
    class _After:
        def __call__(self, request, response):
            response.write_header("X-After", "object")
            return request

    after = _After()


ALLOWED = {
    Static: "Static",
    WithValues: "5",
    WithDefault: "default",
    Doubly: "default",
    WithCallable: "object",
}


@pytest.mark.parametrize("cls", ALLOWED)
def test_classes_of_other_shapes_are_middleware(cls):
    answer = App().get("/", middleware(cls, ending("x"))).test_client().get("/")
    assert (answer.status, answer.all("x-after")) == (200, [ALLOWED[cls]])


def test_an_object_of_a_class_is_not_taken_for_one():
    with pytest.raises(RouteError, match="is not callable"):
        middleware(WithDefault(), ending("x"))


def test_a_class_alone_is_no_handler():
    with pytest.raises(RouteError):
        App().get("/", WithDefault)


def test_the_base_class_does_nothing():
    answer = App().get("/", middleware(Middleware, ending("x"))).test_client().get("/")
    assert (answer.status, answer.text) == (200, "x")


def test_a_class_last_in_a_chain_leaves_it_unanswered(caplog):
    app = App().get("/", middleware(WithDefault))
    assert app.test_client().get("/").status == 500
    assert "returned without an answer" in caplog.text


def test_classes_have_their_names_wherever_chains_are_told():
    chain = middleware(Doubly, TellMe, ending("x"))
    assert "Doubly" in repr(chain) and "TellMe" in repr(chain)
    app = App().use(WithDefault).get("/", chain)
    names = [member.name for member in app.match("GET", "/").routes[0].members]
    assert [name.rpartition(".")[2] for name in names[:3]] == [
        "WithDefault",
        "Doubly",
        "TellMe",
    ]
    first = app.routes()[0].members[2]
    lines, start = inspect.getsourcelines(TellMe)
    assert first.file == __file__ and start <= first.line <= start + len(lines)


class TellMe(Middleware):
    def after(self, request, response):
        return request


def test_a_route_of_classes_has_a_name_without_an_address(caplog):
    app = App().get("/", middleware(ending("x"), TellMe))
    app.get("/none", middleware(TellMe))
    assert app.test_client().get("/none").status == 500
    assert "object at 0x" not in caplog.text
    assert json.dumps([it.members[-1].name for it in app.routes()]).count("0x") == 0


def test_an_after_that_runs_late_does_not_see_another_requests_variables(serve):
    """A context in which nothing was set serves the next request."""
    seen = []

    class Seeing(Middleware):
        def after(self, request, response):
            seen.append(VARIABLE.get())
            return request

    async def late(res, req, data):
        await asyncio.sleep(0)
        res.on_data(lambda res, chunk, is_end: res.end("late") if is_end else None)

    async def set_and_wait(res, req):
        VARIABLE.set("another's")
        begun.append(1)
        await asyncio.sleep(0.3)
        res.end("set")

    def setup(app):
        app.post("/late", middleware(Seeing, late)).get("/set", set_and_wait)

    begun = []
    server = serve(setup)
    client = server.client()
    client.send(b"POST /late HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
    others = [server.client() for _ in range(5)]
    for other in others:
        other.ask("/nothing")  # what was sent before is at work by now
        other.send(get("/set"))
    eventually(lambda: len(begun) == 5)
    client.send(b"b")
    assert client.read().body == b"late"
    assert [other.read().body for other in others] == [b"set"] * 5
    assert seen == ["unset"]


def raise_cancelled(res, req, *data):
    raise asyncio.CancelledError


@pytest.mark.parametrize("kind", ["bare", "chain", "class", "on_data"])
def test_a_plain_function_that_raises_cancelled_ends_nothing_but_itself(serve, kind):
    def on_data(res, req):
        res.on_data(lambda res, chunk, is_end: raise_cancelled(res, req))

    handlers = {
        "bare": raise_cancelled,
        "chain": middleware(ending_data, raise_cancelled),
        "class": middleware(marking("a"), raise_cancelled),
        "on_data": on_data,
    }
    client = serve(
        lambda app: app.get("/", handlers[kind]).get("/b", answer_b)
    ).client()
    assert client.ask().status == 500
    assert client.ask("/b").body == b"b"


def ending_data(res, req, data):
    return "data"


def answer_b(res, req):
    res.end("b")


@pytest.mark.parametrize("kind", ["on_data", "silent", "coroutine"])
def test_an_after_that_is_cancelled_by_what_it_awaits_is_an_error(serve, kind):
    class Cancelled(Middleware):
        async def after(self, request, response):
            task = asyncio.ensure_future(asyncio.sleep(10))
            task.cancel()
            await task

    async def coroutine(res, req, data):
        await asyncio.sleep(0)
        res.end("x")

    def late(res, req, data):
        res.on_data(lambda res, chunk, is_end: res.end("x"))

    handlers = {"on_data": late, "silent": lambda *_: None, "coroutine": coroutine}
    client = serve(
        lambda app: app.get("/", middleware(Cancelled, handlers[kind]))
    ).client()
    assert client.ask().status == 500


def test_what_is_set_on_the_way_through_routes_stays_with_its_request(serve):
    async def wait(res, req, data):
        VARIABLE.set(req.get_query("id"))
        await asyncio.sleep(0)
        res.end([SECOND.get(), VARIABLE.get()])

    def hand_on_here(res, req):
        SECOND.set(req.get_query("id"))
        req.set_yield(True)

    def setup(app):
        app.get("/a/b", hand_on_here).get("/a/*", middleware(wait))
        app.get("/plain", lambda res, req: res.end([SECOND.get(), VARIABLE.get()]))
        app.get("/other", other)

    async def other(res, req):
        await asyncio.sleep(0)
        res.end([SECOND.get(), VARIABLE.get()])

    client = serve(setup).client()
    for n in range(1, 5):
        assert json.loads(client.ask(f"/a/b?id={n}").body) == [str(n), str(n)]
        for path in ("/plain", "/other"):
            assert json.loads(client.ask(path).body) == ["unset", "unset"]


SECOND = contextvars.ContextVar("second", default="unset")


def test_what_an_after_sets_for_a_client_that_left_is_not_seen_by_others(serve):
    class Setting(Middleware):
        def after(self, request, response):
            VARIABLE.set("of one that left")
            ran.append(1)
            return request

    def hang(res, req, data):
        res.grab_aborted_handler()

    def setup(app):
        app.get("/hang", middleware(Setting, hang))
        app.get("/plain", lambda res, req: res.end(VARIABLE.get()))

    ran = []
    server = serve(setup)
    leaving = server.client()
    leaving.send(get("/hang"))
    server.ask("/plain")
    leaving.close()
    eventually(lambda: ran == [1])
    assert server.ask("/plain").body == b"unset"
