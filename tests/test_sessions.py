"""SessionMiddleware: what clients may rely on, and what they may not get away with."""

import asyncio
import gc
import itertools
import json
import logging
import threading
import types
import weakref
from contextvars import ContextVar

import pytest

from socketify_mw import App, ConfigError, Get, Middleware, RouteError, keys, middleware
from socketify_mw import session as session_module
from socketify_mw.errors import StoreError
from socketify_mw.keys import new_key
from socketify_mw.middlewares import EncryptCookies, SessionMiddleware
from socketify_mw.session import Lifetimes, Session
from socketify_mw.stores.memory import MemoryStore


class Watched:
    """A store in memory that notes each call, and fails at those it is told to."""

    is_immediate = True

    def __init__(self):
        self.inner = MemoryStore(clock=lambda: self.now)
        self.now = 0.0
        self.calls = []
        self.away = set()

    async def pause(self):
        pass

    async def do(self, name, *arguments):
        self.calls.append(name)
        await self.pause()
        if name in self.away:
            raise StoreError("the store is away")
        return await getattr(self.inner, name)(*arguments)

    def get(self, *arguments):
        return self.do("get", *arguments)

    def set(self, *arguments):
        return self.do("set", *arguments)

    def replace(self, *arguments):
        return self.do("replace", *arguments)

    def delete(self, *arguments):
        return self.do("delete", *arguments)

    def increment(self, *arguments):
        return self.do("increment", *arguments)

    def hit(self, *arguments):
        return self.do("hit", *arguments)

    async def close(self):
        pass

    # For the tests alone:

    def keys(self):
        return [key for part in self.inner._entries for key in part]

    def values(self):
        found = [entry[0] for part in self.inner._entries for entry in part.values()]
        return [it for it in map(json.loads, found) if it is not None]

    def data(self):
        return [it["data"] for it in self.values()]

    def take_calls(self):
        calls, self.calls = self.calls, []
        return " ".join(calls)


class Slow(Watched):
    """The same, but each call takes a while."""

    is_immediate = False

    async def pause(self):
        await asyncio.sleep(0)


@pytest.fixture(params=[Watched, Slow], ids=["immediate", "slow"])
def store(request):
    return request.param()


@pytest.fixture
def now(monkeypatch):
    """Let time pass in sessions: `now[0] += 5`."""
    now = [1_000_000.0]
    clock = types.SimpleNamespace(time=lambda: now[0])
    monkeypatch.setattr(session_module, "time", clock)
    return now


class Site:
    """An app with one route, which does what a test says to the session."""

    def __init__(self, store, *, explains=False, **options):
        self.store = store
        self.act = lambda session: None
        self.app = App()
        cls = SessionMiddleware.using(store=store, **options)
        is_plain = store.is_immediate or options.get("preload")
        handler = self._answer if is_plain else self._answer_later
        self.app.get("/", middleware(cls, handler))
        self.client = self.app.test_client(explain=explains)

    def _answer(self, res, req, data):
        res.json(self.act(req.session))

    async def _answer_later(self, res, req, data):
        await req.session.load()
        res.json(self.act(req.session))

    def ask(self, act=lambda session: None, **options):
        self.act = act
        return self.client.get("/", **options)

    def do(self, act, **options):
        answer = self.ask(act, **options)
        assert answer.status == 200, answer.text
        return answer.json()

    @property
    def cookie(self):
        return self.client.cookies.get("session")


@pytest.fixture
def site(store):
    return Site(store)


# ---- what it does ----


def test_a_value_is_there_at_the_next_request(site):
    site.do(lambda it: it.put("a", {"b": [1, None, "ä €"]}))
    assert site.do(lambda it: it.get("a")) == {"b": [1, None, "ä €"]}
    assert site.do(lambda it: it.get("b", 5)) == 5
    assert site.do(lambda it: [it.has("a"), it.has("b")]) == [True, False]
    site.do(lambda it: it.set("b", None))
    assert site.do(lambda it: [it.has("b"), it.get("b", 5)]) == [True, None]
    assert list(site.do(lambda it: it.all())) == ["a", "b"]
    assert site.do(lambda it: it.pull("b", 5)) is None
    assert site.do(lambda it: [it.pull("b", 5), it.has("b")]) == [5, False]
    site.do(lambda it: it.forget("a", "none"))
    assert site.do(lambda it: it.all()) == {}


def test_a_flash_lives_for_one_more_request(site):
    site.do(lambda it: it.flash("note", "saved"))
    assert site.do(lambda it: [it.get("note"), it.all()]) == [
        "saved",
        {"note": "saved"},
    ]
    assert site.do(lambda it: [it.has("note"), it.all()]) == [False, {}]


def test_a_flash_waits_for_a_request_that_touches_the_session(site):
    site.do(lambda it: it.flash("note", "saved"))
    site.app.get("/other", lambda res, req: res.end("x"))
    site.client.get("/other")
    assert site.do(lambda it: it.pull("note")) == "saved"
    assert site.do(lambda it: it.get("note")) is None


def test_a_flash_can_be_seen_and_forgotten_at_once(site):
    def act(session):
        session.put("a", "kept")
        session.flash("a", "flashed")
        first = session.get("a")
        session.forget("a")
        return [first, session.has("a")]

    assert site.do(act) == ["flashed", False]
    assert site.do(lambda it: it.all()) == {}


def test_what_is_changed_within_a_value_is_saved(site):
    site.do(lambda it: it.put("list", [1]))
    site.do(lambda it: it.get("list").append([2]))
    site.do(lambda it: it.get("list")[1].append(3))
    assert site.do(lambda it: it.get("list")) == [1, [2, 3]]


@pytest.mark.parametrize(("old", "new"), [(1, True), (True, 1), (1, 1.0), (0, False)])
def test_an_equal_value_of_another_type_is_saved(site, old, new):
    site.do(lambda it: it.put("a", old))
    site.do(lambda it: it.put("a", new))
    found = site.do(lambda it: it.get("a"))
    assert (found, type(found)) == (new, type(new))


@pytest.mark.parametrize(
    "value",
    [object(), b"x", {1}, (1, 2), {1: 2}, float("nan"), {"a": float("nan")}, [b""]],
    ids=repr,
)
@pytest.mark.parametrize("method", ["put", "set", "flash"])
def test_a_value_that_json_cannot_keep_is_a_type_error(site, method, value):
    def act(session):
        with pytest.raises(TypeError, match="'name'"):
            getattr(session, method)("name", value)
        return session.all()

    assert site.do(act) == {} and site.store.keys() == []


