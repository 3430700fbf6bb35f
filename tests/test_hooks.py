"""What an app calls beside its routes: hooks, handlers of errors, logs, extensions."""

import asyncio
import contextlib
import gc
import json
import logging
import re
import socket
import threading
import time
from types import SimpleNamespace

import pytest

from socketify_mw import App, AppListenOptions, AppOptions, ConfigError
from socketify_mw.loop import thread_loop
from socketify_mw.options import LISTEN_EXCLUSIVE_PORT


@pytest.fixture(autouse=True)
def a_loop_of_its_own():
    yield
    loop = thread_loop()
    for _ in range(2):  # what a failure left behind ends here, not in other tests
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_soon(loop.stop)
        loop.run_forever()
    loop.close()
    gc.collect()


def hello(res, req):
    res.end("Hello")


def run(app, seconds=0.02):
    """Run an app, and close it soon."""
    app.listen(0, host="127.0.0.1")
    app.loop.set_timeout(seconds * 1000, app.close)
    app.run()


# ---- start and end ----


def test_hooks_run_in_the_order_of_their_registration_around_the_app():
    seen = []
    app = App()

    def note(name, is_async):
        def plain():
            seen.append(name)

        async def coroutine():
            await asyncio.sleep(0.001)
            seen.append(name)

        return coroutine if is_async else plain

    for i in range(4):
        hook = note(f"start {i}", i % 2)
        assert app.on_start(hook) is hook
        hook = note(f"end {i}", i % 2)
        assert app.on_shutdown(hook) is hook
    app.loop.call_soon(seen.append, "run")
    app.listen(0, lambda config: seen.append("listen"))
    app.loop.set_timeout(20, lambda: (seen.append("close"), app.close()))
    app.run()
    seen.remove("run")  # it may come in between
    assert seen == [
        "listen",
        *(f"start {i}" for i in range(4)),
        "close",
        *(f"end {i}" for i in range(4)),
    ]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_start_hook_that_raises_stops_run_and_the_shutdown_hooks_run(is_async):
    seen = []
    app = App()

    async def late():
        raise OSError("no database")

    def soon():
        raise OSError("no database")

    app.on_start(lambda: seen.append("first"))
    app.on_start(late if is_async else soon)
    app.on_start(lambda: seen.append("never"))
    app.on_shutdown(lambda: seen.append("end"))
    with pytest.raises(OSError, match="no database"):
        run(app)
    assert seen == ["first", "end"]


@pytest.mark.parametrize("is_async", [False, True])
def test_a_shutdown_hook_that_raises_is_logged_and_the_next_one_runs(caplog, is_async):
    seen = []
    app = App()

    async def late():
        raise ValueError("broken hook")

    def soon():
        raise ValueError("broken hook")

    app.on_shutdown(late if is_async else soon)
    app.on_shutdown(lambda: seen.append("end"))
    run(app)
    assert seen == ["end"]
    assert "a shutdown hook" in caplog.text and "broken hook" in caplog.text


def test_without_lifespan_no_hook_runs():
    seen = []
    app = App(lifespan=False)
    app.on_start(lambda: seen.append("start"))
    app.on_shutdown(lambda: seen.append("end"))
    run(app)
    assert not seen


def test_the_test_client_runs_no_hooks():
    seen = []
    app = App().get("/", hello)
    app.on_start(lambda: seen.append("start"))
    app.on_shutdown(lambda: seen.append("end"))
    assert app.test_client().get("/").text == "Hello"
    assert not seen


@pytest.mark.parametrize("is_async", [False, True])
def test_a_start_hook_may_close_the_app(is_async):
    seen = []
    app = App().listen(0)

    async def late():
        app.close()
        await asyncio.sleep(0.01)

    app.on_start(late if is_async else app.close)
    app.on_shutdown(lambda: seen.append("end"))
    app.run()
    assert seen == ["end"]


def test_a_second_close_cancels_a_hook_that_waits(caplog):
    seen = []
    app = App().listen(0)

    async def endless(name):
        app.loop.call_soon(app.close)
        app.loop.call_soon(app.close)
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(name)

    app.on_start(lambda: endless("start"))
    app.on_start(lambda: seen.append("never"))
    app.on_shutdown(lambda: endless("shutdown"))
    app.on_shutdown(lambda: seen.append("end"))
    app.run()
    assert seen == ["start", "shutdown", "end"]
    assert "a shutdown hook" in caplog.text


