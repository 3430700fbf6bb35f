"""Throttling, as clients meet it: how many come through, and what they are told."""

import asyncio
import socket
import subprocess
import sys
import textwrap
import threading
import time
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketify_mw import (
    App,
    ConfigError,
    Get,
    Match,
    Middleware,
    RouteError,
    StoreBusy,
    StoreError,
    middleware,
)
from socketify_mw.middlewares import ThrottleMiddleware, throttle
from socketify_mw.stores import MemoryStore

NEWS = [Get("/feeds", lambda: "news")]


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def throttled(spec, **options):
    """Return an app with a route that is throttled by a parameter."""

    class Kernel:
        route_middleware = {"throttle": ThrottleMiddleware.using(**options)}

    route = Get("/feeds", lambda: "news").middleware(spec)
    return App().kernel(Kernel, [route])


def statuses(client, count, path="/feeds"):
    return [client.get(path).status for _ in range(count)]


# ---- the forms ----


@pytest.mark.parametrize(
    ("spec", "limit", "window"),
    [
        ("throttle:2,3", 3, 120),
        ("throttle: 2 , 3 ", 3, 120),
        ("throttle:3/minute", 3, 60),
        ("throttle:3 per 2 hours", 3, 7200),
        ("throttle:3/10 seconds", 3, 10),
        ("throttle:named", 3, 3600),
    ],
)
def test_each_form_lets_so_many_through_in_any_window(spec, limit, window):
    clock = Clock()
    app = throttled(spec, store=MemoryStore(clock=clock), limiters={"named": "3/hour"})
    client = app.test_client()
    assert statuses(client, limit + 1) == [200] * limit + [429]
    clock.now += window - 0.001
    assert statuses(client, 1) == [429]
    clock.now += 0.002
    assert statuses(client, limit + 1) == [200] * limit + [429]


def test_without_a_parameter_it_is_the_class_s_own_limit():
    limited = ThrottleMiddleware.using(limit="2/minute")
    chain = middleware(limited, lambda res, req, data: res.end("x"))
    client = App().get("/feeds", chain).test_client()
    assert statuses(client, 3) == [200, 200, 429]


def test_several_limits_hold_at_once():
    clock = Clock()
    app = throttled("throttle:4/hour;2/second", store=MemoryStore(clock=clock))
    client = app.test_client()
    assert statuses(client, 3) == [200, 200, 429]
    clock.now += 1.1
    # The refused request counted under the first limit, which was asked before.
    assert statuses(client, 2) == [200, 429]


def test_a_limiter_may_be_a_function_of_the_request():
    def by_plan(request):
        plan = request.get_query("plan")
        return {"small": "1/minute", "large": "3/minute"}.get(plan)

    client = throttled("throttle:plan", limiters={"plan": by_plan}).test_client()
    assert statuses(client, 2, "/feeds?plan=small") == [200, 429]
    assert statuses(client, 4, "/feeds?plan=large") == [200] * 3 + [429]
    assert statuses(client, 9) == [200] * 9


def test_routes_count_by_themselves_and_names_together():
    class Throttle(ThrottleMiddleware):
        limiters = {"named": "2/minute"}

    class Kernel:
        route_middleware = {"throttle": Throttle}

    routes = [
        Get("/a", lambda: "a").middleware("throttle:1/minute"),
        Get("/b/@id", lambda id: id).middleware("throttle:1/minute"),
        Get("/c", lambda: "c").middleware("throttle:named"),
        Get("/d", lambda: "d").middleware("throttle:named"),
    ]
    client = App().kernel(Kernel, routes).test_client()
    assert [client.get(it).status for it in ("/a", "/b/1", "/a", "/b/2")] == [
        200,
        200,
        429,
        429,
    ]
    assert [client.get(it).status for it in ("/c", "/d", "/c")] == [200, 200, 429]