def test_a_name_is_text(site):
    def act(session):
        with pytest.raises(TypeError, match="names are text"):
            session.put(5, "x")

    site.do(act)


def test_what_was_made_unfit_for_json_is_500_and_the_old_values_stay(site):
    site.do(lambda it: it.put("list", [1]))
    assert site.ask(lambda it: it.get("list").append({2})).status == 500
    assert site.do(lambda it: it.get("list")) == [1]


# ---- ids ----


def test_the_store_does_not_have_the_ids(site):
    site.do(lambda it: it.put("a", 1))
    assert len(site.cookie) == 43
    assert site.cookie not in repr((site.store.keys(), site.store.values()))


@pytest.mark.parametrize(
    "made_up",
    ["A" * 43, session_module._key("")[8:51], "x", "A" * 5000, "session", "\xe4" * 43],
)
def test_an_id_that_a_client_has_made_up_is_not_taken(site, made_up):
    cookie = {"Cookie": f"session={made_up}"}
    assert site.do(lambda it: it.all(), headers=cookie) == {}
    site.do(lambda it: it.put("a", 1), headers=cookie)
    assert site.cookie not in (None, made_up)
    assert site.do(lambda it: it.all(), headers=cookie) == {}
    assert site.do(lambda it: it.all()) == {"a": 1}


def test_ids_are_not_made_before_they_are_needed(site):
    answer = site.ask(lambda it: [it.get("a"), it.all(), it.has("b")])
    assert answer.all("set-cookie") == [] and site.store.calls == []
    site.do(lambda it: it.forget("a"))
    site.do(lambda it: it.flush())
    site.do(lambda it: it.regenerate())
    assert site.cookie is None and site.store.calls == []


def test_an_id_from_before_the_login_is_worth_nothing(site):
    site.do(lambda it: it.put("cart", [7]))
    before = site.cookie
    site.do(lambda it: (it.regenerate(), it.put("user", 1)))
    assert site.cookie != before
    assert site.do(lambda it: it.all()) == {"cart": [7], "user": 1}
    old = {"Cookie": f"session={before}"}
    assert site.do(lambda it: it.all(), headers=old) == {}
    site.ask(lambda it: it.put("user", 2), headers=old)
    assert len(site.store.data()) == 2  # it has got one of its own


def test_a_new_session_that_is_regenerated_gets_one_id(site):
    answer = site.ask(lambda it: (it.put("a", 1), it.regenerate()))
    assert len(answer.all("set-cookie")) == 1 and len(site.store.keys()) == 1
    assert site.do(lambda it: it.all()) == {"a": 1}


def test_the_csrf_secret_changes_with_the_id(site):
    first = site.do(lambda it: it.secret())
    assert site.do(lambda it: [it.secret(), it.known_secret()]) == [first, first]
    assert site.do(lambda it: (it.regenerate(), it.known_secret())[1]) is None
    assert site.do(lambda it: it.secret()) != first


def test_an_old_cookie_is_worth_nothing_after_the_logout(site):
    site.do(lambda it: it.put("user", 1))
    old = {"Cookie": f"session={site.cookie}"}
    answer = site.ask(lambda it: it.flush())
    assert "Max-Age=0" in answer.header("set-cookie") and site.cookie is None
    assert site.store.keys() == []
    assert site.do(lambda it: it.all(), headers=old) == {}
    assert site.do(lambda it: it.all()) == {}


def test_what_is_put_after_a_flush_begins_another_session(site):
    site.do(lambda it: (it.put("user", 1), it.flash("note", "x")))
    old = site.cookie
    site.do(lambda it: (it.flush(), it.put("bye", 1)))
    assert site.cookie not in (None, old)
    assert site.store.data() == [{"bye": 1}]
    assert site.do(lambda it: it.all()) == {"bye": 1}


def test_flush_and_regenerate_go_together(site):
    site.do(lambda it: it.put("user", 1))
    site.do(lambda it: (it.regenerate(), it.flush()))
    assert site.cookie is None and site.store.keys() == []
    site.do(lambda it: it.put("user", 1))
    site.do(lambda it: (it.flush(), it.regenerate(), it.put("a", 1)))
    assert site.store.data() == [{"a": 1}]


# ---- time ----


def test_a_session_ends_when_it_was_not_touched_for_a_while(store, now):
    site = Site(store, idle=100)

    def wait(seconds):
        now[0] += seconds
        store.now += seconds

    site.do(lambda it: it.put("a", 1))
    for _ in range(5):
        wait(70)
        assert site.do(lambda it: it.get("a")) == 1
    wait(101)
    assert site.do(lambda it: it.get("a")) is None


def test_a_session_ends_in_any_case(store, now):
    site = Site(store, idle=100, absolute=250)

    def wait(seconds):
        now[0] += seconds
        store.now += seconds

    site.do(lambda it: it.put("a", 1))
    for _ in range(4):
        wait(60)
        assert site.do(lambda it: it.get("a")) == 1
        site.do(lambda it: it.put("b", now[0]))
    site.do(lambda it: it.regenerate())  # does not begin anew
    wait(9.5)
    assert site.do(lambda it: it.get("a")) == 1
    wait(1)
    assert site.do(lambda it: it.get("a")) is None


def test_the_absolute_end_does_not_need_the_stores_clock(store, now):
    site = Site(store, idle=100, absolute=250)
    site.do(lambda it: it.put("a", 1))
    now[0] += 251
    assert site.do(lambda it: it.get("a")) is None
    site.do(lambda it: it.put("a", 2))
    now[0] += 249
    assert site.do(lambda it: it.get("a")) == 2


# ---- calls of the store ----


def test_a_session_that_nobody_touches_costs_no_call(store):
    site = Site(store)
    site.do(lambda it: it.put("a", 1))
    store.take_calls()
    cls = SessionMiddleware.using(store=store)
    site.app.get("/other", middleware(cls, lambda res, req, data: res.end("x")))
    answer = site.client.get("/other")
    assert store.calls == []
    names = {name.lower() for name, _ in answer.headers}
    assert not names & {"set-cookie", "vary", "cache-control"}


def test_reading_is_one_get_and_a_write_when_a_quarter_of_idle_is_over(store, now):
    site = Site(store, idle=100)
    site.do(lambda it: it.put("a", 1))
    assert store.take_calls() == "replace"
    for wait, calls in [(0, "get"), (25, "get"), (1, "get replace"), (24, "get")]:
        now[0] += wait
        answer = site.ask(lambda it: (it.get("a"), it.get("b"), it.all()))
        assert store.take_calls() == calls
        assert answer.all("set-cookie") == []


