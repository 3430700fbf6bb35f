"""docs/errors.md: each message that it quotes is brought about here."""

import asyncio
import logging
import re
import socket
import sys
import threading
from socket import AF_UNIX
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import httpx
import pytest
from pages import ROOT, free_port, pattern_of
from test_programs import Program, run_in

from socketify_mw import (
    App,
    AppOptions,
    Get,
    Limits,
    Middleware,
    Post,
    SocketifyError,
    middleware,
)
from socketify_mw.keys import application_key, new_key, parse_key
from socketify_mw.middlewares import (
    EncryptCookies,
    SessionMiddleware,
    ThrottleMiddleware,
    VerifyCsrfToken,
)
from socketify_mw.services import require
from socketify_mw.stores import MemoryStore, open_store

PAGE = (ROOT / "docs" / "errors.md").read_text()
ROWS = {
    message: kind
    for message, kind in re.findall(
        r"^\| `([^`]+)` \| ([A-Z]\w+|printed) \|", PAGE, re.M
    )
}

WAYS = {}


def says(part):
    """Have a function bring about the one message of the page that begins with, or
    has in it, a text."""

    def note(way):
        found = [part] if part in ROWS else [it for it in ROWS if it.startswith(part)]
        found = found or [it for it in ROWS if part in it]
        assert len(found) == 1, (part, found)
        assert found[0] not in WAYS, part
        WAYS[found[0]] = way
        return way

    return note


def error_of(call, *arguments, **options):
    with pytest.raises(Exception) as found:
        call(*arguments, **options)
    return type(found.value).__name__, str(found.value)


def error_in(handler, method="GET", **request):
    """Return what a handler raises."""
    app = App()
    return raised_in(app.any("/", handler), method, **request)


def raised_in(app, method="GET", **request):
    seen = []
    app.on_error(lambda error, res, req: seen.append(error))
    app.test_client().request(method, "/", **request)
    return type(seen[0]).__name__, str(seen[0])


def logged(caplog, app, level, method="GET", path="/", **request):
    """Return what is logged at a level for a request."""
    with caplog.at_level(logging.DEBUG, "socketify_mw"):
        app.test_client().request(method, path, **request)
    return records(caplog, level)


def records(caplog, level):
    found = [it.getMessage() for it in caplog.records if it.levelname == level]
    return level, found[0]


def test_all_rows_are_read():
    sections = re.findall(r"^\| `.*\|$", PAGE, re.M)
    assert len(ROWS) == len(sections) >= 75


def test_each_message_has_its_way():
    assert WAYS.keys() == ROWS.keys()


@pytest.mark.parametrize("message", ROWS)
def test_the_message_is_what_comes(message, caplog, monkeypatch, tmp_path, capsys):
    tools = SimpleNamespace(
        caplog=caplog, monkeypatch=monkeypatch, folder=tmp_path, capsys=capsys
    )
    kind, text = WAYS[message](tools)
    assert kind == ROWS[message]
    shown = re.sub(r"\s+", " ", text).strip()
    assert pattern_of(message).fullmatch(shown), shown


# ---- keys, libraries, options ----


def kernel_of(*layers, **names):
    return type("Kernel", (), {"http_middleware": list(layers), **names})


@says("the application has no key")
def _(tools):
    tools.monkeypatch.delenv("APP_KEY", raising=False)
    tools.monkeypatch.delenv("APP_ENV", raising=False)
    tools.monkeypatch.setattr("socketify_mw.keys._given", None)
    return error_of(application_key)


@says("the application's key is not base64")
def _(tools):
    return error_of(parse_key, "not base64, for it has spaces")


@says("the application's key has")
def _(tools):
    return error_of(parse_key, "c2hvcnQ=")


@says("the application's key is easy to guess")
def _(tools):
    return error_of(parse_key, "A" * 43)


@says("the application's key stands in public")
def _(tools):
    return error_of(parse_key, "-RkDOqXojJIlsF_I8wWiUq_KRZ0PtGWTOZ676u5HtLg=")


@says("... needs a library")
def _(tools):
    def load():
        import no_such_library  # noqa: F401

    return error_of(require, "sessions", load, "EncryptCookies")