def test_in_front_of_every_route_it_counts_for_all_together_if_it_is_told():
    limited = ThrottleMiddleware.using(limit="3/minute", per="all")
    app = App().use(limited).get("/a", lambda res, req, data: res.end("a"))
    client = app.test_client()
    found = [client.get(it).status for it in ("/a", "/nothing", "/a", "/other", "/a")]
    assert found == [200, 404, 200, 429, 429]


# ---- who the client is ----


class LogIn(Middleware):
    def before(self, request, response):
        name = request.get_query("user")
        users = {"seven": SimpleNamespace(id=7), "dict": {"id": "8"}, "odd": object()}
        return request.set_user(users.get(name, name))


def test_a_user_is_counted_wherever_he_comes_from_and_others_by_address(caplog):
    class Kernel:
        route_middleware = {"web": [LogIn], "throttle": ThrottleMiddleware}

    route = Get("/feeds", lambda: "news").middleware("throttle:1/minute")
    client = App().kernel(Kernel, [route]).test_client()
    for name in ("ann", "bob", "seven", "dict"):
        assert statuses(client, 2, f"/feeds?user={name}") == [200, 429]
    assert statuses(client, 2) == [200, 429]
    assert client.get("/feeds?user=odd").status == 500
    assert "override ThrottleMiddleware.key" in caplog.text


@pytest.mark.parametrize(
    "name",
    ["x-forwarded-for", "forwarded", "x-real-ip", "client-ip", "cf-connecting-ip"],
)
def test_no_header_is_believed(name):
    client = throttled("throttle:1/minute").test_client()
    found = [
        client.get("/feeds", headers={name: f"192.0.2.{i}"}).status for i in range(3)
    ]
    assert found == [200, 429, 429]


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_an_ipv6_client_is_its_network(one, other, is_same):
    def key(text):
        family = socket.AF_INET6 if ":" in text else socket.AF_INET
        return throttle._network(socket.inet_pton(family, text))

    assert (key(one) == key(other)) is is_same


def test_clients_of_two_addresses_do_not_share_a_limit(serve):
    def setup(app):
        limited = ThrottleMiddleware.using(limit="1/minute")
        app.get("/", middleware(limited, lambda res, req, data: res.end("x")))

    server = serve(setup)
    for address in ("127.0.0.1", "127.0.0.2"):
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(transport=transport) as client:
            url = f"http://127.0.0.1:{server.port}/"
            assert [client.get(url).status_code for _ in range(2)] == [200, 429]


def test_a_key_of_its_own():
    class ByKey(ThrottleMiddleware):
        limit = "1/minute"

        def key(self, request, response):
            return request.get_header("x-api-key") or super().key(request, response)

    chain = middleware(ByKey, lambda res, req, data: res.end("x"))
    client = App().get("/", chain).test_client()
    found = [client.get("/", headers={"X-Api-Key": it}).status for it in "aabb"]
    assert found == [200, 429, 200, 429]


# ---- what clients are told ----


def test_answers_tell_what_is_left_and_when_to_come_again():
    clock = Clock()
    app = throttled("throttle:2,2", store=MemoryStore(clock=clock))
    client = app.test_client()
    answer = client.get("/feeds")
    assert answer.header("ratelimit-policy") == '"default";q=2;w=120'
    assert answer.header("ratelimit") == '"default";r=1;t=120'
    assert answer.header("x-ratelimit-limit") == "2"
    assert answer.header("x-ratelimit-remaining") == "1"
    assert answer.header("retry-after") is None
    clock.now += 30
    client.get("/feeds")
    answer = client.get("/feeds")
    assert (answer.status, answer.text) == (429, "Too Many Requests")
    assert answer.header("retry-after") == "90"  # then the first one is too old
    assert answer.header("ratelimit") == '"default";r=0;t=120'
    assert answer.header("x-ratelimit-remaining") == "0"


