"""What programs do with asyncio, in handlers and beside them, while HTTP is served."""

import asyncio
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from conftest import Client

from socketify_mw import App, Loop


def wait_for(condition, what):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.001)


# ---- in a handler; each returns what it is to answer ----


async def sleeps():
    started = asyncio.get_running_loop().time()
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    return asyncio.get_running_loop().time() - started >= 0.01


async def locks():
    lock, inside, most = asyncio.Lock(), 0, 0

    async def enter():
        nonlocal inside, most
        async with lock:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(enter() for _ in range(10)))
    return most == 1


async def events_and_conditions():
    event, condition, woken = asyncio.Event(), asyncio.Condition(), []

    async def wait(number):
        await event.wait()
        async with condition:
            await condition.wait()
            woken.append(number)

    tasks = [asyncio.create_task(wait(n)) for n in range(3)]
    event.set()
    while len(condition._waiters) < 3:
        await asyncio.sleep(0)
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks)
    return woken == [0, 1, 2]


async def queues():
    queue, taken = asyncio.Queue(2), []

    async def take():
        while (item := await queue.get()) is not None:
            taken.append(item)
            queue.task_done()

    taker = asyncio.create_task(take())
    for number in range(50):
        await queue.put(number)
    await queue.join()
    await queue.put(None)
    await taker
    return taken == list(range(50))


async def streams():
    async def echo(reader, writer):
        writer.write(await reader.readexactly(300_000))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x" * 300_000)
        data = await reader.read()
        writer.close()
        await writer.wait_closed()
    return data == b"x" * 300_000


async def subprocesses():
    code = "import sys; sys.stdout.write(sys.stdin.read().upper()); sys.exit(3)"
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=pipe, stdout=pipe
    )
    out, _ = await child.communicate(b"shout")
    return out == b"SHOUT" and child.returncode == 3


async def files_in_an_executor():
    """As aiofiles does it: each call of a file is one of the executor."""
    loop = asyncio.get_running_loop()
    file = await loop.run_in_executor(None, open, __file__, "rb")
    try:
        pieces = []
        while piece := await loop.run_in_executor(None, file.read, 1000):
            pieces.append(piece)
    finally:
        await loop.run_in_executor(None, file.close)
    return b"".join(pieces) == Path(__file__).read_bytes()


async def threads():
    here = threading.get_ident()
    others = await asyncio.gather(
        *(asyncio.to_thread(threading.get_ident) for _ in range(20))
    )
    return here not in others


async def timeouts():
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        pass
    else:
        return False
    async with asyncio.timeout(None):
        return await asyncio.wait_for(asyncio.sleep(0, True), 10)


async def task_groups():
    cancelled = []

    async def wait(number):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(number)
            raise

    async def fail():
        await asyncio.sleep(0)
        raise LookupError

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(wait(number))
            group.create_task(fail())
    except* LookupError:
        pass
    return sorted(cancelled) == [0, 1, 2]


async def futures():
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.set_timeout(1, future.set_result, "set")
    background = asyncio.Event()

    async def set_event():
        background.set()

    loop.create_background_task(set_event)
    await background.wait()
    task = loop.create_task(asyncio.sleep(0, "slept"))
    ensured = loop.ensure_future(asyncio.sleep(0, "ensured"))
    return await asyncio.gather(future, task, ensured) == ["set", "slept", "ensured"]


async def generators():
    finished = []

    async def count():
        try:
            for number in range(10):
                await asyncio.sleep(0)
                yield number
        finally:
            await asyncio.sleep(0)
            finished.append(True)

    numbers = [number async for number in count()]
    half = count()
    await anext(half)
    await half.aclose()
    return numbers == list(range(10)) and finished == [True, True]