def test_an_app_that_is_closed_leaves_the_others_of_its_loop_alone():
    first, second = App().listen(0), App().listen(0)
    steps = []

    def close_second():
        second.close()
        first.loop.call_later(0.01, lambda: (steps.append("still"), first.close()))

    first.on_start(lambda: first.loop.call_soon(close_second) and None)
    first.run()
    assert steps == ["still"]


def test_what_still_runs_at_the_end_is_cancelled_before_the_shutdown_hooks():
    seen = []

    async def endless():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("cancelled")
            raise

    app = App().listen(0)
    app.on_start(lambda: app.run_async(endless()) and None)
    app.on_start(lambda: app.loop.call_soon(app.close) and None)
    app.on_shutdown(lambda: seen.append("end"))
    app.run()
    assert seen == ["cancelled", "end"]


def test_nobody_is_served_before_an_async_start_hook_has_ended(serve):
    state = []

    def setup(app):
        port = []
        app.listen(0, port.append)

        async def start():
            reader, writer = await asyncio.open_connection("127.0.0.1", port[0].port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.2)
            writer.close()
            state.append("ready")

        app.on_start(start)
        app.get("/", lambda res, req: res.end(str(state)))

    assert serve(setup).ask("/").body == b"['ready']"


@pytest.mark.parametrize("name", ["on_start", "on_shutdown", "on_error", "access_log"])
@pytest.mark.parametrize("wrong", [None, "text", 1])
def test_a_hook_must_be_callable(name, wrong):
    with pytest.raises(TypeError, match=name):
        getattr(App(), name)(wrong)


# ---- errors ----


def boom(res, req):
    raise LookupError("boom")


@pytest.mark.parametrize("way", ["on_error", "set_error_handler"])
def test_the_error_handler_gets_error_response_and_request_and_may_answer(way, caplog):
    app = App().get("/:id", boom)

    def handle(error, res, req):
        res.write_status(503).end([repr(error), req.get_parameter("id"), req.get_url()])

    assert getattr(app, way)(handle) is (handle if way == "on_error" else None)
    answer = app.test_client().get("/7")
    assert answer.status == 503
    assert answer.json() == ["LookupError('boom')", "7", "/7"]
    assert not caplog.records


def test_a_coroutine_may_handle_errors():
    app = App().get("/", boom)

    @app.on_error
    async def handle(error, res, req):
        await asyncio.sleep(0.001)
        res.write_status(502).end(str(error))

    answer = app.test_client().get("/")
    assert (answer.status, answer.text) == (502, "boom")


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_handler_that_does_not_answer_leaves_a_500(is_async):
    seen = []
    app = App().get("/", boom)

    async def late(error, res, req):
        seen.append(error)

    app.on_error(late if is_async else lambda error, res, req: seen.append(error))
    answer = app.test_client().get("/", timeout=2)
    assert (answer.status, answer.text) == (500, "Internal Server Error")
    assert [str(error) for error in seen] == ["boom"]


def test_an_error_handler_that_raises_is_500_and_logged(caplog):
    app = App().get("/", boom)
    app.on_error(lambda error, res, req: 1 / 0)
    assert app.test_client().get("/").status == 500
    assert "its error handler raised" in caplog.text
    assert "ZeroDivisionError" in caplog.text and "LookupError" in caplog.text


def test_a_coroutine_of_the_error_handler_that_raises_is_500_and_logged_once(caplog):
    calls = []
    app = App().get("/", boom)

    @app.on_error
    async def handle(error, res, req):
        calls.append(error)
        if len(calls) > 5:
            return
        raise ValueError("second")

    assert app.test_client().get("/", timeout=2).status == 500
    assert len(calls) == 1
    assert "second" in caplog.text


def test_an_error_handler_may_be_replaced_and_taken_away(caplog):
    app = App().get("/", boom)
    client = app.test_client()
    app.on_error(lambda error, res, req: res.end("first"))
    app.set_error_handler(lambda error, res, req: res.end("second"))
    assert client.get("/").text == "second"
    app.set_error_handler(None)
    assert client.get("/").status == 500
    assert "GET / (boom) raised" in caplog.text
    with pytest.raises(TypeError, match="set_error_handler"):
        app.set_error_handler("text")