def test_several_limits_are_told_with_names_of_their_own():
    limiters = {"api": "5/minute;2/second"}
    answer = throttled("throttle:api", limiters=limiters).test_client().get("/feeds")
    assert answer.header("ratelimit-policy") == '"api-1";q=5;w=60, "api-2";q=2;w=1'
    assert answer.header("ratelimit") == '"api-1";r=4;t=60, "api-2";r=1;t=1'
    assert answer.header("x-ratelimit-limit") == "2"


def test_nothing_is_told_if_that_is_not_wanted():
    client = throttled("throttle:1/minute", headers=False).test_client()
    assert client.get("/feeds").header("ratelimit") is None
    answer = client.get("/feeds")
    assert (answer.status, answer.header("ratelimit")) == (429, None)
    assert answer.header("retry-after") == "60"


def test_a_refused_request_does_not_reach_the_handler_and_each_after_runs():
    calls = []

    class Outer(Middleware):
        def after(self, request, response):
            calls.append(response.get_status())
            return request

    limited = ThrottleMiddleware.using(limit="1/minute")

    def handler(res, req, data):
        calls.append("handler")
        res.end("x")

    client = App().get("/feeds", middleware(Outer, limited, handler)).test_client()
    assert statuses(client, 2) == [200, 429]
    assert calls == ["handler", 200, 429]


# ---- stores ----


class Slow(MemoryStore):
    """One that takes its time, as those outside of the process do."""

    is_immediate = False

    async def hit(self, key, limit, window):
        await asyncio.sleep(0.001)
        return await super().hit(key, limit, window)


class Down(MemoryStore):
    is_immediate = False

    async def hit(self, key, limit, window):
        raise StoreError("nobody is there")


def test_a_store_that_is_down_lets_through_or_refuses_as_it_is_told(caplog):
    for way, status in (("open", 200), ("closed", 503)):
        app = throttled("throttle:1/minute", store=Down(), when_down=way)
        assert statuses(app.test_client(), 2) == [status] * 2
    assert "nobody is there" in caplog.text


class Busy(Down):
    async def hit(self, key, limit, window):
        raise StoreBusy("there are many")


def test_a_store_that_is_busy_lets_nobody_through(caplog):
    for way in ("open", "closed"):
        app = throttled("throttle:1/minute", store=Busy(), when_down=way)
        assert statuses(app.test_client(), 2) == [503] * 2
    assert "the store is busy: there are many" in caplog.text


