"""Stores: one suite for the three rooms, and what each does when it is not well."""

import asyncio
import contextlib
import gc
import json
import logging
import math
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from array import array
from pathlib import Path

import pytest
from conftest import examples
from hypothesis import given
from hypothesis import strategies as st

from socketify_mw import App
from socketify_mw.errors import ConfigError
from socketify_mw.stores import MemoryStore, StoreError, open_store
from socketify_mw.stores.redis import RedisStore
from socketify_mw.stores.sqlite import SqliteStore

ROOT = Path(__file__).resolve().parent.parent


class RedisServer:
    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self.start()

    def start(self):
        options = f"--bind 127.0.0.1 --port {self.port} --appendonly no --save".split()
        self._process = subprocess.Popen(
            ["redis-server", *options, ""],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as it:
                    it.sendall(b"PING\r\n")
                    assert it.recv(7) == b"+PONG\r\n"
                    return
            except OSError:
                assert self._process.poll() is None, "redis-server has ended"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)

    def pause(self):
        self._process.send_signal(signal.SIGSTOP)

    def resume(self):
        self._process.send_signal(signal.SIGCONT)

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def restart(self):
        self.kill()
        self.start()


def _redis_server(folder):
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    server = RedisServer(folder)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory):
    yield from _redis_server(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def own_redis(tmp_path):
    """One that may be killed."""
    yield from _redis_server(tmp_path)


@pytest.fixture
def sqlite_spec(tmp_path):
    return f"sqlite:{tmp_path / 'store.db'}"


@pytest.fixture
def redis_spec(redis_server):
    return redis_server.url


@pytest.fixture(params=["memory", "sqlite", "redis"])
def spec(request):
    if request.param == "memory":
        return "memory:"
    return request.getfixturevalue(f"{request.param}_spec")


_names = iter(range(10**9))


@pytest.fixture
def key():
    """A key that no other test has."""
    return f"ключ {next(_names)}\0"


def use(store, function):
    """Run a coroutine function with a store (or its URL), and close that."""

    async def main():
        room = open_store(store)
        try:
            return await function(room)
        finally:
            await room.close()

    return asyncio.run(main())


def at_once(coroutine):
    """Run a coroutine that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


class Clock:
    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now


# ---- each room ----


def test_a_value_is_what_was_set_last(spec, key):
    async def main(store):
        assert await store.get(key) is None
        await store.set(key, b"one", 60)
        await store.set(key, bytes(range(256)), 60)
        assert await store.get(key) == bytes(range(256))
        await store.set(key, b"", 60)
        assert await store.get(key) == b""
        await store.delete(key)
        await store.delete(key)
        assert await store.get(key) is None

    use(spec, main)


def test_a_large_value_comes_back(spec, key):
    async def main(store):
        await store.set(key, b"x" * 1_000_000, 60)
        assert await store.get(key) == b"x" * 1_000_000

    use(spec, main)


def test_a_value_lives_for_its_time(spec, key):
    async def main(store):
        await store.set(key, b"short", 0.05)
        await store.set(key + "2", b"long", 60)
        deadline = time.monotonic() + 10
        while await store.get(key) is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert await store.get(key + "2") == b"long"
        # What has expired is absent.
        assert not await store.replace(key, b"short", b"new", 60)
        assert await store.replace(key, None, b"new", 60)
        assert await store.get(key) == b"new"

    use(spec, main)


def test_replace_compares(spec, key):
    async def main(store):
        assert not await store.replace(key, b"", b"a", 60)
        assert await store.replace(key, None, b"a", 60)
        assert not await store.replace(key, None, b"b", 60)
        assert not await store.replace(key, b"b", b"c", 60)
        assert await store.get(key) == b"a"
        assert await store.replace(key, b"a", b"", 60)
        assert await store.replace(key, b"", b"d", 60)
        assert await store.get(key) == b"d"

    use(spec, main)


def test_only_one_of_many_replaces(spec, key):
    async def main(store):
        calls = [store.replace(key, None, b"%d" % n, 60) for n in range(32)]
        found = await asyncio.gather(*calls)
        assert sum(found) == 1
        assert await store.get(key) == b"%d" % found.index(True)

    use(spec, main)


def test_increment_counts_each_call_once(spec, key):
    async def main(store):
        found = await asyncio.gather(*(store.increment(key, 60) for _ in range(64)))
        assert sorted(found) == list(range(1, 65))
        assert await store.increment(key, 60, -65) == -1
        assert await store.increment(key, 60, 0) == -1

    use(spec, main)


def test_a_counters_time_begins_with_its_first_increment(spec, key):
    async def main(store):
        await store.increment(key, 0.2)
        began = time.monotonic()
        while await store.increment(key, 60) > 1:
            assert time.monotonic() < began + 10
            await asyncio.sleep(0.01)
        assert time.monotonic() - began > 0.15
        assert await store.increment(key, 0.001) == 2

    use(spec, main)


def test_a_counter_has_64_bits(spec, key):
    async def main(store):
        assert await store.increment(key, 60, 2**63 - 1) == 2**63 - 1
        with pytest.raises(StoreError):
            await store.increment(key, 60)
        assert await store.increment(key, 60, -1) == 2**63 - 2

    use(spec, main)


def test_values_counters_and_logs_are_apart_and_deleted_together(spec, key):
    async def main(store):
        await store.set(key, b"value", 60)
        assert await store.increment(key, 60) == 1
        assert (await store.hit(key, 1, 60)).is_allowed
        assert not (await store.hit(key, 1, 60)).is_allowed
        assert await store.get(key) == b"value"
        await store.delete(key)
        assert await store.get(key) is None
        assert await store.increment(key, 60) == 1
        assert (await store.hit(key, 1, 60)).is_allowed

    use(spec, main)


def test_hit_tells_what_remains(spec, key):
    async def main(store):
        first = await store.hit(key, 2, 60)
        assert (first.is_allowed, first.remaining, first.retry_after) == (True, 1, 0.0)
        assert 59 < first.reset <= 60
        await asyncio.sleep(0.02)
        second = await store.hit(key, 2, 60)
        assert (second.is_allowed, second.remaining) == (True, 0)
        third = await store.hit(key, 2, 60)
        assert (third.is_allowed, third.remaining) == (False, 0)
        assert 50 < third.retry_after < third.reset - 0.01 < 60
        # A limit is its call's own.
        assert (await store.hit(key, 4, 60)).remaining == 1
        assert not (await store.hit(key, 2, 60)).is_allowed
        assert not (await store.hit(key, 1, 60)).is_allowed

    use(spec, main)


def test_a_hit_is_allowed_again_after_what_it_was_told(spec, key):
    async def main(store):
        began = time.monotonic()
        assert (await store.hit(key, 2, 0.2)).is_allowed
        assert (await store.hit(key, 2, 0.2)).is_allowed
        told = await store.hit(key, 2, 0.2)
        while not told.is_allowed:
            assert 0 < told.retry_after <= 0.2
            await asyncio.sleep(told.retry_after)
            told = await store.hit(key, 2, 0.2)
        assert time.monotonic() - began > 0.19

    use(spec, main)


def test_of_64_tasks_the_limit_is_allowed(spec, key):
    async def main(store):
        found = await asyncio.gather(*(store.hit(key, 23, 60) for _ in range(64)))
        assert sorted(hit.remaining for hit in found if hit.is_allowed) == [*range(23)]

    use(spec, main)


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("get", (b"key",), TypeError),
        ("get", (None,), TypeError),
        ("get", ("\ud800",), ValueError),
        ("delete", (1,), TypeError),
        ("set", ("k", "value", 1), TypeError),
        ("set", ("k", bytearray(b"v"), 1), TypeError),
        ("set", ("k", b"v", 0), ValueError),
        ("set", ("k", b"v", -1), ValueError),
        ("set", ("k", b"v", math.nan), ValueError),
        ("set", ("k", b"v", math.inf), ValueError),
        ("set", ("k", b"v", "1"), TypeError),
        ("replace", ("k", "old", b"v", 1), TypeError),
        ("replace", ("k", b"old", None, 1), TypeError),
        ("replace", ("k", None, b"v", 0), ValueError),
        ("increment", (b"k", 1), TypeError),
        ("increment", ("k", 0), ValueError),
        ("increment", ("k", 1, 1.5), TypeError),
        ("increment", ("k", 1, 2**63), ValueError),
        ("hit", (1, 1, 1), TypeError),
        ("hit", ("k", 0, 1), ValueError),
        ("hit", ("k", 1.0, 1), TypeError),
        ("hit", ("k", 1, 0), ValueError),
        ("hit", ("k", 1, math.nan), ValueError),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_done(
    tmp_path, name, arguments, error
):
    rooms = MemoryStore(), SqliteStore(tmp_path / "s"), RedisStore("redis://localhost")
    for room in rooms:
        with pytest.raises(error):
            at_once(getattr(room, name)(*arguments))
    assert not (tmp_path / "s").exists()


def test_the_shortest_times_are_times(spec, key):
    async def main(store):
        await store.set(key, b"v", 5e-324)
        assert await store.increment(key, 1e-9) == 1
        assert (await store.hit(key, 1, 5e-324)).is_allowed
        await store.set(key, b"v", 3.2e9)
        assert await store.get(key) == b"v"
        assert (await store.hit(key + "long", 1, 3.2e9)).is_allowed
        assert not (await store.hit(key + "long", 1, 3.2e9)).is_allowed

    use(spec, main)


def test_a_store_goes_on_after_close(spec, key):
    async def main(store):
        await store.set(key, b"v", 60)
        await store.close()
        assert await store.get(key) == b"v"
        await store.close()
        await store.close()

    use(spec, main)


def test_a_loop_may_pause_between_calls(spec, key):
    store = open_store(spec)
    loop = asyncio.new_event_loop()
    for n in range(1, 4):
        assert loop.run_until_complete(store.increment(key, 60)) == n
    loop.run_until_complete(store.close())
    loop.close()


def test_two_loops_may_take_turns(spec, key):
    store = open_store(spec)
    loops = [asyncio.new_event_loop() for _ in range(2)]
    for n in range(1, 7):
        assert loops[n % 2].run_until_complete(store.increment(key, 60)) == n
    for loop in loops:
        loop.run_until_complete(store.close())
        loop.close()
    assert use(store, lambda store: store.increment(key, 60)) in (1, 7)


def test_a_cancelled_call_does_no_harm(spec, key):
    async def main(store):
        for turns in range(8):
            task = asyncio.ensure_future(store.increment(key, 60))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert await store.get(key) is None  # and not another call's answer
        assert 1 <= await store.increment(key, 60) <= 9

    use(spec, main)


def test_an_apps_handlers_use_a_store(spec, key):
    store = open_store(spec)
    app = App()

    async def count(res, req):
        told = await store.hit(key, 2, 60)
        res.end(f"{told.is_allowed} {await store.increment(key, 60)}")

    app.get("/", count)
    client = app.test_client()
    found = [client.get("/").text for _ in range(3)]
    assert found == ["True 1", "True 2", "False 3"]
    app.loop.run_until_complete(store.close())
    app.close()


def test_all_are_in_the_protocol():
    assert MemoryStore().is_immediate
    assert not SqliteStore("x").is_immediate
    assert not RedisStore("redis://localhost").is_immediate


# ---- several processes ----

PROCESS = """
import asyncio, sys
from socketify_mw.stores import open_store

async def main(spec, key):
    store = open_store(spec)
    await store.get(key)
    print("ready", flush=True)
    sys.stdin.readline()
    allowed = 0
    for _ in range(100):
        allowed += (await store.hit(key, 150, 300)).is_allowed
        await store.increment(key, 300)
    print(allowed)
    await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.parametrize("spec", ["sqlite", "redis"], indirect=True)
def test_of_4_processes_the_limit_is_allowed(spec, key):
    key = key.strip("\0")
    processes = [start(PROCESS, spec, key) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    allowed = 0
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        printed, _ = process.communicate(timeout=50)
        assert process.returncode == 0
        allowed += int(printed)
    assert allowed == 150
    assert use(spec, lambda store: store.increment(key, 60)) == 401


FORK = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore")  # of forking with threads
from socketify_mw.stores import open_store

store = open_store(sys.argv[1])
loop = asyncio.new_event_loop()
assert loop.run_until_complete(store.increment("fork", 60)) == 1
pid = os.fork()
if pid == 0:
    async def in_child():
        await store.close()
        found = [await store.increment("fork", 60) for _ in range(20)]
        await store.close()
        return found
    found = asyncio.run(in_child())
    # The parent's loop is not to be closed here: both have its epoll.
    os._exit(found != sorted(set(found)))
found = [loop.run_until_complete(store.increment("fork", 60)) for _ in range(20)]
assert found == sorted(set(found)), found
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert loop.run_until_complete(store.increment("fork", 60)) == 42
loop.run_until_complete(store.close())
loop.close()
"""


@pytest.mark.parametrize("spec", ["sqlite", "redis"], indirect=True)
def test_a_fork_has_connections_of_its_own(spec):
    process = start(FORK, spec)
    process.communicate(timeout=30)
    assert process.returncode == 0


# ---- memory ----

STEPS = st.lists(
    st.tuples(
        st.integers(0, 20).map(lambda n: n / 8),
        st.sampled_from("abc"),
        st.integers(1, 4),
    ),
    max_size=60,
)


@examples(2)
@given(STEPS)
def test_a_hit_is_refused_if_and_only_if_its_window_is_full(steps):
    clock = Clock()
    store = MemoryStore(clock=clock)
    window = 3.0
    allowed = {"a": [], "b": [], "c": []}
    for pause, key, limit in steps:
        clock.now += pause
        hit = at_once(store.hit(key, limit, window))
        recent = [at for at in allowed[key] if at > clock.now - window]
        assert hit.is_allowed == (len(recent) < limit)
        if hit.is_allowed:
            allowed[key].append(clock.now)
            assert hit.remaining == limit - len(recent) - 1
            assert (hit.reset, hit.retry_after) == (window, 0.0)
        else:
            assert hit.remaining == 0
            assert hit.reset == recent[-1] + window - clock.now
            later = clock.now + hit.retry_after
            assert sum(at > later - window for at in recent) < limit
            assert sum(at > later - 1 / 16 - window for at in recent) >= limit


@examples(2)
@given(STEPS, st.integers(1, 2))
def test_without_room_no_key_is_allowed_more_than_its_limit(steps, room):
    clock = Clock()
    store = MemoryStore(max_keys=room, clock=clock)
    window, limit = 3.0, 2
    allowed = {}
    for pause, key, number in steps:
        clock.now += pause
        if at_once(store.hit(key * number, limit, window)).is_allowed:
            allowed.setdefault(key * number, []).append(clock.now)
    for times in allowed.values():
        for first, third in zip(times, times[limit:], strict=False):
            assert third - first >= window


def test_newcomers_without_room_wait_for_each_other_and_nobody_else(caplog):
    store = MemoryStore(max_keys=100, clock=Clock())
    for n in range(100):
        assert at_once(store.hit(f"old {n}", 2, 60)).is_allowed
    with caplog.at_level(logging.WARNING, "socketify_mw"):
        found = [at_once(store.hit(f"new {n}", 2, 60)) for n in range(20_000)]
    assert sum(hit.is_allowed for hit in found) <= 2 * 4096
    assert len([r for r in caplog.records if "share logs" in r.message]) == 1
    for n in range(100):
        assert at_once(store.hit(f"old {n}", 2, 60)).is_allowed
        assert not at_once(store.hit(f"old {n}", 2, 60)).is_allowed


def test_who_has_shared_a_log_takes_it_along():
    clock = Clock()
    store = MemoryStore(max_keys=1, clock=clock)
    assert at_once(store.hit("first", 1, 60)).is_allowed
    clock.now += 50
    assert at_once(store.hit("second", 1, 60)).is_allowed  # shared
    clock.now += 20  # the first one's time is over: there is room
    assert not at_once(store.hit("second", 1, 60)).is_allowed
    clock.now += 40
    assert at_once(store.hit("second", 1, 60)).is_allowed


def test_logs_that_are_over_make_room():
    clock = Clock()
    store = MemoryStore(max_keys=100, clock=clock)
    for n in range(1000):
        assert at_once(store.hit(f"key {n}", 1, 1)).is_allowed
        clock.now += 1 / 64
    assert store._log_count <= 100
    assert store._shared == {}


def test_the_value_that_was_used_least_goes_first(caplog):
    store = MemoryStore(max_keys=3, clock=Clock())
    for key in "abc":
        at_once(store.set(key, b"v", 60))
    at_once(store.get("a"))
    with caplog.at_level(logging.WARNING, "socketify_mw"):
        for key in "de":
            at_once(store.set(key, b"v", 60))
    assert [key for key in "abcde" if at_once(store.get(key))] == ["a", "d", "e"]
    assert len(caplog.records) == 1


def test_values_that_have_expired_go_before_any_other(caplog):
    clock = Clock()
    store = MemoryStore(max_keys=3, clock=clock)
    at_once(store.set("a", b"v", 60))
    at_once(store.set("b", b"v", 1))
    at_once(store.increment("c", 60))
    clock.now += 1.5
    at_once(store.set("d", b"v", 60))
    assert at_once(store.get("a")) == b"v"
    assert at_once(store.increment("c", 60)) == 2
    assert caplog.records == []


@examples(1)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["set", "get", "delete", "increment", "replace"]),
            st.sampled_from("abcd"),
            st.sampled_from([0.5, 3.0, 100.0]),
            st.integers(0, 8).map(lambda n: n / 4),
        ),
        max_size=60,
    )
)
def test_memory_does_what_a_dict_with_times_does(steps):
    clock = Clock()
    store = MemoryStore(clock=clock)
    model = {}
    for number, (name, key, ttl, pause) in enumerate(steps):
        clock.now += pause
        model = {k: it for k, it in model.items() if it[1] > clock.now}
        value, until = b"%d" % number, clock.now + ttl
        if name == "get":
            assert at_once(store.get(key)) == model.get(key, (None,))[0]
        elif name == "set":
            at_once(store.set(key, value, ttl))
            model[key] = value, until
        elif name == "delete":
            at_once(store.delete(key))
            model.pop(key, None)
            model.pop((key,), None)
        elif name == "increment":
            count, its_until = model.get((key,), (0, until))
            assert at_once(store.increment(key, ttl)) == count + 1
            model[key,] = count + 1, its_until
        else:
            old = model.get(key, (None,))[0]
            assert not at_once(store.replace(key, b"other", value, ttl))
            assert at_once(store.replace(key, old, value, ttl))
            model[key] = value, until
    clock.now += 200
    for _ in range(1 + len(steps)):
        at_once(store.set("last", b"v", 1))
    assert store._entry_count == sum(map(len, store._entries)) == 1


MILLION = """
import resource, time
from socketify_mw.stores import MemoryStore

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def finish(coroutine):
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value

clock = [0.0]
store = MemoryStore(clock=lambda: clock[0])
before = resident()
for n in range(1_000_000):
    assert finish(store.hit("10.%d.%d.%d" % (n >> 16, n >> 8 & 255, n & 255), 5, 60)
        ).is_allowed
print("bytes a key:", (resident() - before) / 1_000_000)
filled = resident()
allowed = sum(finish(store.hit("new %d" % n, 1, 60)).is_allowed for n in range(100_000))
assert 3900 < allowed <= 4096, allowed
assert resident() - filled < 4_000_000
# Forgetting takes no pause: each new key makes room.
clock[0] = 61.5
slowest = 0.0
for n in range(20_000):
    began = time.perf_counter()
    assert finish(store.hit("next %d" % n, 1, 60)).is_allowed
    slowest = max(slowest, time.perf_counter() - began)
assert store._log_count == sum(map(len, store._logs)) < 1_000_000 - 3 * 20_000 + 4
print("slowest, ms:", slowest * 1000)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_a_million_keys_take_less_than_256_bytes_each():
    process = start(MILLION)
    printed, _ = process.communicate(timeout=50)
    assert process.returncode == 0
    assert float(printed.split()[3]) < 256, printed


# ---- sqlite ----


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def test_the_file_is_its_owners(path):
    old = os.umask(0)
    try:

        async def main(store):
            await store.set("k", b"v", 60)
            for name in os.listdir(path.parent):
                assert stat.S_IMODE(os.stat(path.parent / name).st_mode) == 0o600

        use(SqliteStore(path), main)
    finally:
        os.umask(old)
    assert os.listdir(path.parent) == ["store.db"]  # what was beside it was taken in


def test_values_outlive_the_process(path):
    use(SqliteStore(path), lambda store: store.set("k", b"v", 60))
    assert use(SqliteStore(path), lambda store: store.get("k")) == b"v"


LOCK = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
"""


def test_a_locked_file_is_an_error_in_time_and_does_not_block_the_loop(path):
    async def main(store):
        await store.set("k", b"v", 60)
        process = start(LOCK, str(path))
        assert process.stdout.readline() == "locked\n"
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.ensure_future(tick())
        began = time.monotonic()
        calls = [store.set("k", b"w", 60), *(store.hit("k", 1, 60) for _ in range(5))]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, StoreError)
            assert str(path) in str(error)
        assert 0.4 < time.monotonic() - began < 2
        assert ticks > 10
        ticking.cancel()
        with pytest.raises(StoreError, match="locked"):
            await store.increment("k", 60)
        process.communicate("\n", timeout=10)
        assert (await store.hit("k", 1, 60)).is_allowed
        assert await store.get("k") == b"v"

    use(SqliteStore(path, timeout=0.5), main)


def test_a_deleted_file_is_made_again(path):
    async def main(store):
        await store.set("k", b"v", 60)
        path.unlink()
        assert await store.get("k") is None
        await store.set("k", b"w", 60)
        assert path.exists()
        for name in os.listdir(path.parent):
            (path.parent / name).unlink()
        assert (await store.hit("k", 1, 60)).is_allowed
        assert await store.get("k") is None

    use(SqliteStore(path), main)


def test_two_stores_agree_after_their_file_was_deleted(path):
    async def main():
        stores = SqliteStore(path), SqliteStore(path)
        for store in stores:
            await store.increment("k", 60)
        path.unlink()
        counts = [await store.increment("k", 60) for store in stores * 3]
        assert counts == [1, 2, 3, 4, 5, 6]
        for store in stores:
            await store.close()

    asyncio.run(main())


def test_a_missing_folder_is_an_error_until_it_is_there(tmp_path):
    path = tmp_path / "new" / "store.db"

    async def main(store):
        with pytest.raises(StoreError, match="No such file or directory"):
            await store.get("k")
        path.parent.mkdir()
        await store.set("k", b"v", 60)
        assert await store.get("k") == b"v"

    use(SqliteStore(path), main)


def test_a_file_that_is_no_database_is_an_error_until_it_is_gone(path):
    path.write_bytes(b"this is no database " * 1000)

    async def main(store):
        for _ in range(2):
            with pytest.raises(StoreError, match="not a database"):
                await store.get("k")
        path.unlink()
        assert await store.increment("k", 60) == 1

    use(SqliteStore(path), main)


def test_a_file_that_is_damaged_in_use_is_an_error_until_it_is_gone(path):
    async def main(store):
        for n in range(100):
            await store.set(f"{n}", b"v" * 1000, 60)
        await store.close()
        with open(path, "r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 100_000)
        with pytest.raises(StoreError, match=str(path)):
            for n in range(100):
                await store.get(f"{n}")
        path.unlink()
        assert await store.get("1") is None
        await store.set("1", b"v", 60)
        assert await store.get("1") == b"v"

    use(SqliteStore(path), main)


FULL = """
import asyncio, resource, signal, sys
from socketify_mw.stores import StoreError
from socketify_mw.stores.sqlite import SqliteStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

async def main():
    store = SqliteStore(sys.argv[1])
    await store.set("before", b"v", 60)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        await store.set("large", b"x" * 1_000_000, 60)
    except StoreError as error:
        print(error)
    else:
        raise AssertionError
    assert await store.get("before") == b"v"
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.set("large", b"x" * 1_000_000, 60)
    assert len(await store.get("large")) == 1_000_000
    await store.close()

asyncio.run(main())
"""


def test_a_full_disk_is_an_error_until_there_is_room(path):
    process = start(FULL, str(path))
    printed, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert str(path) in printed


def test_tables_of_another_version_are_refused(path):
    async def main(store):
        await store.get("k")
        await store.close()
        with contextlib.closing(sqlite3.connect(path)) as file, file:
            file.execute("UPDATE smw_meta SET value = '2' WHERE name = 'version'")
        with pytest.raises(StoreError, match="another path"):
            await store.get("k")

    use(SqliteStore(path), main)


def test_the_hits_of_another_boot_are_forgotten(path):
    async def main(store):
        for change, stamp in [
            ("UPDATE smw_meta SET value = 'other' WHERE name = 'boot'", 0.0),
            ("UPDATE smw_hits SET stamps = ?", time.monotonic() + 1e6),
        ]:
            assert (await store.hit("k", 1, 60)).is_allowed
            assert not (await store.hit("k", 1, 60)).is_allowed
            await store.close()
            with contextlib.closing(sqlite3.connect(path)) as file, file:
                stamps = [array("d", [stamp]).tobytes()] if "?" in change else []
                file.execute(change, stamps)
            assert (await store.hit("k", 1, 60)).is_allowed
            assert not (await store.hit("k", 1, 60)).is_allowed
            await store.delete("k")

    use(SqliteStore(path), main)


@pytest.mark.parametrize("spec", ["memory", "sqlite"], indirect=True)
@pytest.mark.parametrize("jump", [-1e6, 1e6])
def test_hits_do_not_mind_that_the_wall_clock_is_set(spec, key, jump, monkeypatch):
    async def main(store):
        await store.set(key, b"v", 60)
        assert (await store.hit(key, 1, 60)).is_allowed
        now = time.time
        monkeypatch.setattr(time, "time", lambda: now() + jump)
        assert not (await store.hit(key, 1, 60)).is_allowed
        if spec != "memory:":  # a value's time is that of the wall clock
            assert await store.get(key) == (b"v" if jump < 0 else None)
        monkeypatch.undo()
        assert not (await store.hit(key, 1, 60)).is_allowed

    use(spec, main)


def test_rows_that_have_expired_are_deleted(path):
    async def main(store):
        for n in range(50):
            await store.set(f"{n}", b"v", 0.001)
            await store.increment(f"{n}", 0.001)
            await store.hit(f"{n}", 1, 0.001)
        await asyncio.sleep(0.01)
        for _ in range(10):
            await store.set("last", b"v", 60)
            await store.increment("last", 60)
            await store.hit("last", 100, 60)
        await store.close()
        with contextlib.closing(sqlite3.connect(path)) as file:
            for table in ("smw_values", "smw_counters", "smw_hits"):
                count = file.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
                assert count == 1

    use(SqliteStore(path), main)


def test_a_store_that_nobody_closes_leaves_nothing_behind(path):
    async def main():
        store = SqliteStore(path)
        await store.set("k", b"v", 60)

    asyncio.run(main())
    gc.collect()
    deadline = time.monotonic() + 10
    while any(it.name.startswith(f"store {path}") for it in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert os.listdir(path.parent) == ["store.db"]


# ---- redis ----


def test_a_server_that_is_away_is_an_error_until_it_is_back(own_redis):
    async def main(store):
        await asyncio.gather(*(store.set(f"{n}", b"v", 60) for n in range(40)))
        own_redis.kill()
        began = time.monotonic()
        calls = [
            *(store.get(f"{n}") for n in range(40)),
            *(store.hit(f"{n}", 1, 60) for n in range(40)),
            *(store.increment(f"{n}", 60) for n in range(40)),
        ]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, StoreError)
            assert f"redis://127.0.0.1:{own_redis.port}/0" in str(error)
        assert time.monotonic() - began < 5
        own_redis.start()
        assert await store.get("1") is None
        assert (await store.hit("1", 1, 60)).is_allowed
        assert await store.increment("1", 60) == 1

    use(own_redis.url, main)


def test_a_kill_in_the_middle_of_calls_is_an_error_in_time(own_redis):
    async def main(store):
        async def work():
            failures = 0
            for n in range(300):
                try:
                    await store.hit(f"{n}", 1, 60)
                except StoreError:
                    failures += 1
                    await asyncio.sleep(0.02)
            return failures

        tasks = [asyncio.ensure_future(work()) for _ in range(8)]
        await asyncio.sleep(0.1)
        own_redis.kill()
        await asyncio.sleep(0.1)
        own_redis.start()
        async with asyncio.timeout(30):
            failures = await asyncio.gather(*tasks)
        assert sum(failures) > 0
        assert (await store.hit("last", 1, 60)).is_allowed

    use(own_redis.url, main)


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.get("k"),
        lambda store: store.set("k", b"v", 60),
        lambda store: store.replace("k", None, b"v", 60),
        lambda store: store.delete("k"),
        lambda store: store.increment("k", 60),
        lambda store: store.hit("k", 1, 60),
    ],
)
def test_a_restart_while_the_loop_pauses_is_not_noticed(own_redis, call):
    async def burst():
        await asyncio.gather(*(store.get("k") for _ in range(8)))

    store = RedisStore(own_redis.url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(burst())
    own_redis.restart()
    loop.run_until_complete(call(store))
    loop.run_until_complete(store.close())
    loop.close()


class Proxy:
    """Between a store and its server; it may cut a connection before an answer."""

    def __init__(self, port):
        self._target = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self.cuts_next = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client = self._server.accept()[0]
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            while data := client.recv(65536):
                cuts = self.cuts_next and b"PING" not in data
                server.sendall(data)
                answer = server.recv(65536)
                if cuts:  # it was done, and nobody is told
                    self.cuts_next = False
                    return
                client.sendall(answer)

    def close(self):
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def proxy(redis_server):
    proxy = Proxy(redis_server.port)
    yield proxy
    proxy.close()


def test_a_hit_whose_answer_is_lost_is_counted_once(proxy, key):
    async def main(store):
        await store.hit(key, 5, 60)
        proxy.cuts_next = True
        assert (await store.hit(key, 5, 60)).remaining == 3
        assert not proxy.cuts_next
        assert (await store.hit(key, 5, 60)).remaining == 2

    use(f"redis://127.0.0.1:{proxy.port}", main)


@pytest.mark.parametrize("name", ["increment", "replace"])
def test_what_is_not_repeatable_is_not_repeated(proxy, key, name):
    async def main(store):
        await store.increment(key, 60)
        await store.set(key, b"old", 60)
        proxy.cuts_next = True
        with pytest.raises(StoreError):
            if name == "increment":
                await store.increment(key, 60)
            else:
                await store.replace(key, b"old", b"new", 60)
        assert not proxy.cuts_next
        assert await store.increment(key, 60) == (3 if name == "increment" else 2)
        assert await store.get(key) == (b"new" if name == "replace" else b"old")

    use(f"redis://127.0.0.1:{proxy.port}", main)


def test_a_server_that_does_not_answer_is_an_error_in_time(key):
    async def main(store):
        began = time.monotonic()
        calls = [store.hit(key, 1, 60) for _ in range(40)]
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(error, StoreError)
            assert "0.3 s" in str(error)
        assert 0.25 < time.monotonic() - began < 2

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        use(RedisStore(f"redis://127.0.0.1:{port}", timeout=0.3), main)


def test_what_a_server_refuses_is_an_error_without_the_password(redis_server):
    async def main(store):
        with pytest.raises(StoreError) as found:
            await store.get("k")
        assert "secret" not in str(found.value)
        assert "127.0.0.1" in str(found.value)

    use(f"redis://me:secret@127.0.0.1:{redis_server.port}/0", main)


def test_a_server_that_forgets_its_scripts_gets_them_again(own_redis):
    async def main(store):
        assert await store.increment("k", 60) == 1
        with socket.create_connection(("127.0.0.1", own_redis.port), 5) as other:
            other.sendall(b"SCRIPT FLUSH\r\n")
            assert other.recv(5) == b"+OK\r\n"
        assert await store.increment("k", 60) == 2

    use(own_redis.url, main)


def plant(server, key, *ages):
    """Put hits where they would be if they had come so many seconds ago."""
    with socket.create_connection(("127.0.0.1", server.port), 5) as other:
        for number, age in enumerate(ages):
            stamp = int((time.time() - age) * 1e6)
            other.sendall(f"ZADD smw:h:{key} {stamp} {number}\r\n".encode())
            assert other.recv(4) == b":1\r\n"


@examples(0.5)
@given(
    st.lists(st.integers(0, 9).map(lambda n: n * 10 + 5), max_size=8),
    st.integers(1, 5),
    st.integers(1, 10).map(lambda n: n * 10),
)
def test_the_servers_script_counts_what_is_in_the_window(
    redis_server, ages, limit, window
):
    key = f"planted{next(_names)}"
    plant(redis_server, key, *ages)

    async def main(store):
        told = await store.hit(key, limit, window)
        recent = sorted(age for age in ages if age < window)
        assert told.is_allowed == (len(recent) < limit)
        if told.is_allowed:
            assert told.remaining == limit - len(recent) - 1
            assert (told.reset, told.retry_after) == (window, 0.0)
        else:
            assert told.remaining == 0
            # Some moments have gone by.
            assert 0 <= window - recent[0] - told.reset < 4
            assert 0 <= window - recent[limit - 1] - told.retry_after < 4

    use(redis_server.url, main)


def test_a_servers_clock_may_be_set_back(own_redis):
    async def main(store):
        plant(own_redis, "little", -30)
        told = await store.hit("little", 1, 60)
        assert not told.is_allowed
        assert 80 < told.retry_after <= 90
        assert (await store.hit("little", 2, 60)).is_allowed
        assert not (await store.hit("little", 2, 60)).is_allowed
        plant(own_redis, "much", -90)
        assert (await store.hit("much", 1, 60)).is_allowed
        assert not (await store.hit("much", 1, 60)).is_allowed

    use(own_redis.url, main)


def test_a_connection_that_was_silent_for_long_is_not_used(
    redis_server, key, monkeypatch
):
    monkeypatch.setattr("socketify_mw.stores.redis._LONGEST_PAUSE", 0.0)

    async def main(store):
        for n in range(1, 4):
            assert await store.increment(key, 60) == n

    use(redis_server.url, main)


def test_values_are_bytes_whatever_the_url_asks_for(redis_server, key):
    async def main(store):
        await store.set(key, b"\xff", 60)
        assert await store.get(key) == b"\xff"

    use(redis_server.url + "?decode_responses=true", main)


def test_keys_have_the_prefix_and_an_end(own_redis):
    async def main(store):
        await store.set("k", b"v", 60)
        await store.increment("k", 60)
        await store.hit("k", 1, 60)

    use(RedisStore(own_redis.url, prefix="shop:"), main)
    with socket.create_connection(("127.0.0.1", own_redis.port), 5) as other:
        for kind in (b"v", b"c", b"h"):
            other.sendall(b"PTTL shop:%s:k\r\n" % kind)
            assert 50_000 < int(other.recv(100)[1:-2]) <= 60_001


# ---- open_store ----


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ("sqlite:shop.db", "shop.db"),
        ("sqlite:./shop.db", "shop.db"),
        ("sqlite:///shop.db", "shop.db"),
        ("sqlite:/var/shop.db", "/var/shop.db"),
        ("sqlite:////var/shop.db", "/var/shop.db"),
    ],
)
def test_a_path_is_relative_or_absolute(spec, path):
    assert open_store(spec)._room.path == os.path.abspath(path)


@pytest.mark.parametrize(
    ("spec", "label"),
    [
        ("redis://host", "redis://host"),
        ("redis://:secret@host:1/2?socket_keepalive=true", "redis://host:1/2"),
        ("rediss://host:1", "rediss://host:1"),
        ("valkey://host:1", "valkey://host:1"),
        ("valkeys://host:1", "valkeys://host:1"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock"),
    ],
)
def test_a_redis_url_is_taken_as_it_is(spec, label):
    assert open_store(spec)._names.label == label


def test_a_store_is_returned_as_it_is():
    store = MemoryStore()
    assert open_store(store) is store
    assert isinstance(open_store("memory:"), MemoryStore)


@pytest.mark.parametrize(
    "spec",
    ["", "memory", "sqlite", "sqlite:", "sqlite://host/x", "sqlite:///", "redis:host"]
    + ["postgres://x", "shop.db", None, 5, object()],
)
def test_what_names_no_store_is_refused_with_the_right_forms(spec):
    with pytest.raises(ConfigError, match="'sqlite:PATH'.*'redis://HOST"):
        open_store(spec)


@pytest.mark.parametrize(
    "url", ["redis://host:port", "redis://host:99999", "redis://host?nothing=1"]
)
def test_a_redis_url_that_is_wrong_is_refused(url):
    with pytest.raises(ConfigError, match="URL"):
        open_store(url)


def test_a_sqlite_path_is_a_files():
    for path in ("", ":memory:"):
        with pytest.raises(ConfigError):
            SqliteStore(path)


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf])
def test_a_time_limit_is_a_time(timeout):
    for room in (SqliteStore, RedisStore):
        with pytest.raises(ValueError, match="timeout"):
            room("redis://localhost", timeout=timeout)


def test_without_redis_py_the_error_names_the_extra(monkeypatch):
    for name in [it for it in sys.modules if it.split(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"pip install 'socketify-mw\[redis\]'"):
        open_store("redis://localhost")


LAZY = """
import json, sys
from socketify_mw.stores import open_store
open_store("memory:")
before = [name for name in ("sqlite3", "redis") if name in sys.modules]
open_store("sqlite:x")
print(json.dumps([before, "sqlite3" in sys.modules, "redis" in sys.modules]))
"""


def test_only_what_is_asked_for_is_imported():
    printed, _ = start(LAZY).communicate(timeout=30)
    assert json.loads(printed) == [[], True, False]