def test_many_changes_are_one_write(site):
    def act(session):
        for i in range(100):
            session.put(str(i), i)

    site.do(act)
    assert site.store.take_calls() == "replace"
    site.do(act)  # as it was
    assert site.store.take_calls() == "get"
    site.do(lambda it: it.put("0", "other"))
    assert site.store.take_calls() == "get replace"


# ---- saved once, whatever comes of the request ----


def touch(req):
    req.session.put("count", req.session.get("count", 0) + 1)


async def ended(res, req):
    touch(req)
    res.end("x")


async def ended_by_return(res, req):
    touch(req)
    res.end("x")
    await asyncio.sleep(0)


async def redirected(res, req):
    touch(req)
    res.redirect("/elsewhere")


async def failed(res, req):
    touch(req)
    raise ValueError("by the handler")


async def failed_later(res, req):
    touch(req)
    await asyncio.sleep(0)
    raise ValueError("by the handler")


async def streamed(res, req):
    touch(req)
    res.write("x")
    await asyncio.sleep(0)
    res.end("y")


async def by_task(res, req):
    async def answer():
        await asyncio.sleep(0)
        touch(req)
        res.end("x")

    res.run_async(answer())


async def by_task_in_parts(res, req):
    async def answer():
        await asyncio.sleep(0)
        touch(req)
        res.write("x")
        await asyncio.sleep(0)
        res.end("y")

    res.run_async(answer())


async def by_callback(res, req):
    def answer():
        touch(req)
        res.end("x")

    res.on_aborted(lambda res: None)
    res.app.loop.call_soon(answer)


async def unanswered(res, req):
    touch(req)


async def handed_on(res, req):
    touch(req)
    req.set_yield(True)


KINDS = {
    ended: 200,
    ended_by_return: 200,
    redirected: 302,
    failed: 500,
    failed_later: 500,
    streamed: 200,
    by_task: 200,
    by_task_in_parts: 200,
    by_callback: 200,
    unanswered: 500,
    handed_on: 200,
}


class Stop(Middleware):
    def before(self, request, response):
        if request.get_query("stop"):
            touch(request)
            return "stopped", 403
        return request


class FailsAfter(Middleware):
    def after(self, request, response):
        if request.get_query("fail"):
            touch(request)
            raise ValueError("by `after`")
        return request


class SlowAfter(Middleware):
    async def after(self, request, response):
        await asyncio.sleep(0)
        return request


def with_data(handler):
    async def member(res, req, data=None):
        await handler(res, req)

    member.__name__ = handler.__name__
    return member


def sync_error(error, res, req):
    res.status(500).end("by on_error")


async def async_error(error, res, req):
    await asyncio.sleep(0)
    res.status(500).end("by on_error")


@pytest.mark.parametrize("is_explained", [False, True])
@pytest.mark.parametrize("on_error", [None, sync_error, async_error])
@pytest.mark.parametrize("after", [Middleware, SlowAfter])
@pytest.mark.parametrize("kind", KINDS, ids=lambda it: it.__name__)
def test_it_is_saved_exactly_once(store, kind, on_error, after, is_explained):
    cls = SessionMiddleware.using(store=store, preload=True)
    app = App().use(cls, after)
    app.get("/", with_data(kind)).any("/*", lambda res, req: res.end("last"))
    if on_error and kind is not unanswered:  # that is no error of its own
        app.on_error(on_error)
    client = app.test_client(explain=is_explained)
    for calls in ("replace", "get replace", "get replace"):
        answer = client.get("/")
        assert answer.status == KINDS[kind]
        assert store.take_calls() == calls
    assert store.data() == [{"count": 3}]


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [("GET", "/no", 404), ("PUT", "/", 405), ("OPTIONS", "/", 204), ("HEAD", "/", 200)],
)
def test_it_is_saved_where_no_route_is_found(store, method, url, status):
    def touching(res, req, data):
        touch(req)
        return True

    class Kernel:
        http_middleware = [SessionMiddleware.using(preload=True), touching]

    Kernel.store = store
    app = App()
    app.kernel(Kernel)
    app.get("/", lambda res, req: res.end("x"))
    client = app.test_client()
    for calls in ("replace", "get replace"):
        assert client.request(method, url).status == status
        assert store.take_calls() == calls
    assert store.data() == [{"count": 2}]


@pytest.mark.parametrize(
    ("url", "status"), [("/?stop=1", 403), ("/?fail=1", 500), ("/?stop=1&fail=1", 500)]
)
def test_it_is_saved_when_a_middleware_stops_or_fails(store, url, status):
    cls = SessionMiddleware.using(store=store, preload=True)
    app = App().use(cls, FailsAfter, Stop)
    app.get("/", lambda res, req: res.end("x"))
    assert app.test_client().get(url).status == status
    assert store.take_calls() == "replace"


def test_it_is_saved_when_an_after_ends_the_phase(store):
    class Ends(Middleware):
        def after(self, request, response):
            return "replaced"

    cls = SessionMiddleware.using(store=store, preload=True)
    app = App().use(cls, Ends)
    app.get("/", with_data(ended))
    answer = app.test_client().get("/")
    assert answer.text == "replaced" and answer.header("set-cookie")
    assert store.data() == [{"count": 1}]


def test_an_after_and_an_error_handler_may_change_it(store):
    class Puts(Middleware):
        def after(self, request, response):
            request.session.put("after", 1)
            return request

    cls = SessionMiddleware.using(store=store, preload=True)
    app = App().use(Puts, cls)
    app.get("/", with_data(failed))

    @app.on_error
    def handler(error, res, req):
        req.session.put("error", str(error))
        res.status(500).end("x")

    assert app.test_client().get("/").status == 500
    assert store.data() == [{"count": 1, "error": "by the handler", "after": 1}]
    assert store.take_calls() == "replace"


def test_try_end_works_with_a_store_that_answers_at_once():
    def handler(res, req, data):
        touch(req)
        res.try_end("xyz", 3)

    store = Watched()
    app = App().get("/", middleware(SessionMiddleware.using(store=store), handler))
    answer = app.test_client().get("/")
    assert answer.text == "xyz" and store.data() == [{"count": 1}]
    assert answer.header("set-cookie")


