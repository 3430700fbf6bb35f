"""The design's central claim, counted: one call a turn, one recv, one send, no poll."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from socketify_mw import (
    App,
    RequestExpired,
    _binding,
    bodies,
    exchange,
    response,
    streaming,
    turns,
)
from socketify_mw.loop import Loop, thread_loop

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def hello(res, req):
    req.get_header("host")
    res.end("Hello, World!")


def echo(res, req):
    body = bytearray()

    def on_data(res, chunk, is_end):
        body.extend(chunk)
        if is_end:
            res.end(bytes(body))

    res.on_data(on_data)


class Counted:
    """The C library, with a note of each call into it."""

    def __init__(self, lib):
        self._lib = lib
        self.calls = []

    def __getattr__(self, name):
        member = getattr(self._lib, name)
        if not callable(member):
            return member

        def call(*arguments):
            self.calls.append(name)
            return member(*arguments)

        return call


@pytest.fixture
def full_batches(monkeypatch):
    """Let no clock cut a batch: a busy machine must not change what is counted."""
    monkeypatch.setattr(turns, "_BATCH_SECONDS", 3600)


@pytest.mark.parametrize("count", [1, 16, 100])
@pytest.mark.usefixtures("full_batches")
def test_a_turn_is_one_call_whatever_the_number_of_requests(serve, monkeypatch, count):
    lib = Counted(_binding.lib)
    monkeypatch.setattr(_binding, "lib", lib)
    server = serve(lambda app: app.get("/", hello))
    client = server.client()
    for _ in range(3):
        client.ask("/")
    lib.calls.clear()
    client.send(REQUEST * count)
    for _ in range(count):
        client.read()
    # The call that brought the batch began before the counting; this one sent all its
    # answers, and waits for more.
    assert lib.calls == ["smw_turn"]


@pytest.mark.parametrize("count", [1, 16])
@pytest.mark.usefixtures("full_batches")
def test_one_recv_and_one_send_for_a_batch(serve, count):
    server = serve(lambda app: app.get("/", hello))
    client = server.client()
    client.ask("/")
    before = server.stats()
    client.send(REQUEST * count)
    for _ in range(count):
        client.read()
    after = server.stats()
    assert after["recvs"] - before["recvs"] == 1
    assert after["sends"] - before["sends"] == 1


def test_an_idle_server_makes_no_system_call(serve):
    server = serve(lambda app: app.get("/", hello))
    open_connection = server.client()
    open_connection.ask("/")
    task = server.call(threading.get_native_id)
    time.sleep(0.2)

    # How often the thread was given a processor: it cannot call without one.
    def runs():
        return Path(f"/proc/self/task/{task}/schedstat").read_text().split()[2]

    before = runs()
    time.sleep(5)
    assert runs() == before
    assert open_connection.ask("/").status == 200


@pytest.mark.usefixtures("full_batches")
def test_requests_of_many_connections_share_turns(serve):
    server = serve(lambda app: app.get("/", hello))
    clients = [server.client() for _ in range(50)]
    gate = threading.Event()
    held = threading.Event()

    def hold():
        held.set()
        gate.wait(5)

    server.app._loop.call_soon_threadsafe(hold)
    held.wait(5)
    before = server.app._loop.turns.turn
    for client in clients:
        client.send(REQUEST)
    gate.set()
    for client in clients:
        client.read()
    assert server.app._loop.turns.turn - before <= 10


def test_a_slow_handler_makes_the_batches_small(serve):
    def slow(res, req):
        time.sleep(0.005)
        res.end("slow")

    server = serve(lambda app: app.get("/", hello).get("/slow", slow))
    client = server.client()

    def limit():
        return server.call(lambda: server.app._loop.turns._limit)

    def grows_with_fast_requests():
        # A machine that is busy with something else may cut a batch short at any time.
        for _ in range(500):
            client.send(REQUEST * 10)
            for _ in range(10):
                client.read()
            if limit() > 20:
                return True
        return False

    assert grows_with_fast_requests()
    client.ask("/slow")
    assert limit() == 1
    assert grows_with_fast_requests()


class Interrupt(BaseException):
    """What a signal handler of a test raises."""


@pytest.mark.parametrize("error", [Interrupt, KeyboardInterrupt, SystemExit])
def test_a_signal_that_raises_in_a_batch_loses_no_request(error):
    """In the main thread, for signal handlers run nowhere else."""
    from conftest import Client

    count = 64
    seen = []

    def raise_once(number, frame):
        raise error

    def handler(res, req):
        number = int(req.get_parameter(0))
        seen.append(number)
        if number in (5, 6, 40):
            os.kill(os.getpid(), signal.SIGUSR1)
        res.end(str(number))

    app = App()
    app.get("/:n", handler)
    ports = []
    app.listen(0, ports.append)
    answers = []

    def talk():
        client = Client(ports[0].port)
        one = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(b"".join(one % n for n in range(count)))
        answers.extend(client.read() for _ in range(count))
        client.close()
        app._loop.call_soon_threadsafe(app.close)

    before = signal.signal(signal.SIGUSR1, raise_once)
    thread = threading.Thread(target=talk)
    interrupts = 0
    try:
        thread.start()
        while not app._is_closing:
            try:
                app.run()
            except error:
                interrupts += 1
    finally:
        signal.signal(signal.SIGUSR1, before)
        thread.join(10)
    assert interrupts == 3
    assert seen == list(range(count))
    # The three that were cut short are told so; all others have their own answer.
    for number, answer in enumerate(answers):
        expected = (500, b"Internal Server Error")
        if number not in (5, 6, 40):
            expected = (200, b"%d" % number)
        assert (answer.status, answer.body) == expected


def test_a_storm_of_raising_signals_loses_no_request_and_mixes_no_answers():
    """Signals at any instruction: what was handed out is answered once, in order."""
    from conftest import Client

    ours = [it.__file__ for it in (turns, response, exchange, bodies, streaming)]
    count, rounds = 50, 600
    app = App()
    app.get("/:n", lambda res, req: res.end(req.get_parameter(0) * 3))
    app.get("/large/:n", lambda res, req: res.end(req.get_parameter(0) * 20_000))
    app.post("/echo", echo)
    ports = []
    app.listen(0, ports.append)
    failures = []

    def talk():
        try:
            client = Client(ports[0].port)
            for _ in range(rounds):
                one = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
                data = b"".join(one % n for n in range(count))
                client.send(data + b"GET /large/7 HTTP/1.1\r\nHost: a\r\n\r\n")
                client.send(b"POST /echo HTTP/1.1\r\nHost: a\r\n")
                client.send(b"Content-Length: 40000\r\n\r\n" + b"8" * 40_000)
                wanted = [str(n) * 3 for n in range(count)]
                wanted += ["7" * 20_000, "8" * 40_000]
                for text in wanted:
                    answer = client.read()
                    assert answer.status == 500 or answer.body.decode() == text
            client.close()
        except BaseException as error:
            failures.append(error)
        finally:
            app._loop.call_soon_threadsafe(app.close)

    def interrupt(number, frame):
        # In our own code alone: asyncio's makes no such promise.
        if frame.f_code.co_filename in ours:
            raise Interrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    thread = threading.Thread(target=talk)
    interrupts = 0
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.0003)
        thread.start()
        while not app._is_closing:
            try:
                app.run()
            except Interrupt:
                interrupts += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        thread.join(10)
    assert failures == []
    assert interrupts > 100


def test_a_handler_cannot_run_the_loop_again(serve, caplog):
    def nested(res, req):
        thread_loop().turns.select(0)

    assert serve(lambda app: app.get("/", nested)).ask("/").status == 500
    assert "a handler cannot run it again" in caplog.text


def test_a_closed_loop_says_so():
    closed = Loop()
    closed.close()
    closed.close()
    with pytest.raises(RuntimeError, match="closed"):
        closed.run_forever()
    with pytest.raises(RuntimeError, match="closed"):
        closed.turns.select(0)


def test_requests_kept_beyond_the_loop_do_not_dangle(serve):
    kept = []

    def keep(res, req):
        kept.append((res, req))
        res.end("kept")

    server = serve(lambda app: app.get("/", keep))
    server.ask("/")
    server.stop()
    with pytest.raises(RequestExpired):
        kept[0][1].get_url()
    with pytest.raises(RuntimeError):
        kept[0][0].end("again")


def test_the_switch_interval_is_set_while_running_and_restored_after():
    before = sys.getswitchinterval()

    def run(**options):
        seen = []
        app = App()
        app._loop.call_soon(lambda: (seen.append(sys.getswitchinterval()), app.close()))
        app.run(**options)
        assert sys.getswitchinterval() == before
        return seen[0]

    assert run() == pytest.approx(0.0005)
    assert run(switch_interval=0.001) == pytest.approx(0.001)
    assert run(switch_interval=None) == before
    assert run(switch_interval=1) == before


def test_the_switch_interval_is_restored_after_an_exception():
    before = sys.getswitchinterval()
    app = App()

    def leave():
        raise SystemExit

    app._loop.call_soon(leave)
    with pytest.raises(SystemExit):
        app.run()
    assert sys.getswitchinterval() == before


def test_the_programs_own_signal_handlers_are_restored():
    def own(number, frame):
        pass

    before = signal.signal(signal.SIGTERM, own)
    try:
        app = App()
        app._loop.call_soon(os.kill, os.getpid(), signal.SIGTERM)
        app.run()
        assert signal.getsignal(signal.SIGTERM) is own
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def run_through_interrupts(app):
    """Run an app that a test's exceptions end now and then, until it is closed."""
    interrupts = 0
    while not app._is_closing:
        try:
            app.run()
        except Interrupt:
            interrupts += 1
    return interrupts