@says("RedisStore needs redis-py")
def _(tools):
    tools.monkeypatch.setitem(sys.modules, "redis", None)
    tools.monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    store = error_or(lambda: open_store("redis://127.0.0.1:1/0"))
    if isinstance(store, tuple):
        return store
    return error_of(asyncio.run, store.get("a"))


def error_or(call):
    try:
        return call()
    except SocketifyError as error:
        return type(error).__name__, str(error)


@says("no store is called")
def _(tools):
    return error_of(open_store, "postgres://localhost/")


@says("... has no option")
def _(tools):
    return error_of(SessionMiddleware.using, idel=5)


@says("max_body=...: a number")
def _(tools):
    return error_of(Limits, max_body="5")


@says("max_body=... is not above")
def _(tools):
    return error_of(Limits, max_body=0)


@says("encryption is not supported")
def _(tools):
    return error_of(App, AppOptions(key_file_name="key.pem"))


# ---- listening and running ----


@says("[Errno ...] Address already in use (port")
def _(tools):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        return error_of(App().listen, port, host="127.0.0.1")


@says("[Errno ...] Address already in use:")
def _(tools):
    # Not in pytest's folder, whose name may be too long for a socket.
    with TemporaryDirectory(dir="/tmp") as folder, socket.socket(AF_UNIX) as other:
        path = f"{folder}/a.sock"
        other.bind(path)
        other.listen()
        return error_of(App().listen, path=path)


@says("[Errno ...] File exists")
def _(tools):
    path = tools.folder / "a.txt"
    path.touch()
    return error_of(App().listen, path=path)


@says("[Errno ...] ... assign")
def _(tools):
    return error_of(App().listen, free_port(), host="192.0.2.1")


@says("a port is a number")
def _(tools):
    return error_of(App().listen, "3000")


@says("a unix socket has no port")
def _(tools):
    return error_of(App().listen, 3000, path="a.sock")


@says("the app runs without listening")
def _(tools):
    app = App()
    app.on_start(app.close)
    with tools.caplog.at_level(logging.WARNING):
        app.run()
    return records(tools.caplog, "WARNING")


@says("an event loop is running")
def _(tools):
    async def main():
        app.run()

    app = App()
    return error_of(asyncio.run, main())


@says("this app was closed")
def _(tools):
    return error_of(App().close().listen, 0)


FORKS = """
import os
from socketify_mw import App
app = App()
if os.fork() == 0:
    try:
        app.run()
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    os._exit(0)
os.wait()
"""


@says("this loop belongs to the parent")
def _(tools):
    done = run_in(tools.folder, sys.executable, "-c", FORKS)
    kind, _, text = done.stdout.partition(" ")
    return kind, text


# ---- functions and their routes ----


def answer(res, req):
    res.end()


@says("...: it can never match")
def _(tools):
    return error_of(App().get, "/:a/:a", answer)


@says("...: the pattern is malformed")
def _(tools):
    return error_of(App().get, "/*/a", answer)


@says("...: this method and pattern are taken")
def _(tools):
    return error_of(App().get("/:a", answer).get, "/:b", answer)


@says("...: ... cannot be called with (res, req), as")
def _(tools):
    return error_of(App().get, "/", lambda: None)


@says("...: ... cannot be called with (res, req, data), as")
def _(tools):
    return error_of(middleware, answer)


@says("...: ... has a ... but a member")
def _(tools):
    def generator(res, req, data):
        yield

    return error_of(middleware, generator)


@says("...: ... is not callable")
def _(tools):
    return error_of(middleware, None)


# ---- kernels and their routes ----


class Named(Middleware):
    def before(self, request, response, number: int):
        return request


def kernel_error(route, *others, controllers=None, **names):
    kernel = kernel_of(route_middleware=names)
    return error_of(App().kernel, kernel, [route, *others], controllers)


@says("...: there is no middleware")
def _(tools):
    return kernel_error(Get("/", answer).middleware("nmaed"), named=Named)


@says("...: the URL has no parameter")
def _(tools):
    return kernel_error(Get("/", lambda: "").middleware("named:@id"), named=Named)