def test_try_end_with_a_slow_store_is_an_error_and_not_a_lost_session():
    def handler(res, req, data):
        touch(req)
        res.try_end("xyz", 3)

    store = Slow()
    cls = SessionMiddleware.using(store=store, preload=True)
    app = App().get("/", middleware(cls, handler))
    answer = app.test_client().get("/")
    assert answer.status == 500
    assert store.take_calls() == "replace" and store.data() == [{"count": 1}]


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("is_late", [False, True])
def test_what_was_put_before_the_client_left_is_saved(
    serve, store, is_cancelled, is_late
):
    entered, left, done = threading.Event(), asyncio.Event(), threading.Event()

    async def handler(res, req, data=None):
        await req.session.load()
        touch(req)
        res.on_aborted(lambda res: left.set())
        entered.set()
        try:
            await left.wait()
            await asyncio.sleep(0.01)
            req.session.put("late", 1)
            res.end("to nobody")
        finally:
            done.set()

    def starting(res, req, data=None):
        res.run_async(handler(res, req))

    def setup(app):
        cls = SessionMiddleware.using(store=store)
        app.get("/", middleware(cls, starting if is_late else handler))
        app.get("/none", lambda res, req: res.end("x"))

    server = serve(setup, cancel_abandoned=is_cancelled)
    client = server.client()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert entered.wait(10)
    client.close()
    assert done.wait(10)
    for _ in range(200):
        if server.call(store.data):
            break
        server.ask("/none")
    # A chain that has ended waits for an answer: it is saved when the client goes.
    is_over = is_cancelled or is_late
    expected = {"count": 1} if is_over else {"count": 1, "late": 1}
    assert server.call(store.data) == [expected]
    assert store.take_calls() == "replace"


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_client_that_leaves_while_it_is_saved_is_logged_out(serve, is_cancelled):
    waits, goes_on = threading.Event(), threading.Event()

    class Waiting(Slow):
        async def delete(self, key):
            waits.set()
            while not goes_on.is_set():
                await asyncio.sleep(0.001)
            await self.do("delete", key)

    def setup(app):
        async def handler(res, req, data):
            await req.session.load()
            if req.get_query("out"):
                req.session.flush()
            else:
                req.session.put("user", 1)
            res.on_aborted(lambda res: goes_on.set())
            res.end("x")

        app.get("/", middleware(SessionMiddleware.using(store=store), handler))
        app.get("/none", lambda res, req: res.end("x"))

    store = Waiting()
    server = serve(setup, cancel_abandoned=is_cancelled)
    id = cookie_of(server.ask("/"))
    client = server.client()
    client.send(
        f"GET /?out=1 HTTP/1.1\r\nHost: x\r\nCookie: session={id}\r\n\r\n".encode()
    )
    assert waits.wait(10)
    assert server.call(store.data) == [{"user": 1}]
    client.close()
    assert goes_on.wait(10)
    for _ in range(200):
        if not server.call(store.data):
            break
        server.ask("/none")
    assert server.call(store.data) == []


# ---- too late ----


@pytest.mark.parametrize("is_touched", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.put("late", 1),
        lambda it: it.flash("late", 1),
        lambda it: it.forget("a"),
        lambda it: it.flush(),
        lambda it: it.regenerate(),
        lambda it: it.pull("a"),
        lambda it: it.secret(),
    ],
    ids=["put", "flash", "forget", "flush", "regenerate", "pull", "secret"],
)
def test_a_change_behind_the_head_is_an_error(store, change, is_touched):
    found = []

    async def handler(res, req, data):
        if is_touched:
            req.session.get("a")
        res.write("x")
        await asyncio.sleep(0.001)
        await req.session.load()
        try:
            change(req.session)
        except RuntimeError as error:
            found.append(str(error))
        res.end("y")

    cls = SessionMiddleware.using(store=store, preload=is_touched)
    app = App().get("/", middleware(cls, handler))
    client = app.test_client()
    assert client.get("/").text == "xy"
    (text,) = found
    assert "before the head" in text and "saved already" in text
    assert store.keys() == []


def test_a_change_while_it_is_saved_is_an_error_and_not_lost():
    store, taken, refused = Slow(), {"a": 1}, []

    def handler(res, req, data):
        async def answer():
            session = await req.session.load()
            session.put("a", 1)
            res.end("x")
            for i in range(10):
                await asyncio.sleep(0)
                try:
                    session.put(f"late{i}", 1)
                    taken[f"late{i}"] = 1
                except RuntimeError as error:
                    refused.append(str(error))

        res.run_async(answer())

    app = App().get("/", middleware(SessionMiddleware.using(store=store), handler))
    app.test_client().get("/")
    assert store.data() == [taken] and "before the head" in refused[0]


def test_a_session_that_begins_behind_the_head_can_only_be_read(store):
    found = []

    def streaming(res, req, data):
        res.write("x")
        return True

    async def handler(res, req, data):
        await req.session.load()
        found.append(req.session.get("a"))
        with pytest.raises(RuntimeError, match="before the head"):
            req.session.put("a", 2)
        res.end("y")

    site = Site(store)
    site.do(lambda it: it.put("a", 1))
    cls = SessionMiddleware.using(store=store)
    site.app.get("/soon", middleware(FailsAfter, streaming, cls, handler))
    assert site.client.get("/soon").text == "xy" and found == [1]
    assert site.do(lambda it: it.get("a")) == 1


def test_it_can_be_read_behind_the_head(store):
    async def handler(res, req, data):
        session = await req.session.load()
        session.put("a", 1)
        res.write("x")
        await asyncio.sleep(0.001)
        res.end(str(session.get("a")))

    cls = SessionMiddleware.using(store=store)
    app = App().get("/", middleware(cls, handler))
    assert app.test_client().get("/").text == "x1"


# ---- stores that take their time, and stores that are away ----


@pytest.mark.parametrize("headers", [{}, {"Cookie": "session=" + "A" * 43}])
def test_a_plain_handler_is_told_what_to_do_about_a_slow_store(headers):
    store, errors = Slow(), []

    def handler(res, req, data):
        res.json(req.session.get("a"))

    cls = SessionMiddleware.using(store=store)
    app = App().get("/", middleware(cls, handler))
    app.on_error(lambda error, res, req: errors.append(error))
    assert app.test_client().get("/", headers=headers).status == 500
    assert type(errors[0]) is RuntimeError
    assert "await request.session.load()" in str(errors[0])
    assert "preload = True" in str(errors[0])


