"""Chains: middlewares in front of a handler, in every shape."""

import asyncio
import contextvars
import functools
import itertools
import json
import logging
import re
import sys
import types
from dataclasses import dataclass, field
from unittest import mock

import pytest
from test_coroutines import (  # noqa: F401
    Gate,
    eventually,
    full_batches,
    get,
    preserved,
)

from socketify_mw import App, MiddlewareRouter, RouteError, eager, middleware, turns

VERBS = ["get", "post", "options", "delete", "patch"]
VERBS += ["put", "head", "connect", "trace", "any"]


@pytest.fixture(autouse=True)
def no_warning_about_time(monkeypatch):
    """Keep a busy machine out of the logs, which are compared."""
    monkeypatch.setattr(turns, "_BLOCKING_SECONDS", 3600)


class Unsure:
    """A value of which nobody can say whether it is falsy."""

    def __bool__(self):
        raise ValueError("neither true nor false")


# ---- the table: each member is told what to do, and notes that it was called ----

FALSY = [False, None, 0, "", [], {}, b""]
MODES = ["sync", "async", "waits"]
DRESSES = ["plain", "partial", "object", "decorated", "method"]

# What a member does: (deed, value that it returns). "pass" adds its name to the data.
DEEDS = [
    ("pass", None),
    ("raise", None),
    ("return", Unsure()),
    ("answer", None),
    ("answer and pass", None),
    *(("return", value) for value in FALSY),
]


@dataclass
class Member:
    """A function under test. `calls` is what all members of a case have noted."""

    name: str
    mode: str
    dress: str
    deed: str
    value: object
    calls: list = field(default_factory=list)

    def act(self, res, data):
        self.calls.append((self.name, data))
        if self.deed == "raise":
            raise KeyError(self.name)
        if "answer" in self.deed:
            res.end([self.name, data])
        return [*(data or []), self.name] if "pass" in self.deed else self.value

    def function(self):
        """Return the member as a function of its mode, in its dress."""
        kind = PLAIN if self.mode == "sync" else ASYNC
        return kind[self.dress](self)

    @property
    def line(self):
        """Where its code begins."""
        return LINES[self.mode == "sync", self.dress]


async def act_async(member, res, data):
    if member.mode == "waits":
        await asyncio.sleep(0)
    return member.act(res, data)


class PlainObject:
    def __init__(self, member):
        self.member = member

    def __call__(self, res, req, data):
        return self.member.act(res, data)

    def method(self, res, req, data):
        return self.member.act(res, data)


class AsyncObject:
    def __init__(self, member):
        self.member = member

    async def __call__(self, res, req, data):
        return await act_async(self.member, res, data)

    async def method(self, res, req, data):
        return await act_async(self.member, res, data)


def plain_with_prefix(member, res, req, data):
    return member.act(res, data)


async def async_with_prefix(member, res, req, data):
    return await act_async(member, res, data)


def plain_function(member):
    def function(res, req, data):
        return member.act(res, data)

    return function


def async_function(member):
    async def function(res, req, data):
        return await act_async(member, res, data)

    return function