@says("...: ... cannot take its parameter: ...")
def _(tools):
    return kernel_error(Get("/", lambda: "").middleware("named:x"), named=Named)


@says("...: the class ... has no method")
def _(tools):
    one = type("One", (), {"before": lambda self, request, response: request})
    return kernel_error(Get("/", lambda: "").middleware("one"), one=one)


@says("...: there is no controller")
def _(tools):
    return kernel_error(Get("/", "NoController@show"))


@says("...: ... has no method")
def _(tools):
    controller = type("HomeController", (), {"show": lambda self: ""})
    return kernel_error(Get("/", "HomeController@shwo"), controllers=controller)


@says("...: ... wants")
def _(tools):
    return kernel_error(Get("/@id", lambda user_id: ""))


@says("...: ... has the name")
def _(tools):
    return kernel_error(
        Get("/a", lambda: "").name("a"), Get("/b", lambda: "").name("a")
    )


@says("there is no limiter")
def _(tools):
    return error_of(ThrottleMiddleware.check, "login")


@says("no route has the name")
def _(tools):
    return error_of(App().url, "home")


# ---- requests ----


@says("this request was read after")
def _(tools):
    kept = []

    def keep(res, req):
        kept.append(req)
        res.end()

    client = App().get("/", keep).test_client()
    for _ in range(2):
        client.get("/")
    return error_of(kept[0].get_url)


@says("the body was not read")
def _(tools):
    return error_in(lambda res, req: req.input("a"), "POST", json={"a": 1})


@says("to load a body")
def _(tools):
    def load(res, req):
        req.load().send(None)

    return error_in(load, "POST", json={"a": 1})


@says("a request's stream is")
def _(tools):
    return error_in(lambda res, req: req.stream())


@says("others were given the body")
def _(tools):
    async def read(res, req):
        async for _ in req.stream():
            break
        await res.get_data()

    return error_in(read, "POST", body=b"a" * 100_000)


@says("the request's body is no JSON")
def _(tools):
    async def read(res, req):
        await res.get_json()

    return error_in(read, "POST", body="no")


@says("a form or JSON of ...")
def _(tools):
    app = App(limits=Limits(max_inputs=5))
    app.kernel(kernel_of(), [Post("/", lambda: "")])
    return raised_in(app, "POST", form={"a": "long"})


@says("the request's form cannot be read")
def _(tools):
    async def read(res, req):
        await res.get_form_urlencoded()

    return error_in(read, "POST", body="&".join(["a=1"] * 1001))


@says("the client has gone")
def _(tools):
    seen = []

    async def leave(res, req):
        res.close()
        try:
            await res.get_data()
        except ConnectionError as error:
            seen.append(error)

    with pytest.raises(ConnectionError):
        App().get("/", leave).test_client().get("/")
    return type(seen[0]).__name__, str(seen[0])


# ---- answers ----


@says("this response has been ended")
def _(tools):
    seen = []

    def twice(res, req):
        res.end("one")
        seen.append(error_of(res.end, "two"))

    App().get("/", twice).test_client().get("/")
    return seen[0]


@says("status and fields were sent")
def _(tools):
    seen = []

    def late(res, req):
        res.write("one")
        seen.append(error_of(res.write_header, "A", "b"))
        res.end()

    App().get("/", late).test_client().get("/")
    return seen[0]


@says("the server has answered this request")
def _(tools):
    kept = []
    App().get("/", lambda res, req: kept.append(res)).test_client().get("/")
    return error_of(kept[0].end)


@says("a response belongs to the thread")
def _(tools):
    seen = []

    def handler(res, req):
        def other():
            seen.append(error_of(res.write_status, 200))

        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        res.end()

    App().get("/", handler).test_client().get("/")
    return seen[0]


@says("a coroutine was given")
def _(tools):
    async def load():
        pass

    return error_in(lambda res, req: res.end(load()))


@says("Object of type")
def _(tools):
    return error_in(lambda res, req: res.end({"a": object()}))


@says("CR, LF or NUL in the value of")
def _(tools):
    return error_in(lambda res, req: res.write_header("A", "b\r\nC: d").end())