def test_an_error_of_on_data_reaches_the_error_handler():
    app = App()
    app.post("/", lambda res, req: res.on_data(lambda res, chunk, is_end: 1 / 0))
    app.on_error(lambda error, res, req: res.write_status(418).end(repr(error)))
    answer = app.test_client().post("/", body="x")
    assert (answer.status, answer.text) == (
        418,
        "ZeroDivisionError('division by zero')",
    )


def test_an_error_of_a_coroutine_reaches_the_error_handler_with_the_request():
    seen = []

    async def fail():
        await asyncio.sleep(0.001)
        raise LookupError("late")

    app = App()
    app.get("/kept", lambda res, req: (req.preserve(), res.run_async(fail()))[0:0])
    app.get("/left", lambda res, req: res.run_async(fail()))

    @app.on_error
    def handle(error, res, req):
        seen.append(str(error))
        res.write_status(503).end(req.get_url())

    client = app.test_client()
    assert [client.get(url).text for url in ("/kept", "/left")] == ["/kept", "/left"]
    assert seen == ["late", "late"]


def test_an_error_outside_of_a_request_reaches_the_error_handler_without_one():
    seen = []

    async def fail():
        raise LookupError("alone")

    app = App().get("/", lambda res, req: (res.end(), app.run_async(fail()))[0])
    app.get("/wait", hello)
    app.on_error(lambda *arguments: seen.append(arguments))
    client = app.test_client()
    client.get("/")
    client.get("/wait")
    ((error, res, req),) = seen
    assert str(error) == "alone" and res is None and req is None


def test_an_error_after_the_answer_does_not_reach_the_error_handler(caplog):
    seen = []
    app = App().get("/", lambda res, req: res.end("x") and 1 / 0)
    app.on_error(lambda *arguments: seen.append(arguments))
    assert app.test_client().get("/").text == "x"
    assert not seen and "raised after it had answered" in caplog.text


def test_not_found_answers_what_no_route_matches():
    app = App().get("/", hello)
    handler = app.not_found(lambda res, req: res.write_status(404).end(req.get_url()))
    assert callable(handler)
    client = app.test_client()
    assert client.get("/").text == "Hello"
    answer = client.get("/none?q")
    assert (answer.status, answer.text) == (404, "/none")
    app.not_found(lambda res, req: res.end("replaced"))
    assert client.get("/none").text == "replaced"


def test_an_error_of_not_found_reaches_the_error_handler():
    app = App()
    app.not_found(boom)
    app.on_error(lambda error, res, req: res.end("handled"))
    assert app.test_client().get("/none").text == "handled"


# ---- serializer and template ----


def orjson_like():
    return SimpleNamespace(
        dumps=lambda value: json.dumps(value, separators=(",", ":")).encode(),
        loads=lambda data: {"loaded": json.loads(data)},
    )


def test_the_json_serializer_may_return_bytes():
    def read(res, req):
        async def answer():
            res.end(await res.get_json())

        res.run_async(answer())

    app = App().get("/", lambda res, req: res.end({"a": [1, 2]})).post("/", read)
    app.json_serializer(orjson_like())
    client = app.test_client()
    answer = client.get("/")
    assert answer.body == b'{"a":[1,2]}'
    assert answer.header("content-type") == "application/json"
    assert client.post("/", json=[1]).body == b'{"loaded":[1]}'


@pytest.mark.parametrize(
    "module",
    [None, object(), SimpleNamespace(dumps=str), SimpleNamespace(dumps=1, loads=str)],
)
def test_a_json_serializer_without_dumps_and_loads_is_refused(module):
    with pytest.raises(ConfigError, match=r"(dumps|loads)\(\)"):
        App().json_serializer(module)


@pytest.mark.parametrize("kind", [str, str.encode])
def test_the_template_engine_renders(kind):
    app = App()
    app.template(SimpleNamespace(render=lambda name, **names: kind(f"<{name}>{names}")))
    app.get("/", lambda res, req: res.render("page", a=1))
    app.get(
        "/own", lambda res, req: res.write_header("Content-Type", "a/b").render("x")
    )
    client = app.test_client()
    answer = client.get("/")
    assert answer.text == "<page>{'a': 1}"
    assert answer.all("content-type") == ["text/html; charset=utf-8"]
    assert client.get("/own").all("content-type") == ["a/b"]


def test_rendering_without_an_engine_is_500_and_says_so(caplog):
    app = App().get("/", lambda res, req: res.render("page"))
    assert app.test_client().get("/").status == 500
    assert "no template engine" in caplog.text
    with pytest.raises(ConfigError, match="render"):
        app.template(object())