def test_preload_is_for_plain_handlers():
    site = Site(Slow(), preload=True)
    site.do(lambda it: it.put("a", 1))
    assert site.do(lambda it: it.get("a")) == 1
    assert site.store.take_calls() == "replace get"


def test_loading_twice_at_the_same_time_keeps_what_was_put():
    async def handler(res, req, data):
        first = asyncio.create_task(req.session.load())
        await req.session.load()
        req.session.put("a", 2)
        await first
        res.json(req.session.get("a"))

    site = Site(Slow())
    site.do(lambda it: it.put("a", 1))
    cls = SessionMiddleware.using(store=site.store)
    site.app.get("/twice", middleware(cls, handler))
    assert site.client.get("/twice").json() == 2
    assert site.store.data() == [{"a": 2}]


@pytest.mark.parametrize("on_error", [None, "plain", "async", "asks again"])
@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize("away", ["get", "replace"])
def test_a_store_that_is_away_is_503(store, away, preload, on_error):
    site = Site(store, preload=preload)
    site.do(lambda it: it.put("a", 1))
    errors = []

    def plain(error, res, req):
        errors.append(error)
        if on_error == "asks again":
            req.session.get("a")
            req.session.put("a", 3)
        res.status(503).end("by on_error")

    async def later(error, res, req):
        await asyncio.sleep(0)
        plain(error, res, req)

    if on_error:
        site.app.on_error(later if on_error == "async" else plain)
    store.away.add(away)
    answer = site.ask(lambda it: it.put("a", 2))
    assert answer.status == (503 if on_error != "asks again" else answer.status)
    assert answer.status >= 500 and answer.all("set-cookie") == []
    assert answer.text == "by on_error" or on_error in (None, "asks again")
    assert [type(it) for it in errors] == ([StoreError] if on_error else [])
    store.away.clear()
    assert site.do(lambda it: it.get("a")) == 1


def test_a_store_that_is_away_cuts_no_stream_in_half(store):
    async def handler(res, req, data):
        await req.session.load()
        touch(req)
        res.write("x")
        await asyncio.sleep(0.001)
        res.end("y")

    store.away.add("replace")
    app = App().get("/", middleware(SessionMiddleware.using(store=store), handler))
    answer = app.test_client().get("/")
    assert (answer.status, answer.text) == (503, "Service Unavailable")


def test_a_store_that_is_away_does_not_matter_to_who_does_not_touch_it(store):
    store.away.update({"get", "replace", "delete"})
    site = Site(store)
    app = App().use(SessionMiddleware.using(store=store))
    app.get("/", lambda res, req: res.end("x"))
    assert (
        app.test_client().get("/", headers={"Cookie": "session=" + "A" * 43}).status
        == 200
    )
    assert site.ask(lambda it: it.get("a")).status == 200


# ---- several requests of one client at the same time ----


def meeting(store, names, act):
    """Let each request wait, with its session loaded, until all of them are there."""
    arrived = []

    def setup(app):
        async def handler(res, req, data):
            await req.session.load()
            name = req.get_query("name")
            if name in names:
                arrived.append(name)
                while len(arrived) < len(names):
                    await asyncio.sleep(0.001)
            res.json(act(name, req.session))

        app.get("/", middleware(SessionMiddleware.using(store=store), handler))

    return setup


def cookie_of(answer):
    return (answer["set-cookie"] or "").partition(";")[0].partition("=")[2]


def together(server, names, id):
    clients = {name: server.client() for name in names}
    for name, client in clients.items():
        head = f"GET /?name={name} HTTP/1.1\r\nHost: x\r\nCookie: session={id}\r\n\r\n"
        client.send(head.encode())
    return {name: client.read() for name, client in clients.items()}


@pytest.mark.parametrize("count", [2, 30])
def test_parallel_writers_of_other_names_all_survive(serve, store, count):
    names = [f"n{i}" for i in range(count)]

    def act(name, session):
        if name is None:
            return session.all()
        session.put(name, [name])

    server = serve(meeting(store, names, act))
    id = cookie_of(server.ask("/?name=first"))
    answers = together(server, names, id)
    assert {it.status for it in answers.values()} == {200}
    assert all(it["set-cookie"] is None for it in answers.values())
    found = json.loads(server.ask("/", "GET", f"Cookie: session={id}").body)
    assert found == {name: [name] for name in [*names, "first"]}


def test_a_writer_does_not_bring_a_session_back_that_another_one_ends(serve, store):
    def act(name, session):
        if name == "logout":
            session.flush()
        elif name:
            session.put(name, 1)
        return session.all()

    server = serve(meeting(store, ["writer", "logout"], act))
    id = cookie_of(server.ask("/?name=user"))
    answers = together(server, ["writer", "logout"], id)
    assert {it.status for it in answers.values()} == {200}
    assert server.call(store.data) == []
    assert json.loads(server.ask("/", "GET", f"Cookie: session={id}").body) == {}


def test_a_writer_leaves_the_cookie_of_who_logs_in_beside_it(serve, store):
    def act(name, session):
        if name == "login":
            session.regenerate()
        if name:
            session.put(name, 1)
        return session.all()

    names = ["login", "a", "b", "c"]
    server = serve(meeting(store, names, act))
    id = cookie_of(server.ask("/?name=first"))
    answers = together(server, names, id)
    new = cookie_of(answers["login"])
    assert len(new) == 43 != id
    for name in ("a", "b", "c"):
        # It would take the new cookie away from the browser.
        assert answers[name]["set-cookie"] is None
    found = json.loads(server.ask("/", "GET", f"Cookie: session={new}").body)
    assert found["login"] == found["first"] == 1
    assert json.loads(server.ask("/", "GET", f"Cookie: session={id}").body) == {}
    # One that was sent before the browser had the new cookie.
    late = server.ask("/?name=", "GET", f"Cookie: session={id}")
    assert late["set-cookie"] is None


class Stepping(Watched):
    """A store whose calls wait until the test goes on with them."""

    is_immediate = False

    @types.coroutine
    def pause(self):
        yield


def run(coroutine):
    while True:
        try:
            coroutine.send(None)
        except StopIteration as stop:
            return stop.value