@says("the header value")
def _(tools):
    return error_in(lambda res, req: res.write_header("A", "\u20ac").end())


@says("the app has no template engine")
def _(tools):
    return error_in(lambda res, req: res.render("a.html"))


@says("which page?")
def _(tools):
    return error_in(lambda res, req: res.back())


# ---- sessions, cookies, throttles, stores ----


@says("there is no session")
def _(tools):
    return error_in(lambda res, req: req.session.get("a"))


@says("the session was not loaded")
def _(tools):
    store = f"sqlite:{tools.folder / 'a.db'}"
    layer = SessionMiddleware.using(store=store)
    chain = middleware(layer, lambda res, req, data: req.session.get("a"))
    headers = {"Cookie": "session=" + "a" * 43}
    return error_in(chain, headers=headers)


@says("the session was saved already")
def _(tools):
    seen = []

    def stream(res, req, data):
        req.session.put("a", 0)
        res.write("one")
        seen.append(error_of(req.session.put, "a", 1))
        res.end()

    App().get("/", middleware(SessionMiddleware, stream)).test_client().get("/")
    return seen[0]


@says("the session cannot keep")
def _(tools):
    chain = middleware(
        SessionMiddleware, lambda res, req, data: req.session.put("a", object())
    )
    return error_in(chain)


@says("the cookie ... has")
def _(tools):
    pytest.importorskip("cryptography")
    layer = EncryptCookies.using(keys=[new_key()])
    app = App().get(
        "/", middleware(layer, lambda res, req, data: res.cookie("a", "b" * 4000).end())
    )
    return raised_in(app)


@says("the user ... has no id")
def _(tools):
    throttle = type("Throttle", (ThrottleMiddleware,), {"limit": "5/minute"})
    pytest.importorskip("limits")

    def set_user(res, req, data):
        return req.set_user(object())

    return error_in(middleware(set_user, throttle, lambda res, req, data: res.end()))


@says("...: no answer within")
def _(tools):
    from socketify_mw.stores.redis import RedisStore

    pytest.importorskip("redis")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        store = RedisStore(url, timeout=0.1)

        async def ask():
            try:
                await store.get("a")
            finally:
                await store.close()

        return error_of(asyncio.run, ask())


# ---- in the log ----


@says("...: ... returned without an answer")
def _(tools):
    chain = middleware(lambda res, req, data: None)
    return logged(tools.caplog, App().get("/", chain), "ERROR")


@says("... raised, and its error handler has not answered")
def _(tools):
    app = App().get("/", lambda res, req: 1 / 0)
    app.on_error(lambda error, res, req: None)
    return logged(tools.caplog, app, "ERROR")


@says("... raised")
def _(tools):
    return logged(tools.caplog, App().get("/", lambda res, req: 1 / 0), "ERROR")


@says("... raised after")
def _(tools):
    def late(res, req):
        res.end()
        raise ValueError

    return logged(tools.caplog, App().get("/", late), "ERROR")


@says("...: its error handler raised")
def _(tools):
    app = App().get("/", lambda res, req: 1 / 0)
    app.on_error(lambda error, res, req: 1 / 0)
    return logged(tools.caplog, app, "ERROR")


@says("a shutdown hook")
def _(tools):
    app = App().listen(0)
    app.on_start(app.close)
    app.on_shutdown(lambda: 1 / 0)
    app.run()
    return records(tools.caplog, "ERROR")


SLOW = """
import logging, time
from socketify_mw import App
logging.basicConfig(format="%(levelname)s %(message)s")
app = App()
app.get("/", lambda res, req: (time.sleep(0.15), res.end()))
app.get("/stop", lambda res, req: (res.end(), app.close()))
app.listen(0, lambda it: print(f"http://localhost:{it.port}", flush=True))
app.run()
"""


@says("everybody waited")
def _(tools):
    program = Program("-c", SLOW)
    httpx.get(program.url)
    httpx.get(f"{program.url}/stop")
    _, errors = program.process.communicate(timeout=10)
    kind, _, text = errors.partition(" ")
    return kind, text