def decorated(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


PLAIN = {
    "plain": plain_function,
    "partial": lambda member: functools.partial(plain_with_prefix, member),
    "object": PlainObject,
    "decorated": lambda member: decorated(plain_function(member)),
    "method": lambda member: PlainObject(member).method,
}
ASYNC = {
    "plain": async_function,
    "partial": lambda member: functools.partial(async_with_prefix, member),
    "object": AsyncObject,
    "decorated": lambda member: decorated(async_function(member)),
    "method": lambda member: AsyncObject(member).method,
}


def line_of(function):
    return f"{__file__}:{function.__code__.co_firstlineno}"


LINES = {
    (True, "plain"): line_of(plain_function(None)),
    (True, "partial"): line_of(plain_with_prefix),
    (True, "object"): line_of(PlainObject.__call__),
    (True, "decorated"): line_of(plain_function(None)),
    (True, "method"): line_of(PlainObject.method),
    (False, "plain"): line_of(async_function(None)),
    (False, "partial"): line_of(async_with_prefix),
    (False, "object"): line_of(AsyncObject.__call__),
    (False, "decorated"): line_of(async_function(None)),
    (False, "method"): line_of(AsyncObject.method),
}


def call_chain(*functions):
    """Return a function that calls a chain, which the chain around it cannot see."""
    inner = middleware(*functions)

    def calling(res, req, data):
        return inner(res, req, data)

    return calling


CALLING = line_of(call_chain(lambda res, req, data: data))

# How members a, b, c are joined, and which of them stand behind `call_chain`.
NESTINGS = {
    "flat": (lambda a, b, c: (a, b, c), ""),
    "first": (lambda a, b, c: (middleware(a, b), c), ""),
    "middle": (lambda a, b, c: (a, middleware(b), c), ""),
    "last": (lambda a, b, c: (a, middleware(b, c)), ""),
    "deep": (
        lambda a, b, c: (middleware(a, middleware(middleware(b), middleware(c))),),
        "",
    ),
    "called first": (lambda a, b, c: (call_chain(a, b), c), "ab"),
    "called middle": (lambda a, b, c: (a, call_chain(b), c), "b"),
    "called last": (lambda a, b, c: (a, call_chain(b, middleware(c))), "bc"),
}


def by_middleware(app, path, functions):
    app.get(path, middleware(*functions))


def by_argument(app, path, functions):
    app.get(path, functions[-1], middlewares=functions[:-1])


def by_middleware_router(app, path, functions):
    MiddlewareRouter(app, *functions[:-1]).get(path, functions[-1])


def by_router(app, path, functions):
    *most, last = functions
    outer, inner = most[:1], most[1:]
    app.router("/", *outer).get(path, middlewares=inner)(last)


WAYS = [by_middleware, by_argument, by_middleware_router, by_router]


@dataclass
class Expected:
    """What a case is to give."""

    calls: list
    status: int = 200
    answer: object = None  # parsed
    error: type[Exception] | None = None
    has_answered: bool = False  # before the error
    stopped: Member | None = None  # without an answer


def reference(members):
    """Say what a chain does, as straight as the contract says it."""
    it = Expected([])
    data = None
    for member in members:
        it.calls.append((member.name, data))
        answers = "answer" in member.deed
        if answers and not it.has_answered:
            it.has_answered, it.answer = True, [member.name, data]
        elif answers:
            it.error = RuntimeError  # ended twice
        if member.deed == "raise":
            it.error = KeyError
        elif isinstance(member.value, Unsure):
            it.error = ValueError
        if it.error is not None:
            break
        data = [*(data or []), member.name] if "pass" in member.deed else member.value
        if not data:
            break
    if not it.has_answered:
        it.status = 500 if it.error is None else 418
        it.stopped = member if it.error is None else None
    return it


def cases():
    """Yield members: each deed in each place of chains of all modes.

    Dresses go round, in strides that let each meet each mode, place and deed.
    """
    number = 0
    for place, deed in itertools.product(range(3), DEEDS):
        for modes in itertools.product(MODES, repeat=3):
            number += 1
            yield [
                Member(
                    "abc"[i],
                    mode,
                    DRESSES[(number + i * 2) % len(DRESSES)],
                    *(deed if i == place else ("answer" if i == 2 else "pass", None)),
                )
                for i, mode in enumerate(modes)
            ]


class Site:
    """An app with many chains, and what it tells about errors."""

    def __init__(self, caplog):
        self.app = App()
        self.app.on_error(self.fail)
        self.client = self.app.test_client()
        self.errors = []
        self.caplog = caplog

    def fail(self, error, res, req):
        self.errors.append((type(error), req.get_url()))
        res.write_status(418).end("failed")

    def check(self, path, members, calling=""):
        """Ask for a chain of members, and compare all it does with the reference."""
        calls = []
        for member in members:
            member.calls = calls
        self.errors.clear()
        self.caplog.clear()
        answer = self.client.get(path)
        expected = reference(members)
        assert calls == expected.calls
        assert answer.status == expected.status
        if expected.has_answered:
            assert answer.json() == expected.answer
        is_told = expected.error is not None and not expected.has_answered
        assert self.errors == ([(expected.error, path)] if is_told else [])
        records = [it for it in self.caplog.records if it.levelno >= logging.WARNING]
        if expected.error is not None and expected.has_answered:
            (record,) = records
            assert record.exc_info[0] is expected.error
        elif expected.stopped is not None:
            (record,) = records
            text = record.getMessage()
            is_inside = expected.stopped.name in calling
            line = CALLING if is_inside else expected.stopped.line
            assert text.startswith(f"GET {path} (") and f"({line})" in text
            assert "call res.end()" in text
        else:
            assert records == []


@pytest.fixture
def site(caplog):
    return Site(caplog)


@pytest.mark.parametrize("nesting", NESTINGS)
def test_chains_of_all_shapes_do_what_the_reference_says(site, nesting):
    join, calling = NESTINGS[nesting]
    for number, members in enumerate(cases()):
        path = f"/{number}"
        functions = join(*(member.function() for member in members))
        WAYS[number % len(WAYS)](site.app, path, functions)
        site.check(path, members, calling)


def test_the_table_has_each_dress_with_each_mode_place_and_deed():
    tried = {
        (place, it.dress, it.mode, it.deed, repr(it.value))
        for members in cases()
        for place, it in enumerate(members)
    }
    for place, deed in itertools.product(range(3), DEEDS):
        for dress, mode in itertools.product(DRESSES, MODES):
            kind, value = deed
            assert (place, dress, mode, kind, repr(value)) in tried


@pytest.mark.parametrize("deed", DEEDS, ids=str)
def test_a_chain_of_one_does_what_the_reference_says(site, deed):
    for number, (mode, dress) in enumerate(itertools.product(MODES, DRESSES)):
        member = Member("a", mode, dress, *deed)
        site.app.get(f"/{number}", middleware(member.function()))
        site.check(f"/{number}", [member])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deed", DEEDS, ids=str)
def test_members_of_use_stand_in_front_of_the_routes_own(site, mode, deed):
    for number, (second, third) in enumerate(itertools.product(MODES, MODES)):
        site.app = App()
        site.app.on_error(site.fail)
        site.client = site.app.test_client()
        dresses = itertools.islice(itertools.cycle(DRESSES), number, None)
        members = [
            Member("a", mode, next(dresses), *deed),
            Member("b", second, next(dresses), "pass", None),
            Member("c", third, next(dresses), "answer", None),
        ]
        first, *rest = (member.function() for member in members)
        if number % 2:
            site.app.use(first)
        site.app.get("/", middleware(*rest))
        if not number % 2:
            site.app.use(first)
        site.check("/", members)


# ---- what members are given ----


def name(res, req, data):
    return [*(data or []), "name"]


def tell(res, req, data):
    res.end(data if data is None else {"data": data})


async def tell_late(res, req, data):
    await asyncio.sleep(0)
    tell(res, req, data)


def two(res, req):
    res.end("two")


def test_the_first_member_has_no_data():
    client = App().get("/", middleware(tell)).test_client()
    assert client.get("/").body == b""


def test_a_handler_has_data_behind_middlewares_alone():
    def handler(res, req, *data):
        res.end([len(data), *data])

    app = App().get("/bare", handler).get("/behind", handler, middlewares=[name])
    MiddlewareRouter(app).get("/none", handler)
    app.router().get("/router")(handler)
    client = app.test_client()
    for path in ("/bare", "/none", "/router"):
        assert client.get(path).json() == [0]
    assert client.get("/behind").json() == [1, ["name"]]
    app.use(name)
    assert client.get("/bare").json() == [1, ["name"]]


def test_what_can_be_awaited_is_awaited_whatever_it_is():
    class Awaitable:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return ["awaited"]

    def future(res, req, data):
        made = res.app.loop.create_future()
        res.app.loop.call_soon(made.set_result, [*data, "future"])
        return made

    async def give(data):
        await asyncio.sleep(0)
        return [*data, "task"]

    def task(res, req, data):
        return asyncio.ensure_future(give(data))

    chain = middleware(lambda res, req, data: Awaitable(), future, task, tell)
    answer = App().get("/", chain).test_client().get("/")
    assert answer.json() == {"data": ["awaited", "future", "task"]}


def test_a_chain_hands_its_last_value_to_whoever_calls_it():
    inner = middleware(name, name)
    late = middleware(name, lambda res, req, data: asyncio.sleep(0, data))

    async def call(res, req, data):
        res.end([inner(res, req), inner(res, req, ["given"]), await late(res, req)])

    found = App().get("/", middleware(call)).test_client().get("/").json()
    assert found == [["name"] * 2, ["given", "name", "name"], ["name"]]


def test_an_async_generator_is_a_value_like_others():
    async def numbers():
        yield 1

    def generate(res, req, data):
        return numbers()

    async def take(res, req, data):
        res.end([number async for number in data])

    client = App().get("/", middleware(generate, take)).test_client()
    assert client.get("/").json() == [1]


def test_a_generator_is_a_value_and_one_of_types_coroutine_is_awaited():
    @types.coroutine
    def awaited(res, req, data):
        yield
        return [*data, "awaited"]

    def take(res, req, data):
        return list(data)

    plain = middleware(lambda res, req, data: iter("ab"), take)
    generated = middleware(lambda res, req, data: (it for it in "ab"), take)
    for first in (plain, generated):
        client = App().get("/", middleware(first, awaited, tell)).test_client()
        assert client.get("/").json() == {"data": ["a", "b", "awaited"]}


# ---- where routes are registered ----


@pytest.mark.parametrize("verb", VERBS)
def test_a_middleware_router_has_each_verb(verb):
    app = App()
    router = MiddlewareRouter(app, name)
    path = "/*" if verb == "connect" else "/a"
    assert getattr(router, verb)(path, tell) is router
    check_verb(app, verb)


@pytest.mark.parametrize("verb", VERBS)
def test_a_router_has_each_verb_and_returns_the_handler(verb):
    app = App()
    router = app.router("" if verb == "connect" else "/a", name)
    path = "/*" if verb == "connect" else ""
    assert getattr(router, verb)(path)(tell) is tell
    check_verb(app, verb)


def check_verb(app, verb):
    method = "BREW" if verb == "any" else verb.upper()
    target = "a:1" if verb == "connect" else "/a"
    answer = app.test_client().request(method, target)
    assert answer.status == 200
    if verb not in ("head", "connect"):
        assert answer.json() == {"data": ["name"]}


def adding(text):
    return lambda res, req, data: [*(data or []), text]


@pytest.mark.parametrize(
    ("outer", "inner", "path", "url"),
    [
        ("/a", "/b", "/c", "/a/b/c"),
        ("/a/", "/b/", "/c", "/a/b/c"),
        ("/a/", "b", "c", "/a/b/c"),
        ("/", "/", "/", "/"),
        ("", "", "/", "/"),
        ("/a", "", "", "/a"),
        ("/a", "/", "/", "/a/"),
        ("", "/b", "/c/", "/b/c/"),
        ("/users/:id", "/posts", "/:post", "/users/7/posts/8"),
        ("/:id", "/*", "", "/7/anything/else"),
    ],
)
def test_routers_nest_and_join_their_slashes(outer, inner, path, url):
    app = App()
    under = app.router(outer, adding("outer")).router(inner, adding("inner"))

    @under.get(path, middlewares=[adding("route"), adding("last")])
    def handler(res, req, data):
        res.end([data, req.get_parameters(), req.get_parameter("id")])

    data, parameters, number = app.test_client().get(url).json()
    assert data == ["outer", "inner", "route", "last"]
    assert parameters == re.findall(r"\d", url)
    assert number == (parameters[0] if parameters else None)


def test_the_middlewares_of_one_router_are_not_anothers():
    app = App()
    outer = app.router("/outer", adding("outer"))
    outer.router("/inner", adding("inner")).get("/")(tell)
    outer.get("/")(tell)
    outer.get("/more", middlewares=[adding("more")])(tell)
    outer.get("/less")(tell)
    client = app.test_client()
    assert client.get("/outer/inner/").json() == {"data": ["outer", "inner"]}
    assert client.get("/outer/").json() == {"data": ["outer"]}
    assert client.get("/outer/more").json() == {"data": ["outer", "more"]}
    assert client.get("/outer/less").json() == {"data": ["outer"]}


def test_a_limit_of_bodies_holds_behind_middlewares():
    app = App()
    app.router("/a", name).post("/", max_body=3)(tell)
    MiddlewareRouter(app, name).post("/b", tell, max_body=3)
    for path in ("/a/", "/b"):
        assert app.test_client().post(path, body="abc").status == 200
        assert app.test_client().post(path, body="abcd").status == 413


# ---- what is refused when it is registered ----


class Two:
    def __call__(self, res, req):
        two(res, req)

    def method(self, res, req):
        two(res, req)


def with_prefix(prefix, res, req):
    two(res, req)


TWOS = {
    "function": (two, two),
    "coroutine": (lambda res, req: asyncio.sleep(0), None),
    "object": (Two(), Two.__call__),
    "method": (Two().method, Two.method),
    "partial": (functools.partial(with_prefix, 1), with_prefix),
    "decorated": (decorated(two), two),
    "decorated partial": (decorated(functools.partial(with_prefix, 1)), with_prefix),
}


@pytest.mark.parametrize("kind", TWOS)
@pytest.mark.parametrize(
    "register",
    [
        lambda app, it: app.get("/", it, middlewares=[name]),
        lambda app, it: MiddlewareRouter(app, name).get("/", it),
        lambda app, it: app.router("", name).get("/")(it),
        lambda app, it: app.router().get("/", middlewares=[name])(it),
        lambda app, it: middleware(name, it),
        lambda app, it: MiddlewareRouter(app, it),
        lambda app, it: app.router("", it),
        lambda app, it: app.use(it),
    ],
)
def test_a_function_of_two_arguments_is_refused_with_its_place_and_the_cure(
    register, kind
):
    function, inner = TWOS[kind]
    with pytest.raises(RouteError) as error:
        register(App(), function)
    text = str(error.value)
    line = line_of(inner or function)
    assert line in text and "third parameter" in text
    if inner is not None:
        assert inner.__qualname__.partition(".")[0] in text


@pytest.mark.parametrize("kind", [it for it in TWOS if it != "coroutine"])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_handler_of_two_arguments_works_behind_use(kind, is_late):
    app = App()
    if not is_late:
        app.use(name)
    app.get("/", TWOS[kind][0])
    if is_late:
        app.use(name)
    assert app.test_client().get("/").text == "two"


@pytest.mark.parametrize("kind", ["object", "partial"])
def test_a_handler_of_two_arguments_behind_use_is_named_in_the_log(caplog, kind):
    class Silent:
        def __call__(self, res, req):
            pass

    def silent(number, res, req):
        pass

    handler = Silent() if kind == "object" else functools.partial(silent, 1)
    inner = Silent.__call__ if kind == "object" else silent
    app = App().use(name).get("/", handler)
    assert app.test_client().get("/").status == 500
    assert f"({line_of(inner)}) returned without an answer" in caplog.text
    assert "bare_member" not in caplog.text


def test_a_handler_that_needs_data_is_refused_where_there_is_none():
    with pytest.raises(RouteError, match=re.escape(line_of(tell))):
        App().get("/", tell)


def test_a_decorator_may_change_what_a_handler_takes():
    def with_two(function):
        @functools.wraps(function)
        def wrapper(res, req, data):
            return function(res, req)

        return wrapper

    def with_database(function):
        @functools.wraps(function)
        def wrapper(res, req):
            return function(res, req, "database")

        return wrapper

    app = App().get("/a", with_two(two), middlewares=[name])
    app.get("/b", with_database(tell))
    assert app.test_client().get("/a").text == "two"
    assert app.test_client().get("/b").json() == {"data": "database"}


@pytest.mark.parametrize("value", [None, "name", 3, [name]])
def test_what_cannot_be_called_is_refused(value):
    app = App()
    registrations = [
        lambda: middleware(value),
        lambda: MiddlewareRouter(app, value),
        lambda: app.router("", value),
        lambda: app.use(value),
        lambda: app.get("/", value),
        lambda: app.get("/", tell, middlewares=[value]),
    ]
    for register in registrations:
        with pytest.raises(RouteError, match="is not callable"):
            register()


def test_a_chain_of_nothing_is_refused():
    with pytest.raises(RouteError, match="at least one"):
        middleware()


def test_a_mock_may_stand_in_a_chain(caplog):
    stub = mock.MagicMock(return_value=["stub"])
    app = App().get("/", middleware(stub, tell)).get("/silent", middleware(stub))
    assert app.test_client().get("/").json() == {"data": ["stub"]}
    assert app.test_client().get("/silent").status == 500
    assert "returned without an answer" in caplog.text


# ---- use ----


@pytest.mark.parametrize("mode", MODES)
def test_members_of_use_run_for_every_request(mode):
    seen = []

    async def note_async(res, req, data):
        if mode == "waits":
            await asyncio.sleep(0)
        return note(res, req, data)

    def note(res, req, data):
        seen.append(req.get_method() + " " + req.get_url())
        res.write_header("X-Noted", "yes")
        return True

    app = App().get("/early", two)
    app.use(note if mode == "sync" else note_async)
    app.post("/late", two)
    client = app.test_client()
    asked = [
        ("GET", "/early", 200),
        ("POST", "/late", 200),
        ("HEAD", "/early", 200),
        ("GET", "/nothing", 404),
        ("GET", "/late", 405),
        ("OPTIONS", "/late", 204),
        ("OPTIONS", "*", 204),
    ]
    for method, path, status in asked:
        answer = client.request(method, path)
        assert (answer.status, answer.header("x-noted")) == (status, "yes")
    app.not_found(lambda res, req: res.write_status(404).end("mine"))
    answer = client.get("/nothing")
    assert (answer.text, answer.header("x-noted")) == ("mine", "yes")
    assert seen == [f"{method} {path}" for method, path, _ in asked] + ["GET /nothing"]


def test_what_not_found_is_given_may_take_data():
    app = App().use(name)
    assert app.not_found(tell) is tell
    assert app.test_client().get("/nothing").json() == {"data": ["name"]}


def test_members_of_use_run_in_order_and_may_be_chains():
    app = App().get("/", tell, middlewares=[adding("own")])
    app.use(adding("1"), middleware(adding("2"), adding("3"))).use(adding("4"))
    found = app.test_client().get("/").json()
    assert found == {"data": ["1", "2", "3", "4", "own"]}


# ---- what chains cost ----


class Counting:
    """Tasks that were made, and rounds of the loop, since it was asked last."""

    def __init__(self, server, monkeypatch):
        self.tasks = 0
        self.rounds = 0
        loop = server.app.loop
        select = loop.turns.select

        def counting(task):
            def make(*arguments, **options):
                self.tasks += 1
                return task(*arguments, **options)

            return make

        def counted(timeout=None):
            self.rounds += 1
            return select(timeout)

        for module, name in ((asyncio, "Task"), (eager, "Carrier")):
            monkeypatch.setattr(module, name, counting(getattr(module, name)))
        monkeypatch.setattr(loop.turns, "select", counted)


@pytest.mark.usefixtures("full_batches")
@pytest.mark.parametrize("nesting", NESTINGS)
def test_a_chain_of_plain_functions_costs_no_task_and_no_copy(
    serve,
    monkeypatch,
    preserved,  # noqa: F811
    nesting,
):
    functions = NESTINGS[nesting][0](name, name, tell)
    server = serve(lambda app: app.get("/", middleware(*functions)))
    counting = Counting(server, monkeypatch)
    client = server.client()
    client.ask()
    counting.rounds = 0
    client.send(get("/") * 100)
    assert {client.read().body for _ in range(100)} == {b'{"data": ["name", "name"]}'}
    assert (counting.tasks, counting.rounds, preserved) == (0, 0, [])


@pytest.mark.usefixtures("full_batches")
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("nesting", NESTINGS)
def test_a_chain_that_does_not_suspend_ends_in_the_turn_it_began_in(
    serve,
    monkeypatch,
    preserved,  # noqa: F811
    place,
    nesting,
):
    def wrapped(function):
        async def member(res, req, data):
            return function(res, req, data)

        return member

    def tell_turn(res, req, data):
        res.end([data, res.app.loop.turns.is_walking])

    members = [name, name, tell_turn]
    members[place] = wrapped(members[place])
    functions = NESTINGS[nesting][0](*members)
    server = serve(lambda app: app.get("/", middleware(*functions)))
    counting = Counting(server, monkeypatch)
    client = server.client()
    client.ask()
    counting.rounds = 0
    client.send(get("/") * 100)
    assert {client.read().body for _ in range(100)} == {b'[["name", "name"], true]'}
    assert (counting.rounds, preserved) == (0, [])


@pytest.mark.skipif(
    not hasattr(sys, "getrefcount"),
    reason="this interpreter counts no references, so no task is used twice",
)
def test_a_chain_that_waits_costs_one_copy_and_no_new_task(
    serve,
    monkeypatch,
    preserved,  # noqa: F811
):
    async def wait(res, req, data):
        await asyncio.sleep(0)
        return [*(data or []), req.get_url()]

    server = serve(lambda app: app.get("/*", middleware(wait, wait, wait, tell)))
    client = server.client()
    client.ask("/a")
    client.ask("/a")  # there are two carriers now: one serves, one is the next
    del preserved[:]
    counting = Counting(server, monkeypatch)
    assert client.ask("/a").body == b'{"data": ["/a", "/a", "/a"]}'
    assert (counting.tasks, len(preserved)) == (0, 1)
    assert counting.rounds > 1


# ---- who may still answer ----


async def answer_late(res):
    await asyncio.sleep(0)
    res.end("late")


def leave_on_data(res):
    res.on_data(lambda res, chunk, is_end: res.end("late") if is_end else None)


def leave_on_writable(res):
    res.try_end(b"la", 4)
    res.app.loop.call_soon(res.try_end, b"te", 4)


LEAVING = {
    "on_data": leave_on_data,
    "run_async": lambda res: res.run_async(answer_late(res)),
    "app.run_async": lambda res: res.app.run_async(answer_late(res), res),
    "try_end": leave_on_writable,
}


def behaving(mode, action):
    """Return a member that calls `action(res, req)`, and returns None."""

    def plain(res, req, data):
        action(res, req)

    async def waits(res, req, data):
        if mode == "waits":
            await asyncio.sleep(0)
        action(res, req)

    return plain if mode == "sync" else waits


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.parametrize("way", LEAVING)
def test_a_chain_that_ends_leaves_others_to_answer(caplog, way, is_last, mode):
    member = behaving(mode, lambda res, req: LEAVING[way](res))
    members = [name, member] if is_last else [name, member, tell]
    client = App().any("/", middleware(*members)).test_client()
    assert client.post("/", body="body").text == "late"
    assert caplog.text == ""


def yield_on(res, req):
    req.set_yield(True)


@pytest.mark.parametrize("second", MODES)
@pytest.mark.parametrize("first", MODES)
def test_a_chain_may_hand_its_request_on_to_another(caplog, first, second):
    members = [Member(it, second, "plain", "pass", None) for it in "ab"]
    last = tell if second == "sync" else tell_late
    app = App().get("/a", middleware(behaving(first, yield_on)))
    app.get("/*", middleware(*(member.function() for member in members), last))
    client = app.test_client()
    for path in ("/a", "/b", "/a"):
        assert client.get(path).json() == {"data": ["a", "b"]}
    assert caplog.text == ""


@pytest.mark.parametrize("first", MODES)
def test_one_handed_on_to_nobody_is_404(first):
    app = App().get("/a", middleware(behaving(first, yield_on)))
    assert app.test_client().get("/a").status == 404


@pytest.mark.parametrize("mode", MODES)
def test_who_handed_a_request_on_is_not_blamed_for_the_next_route(caplog, mode):
    app = App().get("/a", middleware(behaving(mode, yield_on)))
    app.get("/:other", lambda res, req: None)
    assert app.test_client().get("/a").status == 500
    assert "GET /:other" in caplog.text and "the handler returned" in caplog.text


def test_a_body_is_read_in_a_middleware_and_handed_on():
    async def read(res, req, data):
        return await res.get_json()

    app = App().post("/", tell, middlewares=[read])
    for value in ([1], {"a": "b"}, "x" * 100_000):
        assert app.test_client().post("/", json=value).json() == {"data": value}


# ---- errors ----


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_reaches_the_error_handler_with_the_request(mode, is_async):
    seen = []

    def answer(error, res, req):
        seen.append((error, req.get_url(), req.state.user))
        res.write_status(418).end("handled")

    async def answer_later(error, res, req):
        await asyncio.sleep(0)
        answer(error, res, req)

    error = ValueError("mine")

    def fail(res, req):
        req.state.user = "somebody"
        raise error

    app = App().get("/a", middleware(name, behaving(mode, fail), tell))
    app.set_error_handler(answer_later if is_async else answer)
    answer_ = app.test_client().get("/a")
    assert (answer_.status, answer_.text) == (418, "handled")
    assert seen == [(error, "/a", "somebody")]


@pytest.mark.parametrize("mode", MODES)
def test_an_error_without_an_error_handler_is_500_and_logged_once(caplog, mode):
    def fail(res, req):
        raise ValueError("mine")

    client = App().get("/a", middleware(behaving(mode, fail), tell)).test_client()
    assert client.get("/a").status == 500
    (record,) = caplog.records
    assert record.getMessage() == "GET /a (tell) raised"
    assert str(record.exc_info[1]) == "mine"


# ---- what is kept beside the data ----


variable = contextvars.ContextVar("variable", default="unset")


def set_variable(res, req, data):
    found = variable.get()
    variable.set(req.get_query("n"))
    return [found]


async def add_variable(res, req, data):
    if req.get_query("wait"):
        await asyncio.sleep(0)
    return [*data, variable.get()]


def add_variable_plain(res, req, data):
    return [*data, variable.get()]


KEEPING = {
    "sync": [add_variable_plain, add_variable_plain],
    "async": [add_variable, add_variable],
    "sync to async": [add_variable_plain, add_variable],
    "async to sync": [add_variable, add_variable_plain],
}


@pytest.mark.parametrize("wait", ["", "&wait=1"])
@pytest.mark.parametrize("kind", KEEPING)
def test_context_variables_go_from_member_to_member_and_no_further(kind, wait):
    app = App().get("/", middleware(set_variable, *KEEPING[kind], tell))
    app.get("/peek", middleware(add_variable_plain, tell), middlewares=[lambda *_: [0]])
    client = app.test_client()
    for n in "1234":
        found = client.get(f"/?n={n}{wait}").json()
        assert found == {"data": ["unset", n, n]}
        assert client.get("/peek").json() == {"data": [0, "unset"]}
    assert variable.get() == "unset"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deed", ["raise", "stop"])
def test_a_chain_that_ends_early_leaves_no_context_variable_behind(deed, mode):
    def end(res, req):
        variable.set("left")
        if deed == "raise":
            raise ValueError("mine")

    app = App().get("/", middleware(name, behaving(mode, end)))
    app.get("/peek", middleware(name, add_variable, tell))
    client = app.test_client()
    for _ in range(3):
        assert client.get("/").status == 500
        assert client.get("/peek").json() == {"data": ["name", "unset"]}


@pytest.mark.parametrize("second", KEEPING)
@pytest.mark.parametrize("first", MODES)
def test_context_variables_of_a_request_handed_on_stay_its_own(first, second):
    def set_and_yield(res, req):
        variable.set("first")
        req.set_yield(True)

    app = App().get("/on", middleware(behaving(first, set_and_yield)))
    app.get("/*", middleware(set_variable, *KEEPING[second], tell))
    client = app.test_client()
    for n in "12":
        assert client.get(f"/on?n={n}&wait=1").json()["data"][1:] == [n, n]
        assert client.get(f"/x?n={n}").json() == {"data": ["unset", n, n]}


def test_context_variables_of_requests_at_the_same_time_keep_apart(serve):
    gate = Gate()

    async def wait(res, req, data):
        if req.get_query("wait"):
            await gate.wait()
        return [*data, variable.get()]

    chain = middleware(set_variable, add_variable_plain, wait, add_variable, tell)
    server = serve(lambda app: app.get("/", chain))
    clients = [server.client() for _ in range(20)]
    for n, client in enumerate(clients):
        client.send(get(f"/?n={n}&wait=1"))
    eventually(lambda: gate.waiting == len(clients))
    plain = b'{"data": ["unset", "one", "one", "one"]}'
    assert server.ask("/?n=one").body == plain
    gate.open(server)
    for n, client in enumerate(clients):
        found = json.loads(client.read().body)
        assert found == {"data": ["unset", *[str(n)] * 3]}


@pytest.mark.parametrize("mode", MODES)
def test_the_state_of_a_request_survives_preserve(mode):
    def keep(res, req, data):
        state = req.state
        state.user = "somebody"
        assert req.preserve() is req and req.state is state
        return True

    async def wait(res, req, data):
        if mode == "waits":
            await asyncio.sleep(0)
        return True

    def end(res, req, data):
        res.end([req.state.user, req.get_url()])

    members = [keep, end] if mode == "sync" else [keep, wait, end]
    app = App().get("/a", middleware(*members))
    app.get("/b", lambda res, req: res.end(vars(req.state)))
    assert app.test_client().get("/a").json() == ["somebody", "/a"]
    assert app.test_client().get("/b").json() == {}


# ---- a program as socketify's page on middlewares has it ----


@pytest.fixture
def members_only():
    """Return an app whose pages are for members, by each way to say so."""
    members = {"Bearer ann": "Ann", "Bearer bo": "Bo"}

    async def find(token):
        await asyncio.sleep(0)
        return {"hello": members[token]} if token in members else None

    async def authorize(res, req, data=None):
        found = await find(req.get_header("authorization"))
        if found is None:
            res.write_status(403).end("members only")
            return False
        return found

    async def extend(res, req, data=None):
        data["hello"] += f", at {req.get_url()}"
        return data

    def greet(res, req, member=None):
        res.cork_end(f"Hello {member['hello']}")

    app = App()
    app.get("/direct", middleware(authorize, extend, greet))
    alone = MiddlewareRouter(app, authorize)
    alone.get("/", greet).get("/joined", middleware(extend, greet))
    MiddlewareRouter(app, authorize, extend).get("/both", greet)
    api = app.router("/api", authorize, extend)
    assert api.get("/greeting")(greet) is greet
    api.post("/greeting/:id")(greet)
    app.get("/open", lambda res, req: res.end("open"))
    return app


PAGES = {
    ("GET", "/direct"): "Hello Ann, at /direct",
    ("GET", "/"): "Hello Ann",
    ("GET", "/joined"): "Hello Ann, at /joined",
    ("GET", "/both"): "Hello Ann, at /both",
    ("GET", "/api/greeting"): "Hello Ann, at /api/greeting",
    ("POST", "/api/greeting/7"): "Hello Ann, at /api/greeting/7",
}


@pytest.mark.parametrize(("method", "path"), PAGES)
def test_the_documented_program_answers_members_alone(members_only, method, path):
    client = members_only.test_client()
    for _ in range(2):
        token = {"Authorization": "Bearer ann"}
        answer = client.request(method, path, headers=token)
        assert (answer.status, answer.text) == (200, PAGES[method, path])
        for headers in ({}, {"Authorization": "Bearer eve"}):
            answer = client.request(method, path, headers=headers)
            assert (answer.status, answer.text) == (403, "members only")
        assert client.get("/open").text == "open"


# ---- context variables, request after request ----

number = contextvars.ContextVar("number", default=0)


def note_and_set(res, req, data):
    found = [number.get()]
    number.set(int(req.get_query("n")))
    return found


async def read_after_a_wait(res, req, data):
    await asyncio.sleep(0)
    return [*data, number.get()]


def read_now(res, req, data):
    return [*data, number.get()]


@pytest.mark.parametrize("readers", [(read_now,), (read_after_a_wait, read_now)])
def test_what_one_request_sets_no_other_one_sees(serve, readers):
    """The first one teaches its route that it sets variables."""
    chain = middleware(note_and_set, *readers, tell)
    server = serve(
        lambda app: app.get("/set", chain).get("/", middleware(read_only, tell))
    )
    client = server.client()
    for n in range(1, 6):
        expected = {"data": [0, *[n] * len(readers)]}
        assert json.loads(client.ask(f"/set?n={n}").body) == expected
        assert json.loads(client.ask("/").body) == {"data": [0]}
    client.send(get("/set?n=7") * 20 + get("/"))
    for _ in range(20):
        assert json.loads(client.read().body)["data"][0] == 0
    assert json.loads(client.read().body) == {"data": [0]}


def read_only(res, req, data):
    return [number.get()]


def test_the_error_handler_sees_what_the_chain_has_set():
    def fail(res, req, data):
        number.set(5)
        raise ValueError("x")

    async def fail_later(res, req, data):
        number.set(6)
        await asyncio.sleep(0)
        raise ValueError("x")

    app = App().get("/", middleware(fail, tell)).get("/later", middleware(fail_later))
    app.set_error_handler(lambda error, res, req: res.end([number.get()]))
    client = app.test_client()
    for _ in range(2):
        assert client.get("/").json() == [5]
        assert client.get("/later").json() == [6]
    assert number.get() == 0


def test_what_handed_on_and_raised_is_an_error():
    def fail(res, req, data):
        req.set_yield(True)
        raise ValueError("x")

    app = App().get("/a", middleware(fail)).get("/*", lambda res, req: res.end("next"))
    assert app.test_client().get("/a").status == 500


def yielding(res, req, data):
    yield


async def yielding_later(res, req, data):
    yield


@pytest.mark.parametrize("function", [yielding, yielding_later])
def test_a_member_that_yields_is_refused(function):
    with pytest.raises(RouteError, match="has a `yield`"):
        middleware(function)


def test_what_is_no_path_prefix_or_list_is_refused():
    app = App()
    with pytest.raises(RouteError, match="the decorators take a path"):
        app.router("/a").get(tell)
    for prefix in (None, tell):
        with pytest.raises(RouteError, match="the prefix is a str"):
            app.router(prefix)
    for wrong in (tell, "auth"):
        with pytest.raises(RouteError, match="middlewares is a list"):
            app.get("/", tell, middlewares=wrong)