PROGRAMS = [
    sleeps,
    locks,
    events_and_conditions,
    queues,
    streams,
    subprocesses,
    files_in_an_executor,
    threads,
    timeouts,
    task_groups,
    futures,
    generators,
]


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "debug"])
def programs(serve_for_module, request):
    """Serve each of PROGRAMS at its name, and a synchronous route beside them."""

    def setup(app):
        app.loop.set_debug(request.param)
        app.get("/", lambda res, req: res.end("sync"))
        for program in PROGRAMS:
            add(app, program)

    def add(app, program):
        async def handler(res, req):
            res.end(str(await program()))

        app.get(f"/{program.__name__}", handler)

    server = serve_for_module(setup)
    assert server.call(server.app.loop.get_debug) is request.param
    return server


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda it: it.__name__)
def test_a_handler_can_use_all_of_asyncio(programs, program):
    client = programs.client()
    assert client.ask(f"/{program.__name__}").body == b"True"
    assert client.ask("/").body == b"sync"


def test_programs_run_beside_each_other(programs):
    clients = [programs.client() for _ in PROGRAMS * 3]
    for client, program in zip(clients, PROGRAMS * 3, strict=True):
        line = f"GET /{program.__name__} HTTP/1.1\r\nHost: a\r\n\r\n"
        client.send(line.encode() + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for client in clients:
        assert [client.read().body for _ in range(2)] == [b"True", b"sync"]


# ---- other threads ----


def test_another_thread_wakes_an_idle_loop_each_time(programs):
    loop = programs.app.loop
    for number in range(200):
        done = threading.Event()
        loop.call_soon_threadsafe(done.set)
        assert done.wait(10), f"call {number} did not wake the loop"


def test_calls_of_other_threads_come_in_order_under_load(programs):
    loop = programs.app.loop
    callers, calls = 4, 500
    seen = [[] for _ in range(callers)]
    is_over = threading.Event()
    answers = []

    def call(numbers):
        for number in range(calls):
            loop.call_soon_threadsafe(numbers.append, number)

    def flood(client):
        while not is_over.is_set():
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20)
            answers.extend(client.read().body for _ in range(20))

    clients = [programs.client() for _ in range(2)]
    floods = [threading.Thread(target=flood, args=(it,)) for it in clients]
    threads = [threading.Thread(target=call, args=(it,)) for it in seen]
    for thread in floods + threads:
        thread.start()
    try:
        wait_for(lambda: sum(map(len, seen)) == callers * calls, "calls are missing")
    finally:
        is_over.set()
        for thread in floods + threads:
            thread.join(10)
    assert seen == [list(range(calls))] * callers
    assert set(answers) == {b"sync"}


def test_a_thread_gets_what_a_coroutine_of_the_loop_returns(programs):
    for number in range(20):
        work = asyncio.sleep(0, number)
        future = asyncio.run_coroutine_threadsafe(work, programs.app.loop)
        assert future.result(10) == number


# ---- errors ----


async def fail():
    raise LookupError("in a task")


def fail_in_a_callback():
    raise LookupError("in a callback")


def fail_in_a_task(keep=None):
    asyncio.get_running_loop().create_task(fail())


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("cause", [fail_in_a_callback, fail_in_a_task])
def test_errors_of_callbacks_and_tasks_reach_the_loops_exception_handler(
    serve, cause, debug
):
    contexts = []

    def setup(app):
        app.loop.set_debug(debug)
        app.loop.set_exception_handler(lambda loop, context: contexts.append(context))
        app.get("/", handler)

    def handler(res, req):
        req.app.loop.call_soon(cause)
        res.end("fine")

    server = serve(setup)
    client = server.client()
    for count in (1, 2):
        assert client.ask("/").body == b"fine"
        wait_for(lambda: len(contexts) == count, "the error is lost")  # noqa: B023
    assert {type(it["exception"]) for it in contexts} == {LookupError}


def test_debug_mode_refuses_a_call_from_another_thread(serve):
    server = serve(lambda app: app.loop.set_debug(True))
    with pytest.raises(RuntimeError, match="other than the current one"):
        server.app.loop.call_soon(print)