def interleaved(acts, kind=Stepping):
    """Yield what comes of two savings, in each order of the store's calls.

    That is the store, the id that there was, and what each saving has returned.
    """
    lifetimes = Lifetimes(100, 1000)
    for order in itertools.product((0, 1), repeat=8):
        store = kind()
        first = Session(store, lifetimes, None)
        run(first.load())
        first.put("first", 1)
        id = run(first.save())
        coroutines = []
        for act in acts:
            session = Session(store, lifetimes, id)
            run(session.load())
            act(session)
            coroutines.append(session.save())
        results = {}
        for turn in (*order, *[0] * 40, *[1] * 40):
            if turn not in results:
                try:
                    coroutines[turn].send(None)
                except StopIteration as stop:
                    results[turn] = stop.value
        yield store, id, [results[0], results[1]]


def values_under(id, store):
    return run(Session(store, Lifetimes(100, 1000), id).load()).all()


def put(name):
    return lambda session: session.put(name, 1)


def log_in(session):
    session.regenerate()
    session.put("user", 1)


def test_two_writers_both_survive_in_each_order():
    for store, _, results in interleaved([put("a"), put("b")]):
        assert store.data() == [{"first": 1, "a": 1, "b": 1}]
        assert results == [None, None]


def test_of_two_writers_of_one_name_one_wins_in_each_order():
    acts = [lambda it: it.put("a", 1), lambda it: it.put("a", 2)]
    for store, _, _ in interleaved(acts):
        assert store.data() in ([{"first": 1, "a": 1}], [{"first": 1, "a": 2}])


def test_one_forgets_and_another_puts_in_each_order():
    for store, _, _ in interleaved([lambda it: it.forget("first"), put("b")]):
        assert store.data() == [{"b": 1}]


def test_a_flush_is_the_end_in_each_order():
    for store, _, results in interleaved([put("a"), lambda it: it.flush()]):
        assert store.data() == [] and results == [None, ""]


def test_a_login_leaves_nothing_under_the_old_id_in_each_order():
    for store, id, results in interleaved([put("a"), log_in]):
        assert values_under(id, store) == {}
        (data,) = store.data()
        assert data["first"] == data["user"] == 1
        assert results[0] is None and len(results[1]) == 43


def test_no_write_that_was_taken_is_lost_by_a_login_in_any_order():
    taken = []

    class Noting(Stepping):
        async def do(self, name, *arguments):
            done = await super().do(name, *arguments)
            if name == "replace" and done and b'"a":1' in arguments[2]:
                taken.append(arguments[0])
            return done

    found = set()
    for store, _, _ in interleaved([put("a"), log_in], Noting):
        (data,) = store.data()
        assert bool(taken) is ("a" in data)
        found.add("a" in data)
        taken.clear()
    assert found == {True, False}


def test_a_flush_that_comes_before_a_login_is_done_is_the_end_of_both():
    ends = []
    for store, id, results in interleaved([log_in, lambda it: it.flush()]):
        assert values_under(id, store) == {}
        # Either the log-in was first, and has an id that the log-out does not know;
        # or it has none, and nothing is left.
        assert (store.data() == []) is (results[0] is None)
        ends.append(results[0] is None)
    assert any(ends) and not all(ends)


def test_of_two_logins_each_is_good_in_each_order():
    # By one that has sent the form twice, and whose browser keeps either cookie.
    for store, id, results in interleaved([log_in, log_in]):
        assert store.data() == [{"first": 1, "user": 1}] * 2
        assert len({*results, id}) == 3 and None not in results


# ---- cookies and caches ----


def cookie_parts(answer):
    (line,) = answer.all("set-cookie")
    pair, *attributes = line.split("; ")
    assert pair.startswith("session=")
    return attributes


def test_the_cookie_is_as_safe_as_it_can_be(site):
    usual = ["Path=/", "HttpOnly", "SameSite=Lax"]
    assert cookie_parts(site.ask(lambda it: it.put("a", 1))) == usual
    for proto, is_secure in (("https", True), ("http", False), ("ws", False)):
        headers = {"X-Forwarded-Proto": proto, "Cookie": "x=y"}
        answer = site.ask(lambda it: it.put("a", 1), headers=headers)
        assert cookie_parts(answer) == [*usual, *["Secure"] * is_secure]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"samesite": "Strict"}, "Path=/ HttpOnly SameSite=Strict"),
        ({"SameSite": "Strict"}, "Path=/ HttpOnly SameSite=Strict"),
        ({"httponly": False}, "Path=/ SameSite=Lax"),
        ({"HttpOnly": False}, "Path=/ SameSite=Lax"),
        ({"secure": True}, "Path=/ HttpOnly SameSite=Lax Secure"),
        ({"domain": "a.b"}, "Path=/ HttpOnly SameSite=Lax Domain=a.b"),
        ({"path": "/app"}, "Path=/app HttpOnly SameSite=Lax"),
        ({"max_age": 60}, "Path=/ HttpOnly SameSite=Lax Max-Age=60"),
        ({"Max-Age": 60}, "Path=/ HttpOnly SameSite=Lax Max-Age=60"),
    ],
)
def test_the_cookies_attributes_can_be_others(store, options, expected):
    site = Site(store, cookie_options=options)
    assert cookie_parts(site.ask(lambda it: it.put("a", 1))) == expected.split()
    assert cookie_parts(site.ask(lambda it: it.flush()))[-1] == "Max-Age=0"
    assert site.cookie is None


def test_the_cookie_may_have_another_name(store):
    site = Site(store, cookie="sid")
    site.do(lambda it: it.put("a", 1))
    assert list(site.client.cookies) == ["sid"]
    assert site.do(lambda it: it.get("a")) == 1


def test_caches_are_told_what_they_must_know(site):
    def told(act):
        answer = site.ask(act)
        return answer.all("vary"), answer.all("cache-control")

    assert told(lambda it: it.get("a")) == (["Cookie"], [])
    assert told(lambda it: it.put("a", 1)) == (["Cookie"], ["no-store"])
    assert told(lambda it: it.get("a")) == (["Cookie"], [])
    assert told(lambda it: it.put("a", 2)) == (["Cookie"], [])
    assert told(lambda it: it.regenerate()) == (["Cookie"], ["no-store"])
    assert told(lambda it: it.flush()) == (["Cookie"], ["no-store"])
    assert told(lambda it: None) == ([], []) or not site.store.is_immediate


# ---- how it is set up ----


def test_two_of_them_in_one_chain_are_one_session(store):
    other = Watched()

    async def handler(res, req, data):
        await req.session.load()
        touch(req)
        res.json(req.session.all())

    one = SessionMiddleware.using(store=store)
    two = SessionMiddleware.using(store=other)
    app = App().use(one).get("/", middleware(one, two, handler))
    client = app.test_client()
    for count in (1, 2):
        answer = client.get("/")
        assert answer.json() == {"count": count}
        assert len(answer.all("set-cookie")) == (count == 1)
    assert other.calls == [] and store.take_calls() == "replace get replace"