@pytest.mark.parametrize("store", [MemoryStore, Slow])
def test_64_connections_at_once_get_exactly_the_limit(serve, store):
    class Kernel:
        route_middleware = {"throttle": ThrottleMiddleware.using(store=store())}

    route = Get("/feeds", lambda: "news").middleware("throttle:1,100")
    server = serve(lambda app: app.kernel(Kernel, [route]))
    found = []
    start = threading.Barrier(64)

    def hammer():
        client = server.client()
        start.wait()
        found.extend(client.ask("/feeds").status for _ in range(5))

    threads = [threading.Thread(target=hammer) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (found.count(200), found.count(429)) == (100, 220)


def test_4_processes_with_one_store_get_exactly_the_limit(tmp_path):
    program = tmp_path / "site.py"
    program.write_text(
        textwrap.dedent("""
        import sys
        from socketify_mw import App, middleware
        from socketify_mw.middlewares import ThrottleMiddleware

        Limited = ThrottleMiddleware.using(limit="50/hour", store=sys.argv[1])
        app = App().get("/", middleware(Limited, lambda res, req, data: res.end("x")))
        app.listen(0, lambda config: print(config.port, flush=True))
        app.run()
        """)
    )
    command = [sys.executable, str(program), f"sqlite:{tmp_path / 'hits.db'}"]
    programs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    try:
        ports = [int(it.stdout.readline()) for it in programs]
        found = []

        def hammer(port):
            with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
                found.extend(client.get("/").status_code for _ in range(10))

        threads = [
            threading.Thread(target=hammer, args=(port,))
            for port in ports
            for _ in "ab"
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for it in programs:
            it.terminate()
        assert [it.wait(10) for it in programs] == [0] * 4
        for it in programs:
            it.stdout.close()
    assert (found.count(200), found.count(429)) == (50, 30)


STEPS = st.lists(st.tuples(st.floats(0, 90), st.sampled_from("abc")), max_size=60)


@given(STEPS)
def test_in_no_window_are_there_more_than_the_limit(steps):
    clock = Clock()

    class ByQuery(ThrottleMiddleware):
        limit = "3/minute"
        store = MemoryStore(clock=clock)

        def key(self, request, response):
            return request.get_query("who")

    chain = middleware(ByQuery, lambda res, req, data: res.end("x"))
    client = App().get("/", chain).test_client()
    allowed = {who: [] for who in "abc"}
    for wait, who in steps:
        clock.now += wait
        times = allowed[who]
        is_full = sum(it > clock.now - 60 for it in times) >= 3
        status = client.get(f"/?who={who}").status
        assert status == (429 if is_full else 200)
        if status == 200:
            times.append(clock.now)


def test_limits_and_parameters_are_read_once_and_not_for_each_request():
    client = throttled("throttle:2,1000", store=MemoryStore()).test_client()
    client.get("/feeds")
    reads = (throttle._parse, ThrottleMiddleware._limiter)
    before = [it.cache_info().misses for it in reads]
    assert statuses(client, 5) == [200] * 5
    assert [it.cache_info().misses for it in reads] == before


# ---- what is wrong at the start ----


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("throttle", "needs a limit"),
        ("throttle:", "no limiter ''"),
        ("throttle:nmaed", "did you mean 'named'"),
        ("throttle:0,5", "no limiter '0,5'"),
        ("throttle:5,0", "no limiter '5,0'"),
        ("throttle:1,2,3", "no limiter '1,2,3'"),
        ("throttle:0/minute", "'0/minute' is no limit"),
        ("throttle:-1/minute", "'-1/minute' is no limit"),
        ("throttle:5/parsec", "'5/parsec' is no limit"),
        ("throttle:²,5", "no limiter"),
    ],
)
def test_a_limit_that_cannot_be_meant_is_told_at_the_start(spec, message):
    with pytest.raises(RouteError, match=message) as caught:
        throttled(spec, limiters={"named": "3/hour"})
    assert "GET /feeds" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per": "rout"}, "did you mean 'route'"),
        ({"when_down": "close"}, "did you mean 'closed'"),
        ({"limit": 5}, "5 is no limit"),
        ({"limiters": {"a": "soon"}}, "'soon' is no limit"),
        ({"store": "redsi://x"}, "redis://"),
    ],
)
def test_an_option_that_cannot_be_meant_is_told_at_the_start(options, message):
    with pytest.raises((ConfigError, RouteError), match=message):
        throttled("throttle:1/minute", **options)


def test_an_unknown_option_is_told_with_the_nearest_one():
    with pytest.raises(ConfigError, match="did you mean 'limiters'"):
        ThrottleMiddleware.using(limiter={})


def test_a_missing_library_is_told_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "limits", None)
    throttle._parse.cache_clear()
    with pytest.raises(RouteError, match=r"pip install 'socketify-mw\[throttle\]'"):
        throttled("throttle:7/minute")
    assert throttled("throttle:2,7").test_client().get("/feeds").status == 200


# ---- what an attacker has found ----


@pytest.mark.parametrize(
    "limit", ["999999999,5", "5/200 years", "99999999999999999999/minute"]
)
def test_a_limit_that_no_store_can_keep_is_told_at_the_start(limit):
    with pytest.raises(RouteError, match="limit"):
        throttled(f"throttle:{limit}")