DEBUGGED = """
import asyncio, threading, urllib.request
from socketify_mw import App

app, ports, answers = App(), [], []
assert app.loop.get_debug()
app.loop.slow_callback_duration = 60  # a busy machine is not what is to be told of

@app.on_start
async def start():
    await asyncio.sleep(0.001)
    print("started")

@app.on_shutdown
async def end():
    await asyncio.sleep(0.001)
    print("ended")

def sync(res, req):
    res.end("sync")
app.get("/sync", sync)

async def at_once(res, req):
    res.end("at_once")
app.get("/at_once", at_once)

async def later(res, req):
    await asyncio.to_thread(int)
    res.end("later")
app.get("/later", later)

def talk():
    try:
        for name in ("sync", "at_once", "later") * 5:
            url = f"http://127.0.0.1:{ports[0].port}/{name}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                assert answer.read().decode() == name
            answers.append(name)
    finally:
        app.close()

app.listen(0, ports.append, host="127.0.0.1")
thread = threading.Thread(target=talk)
thread.start()
app.run()
thread.join()
print(len(answers))
"""


def test_a_program_in_debug_mode_has_nothing_to_complain_of():
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", DEBUGGED],
        env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert (done.stdout, done.stderr) == ("started\nended\n15\n", "")


# ---- whole programs in the main thread ----


def run_with(app, talk):
    """Run an app while `talk(client)` runs in a thread."""
    ports, failures = [], []
    app.listen(0, ports.append, host="127.0.0.1")

    def run():
        client = Client(ports[0].port)
        try:
            talk(client)
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()
            app.close()

    thread = threading.Thread(target=run)
    thread.start()
    app.run()
    thread.join(10)
    if failures:
        raise failures[0]


def test_signal_handlers_of_the_loop_run_between_requests():
    app = App()
    app.get("/", lambda res, req: res.end("served"))
    seen = []
    app.loop.add_signal_handler(signal.SIGUSR1, seen.append, "signal")

    def talk(client):
        for count in range(1, 21):
            os.kill(os.getpid(), signal.SIGUSR1)
            wait_for(lambda: len(seen) == count, "the signal is lost")  # noqa: B023
            assert client.ask("/").body == b"served"

    try:
        run_with(app, talk)
    finally:
        assert app.loop.remove_signal_handler(signal.SIGUSR1)
    assert seen == ["signal"] * 20


def test_the_loop_runs_coroutines_before_and_after_the_app():
    app = App()
    app.get("/", lambda res, req: res.end("served"))
    for number in range(3):
        assert app.loop.run_until_complete(asyncio.sleep(0.001, number)) == number
    run_with(app, lambda client: client.ask("/"))
    assert app.loop.run_until_complete(streams())
    with pytest.raises(LookupError):
        app.loop.run_until_complete(fail())
    assert app.loop.run_until_complete(queues())


def test_requests_are_served_while_the_loop_runs_a_coroutine_to_its_end():
    app = App()
    done = app.loop.create_future()
    app.get("/", lambda res, req: (res.end("served"), done.set_result(42)))
    ports = []
    app.listen(0, ports.append, host="127.0.0.1")
    client = Client(ports[0].port)
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert app.loop.run_until_complete(asyncio.wait_for(done, 10)) == 42
    app.loop.run_until_complete(asyncio.sleep(0))
    assert client.read().body == b"served"
    client.close()
    app.close()