def test_it_goes_on_in_the_route_that_gets_the_request_next(store):
    async def first(res, req, data):
        await req.session.load()
        touch(req)
        req.set_yield(True)

    async def second(res, req, data=None):
        touch(req)
        res.json(req.session.all())

    cls = SessionMiddleware.using(store=store)
    for last in (middleware(cls, second), with_data(second)):
        store.take_calls()
        app = App().get("/a", middleware(cls, first)).get("/*", last)
        assert app.test_client().get("/a").json() == {"count": 2}
        assert store.take_calls() == "replace"


def test_it_works_in_a_nested_chain(store):
    async def inner(res, req, data):
        await req.session.load()
        touch(req)
        return True

    async def outer(res, req, data):
        await chain(res, req)
        touch(req)
        res.json(req.session.all())

    chain = middleware(SessionMiddleware.using(store=store), inner)
    app = App().get("/", middleware(outer))
    client = app.test_client()
    assert client.get("/").json() == {"count": 2}
    assert client.get("/").json() == {"count": 4}
    assert store.take_calls() == "replace get replace"


def test_stores_of_one_url_are_one_store():
    def handler(res, req, data):
        touch(req)
        res.json(req.session.all())

    app = App()
    app.get("/a", middleware(SessionMiddleware, handler))
    app.get("/b", middleware(SessionMiddleware.using(store="memory:"), handler))
    client = app.test_client()
    assert client.get("/a").json() == {"count": 1}
    assert client.get("/b").json() == {"count": 2}


def test_the_kernels_store_is_used_where_none_is_given(store):
    class Kernel:
        http_middleware = [SessionMiddleware.using(preload=True)]

    Kernel.store = store
    app = App()
    app.kernel(Kernel)
    app.get("/", with_data(ended))
    app.test_client().get("/")
    assert store.data() == [{"count": 1}]


def test_without_it_the_error_names_it():
    errors = []
    app = App().get("/", lambda res, req: res.json(req.session.all()))
    app.on_error(lambda error, res, req: errors.append(error))
    assert app.test_client().get("/").status == 500
    assert type(errors[0]) is RuntimeError and "SessionMiddleware" in str(errors[0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sotre": "memory:"}, "has no option 'sotre'; did you mean 'store'"),
        ({"lifetime": 5}, "has no option 'lifetime'"),
        ({"after": None}, "has no option 'after'"),
    ],
)
def test_an_option_that_does_not_exist_is_an_error(options, words):
    with pytest.raises(ConfigError) as error:
        SessionMiddleware.using(**options)
    assert words in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"idle": 0},
        {"idle": -1},
        {"absolute": 0},
        {"idle": float("nan")},
        {"idle": float("inf"), "absolute": float("inf")},
        {"idle": "5"},
        {"store": "memroy:"},
        {"store": 5},
        {"cookie": "a b"},
        {"cookie": ""},
        {"cookie_options": {"samesite": "sometimes"}},
        {"cookie_options": {"colour": "red"}},
        {"cookie_options": {"path": "/;"}},
    ],
    ids=repr,
)
def test_an_option_that_cannot_be_meant_is_an_error_at_the_start(options):
    cls = SessionMiddleware.using(**options)
    with pytest.raises(ConfigError):
        App().use(cls)

    class Kernel:
        http_middleware = [cls]

    with pytest.raises(RouteError, match="2 things are wrong"):
        App().kernel(Kernel, routes=[Get("/", "NoController@show")])


def test_a_subclass_may_set_options(store):
    given = store

    class Mine(SessionMiddleware):
        store = given
        preload = True
        cookie = "mine"

    client = App().use(Mine).get("/", with_data(ended)).test_client()
    client.get("/")
    assert list(client.cookies) == ["mine"] and store.data() == [{"count": 1}]
    assert SessionMiddleware.cookie == "session"


def test_other_contexts_are_left_alone(store):
    """What a middleware sets in a contextvar is seen where the session is saved."""
    variable = ContextVar("variable", default="unset")
    seen = []
    get = type(store).replace

    class Seeing(type(store)):
        def replace(self, *arguments):
            seen.append(variable.get())
            return get(self, *arguments)

    def setting(res, req, data):
        variable.set(req.get_query("v"))
        return True

    cls = SessionMiddleware.using(store=Seeing(), preload=True)
    app = App().use(cls, setting).get("/", with_data(by_task))
    client = app.test_client()
    client.get("/?v=1", headers={"Cookie": "a=b"})
    client.get("/?v=2", headers={"Cookie": "a=b"})
    assert seen == ["1", "2"] and variable.get() == "unset"


# ---- with encrypted cookies, and over real connections ----


@pytest.fixture
def app_key(monkeypatch):
    monkeypatch.setenv("APP_ENV", "production")
    monkeypatch.setenv("APP_KEY", new_key())
    monkeypatch.setattr(keys, "_given", None)


def test_it_works_behind_encrypted_cookies(store, app_key):
    class Kernel:
        http_middleware = [EncryptCookies]
        route_middleware = {"web": [SessionMiddleware.using(preload=True)]}

    Kernel.store = store

    class CountController:
        def show(self, request):
            touch(request)
            return request.session.all()

    app = App()
    app.kernel(Kernel, [Get("/", "CountController@show")], [CountController])
    client = app.test_client()
    assert client.get("/").json() == {"count": 1}
    assert client.get("/").json() == {"count": 2}
    sealed = client.cookies["session"]
    assert len(sealed) > 43 and sealed not in repr(store.keys())
    # Neither a plain id nor one of another cookie is taken.
    for cookie in (f"session={'A' * 43}", f"other={sealed}", f"session={sealed[:-2]}"):
        assert client.get("/", headers={"Cookie": cookie}).json() == {"count": 1}