@says("...: one was made for this run")
def _(tools):
    tools.monkeypatch.setenv("APP_ENV", "testing")
    tools.monkeypatch.delenv("APP_KEY", raising=False)
    tools.monkeypatch.setattr("socketify_mw.keys._given", None)
    tools.monkeypatch.setattr("socketify_mw.keys._generated", None)
    application_key()
    return records(tools.caplog, "WARNING")


@says("...: ... returned ...: no other")
def _(tools):
    class Forgets(Middleware):
        def after(self, request, response):
            pass

    chain = middleware(Forgets, lambda res, req, data: res.end())
    return logged(tools.caplog, App().get("/", chain), "WARNING")


@says("requests are not counted")
def _(tools):
    folder = tools.folder / "nowhere" / "a.db"
    throttle = ThrottleMiddleware.using(store=f"sqlite:{folder}")
    kernel = kernel_of(route_middleware={"throttle": throttle})
    route = Get("/", lambda: "").middleware("throttle:1,5")
    return logged(tools.caplog, App().kernel(kernel, [route]), "ERROR")


@says("MemoryStore: its")
def _(tools):
    store = MemoryStore(max_keys=1)

    async def fill():
        for key in "abc":
            await store.hit(key, 5, 60)

    asyncio.run(fill())
    return records(tools.caplog, "WARNING")


@says("...: ... has its parameters the other way round")
def _(tools):
    return error_of(App().get, "/", lambda req, res: None)


@says("... was given ..., which has a ...")
def _(tools):
    def lifespan():
        yield

    return error_of(App().on_start, lifespan)


@says("...: ... has answered, and returned")
def _(tools):
    class Guard(Middleware):
        def before(self, request, response):
            response.redirect("/login")
            return request

    app = App().kernel(kernel_of(Guard), [Get("/", lambda: "")])
    return logged(tools.caplog, app, "WARNING")


@says("...: VerifyCsrfToken keeps")
def _(tools):
    app = App().kernel(kernel_of(VerifyCsrfToken), [Post("/", lambda: "")])
    return error_of(app.listen, 0)


@says("...: EncryptCookies is to stand")
def _(tools):
    encrypted = EncryptCookies.using(keys=[new_key()])
    kernel = kernel_of(SessionMiddleware, encrypted)
    app = App().kernel(kernel, [Post("/", lambda: "")])
    return error_of(app.listen, 0)


@says("...: refused, for")
def _(tools):
    kernel = kernel_of(SessionMiddleware, VerifyCsrfToken)
    app = App().kernel(kernel, [Post("/", lambda: "")])
    return logged(tools.caplog, app, "INFO", "POST")


# ---- on the command line ----


def printed(tools, name):
    # In a process of its own: it replaces parts of App.
    (tools.folder / "shop.py").write_text("number = 5\n")
    done = run_in(tools.folder, sys.executable, "-m", "socketify_mw", "routes", name)
    assert done.returncode == 2
    return "printed", done.stderr


@says("... is not of the form")
def _(tools):
    return printed(tools, "shop")


@says("there is no module")
def _(tools):
    return printed(tools, "shopp:app")


@says("... has no ...")
def _(tools):
    return printed(tools, "shop:app")


@says("... is not an App")
def _(tools):
    return printed(tools, "shop:number")


# ---- what a client gets ----


def test_the_table_of_statuses_names_what_is_answered():
    async def read(res, req):
        await res.get_json()

    app = App()
    app.post("/", read)
    app.get("/bug", lambda res, req: 1 / 0)
    client = app.test_client()
    found = {
        400: client.post("/", body="no"),
        404: client.get("/nothing"),
        405: client.get("/"),
        413: client.post("/", headers={"Content-Length": "999999999"}),
        414: client.get("/" + "a" * 9000),
        431: client.get("/", headers={"A": "a" * 20_000}),
        500: client.get("/bug"),
        501: client.request("CONNECT", "a:80"),
    }
    assert {status: it.status for status, it in found.items()} == {
        status: status for status in found
    }
    table = PAGE.partition("## What a client gets")[2]
    told = {int(it) for it in re.findall(r"\b[45]\d\d\b", table)}
    assert told >= found.keys()
