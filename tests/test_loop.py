"""asyncio on the native loop: the selector does what asyncio's own do."""

import asyncio
import os
import selectors
import socket
import sys
import threading
import time

import pytest

from socketify_mw import Loop


@pytest.fixture
def loop():
    loop = Loop()
    yield loop
    loop.close()


def test_sleeps_end_in_order_and_not_early(loop):
    async def main():
        order = []

        async def sleeper(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(*map(sleeper, (0.03, 0.01, 0.02, 0)))
        return order

    started = time.monotonic()
    assert loop.run_until_complete(main()) == [0, 0.01, 0.02, 0.03]
    assert time.monotonic() - started >= 0.03


def test_streams_talk_over_the_loop(loop):
    async def main():
        async def echo(reader, writer):
            writer.write(await reader.read(100))
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"ping")
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        return data

    assert loop.run_until_complete(main()) == b"ping"


def test_another_thread_can_call_in(loop):
    async def main():
        done = loop.create_future()
        timer = threading.Timer(
            0.02, lambda: loop.call_soon_threadsafe(done.set_result, 42)
        )
        timer.start()
        return await asyncio.wait_for(done, 5)

    assert loop.run_until_complete(main()) == 42


def test_executors_and_subprocesses_work(loop):
    async def main():
        code = "print('from a child')"
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await child.communicate()
        return await loop.run_in_executor(None, int, "7"), out.strip()

    assert loop.run_until_complete(main()) == (7, b"from a child")


def test_requests_are_served_while_coroutines_run(serve):
    def setup(app):
        app.get("/", lambda res, req: res.end("served"))
        app._loop.call_soon(lambda: keep.append(app._loop.create_task(busy())))

    async def busy():
        for _ in range(1000):
            await asyncio.sleep(0)
        return "done"

    keep = []
    server = serve(setup)
    client = server.client()
    for _ in range(20):
        assert client.ask("/").body == b"served"
    assert server.call(lambda: keep[0].done()) in (True, False)


def test_a_timer_is_on_time_while_requests_flood_in(serve):
    """Turns that follow each other without asyncio's round must not starve it."""
    server = serve(lambda app: app.get("/", lambda res, req: res.end("x")))
    stop = threading.Event()

    def flood():
        client = server.client()
        one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 50
        while not stop.is_set():
            client.send(one)
            for _ in range(50):
                client.read()

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        late = threading.Event()
        asked = time.monotonic()
        server.call(lambda: server.app._loop.call_later(0.1, late.set))
        assert late.wait(5)
        assert time.monotonic() - asked < 1
        for _ in range(50):
            server.call(lambda: None)
    finally:
        stop.set()
        thread.join(10)


def test_a_handler_can_schedule_work_for_the_loop(serve):
    done = threading.Event()

    def handler(res, req):
        req.app._loop.call_later(0.01, done.set)
        res.end("later")

    assert serve(lambda app: app.get("/", handler)).ask("/").body == b"later"
    assert done.wait(5)


def test_registering_follows_the_rules_of_selectors(loop):
    selector = loop.turns
    ours, theirs = socket.socketpair()
    try:
        key = selector.register(ours, selectors.EVENT_READ, "data")
        assert (key.fd, key.events, key.data) == (ours.fileno(), 1, "data")
        assert selector.get_key(ours) == key
        assert key.fd in selector.get_map()
        with pytest.raises(KeyError, match="already registered"):
            selector.register(ours, selectors.EVENT_READ)
        with pytest.raises(ValueError, match="Invalid events"):
            selector.modify(ours, 0)
        with pytest.raises(ValueError, match="Invalid events"):
            selector.register(theirs, 8)
        assert selector.select(0) == []
        theirs.send(b"x")
        assert selector.select(1) == [(key, selectors.EVENT_READ)]
        both = selectors.EVENT_READ | selectors.EVENT_WRITE
        key = selector.modify(ours, both, "more")
        assert selector.select(1) == [(key, both)]
        assert selector.unregister(ours) == key
        with pytest.raises(KeyError):
            selector.unregister(ours)
        with pytest.raises(KeyError):
            selector.get_key(theirs)
        with pytest.raises((OSError, ValueError)):
            selector.register(-1, selectors.EVENT_READ)
        with pytest.raises(OSError):
            selector.register(os.open("/dev/null", os.O_RDONLY) + 1000, 1)
    finally:
        ours.close()
        theirs.close()


def test_a_reader_is_removed_by_its_socket_or_its_descriptor(loop):
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    seen = []
    try:
        for added in (ours, ours.fileno()):
            for removed in (ours, ours.fileno()):
                loop.add_reader(added, seen.append, "readable")
                loop.add_writer(added, seen.append, "writable")
                assert loop.remove_reader(removed) is True
                assert loop.remove_reader(removed) is False
                assert loop.remove_writer(removed) is True
        theirs.send(b"x")
        assert loop.turns.select(0) == []
        assert seen == []
    finally:
        ours.close()
        theirs.close()


def test_what_has_no_descriptor_is_an_error_as_with_other_selectors(loop):
    closed = socket.socket()
    closed.close()
    for wrong in (object(), "0", None, closed, -1):
        with pytest.raises(ValueError, match="Invalid file"):
            loop.turns.register(wrong, selectors.EVENT_READ)
        with pytest.raises(ValueError, match="Invalid file"):
            loop.turns.get_key(wrong)


def test_the_map_of_a_selector_finds_by_object_and_lists_descriptors(loop):
    ours, theirs = socket.socketpair()
    fd = ours.fileno()
    found = loop.turns.get_map()
    before = len(found)
    key = loop.turns.register(ours, selectors.EVENT_READ)
    assert found[ours] is found[fd] is found.get(ours) is key
    assert fd in found and fd in list(found) and len(found) == before + 1
    assert theirs not in found
    ours.close()
    assert found[ours] is key
    loop.turns.unregister(ours)
    assert len(found) == before
    theirs.close()


def test_a_socket_that_was_closed_can_still_be_unregistered(loop):
    ours, theirs = socket.socketpair()
    loop.turns.register(ours, selectors.EVENT_READ)
    ours.close()
    theirs.close()
    loop.turns.unregister(ours)
    assert loop.turns.select(0) == []


def test_a_timeout_is_never_cut_short(loop):
    for seconds in (0.0001, 0.0015, 0.01):
        started = time.monotonic()
        loop.turns.select(seconds)
        assert time.monotonic() - started >= seconds


def test_a_duplicate_of_a_descriptor_that_was_closed_too_early_does_no_harm(loop):
    ours, theirs = socket.socketpair()
    copy = ours.dup()
    fd = ours.fileno()
    loop.turns.register(fd, selectors.EVENT_READ)
    ours.close()
    loop.turns.unregister(fd)
    theirs.send(b"x")
    try:
        for _ in range(3):
            assert loop.turns.select(0) == []
    finally:
        copy.close()
        theirs.close()