# ---- extensions ----


def add_members(request, response, ws):
    @request.method
    def upper_url(self):
        return self.get_url().upper()

    @response.method
    def shout(self, text):
        return self.end(text.upper())

    request.property("user", None)
    request.property("notes", [])
    response.property("level", 1)
    ws.property("anything")
    ws.method(upper_url)


def shout(res, req):
    req.notes.append(res.level)
    res.level += 1
    res.shout(f"{req.upper_url()} {req.user} {req.notes} {res.level}")


@pytest.mark.parametrize("is_before", [True, False])
def test_extensions_are_there_for_routes_before_and_after_and_for_404(is_before):
    app = App()
    if is_before:
        app.register(add_members)
    app.get("/a", shout)
    app.not_found(shout)
    if not is_before:
        app.register(add_members)
    app.get("/b", shout)
    client = app.test_client()
    for _ in range(2):  # a default is not shared
        assert client.get("/a").text == "/A NONE [1] 2"
        assert client.get("/b").text == "/B NONE [1] 2"
        assert client.get("/c").text == "/C NONE [1] 2"


def test_properties_stay_when_a_request_is_handed_on_or_kept():
    def first(res, req):
        req.user = "me"
        req.set_yield(True)

    def second(res, req):
        async def answer():
            await asyncio.sleep(0.001)
            res.end(req.user)

        req.preserve()
        res.run_async(answer())

    app = App().get("/a", first).get("/*", second)
    app.register(add_members)
    assert app.test_client().get("/a").text == "me"


def test_extensions_of_one_app_are_not_anothers():
    app, other = App(), App()
    app.register(add_members)
    read = lambda res, req: res.end(str(callable(req.user)))  # noqa: E731
    assert app.get("/", read).test_client().get("/").text == "False"
    assert other.get("/", read).test_client().get("/").text == "True"


def test_extensions_add_up():
    app = App().get("/", lambda res, req: res.end([req.user, req.second]))
    app.register(add_members)
    app.register(lambda request, response, ws: request.property("second", 2))
    assert app.test_client().get("/").json() == [None, 2]


def test_the_error_handler_finds_the_extensions():
    app = App().get("/", boom)
    app.register(add_members)
    app.on_error(lambda error, res, req: res.shout(str(req.user)))
    assert app.test_client().get("/").text == "NONE"


@pytest.mark.parametrize("name", ["get_url", "_view", "app", "__init__"])
@pytest.mark.parametrize("kind", [0, 1])
def test_a_name_that_is_taken_is_refused(name, kind):
    names = [name, "end"][kind] if name == "get_url" else name
    with pytest.raises(ValueError, match=re.escape(repr(names))):
        App().register(lambda *three: three[kind].property(names))


def test_after_a_name_was_refused_others_can_be_registered():
    app = App().get("/", shout)
    with pytest.raises(ValueError, match="get_url"):
        app.register(lambda request, response, ws: request.property("get_url"))
    app.register(add_members)
    assert app.test_client().get("/").text == "/ NONE [1] 2"


# ---- the logs ----


@pytest.mark.parametrize(
    ("method", "target", "rest"),
    [
        ("GET", "/?q=%20", "GET /?q=%20 200 5"),
        ("HEAD", "/", "HEAD / 200 5"),
        ("GET", "/none", "GET /none 404 9"),
        ("POST", "/", "POST / 405 18"),
        ("GET", "/boom", "GET /boom 500 21"),
        ("GET", "/nothing", "GET /nothing 500 21"),
        ("GET", "/stream", "GET /stream 200 -"),
        ("GET", "/empty", "GET /empty 204 0"),
        ("GET", "/large", "GET /large 200 1048576"),
        ("GET", "/late", "GET /late 201 4"),
        ("GET", "/late_boom", "GET /late_boom 500 21"),
        ("GET", "/bad_json", "GET /bad_json 500 21"),
        ("GET", "/yields/on", "GET /yields/on 200 4"),
        ("GET", "/yields_404", "GET /yields_404 404 9"),
    ],
)
@pytest.mark.parametrize("is_before", [True, False])
def test_the_access_log_has_a_line_for_each_answer(method, target, rest, is_before):
    lines = []

    async def late(res):
        await asyncio.sleep(0.001)
        res.write_status(201).end("late")

    async def late_boom(res):
        raise LookupError

    def nothing(res, req):
        pass

    app = App()
    if is_before:
        app.access_log(lines.append)
    app.get("/", hello).get("/boom", boom).get("/nothing", nothing)
    app.get("/stream", lambda res, req: res.write("a").end("b"))
    app.get("/empty", lambda res, req: res.write_status(204).end())
    app.get("/large", lambda res, req: res.end(b"x" * 2**20))
    app.get("/late", lambda res, req: res.run_async(late(res)) and None)
    app.get("/late_boom", lambda res, req: res.run_async(late_boom(res)) and None)
    app.get("/bad_json", lambda res, req: res.end({1, 2}))
    app.get("/yields/on", lambda res, req: req.set_yield(True))
    app.get("/yields/*", lambda res, req: res.end("next"))
    app.get("/yields_404", lambda res, req: req.set_yield(True))
    if not is_before:
        app.access_log(lines.append)
    app.test_client().request(method, target)
    assert len(lines) == 1, lines
    assert re.fullmatch(r"\S+ " + re.escape(rest) + r" \d+\.\d", lines[0]), lines