def talk_in_thread(app, port, talk):
    """Let `talk(client)` run in a thread, and close the app after it."""
    from conftest import Client

    failures = []

    def run():
        client = Client(port)
        client.socket.settimeout(5)
        try:
            talk(client)
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()
            app.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, failures


def test_work_that_a_resumed_batch_schedules_does_not_wait(monkeypatch):
    monkeypatch.setattr(turns, "_BATCH_SECONDS", 3600)  # both requests in one batch
    app = App()
    done = threading.Event()

    def interrupted(res, req):
        raise Interrupt

    def schedule(res, req):
        app._loop.call_soon(done.set)
        res.end("scheduled")

    app.get("/0", interrupted).get("/1", schedule)
    ports = []
    app.listen(0, ports.append)

    def talk(client):
        one = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(one % 0 + one % 1)
        assert done.wait(3), "the loop sleeps on what a handler has scheduled"
        assert [client.read().status for _ in range(2)] == [500, 200]

    thread, failures = talk_in_thread(app, ports[0].port, talk)
    assert run_through_interrupts(app) == 1
    thread.join(10)
    assert failures == []


@pytest.mark.parametrize("closes", [False, True])
def test_an_exception_after_a_hold_leaves_no_request_behind_it_unanswered(
    monkeypatch, closes
):
    """The body that was held back may be sent whole before the batch goes on."""
    monkeypatch.setattr(turns, "_BATCH_SECONDS", 3600)
    app = App()
    selector = app._loop.turns
    hold, send, sends = selector.hold, selector.native.send, []

    def find_no_room_at_first(exchange, body, left):
        sends.append(exchange)
        return send(exchange, body, left) if len(sends) > 1 else left

    def hold_and_raise(exchange):
        hold(exchange)
        if len(sends) == 1:
            raise Interrupt

    monkeypatch.setattr(selector.native, "send", find_no_room_at_first)
    monkeypatch.setattr(selector, "hold", hold_and_raise)
    body = b"L" * 100_000
    app.get("/large", lambda res, req: res.end(body, closes))
    app.get("/small", lambda res, req: res.end(b"s"))
    ports = []
    app.listen(0, ports.append)

    def talk(client):
        one = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(one % b"large" + one % b"small" * 3)
        assert client.read().body == body
        if closes:
            assert client.is_closed_by_server()
        else:
            assert [client.read().body for _ in range(3)] == [b"s"] * 3

    thread, failures = talk_in_thread(app, ports[0].port, talk)
    assert run_through_interrupts(app) == 1
    thread.join(10)
    assert failures == []


def test_an_exception_before_a_closing_answer_is_given_hangs_nothing(monkeypatch):
    app = App()
    turns = app._loop.turns
    hold, held = turns.hold, []

    def hold_and_raise(exchange):
        hold(exchange)
        held.append(exchange)
        if len(held) == 1:
            raise Interrupt

    monkeypatch.setattr(turns, "hold", hold_and_raise)
    app.get("/last", lambda res, req: res.end("last", True))
    app.get("/more", lambda res, req: res.end("more"))
    ports = []
    app.listen(0, ports.append)

    def talk(client):
        one = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(one % b"last" + one % b"more")
        answer = client.read()
        assert answer.status in (200, 500)
        if answer["connection"] == "close":
            assert client.is_closed_by_server()
        else:
            assert client.read().body == b"more"

    thread, failures = talk_in_thread(app, ports[0].port, talk)
    assert run_through_interrupts(app) == 1
    thread.join(10)
    assert failures == []