@pytest.mark.parametrize("is_slow", [False, True])
def test_requests_of_one_connection_have_sessions_of_their_own(serve, is_slow, app_key):
    def setup(app):
        cls = SessionMiddleware.using(store=Slow() if is_slow else Watched())

        async def handler(res, req, data):
            await req.session.load()
            if name := req.get_query("name"):
                req.session.put("name", name)
            res.json(req.session.all())

        app.use(EncryptCookies)
        app.get("/", middleware(cls, handler))
        app.get("/cookies", lambda res, req: res.json(req.get_cookies()))

    client = serve(setup).client()
    lines = []
    for name in ("one", "two", "three"):
        answer = client.ask(f"/?name={name}")
        assert json.loads(answer.body) == {"name": name}
        lines.append(f"Cookie: session={cookie_of(answer)}")
    for name, line in zip(("one", "two", "three"), lines, strict=True):
        assert json.loads(client.ask("/", "GET", line).body) == {"name": name}
        assert json.loads(client.ask("/").body) == {}
        assert json.loads(client.ask("/cookies").body) == {}
    heads = [f"GET / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n" for line in lines]
    client.send("".join([*heads, heads[0]]).encode())  # in one piece
    found = [json.loads(client.read().body) for _ in range(4)]
    assert [it["name"] for it in found] == ["one", "two", "three", "one"]


# ---- memory ----


@pytest.mark.parametrize("is_explained", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=lambda it: it.__name__)
def test_a_session_is_freed_with_its_request(store, kind, is_explained, monkeypatch):
    # Or pytest would keep tracebacks, with their frames.
    monkeypatch.setattr(logging.getLogger("socketify_mw"), "disabled", True)
    refs = set()

    class Noting(Middleware):
        def before(self, request, response):
            refs.add(weakref.ref(request.session))
            return request

    cls = SessionMiddleware.using(store=store, preload=True)
    app = App().use(cls, Noting)
    app.get("/", with_data(kind)).any("/*", lambda res, req: res.end("last"))
    client = app.test_client(explain=is_explained)
    client.get("/")
    refs.clear()
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            client.get("/")
        app.loop.run_until_complete(asyncio.sleep(0))
        left = sum(it() is not None for it in refs)
    finally:
        gc.enable()
    assert len(refs) == 3 and left == 0


# ---- what cannot be sent ----


@pytest.mark.parametrize("fault", ["field", "hook"])
def test_the_error_s_answer_has_the_new_cookie_for_the_old_id_is_dead(fault):
    def handler(res, req, data):
        if req.get_query("log_in"):
            req.session.regenerate()
            req.session.put("user", "ann")
            if fault == "field":
                res.write_header("X-Bad", "a\r\nb")
            else:
                res._on_commit(lambda head, body: {}["missing"])
        else:
            req.session.put("seen", True)
        res.end(req.session.get("user", "nobody"))

    chain = middleware(SessionMiddleware, handler)
    client = App().get("/", chain).test_client()
    client.get("/")
    before = dict(client.cookies)
    assert client.get("/?log_in=1").status == 500
    assert client.cookies != before
    assert client.get("/").text == "ann"


def test_cookies_that_are_decrypted_too_late_are_an_error_that_says_so(
    monkeypatch, caplog
):
    monkeypatch.setenv("APP_ENV", "testing")
    sessions = middleware(SessionMiddleware)
    chain = middleware(
        lambda res, req, data: sessions(res, req, True),  # seen by nobody before
        EncryptCookies,
        lambda res, req, data: res.end("x"),
    )
    assert App().get("/", chain).test_client().get("/").status == 500
    assert "in front of SessionMiddleware" in caplog.text


# ---- what an attacker has found ----


@pytest.mark.parametrize("is_late", [False, True])
def test_a_client_that_leaves_while_an_after_waits_is_logged_out(serve, store, is_late):
    waits, has_left, done = threading.Event(), asyncio.Event(), threading.Event()

    class Audit(Middleware):
        async def after(self, request, response):
            if request.get_query("out"):
                response.on_aborted(lambda res: has_left.set())
                waits.set()
                try:
                    await has_left.wait()
                    await asyncio.sleep(0.01)
                finally:
                    done.set()
            return request

    async def handler(res, req, data):
        if is_late:
            await asyncio.sleep(0)
        await req.session.load()
        if req.get_query("out"):
            req.session.flush()
        else:
            req.session.put("user", 1)
        res.end("x")

    def setup(app):
        app.get("/", middleware(SessionMiddleware.using(store=store), Audit, handler))
        app.get("/none", lambda res, req: res.end("x"))

    server = serve(setup, cancel_abandoned=True)
    id = cookie_of(server.ask("/"))
    client = server.client()
    client.send(
        f"GET /?out=1 HTTP/1.1\r\nHost: x\r\nCookie: session={id}\r\n\r\n".encode()
    )
    assert waits.wait(10)
    client.close()
    assert done.wait(10)
    for _ in range(200):
        if not server.call(store.data):
            break
        server.ask("/none")
    # The handler has ended the session: that its client left does not keep it alive.
    assert server.call(store.data) == []


@pytest.mark.parametrize("depth", [100, 900])
def test_a_value_that_was_taken_can_be_read_again(site, depth):
    value = []
    for _ in range(depth):
        value = [value]

    def put(session):
        try:
            session.put("draft", value)
        except TypeError:
            return "refused"
        return "kept"

    site.do(lambda it: it.put("user", "ann"))
    kept = site.do(put) == "kept"
    # Neither a 500 nor a session that is empty then.
    assert site.do(lambda it: [it.get("user"), it.has("draft")]) == ["ann", kept]
    assert site.do(lambda it: it.get("user")) == "ann"


def test_it_is_saved_when_all_goes_wrong_and_the_error_handler_takes_its_time(store):
    class Fails(Middleware):
        def after(self, request, response):
            raise ValueError("in after")

    async def cancelled(res, req, data):
        (await req.session.load()).put("a", 1)
        raise asyncio.CancelledError

    app = App()

    done = asyncio.Event()

    @app.on_error
    async def handler(error, res, req):
        await asyncio.sleep(0.001)
        done.set()

    app.get("/", middleware(SessionMiddleware.using(store=store), Fails, cancelled))
    assert app.test_client().get("/").status == 500
    assert store.data() == [{"a": 1}]
    app.loop.run_until_complete(done.wait())


def test_values_that_hold_each_other_are_refused_at_once():
    looked_at = 0

    class Counted(dict):
        def values(self):
            nonlocal looked_at
            looked_at += 1
            return super().values()

    tree = Counted(children=[])
    tree["children"] = [Counted(parent=tree) for _ in range(2)]
    session = Session(MemoryStore(), Lifetimes(60, 60), None)
    with pytest.raises(TypeError, match="the session cannot keep 'tree'"):
        session.put("tree", tree)
    assert looked_at < 1000  # and not twice as many with each third layer