def test_the_access_log_tells_address_and_milliseconds(serve):
    lines = []

    def setup(app):
        app.access_log(lines.append)
        app.get("/", lambda res, req: (time.sleep(0.02), res.end("Hello"))[1])

    serve(setup).ask("/")
    address, *_, spent = lines[0].split(" ")
    assert address in (
        "127.0.0.1",
        "::ffff:127.0.0.1",
        "0000:0000:0000:0000:0000:ffff:7f00:0001",
    )
    assert 15 < float(spent) < 5000


def test_the_access_log_goes_to_a_logger_by_default(caplog):
    caplog.set_level(logging.INFO, "socketify_mw.access")
    app = App().get("/", hello)
    app.access_log()
    app.test_client().get("/")
    (record,) = [r for r in caplog.records if r.name == "socketify_mw.access"]
    assert record.levelno == logging.INFO and " GET / 200 5 " in record.getMessage()


def test_an_access_log_that_raises_is_logged_and_harms_no_other_request(caplog):
    app = App().get("/", hello)
    app.access_log(lambda line: 1 / 0)
    client = app.test_client()
    assert [client.get("/").status for _ in range(2)] in ([200, 200], [500, 500])
    assert "ZeroDivisionError" in caplog.text


def test_handlers_that_keep_everybody_waiting_are_named(caplog):
    app = App().get("/slow/:x", lambda res, req: (time.sleep(0.15), res.end())[1])
    app.get("/", hello)
    client = app.test_client()
    client.get("/")
    assert "everybody waited" not in caplog.text
    client.get("/slow/1")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(
        r"waited 1\d\d ms for handlers: GET /slow/:x \(", record.getMessage()
    )


# ---- arguments ----


def test_tuning_arguments_are_accepted():
    for app in (
        App(None, 200_000, 200_000, 100_000, True, 0.01),
        App(request_response_factory_max_items=1, websocket_factory_max_items=2),
        App(task_factory_max_items=3, idle_relaxation_time=1.0),
    ):
        assert app.get("/", hello).test_client().get("/").text == "Hello"


def test_options_of_encryption_are_refused():
    options = AppOptions(key_file_name="key.pem", cert_file_name="cert.pem")
    with pytest.raises(ConfigError, match="encryption"):
        App(options)
    with pytest.raises(ConfigError, match="encryption"):
        App(options=AppOptions())
    with pytest.raises(ConfigError, match="key_file_name=1"):
        AppOptions(key_file_name=1)


@pytest.mark.parametrize(
    "given",
    [
        None,
        0,
        {},
        {"port": 0, "host": "127.0.0.1"},
        {"options": LISTEN_EXCLUSIVE_PORT},
        AppListenOptions(),
        AppListenOptions(port=0, host="localhost"),
    ],
    ids=repr,
)
def test_an_app_listens_at_a_free_port(serve, given):
    found = []
    server = serve(lambda app: app.get("/", hello).listen(given, found.append))
    assert found[0].port > 0 and found[0].path is None
    assert server.client(found[0].port).ask("/").body == b"Hello"


@pytest.mark.parametrize("form", [dict, AppListenOptions])
def test_an_app_listens_at_a_domain(serve, tmp_path, form):
    found = []
    path = str(tmp_path / "app.socket")
    server = serve(
        lambda app: app.get("/", hello).listen(form(domain=path), found.append)
    )
    assert (found[0].port, found[0].path) == (0, path)
    assert server.client(path).ask("/").body == b"Hello"