def test_another_server_and_a_worker_live_on_the_apps_loop():
    """An app with a TCP service and a queue beside it, from on_start to on_shutdown."""
    app = App()
    service = worker = None
    jobs, done = asyncio.Queue(), []
    has_started = threading.Event()

    @app.on_start
    async def start():
        nonlocal service, worker

        async def echo(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()
            await writer.wait_closed()

        async def work():
            while True:
                done.append(await jobs.get())
                jobs.task_done()

        service = await asyncio.start_server(echo, "127.0.0.1", 0)
        worker = asyncio.create_task(work())
        has_started.set()

    @app.on_shutdown
    async def end():
        await jobs.join()
        worker.cancel()
        await asyncio.wait([worker])
        service.close()
        await service.wait_closed()

    async def ask_the_service(res, req):
        port = service.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        res.end(await reader.read())
        writer.close()
        await writer.wait_closed()

    app.get("/echo", ask_the_service)

    def add_job(res, req):
        jobs.put_nowait(req.get_parameter(0))
        res.end("added")

    app.get("/job/:n", add_job)

    def talk(client):
        assert has_started.wait(10)
        for number in range(20):
            assert client.ask("/echo").body == b"HELLO\n"
            assert client.ask(f"/job/{number}").body == b"added"

    run_with(app, talk)
    assert done == [str(number) for number in range(20)]
    assert worker.cancelled()


def test_an_async_client_calls_the_app_on_its_own_loop(serve):
    def setup(app):
        async def inner(res, req):
            number = req.get_parameter(0)
            await asyncio.sleep(0)
            res.end(number)

        app.get("/inner/:n", inner)

        async def outer(res, req):
            base = f"http://127.0.0.1:{server.port}/inner"
            async with httpx.AsyncClient(trust_env=False) as client:
                answers = await asyncio.gather(
                    *(client.get(f"{base}/{n}") for n in range(10))
                )
            res.end(" ".join(answer.text for answer in answers))

        app.get("/outer", outer)

    server = serve(setup)
    assert server.ask("/outer").body == b"0 1 2 3 4 5 6 7 8 9"


def test_context_variables_belong_to_one_request_and_follow_its_work(serve):
    user = contextvars.ContextVar("user", default="nobody")

    def setup(app):
        async def handler(res, req):
            before = user.get()
            user.set(req.get_parameter(0))
            later = req.app.loop.create_future()
            req.app.loop.call_soon(lambda: later.set_result(user.get()))
            in_thread = await asyncio.to_thread(user.get)
            in_task = await asyncio.create_task(read())
            found = [before, await later, in_thread, in_task, user.get()]
            res.end(" ".join(found))

        app.get("/:name", handler)

        async def read():
            await asyncio.sleep(0)
            return user.get()

    server = serve(setup)
    clients = [server.client() for _ in range(5)]
    for _ in range(3):
        for number, client in enumerate(clients):
            client.send(b"GET /user%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        for number, client in enumerate(clients):
            found = ["nobody"] + [f"user{number}"] * 4
            assert client.read().body.decode().split() == found


def test_a_loop_of_its_own_runs_under_asyncios_runner():
    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(streams())
        assert runner.run(threads())
        assert isinstance(runner.get_loop(), Loop)


# ---- pauses ----


def async_app(app):
    async def at_once(res, req):
        res.end(str(app.loop.turns.turn))

    app.get("/", at_once)

    async def later(res, req):
        turn = app.loop.turns.turn
        await asyncio.sleep(0)
        res.end(str(turn))

    app.get("/later", later)

    async def thread(res, req):
        async with asyncio.timeout(10):
            await asyncio.to_thread(int)
        res.end("done")

    app.get("/thread", thread)


def turns_between_requests(client, target, count):
    seen = [int(client.ask(target).body) for _ in range(count + 1)]
    return [after - before for before, after in zip(seen, seen[1:], strict=False)]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="Linux tells it")
def test_an_idle_async_app_makes_no_system_call(serve):
    server = serve(async_app)
    client = server.client()
    for target in ("/", "/later", "/thread"):
        assert client.ask(target).status == 200
    folder = Path(f"/proc/self/task/{server.call(threading.get_native_id)}")

    # How often the thread was given a processor: it cannot call without one.
    def runs():
        return (folder / "schedstat").read_text().split()[2]

    def rests(seconds):
        before = runs()
        time.sleep(seconds)
        return runs() == before

    wait_for(lambda: rests(0.05), "the loop does not come to rest")
    turn = server.app.loop.turns.turn
    assert rests(2)
    assert server.app.loop.turns.turn == turn
    assert client.ask("/thread").status == 200


@pytest.mark.parametrize("target", ["/", "/later"])
def test_the_first_request_after_a_pause_takes_no_more_turns(serve, target):
    client = serve(async_app).client()
    usual = turns_between_requests(client, target, 20)
    last = int(client.ask(target).body)
    time.sleep(1.5)  # longer than the resolution of any timer of the loop
    first = int(client.ask(target).body)
    assert first - last <= max(usual)
