"""An app whose Redis is killed, and comes back, while it serves."""

import asyncio
import threading
import time

import httpx
import pytest
from test_stores import own_redis  # noqa: F401 - a fixture

from socketify_mw import Get, StoreBusy, StoreError
from socketify_mw.middlewares import SessionMiddleware, ThrottleMiddleware
from socketify_mw.stores import redis as redis_store
from socketify_mw.stores.redis import RedisStore

TIMEOUT = 0.5  # of a call


async def count(request):
    session = await request.session.load()
    session.put("count", session.get("count", 0) + 1)
    return str(session.get("count"))


@pytest.fixture
def site(serve, own_redis):  # noqa: F811
    def setup(app):
        shared = RedisStore(own_redis.url, timeout=TIMEOUT)

        class Kernel:
            store = shared
            route_middleware = {
                "session": SessionMiddleware,
                "open": ThrottleMiddleware,
                "closed": ThrottleMiddleware.using(when_down="closed"),
            }

        routes = [
            Get("/plain", lambda: "plain").middleware("session"),
            Get("/count", count).middleware("session"),
            Get("/open", lambda: "open").middleware("open:3/hour"),
            Get("/closed", lambda: "closed").middleware("closed:3/hour"),
        ]
        app.kernel(Kernel, routes)
        app.on_shutdown(shared.close)

    server = serve(setup)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        yield client


def test_more_calls_than_it_answers_in_time_are_told_apart_from_no_answer(
    own_redis,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setattr(redis_store, "_MOST", 1)

    async def calls():
        store = RedisStore(own_redis.url, timeout=2)
        # Each waits so long for its answer, and the next one for the connection.
        slow = [redis_store._command("BLPOP", "nothing", 0.8) for _ in range(3)]
        work = [*map(store._do, slow), store.hit("a", 5, 60)]
        found = await asyncio.gather(*work, return_exceptions=True)
        await store.close()
        return found

    *_, late, last = asyncio.run(calls())
    assert type(last) is StoreBusy
    assert type(late) is StoreError  # which was sent, but not answered in time
    own_redis.kill()
    assert set(map(type, asyncio.run(calls()))) == {StoreError}


def test_what_is_answered_while_it_is_away_and_behind(site, own_redis, caplog):  # noqa: F811
    assert [site.get("/count").text for _ in range(2)] == ["1", "2"]
    assert [site.get("/open").status_code for _ in range(2)] == [200, 200]
    own_redis.kill()
    for path, status in [
        ("/plain", 200),  # it does not touch its session
        ("/count", 503),
        ("/open", 200),
        ("/closed", 503),
        ("/open", 200),
    ]:
        started = time.monotonic()
        assert site.get(path).status_code == status
        # Much more than the limit, for the machine may be busy; and much less than the
        # client's patience.
        assert time.monotonic() - started < TIMEOUT + 2
    assert "requests are not counted" in caplog.text
    own_redis.start()
    # It has forgotten all: neither the session nor the counts are there.
    assert site.get("/count").text == "1"
    assert site.get("/count").text == "2"
    found = [site.get("/open").status_code for _ in range(4)]
    assert found == [200, 200, 200, 429]


def test_others_do_not_wait_while_it_does_not_answer(site, own_redis):  # noqa: F811
    site.get("/count")
    own_redis.pause()
    try:
        slow = threading.Thread(target=lambda: answers.append(site.get("/count")))
        answers = []
        slow.start()
        with httpx.Client(base_url=site.base_url) as other:
            while slow.is_alive():
                assert other.get("/plain").text == "plain"
        slow.join()
        assert answers[0].status_code == 503
    finally:
        own_redis.resume()
    assert site.get("/count").text == "2"


def test_a_crowd_is_let_through_while_it_does_not_answer(site, own_redis):  # noqa: F811
    own_redis.pause()
    try:
        found = []
        crowd = [threading.Thread(target=ask, args=(site, found)) for _ in range(6)]
        for it in crowd:
            it.start()
        for it in crowd:
            it.join()
    finally:
        own_redis.resume()
    assert found == [200] * 6  # though three of them alone may pass in an hour


def ask(site, found):
    found.append(httpx.get(f"{site.base_url}/open", timeout=20).status_code)