@pytest.mark.parametrize(
    ("given", "more", "error", "words"),
    [
        ({"prot": 1, "a": 2}, {}, ConfigError, "a, prot"),
        ({"port": "80"}, {}, ConfigError, "port='80'"),
        ({"host": 1}, {}, ConfigError, "host=1"),
        ({"domain": "x", "port": 1}, {}, ConfigError, "domain"),
        ({"domain": "x", "host": "h"}, {}, ConfigError, "domain"),
        ({"port": 65536}, {}, ValueError, "65536"),
        ({"port": 0}, {"host": "localhost"}, ValueError, "options, or as arguments"),
        ({}, {"path": "x"}, ValueError, "options, or as arguments"),
        ({"domain": "x"}, {"reuse_port": True}, ValueError, "cannot be shared"),
        (None, {"handler": 1}, TypeError, "not callable"),
    ],
)
def test_options_of_listen_that_cannot_be_are_errors(given, more, error, words):
    with pytest.raises(error, match=words):
        App().listen(given, **more)


# ---- close, dispose, run ----


def test_close_returns_the_app_and_closes_it(serve):
    server = serve(lambda app: app.get("/", hello))
    assert server.call(lambda: server.app.close() is server.app) is True
    server.thread.join(10)
    assert not server.thread.is_alive()


def holding(entered):
    """Return a handler whose answer never comes."""
    return lambda res, req: (res.grab_aborted_handler(), entered.set())[0]


@pytest.mark.parametrize("end", ["dispose", "grace"])
def test_dispose_and_a_grace_of_zero_wait_for_nobody(end):
    entered = threading.Event()
    ports = []
    app = App().get("/", holding(entered))
    app.listen(0, lambda it: ports.append(it.port), host="127.0.0.1")
    asking = threading.Thread(target=ask_in_vain, args=(ports[0],))

    def stop():
        if entered.is_set():
            app.dispose() if end == "dispose" else app.close()
        else:
            app.loop.set_timeout(5, stop)

    app.loop.call_soon(stop)
    asking.start()
    started = time.monotonic()
    app.run(**({"grace": 0} if end == "grace" else {}))
    assert time.monotonic() - started < 5
    app.loop.close()
    asking.join(10)
    assert not asking.is_alive()


def ask_in_vain(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""


def test_the_grace_is_how_long_run_waits():
    entered = threading.Event()
    ports = []
    app = App().get("/", holding(entered))
    app.listen(0, lambda it: ports.append(it.port), host="127.0.0.1")
    asking = threading.Thread(target=ask_in_vain, args=(ports[0],))
    closed = []

    def stop():
        if entered.is_set():
            closed.append(time.monotonic())
            app.close()
        else:
            app.loop.set_timeout(5, stop)

    app.loop.call_soon(stop)
    asking.start()
    app.run(grace=0.2)
    assert 0.15 < time.monotonic() - closed[0] < 5
    app.loop.close()
    asking.join(10)


# ---- the loop ----


def test_a_timeout_is_in_milliseconds():
    loop = App().loop
    done = loop.create_future()
    started = time.monotonic()
    loop.set_timeout(30, lambda *given: done.set_result(given), 1, "two")
    assert loop.run_until_complete(done) == (1, "two")
    assert 0.025 < time.monotonic() - started < 5


def test_a_timeout_can_be_cancelled():
    loop = App().loop
    seen = []
    loop.set_timeout(1, seen.append, 1).cancel()
    loop.run_until_complete(asyncio.sleep(0.01))
    assert not seen


def test_a_background_task_starts_in_the_next_round():
    loop = App().loop
    seen = []

    async def task():
        seen.append("started")
        await asyncio.sleep(0.001)
        seen.append("done")

    loop.create_background_task(task)
    assert not seen
    loop.run_until_complete(asyncio.sleep(0.02))
    assert seen == ["started", "done"]


def test_a_future_is_made_of_a_coroutine_and_of_a_future():
    loop = App().loop

    async def value():
        return 7

    future = loop.ensure_future(value())
    assert loop.ensure_future(future) is future
    assert loop.run_until_complete(future) == 7
    assert loop.run_until_complete(value()) == 7


def test_apps_of_a_thread_have_one_loop():
    assert App().loop is App().loop is thread_loop()
