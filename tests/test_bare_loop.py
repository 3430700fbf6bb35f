"""The native loop by itself: through the binding alone, without asyncio or HTTP."""

import os
import signal
import socket
import threading
import time

import pytest

from socketify_mw import BareLoop, NativeError


@pytest.fixture
def loop():
    loop = BareLoop()
    yield loop
    loop.close()


def nothing(*arguments):
    pass


def test_a_listener_a_timer_and_a_cork_make_one_send_of_three_writes(loop):
    seen = []

    def on_data(conn, data):
        seen.append(data)
        loop.start_timer(5, lambda timer: answer(conn))

    def answer(conn):
        loop.cork(conn)
        for part in (b"one ", b"two ", b"three"):
            loop.write(conn, part)
        assert loop.stats()["sends"] == 0
        loop.uncork(conn)
        assert loop.stats()["sends"] == 1
        loop.close_connection(conn)

    port = loop.listen(nothing, on_data, lambda conn: loop.stop())
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"hello")
        loop.run()
        assert client.recv(100) == b"one two three"
        assert client.recv(100) == b""
    assert seen == [b"hello"]


def test_timers_run_in_order_and_no_earlier_than_asked(loop):
    started = time.monotonic()
    fired = []
    for delay in (30, 10, 20):
        loop.start_timer(delay, lambda timer, delay=delay: fired.append(delay))
    assert loop.run() is False
    assert fired == [10, 20, 30]
    assert time.monotonic() - started >= 0.03


def test_a_repeating_timer_goes_on_until_it_is_stopped(loop):
    count = 0

    def tick(timer):
        nonlocal count
        count += 1
        if count == 3:
            loop.stop_timer(timer)

    timer = loop.start_timer(1, tick, repeat_ms=1)
    loop.run()
    assert count == 3
    with pytest.raises(NativeError):
        loop.stop_timer(timer)


def test_run_modes(loop):
    fired = []
    assert loop.run() is False
    loop.start_timer(10_000, fired.append)
    assert loop.run(BareLoop.NOWAIT) is True
    loop.start_timer(5, fired.append)
    loop.run(BareLoop.ONCE)
    assert loop.run(BareLoop.NOWAIT) is True
    loop.start_timer(1, lambda timer: loop.stop())
    assert loop.run() is True


def test_a_watched_descriptor_is_reported_until_it_is_forgotten(loop):
    reader, writer = os.pipe()
    seen = []

    def on_ready(fd, events):
        seen.append((fd, events, os.read(fd, 10)))
        if len(seen) == 2:
            loop.unwatch(fd)
        os.write(writer, b"b")

    try:
        loop.watch(reader, BareLoop.READABLE, on_ready)
        os.write(writer, b"a")
        assert loop.run() is False
        assert seen == [(reader, 1, b"a"), (reader, 1, b"b")]
    finally:
        os.close(reader)
        os.close(writer)


def test_a_wake_from_another_thread_ends_a_wait(loop):
    loop.start_timer(10_000, nothing)
    threading.Timer(0.05, loop.wake).start()
    started = time.monotonic()
    loop.run(BareLoop.ONCE)
    assert time.monotonic() - started < 5


def test_an_exception_of_a_callback_comes_out_of_run(loop):
    def fail(timer):
        raise LookupError("in a callback")

    loop.start_timer(1, fail)
    loop.start_timer(2, nothing)
    with pytest.raises(LookupError, match="in a callback"):
        loop.run()
    assert loop.run() is False


def test_a_signal_handler_that_raises_comes_out_of_run(loop):
    def fail(number, frame):
        raise LookupError

    before = signal.signal(signal.SIGALRM, fail)
    try:
        loop.start_timer(5_000, nothing)
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(LookupError):
            loop.run()
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("id", [0, 1, 12345, 2**64 - 1])
def test_ids_of_nothing_are_errors(loop, id):
    for use in (loop.cork, loop.uncork, loop.close_connection, loop.stop_timer):
        with pytest.raises(NativeError):
            use(id)
    with pytest.raises(NativeError):
        loop.write(id, b"x")


def test_wrong_arguments_are_errors(loop):
    with pytest.raises(OSError):
        loop.watch(-1, BareLoop.READABLE, nothing)
    with pytest.raises(OSError):
        loop.watch(0, 99, nothing)
    with pytest.raises(OSError):
        loop.listen(nothing, nothing, nothing, port=70000)
    with pytest.raises(OverflowError):
        loop.start_timer(-1, nothing)
    with pytest.raises(OSError):
        loop.start_timer(2**40, nothing)


def test_a_closed_loop_says_so():
    loop = BareLoop()
    loop.close()
    loop.close()
    for use in (loop.run, loop.stop, loop.wake, loop.stats):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_closing_reports_the_connections_that_were_open():
    loop = BareLoop()
    closed = []
    port = loop.listen(lambda conn: loop.stop(), nothing, closed.append)
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        loop.run()
        loop.close()
        assert len(closed) == 1
        assert client.recv(1) == b""


def test_a_callback_can_neither_close_nor_run_its_own_loop(loop):
    seen = []

    def misuse(timer):
        for use in (loop.close, loop.run):
            with pytest.raises(RuntimeError, match="a callback cannot"):
                use()
            seen.append(use)

    loop.start_timer(1, misuse)
    loop.run()
    assert len(seen) == 2