def test_a_parameter_that_may_be_left_out_gives_no_second_limit():
    class Kernel:
        route_middleware = {"throttle": ThrottleMiddleware}

    route = Get("/a/?x/?y", lambda: "a").middleware("throttle:1,2")
    client = App().kernel(Kernel, [route]).test_client()
    found = [client.get(path).status for path in ("/a", "/a/1", "/a/1/2", "/a/3/4")]
    assert found == [200, 200, 429, 429]


def test_another_method_of_a_route_gives_no_second_limit():
    class Kernel:
        route_middleware = {"throttle": ThrottleMiddleware}

    route = Match(["post", "put"], "/a", lambda: "a").middleware("throttle:1,1")
    client = App().kernel(Kernel, [route]).test_client()
    assert [client.request(it, "/a").status for it in ("POST", "PUT")] == [200, 429]


class Gated(MemoryStore):
    """Answers when it is told to."""

    is_immediate = False

    def __init__(self):
        super().__init__()
        self.is_open = asyncio.Event()
        self.calls = 0

    async def hit(self, key, limit, window):
        self.calls += 1
        await self.is_open.wait()
        return await super().hit(key, limit, window)


class Crowd:
    """Clients at one address, of a server whose store is a `Gated` one."""

    def __init__(self, serve, store, limit):
        self.store, self.asked = store, 0
        crowd = self

        class Counting(ThrottleMiddleware):
            def key(self, request, response):
                crowd.asked += 1
                return super().key(request, response)

        class Kernel:
            route_middleware = {"throttle": Counting.using(store=store)}

        route = Get("/", lambda: "in").middleware(f"throttle:{limit}")
        self.server = serve(lambda app: app.kernel(Kernel, [route]))

    def ask(self, count):
        """Have so many requests wait, or be answered; return their clients."""
        wanted = self.asked + count
        clients = [self.server.client() for _ in range(count)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        while self.server.call(lambda: self.asked) < wanted:
            time.sleep(0.001)
        return clients

    def open(self):
        self.server.call(self.store.is_open.set)


def test_a_crowd_of_one_client_does_not_keep_the_store_from_answering(serve):
    """It would be late then, which counts as down, and they would all pass."""
    crowd = Crowd(serve, Gated(), "5,5")
    first, others = crowd.ask(5), crowd.ask(95)
    assert crowd.store.calls == 5
    crowd.open()
    assert [client.read().status for client in first] == [200] * 5
    assert [client.read().status for client in others] == [429] * 95
    assert crowd.store.calls == 5
    assert crowd.ask(1)[0].read().status == 429 and crowd.store.calls == 6


@pytest.mark.parametrize(("error", "status"), [(StoreError, 200), (StoreBusy, 503)])
def test_what_the_store_does_to_those_in_front_it_does_to_a_crowd(serve, error, status):
    class Failing(Gated):
        async def hit(self, key, limit, window):
            await super().hit(key, limit, window)
            raise error("for all of them")

    crowd = Crowd(serve, Failing(), "5,2")
    clients = crowd.ask(20)
    assert crowd.store.calls == 2
    crowd.open()
    assert [client.read().status for client in clients] == [status] * 20
    assert crowd.store.calls == 2


def test_a_client_that_left_is_not_counted_under_nobody_s_address(serve):
    keys, done = [], threading.Event()

    class Noting(ThrottleMiddleware):
        limit = "1,2"

        def key(self, request, response):
            try:
                keys.append(super().key(request, response))
            finally:
                done.set()
            return keys[-1]

    class Waiting(Middleware):
        async def before(self, request, response):
            gone = asyncio.Event()
            response.on_aborted(lambda res: gone.set())
            await gone.wait()
            return request

    def setup(app):
        def handler(res, req, data):
            keys.append("passed")
            res.end("x")

        app.get("/", middleware(Waiting, Noting, handler))

    client = serve(setup).client()
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    time.sleep(0.05)
    client.close()
    assert done.wait(10)
    time.sleep(0.05)
    assert keys == []
