"""The test client: requests to an app that does not listen."""

import asyncio
import gc

import pytest

from socketify_mw import App, Get, Middleware, middleware
from socketify_mw.loop import thread_loop

VERBS = ["get", "head", "post", "put", "patch", "delete", "options"]


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


def echo(res, req):
    """Answer with method, URL, fields and body of the request."""

    async def answer():
        text = await res.get_text()
        headers = dict(req.get_headers())
        res.end([req.get_method(), req.get_full_url(), headers, text])

    req.preserve()
    res.run_async(answer())


@pytest.fixture
def client():
    return App().any("/*", echo).test_client()


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_a_method(client, verb):
    answer = getattr(client, verb)("/a?b=1")
    assert (answer.status, answer.reason) == (200, "OK")
    if verb == "head":
        assert answer.body == b"" and int(answer.header("content-length")) > 9
    else:
        assert answer.json()[:2] == [verb.upper(), "/a?b=1"]


@pytest.mark.parametrize("method", ["TRACE", "BREW", "PROPFIND"])
def test_any_method_can_be_sent(client, method):
    assert client.request(method, "/").json()[0] == method


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({}, None, ""),
        ({"body": b"bytes"}, None, "bytes"),
        ({"body": "t\xe4xt"}, None, "t\xe4xt"),
        ({"json": {"a": [1, None]}}, "application/json", '{"a": [1, null]}'),
        ({"json": []}, "application/json", "[]"),
        ({"json": 0}, "application/json", "0"),
        (
            {"form": {"a": "x y", "b": [1, 2], "c": "\xe4&"}},
            "application/x-www-form-urlencoded",
            "a=x+y&b=1&b=2&c=%C3%A4%26",
        ),
        ({"form": {}}, "application/x-www-form-urlencoded", ""),
        ({"json": 1, "headers": {"content-type": "text/x"}}, "text/x", "1"),
    ],
)
def test_a_body_is_sent_with_its_type(client, options, kind, text):
    _, _, headers, body = client.post("/", **options).json()
    assert (headers.get("content-type"), body) == (kind, text)
    length = str(len(text.encode())) if text else None
    assert headers.get("content-length") == length


@pytest.mark.parametrize(
    "headers",
    [
        {"X-One": "1", "x-two": "caf\xe9"},
        [("X-One", "1"), ("x-two", "caf\xe9")],
        (pair for pair in [("X-One", "1"), ("x-two", "caf\xe9")]),
    ],
    ids=["mapping", "pairs", "iterator"],
)
def test_headers_are_a_mapping_or_pairs(client, headers):
    found = client.get("/", headers=headers).json()[2]
    assert found == {
        "host": "test",
        "x-one": "1",
        "x-two": "caf\xe9",
        "connection": "close",
    }


def test_headers_may_repeat_and_replace_the_clients_own(client):
    pairs = [("host", "own"), ("X", "1"), ("X", "2")]
    found = client.get("/", headers=pairs).json()[2]
    assert (found["host"], found["x"]) == ("own", "1, 2")


def test_a_chunked_request_is_sent_as_given(client):
    chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    answer = client.post("/", body=chunks, headers={"Transfer-Encoding": "chunked"})
    assert answer.json()[3] == "abcde"


def test_a_client_that_expects_100_gets_the_final_answer(client):
    answer = client.post("/", body="x", headers={"Expect": "100-continue"})
    assert (answer.status, answer.json()[3]) == (200, "x")


def test_an_answer_tells_all_of_its_fields():
    def handler(res, req):
        res.write_status("418 Teapot").write_header("X-A", "1").write_header("x-a", "2")
        res.end("caf\xe9")

    answer = App().get("/", handler).test_client().get("/")
    assert (answer.status, answer.reason, answer.text) == (418, "Teapot", "caf\xe9")
    assert answer.header("X-a") == "1" and answer.all("x-A") == ["1", "2"]
    assert answer.header("missing") is None and answer.all("missing") == []
    assert answer.headers[0] == ("X-A", "1")
    assert repr(answer) == "<TestResponse 418 with 5 bytes>"


# ---- cookies ----


def jar():
    app = App()
    app.get(
        "/set", lambda res, req: res.set_cookie("a", "1").set_cookie("b", "x y").end()
    )
    app.get(
        "/again", lambda res, req: res.set_cookie("a", "2", {"path": "/other"}).end()
    )
    app.get("/all", lambda res, req: res.end(req.get_cookies()))

    def drop(res, req):
        res.set_cookie("a", "", {"max_age": int(req.get_query("age"))}).end()

    return app.get("/drop", drop).test_client()


def test_cookies_are_sent_back():
    client = jar()
    client.get("/set")
    assert client.get("/all").json() == {"a": "1", "b": "x y"}
    client.get("/again")
    assert client.get("/all").json() == {"a": "2", "b": "x y"}
    client.cookies["c"] = "own"
    assert client.get("/all").json()["c"] == "own"


@pytest.mark.parametrize("name", ["path", "Max-Age", "$Version"])
def test_a_cookie_with_the_name_of_an_attribute_is_one(name):
    app = App().get("/", lambda res, req: res.set_cookie(name, "a;b").end())
    client = app.get("/all", lambda res, req: res.end(req.get_cookies())).test_client()
    client.get("/")
    assert client.get("/all").json() == {name: "a;b"}


@pytest.mark.parametrize("age", [0, -1])
def test_a_cookie_without_time_to_live_is_removed(age):
    client = jar()
    client.get("/set")
    client.get(f"/drop?age={age}")
    client.get(f"/drop?age={age}")
    assert client.get("/all").json() == {"b": "x y"}


def test_a_cookie_that_still_lives_is_kept():
    client = jar()
    client.get("/drop?age=9")
    assert client.cookies == {"a": ""}


def test_a_cookie_line_of_the_callers_replaces_those_kept():
    client = jar()
    client.get("/set")
    assert client.get("/all", headers={"cookie": "z=1"}).json() == {"z": "1"}


def test_cookies_belong_to_one_client():
    one = jar()
    two = one._app.test_client()
    one.get("/set")
    assert two.get("/all").json() == {}
    assert one.get("/all").json() == {"a": "1", "b": "x y"}


# ---- answers ----


@pytest.mark.parametrize("size", [0, 1, 65536, 2**20, 5 * 2**20])
def test_an_answer_of_any_size_is_whole(size):
    app = App().get("/", lambda res, req: res.end(b"x" * size))
    assert app.test_client().get("/").body == b"x" * size


@pytest.mark.parametrize("size", [2**20, 3 * 2**20])
def test_a_request_of_any_size_is_sent(size):
    app = App()

    def count(res, req):
        sizes = []

        def more(res, chunk, is_end):
            sizes.append(len(chunk))
            if is_end:
                res.end(str(sum(sizes)))

        res.on_data(more)

    app.post("/", count, max_body=None)
    assert app.test_client().post("/", body=b"x" * size).text == str(size)


def test_an_answer_before_the_body_was_taken_is_received():
    app = App().post("/", lambda res, req: res.write_status(403).end("no"))
    answer = app.test_client().post("/", body=b"x" * 500_000)
    assert (answer.status, answer.text) == (403, "no")


def test_a_chunked_answer_is_joined():
    def handler(res, req):
        async def parts():
            for i in range(5):
                res.write(f"part {i};")
                await asyncio.sleep(0.001)
            res.end("end")

        res.run_async(parts())

    answer = App().get("/", handler).test_client().get("/")
    assert answer.header("transfer-encoding") == "chunked"
    assert answer.text == "part 0;part 1;part 2;part 3;part 4;end"


@pytest.mark.parametrize("text", ["", "x" * 100_000])
def test_head_has_the_length_and_no_body(text):
    answer = App().get("/", lambda res, req: res.end(text)).test_client().head("/")
    assert (answer.body, answer.header("content-length")) == (b"", str(len(text)))


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_content_are_received(status):
    app = App().get("/", lambda res, req: res.write_status(status).end())
    answer = app.test_client().get("/")
    assert (answer.status, answer.body) == (status, b"")


# ---- what goes wrong ----


def never(res, req):
    res.grab_aborted_handler()


def test_an_answer_that_does_not_come_is_a_timeout():
    app = App().get("/never", never).get("/", lambda res, req: res.end("later"))
    client = app.test_client()
    with pytest.raises(TimeoutError):
        client.get("/never", timeout=0.05)
    assert client.get("/").text == "later"


def test_a_timeout_counts_as_the_client_having_gone():
    gone = []
    app = App().get("/never", lambda res, req: res.on_aborted(gone.append))
    app.get("/", lambda res, req: res.end())
    client = app.test_client()
    with pytest.raises(TimeoutError):
        client.get("/never", timeout=0.05)
    client.get("/")
    assert len(gone) == 1 and gone[0].aborted


def test_a_handler_cannot_use_it(caplog):
    app = App()
    client = app.test_client()
    app.get("/", lambda res, req: res.end(client.get("/other").body))
    assert client.get("/").status == 500
    assert "the app runs: send requests to its port" in caplog.text


def test_it_is_refused_while_the_app_runs(serve):
    server = serve(lambda app: app.get("/", lambda res, req: res.end("x")))
    with pytest.raises(RuntimeError, match="the app runs"):
        server.app.test_client().get("/")
    assert server.ask("/").body == b"x"


def test_it_is_refused_in_a_coroutine_of_another_loop():
    client = App().get("/", lambda res, req: res.end("x")).test_client()

    async def ask():
        client.get("/")

    with pytest.raises(RuntimeError):
        asyncio.run(ask())
    assert client.get("/").text == "x"


def test_a_handler_that_closes_is_a_connection_error():
    app = App().get("/close", lambda res, req: res.close())
    app.get("/", lambda res, req: res.end("next"))
    client = app.test_client()
    with pytest.raises(ConnectionError):
        client.get("/close")
    assert client.get("/").text == "next"


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt(), SystemExit(), pytest.fail.Exception("in a handler")],
    ids=repr,
)
def test_after_an_exception_that_ends_a_request_the_client_goes_on(error):
    def fail(res, req):
        raise error

    app = App().get("/fail", fail).get("/", lambda res, req: res.end("next"))
    client = app.test_client()
    with pytest.raises(type(error)):
        client.get("/fail")
    assert client.get("/", timeout=1).text == "next"


def test_a_bad_request_is_answered_as_on_the_wire(client):
    assert client.get("/a b").status == 400
    assert client.get("/", headers=[("Host", "a"), ("Host", "b")]).status == 400


def test_a_closed_app_gives_no_client(serve):
    server = serve(lambda app: app)
    server.call(server.app.close)
    with pytest.raises(RuntimeError, match="make a new App"):
        server.app.test_client()


def test_the_client_of_a_closed_app_says_so():
    app = App().get("/", lambda res, req: res.end("x"))
    client = app.test_client()
    assert client.get("/").text == "x"
    app.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.get("/", timeout=0.5)


def test_closing_one_app_leaves_the_client_of_another_alone():
    other = App().get("/", lambda res, req: res.end("other"))
    App().close()
    assert other.test_client().get("/").text == "other"


# ---- several ----


def test_clients_of_several_apps_do_not_mix():
    clients = []
    for name in "abc":
        app = App().get("/", lambda res, req, name=name: res.end(name))
        clients += [app.test_client(), app.test_client()]
    assert [c.get("/").text for c in clients * 2] == list("aabbcc" * 2)


def test_what_an_app_left_running_goes_on_in_the_next_request():
    done = []

    def start(res, req):
        async def later():
            await asyncio.sleep(0.01)
            done.append(1)

        res.end()
        res.app.run_async(later())

    async def wait(res):
        await asyncio.sleep(0.03)
        res.end()

    app = App().get("/start", start)
    app.get("/wait", lambda res, req: res.run_async(wait(res)))
    client = app.test_client()
    client.get("/start")
    client.get("/wait")
    assert done == [1]


def test_a_client_leaves_no_connection_behind(client):
    for _ in range(3):
        client.get("/")
    assert client._app._server.connections() == 0


def test_a_timeout_tells_nothing_in_the_log(caplog):
    client = App().get("/", never).test_client()
    with pytest.raises(TimeoutError):
        client.get("/", timeout=0.05)
    assert not caplog.records


def test_a_handler_that_closes_is_no_error_in_the_log(caplog):
    client = App().get("/", lambda res, req: res.close()).test_client()
    with pytest.raises(ConnectionError):
        client.get("/")
    assert not caplog.records


# ---- what ran ----


def hello(res, req):
    res.end("Hello, World!")


class Log(Middleware):
    def before(self, request, response):
        return request

    async def after(self, request, response):
        await asyncio.sleep(0.002)
        return request


class Gate(Middleware):
    def before(self, request, response, word):
        if request.get_query("word") == "raise":
            raise ValueError("no word")
        if request.get_query("word") != word:
            response.write_status(403).end("shut")
            return None
        return request


class Doors:
    http_middleware = [Log]
    route_middleware = {"gate": Gate}


def load(res, req, data):
    return req.get_query("load")


async def show(res, req, data):
    await asyncio.sleep(0.002)
    res.end("shown")


EXPLAINED = [
    ("/gate?word=open", ["Log.before", "Gate:open.before", "enter", "Log.after"], None),
    (
        "/gate?word=shut",
        ["Log.before", "Gate:open.before", "Log.after"],
        "stopped: returned None",
    ),
    (
        "/gate?word=raise",
        ["Log.before", "Gate:open.before", "Log.after"],
        "raised ValueError('no word')",
    ),
    ("/chain?load=1", ["Log.before", "load", "show", "Log.after"], None),
    ("/chain?load=", ["Log.before", "load", "Log.after"], "stopped: returned ''"),
    ("/nothing", ["Log.before", "answer_miss", "Log.after"], None),
]


def enter(request):
    return "in"


@pytest.mark.parametrize(
    ("url", "names", "stop"), EXPLAINED, ids=lambda it: str(it)[:40]
)
def test_an_answer_explains_what_ran(url, names, stop):
    app = App().get("/chain", middleware(load, show)).get("/bare", hello)
    app.kernel(Doors, routes=[Get("/gate", enter).middleware("gate:open")])
    found = app.test_client(explain=True).get(url).explain()
    told = [f"{it.name}.{it.phase}" if it.phase else it.name for it in found.steps]
    assert told == names
    stopped = [it.outcome for it in found.steps if it.outcome.startswith(("st", "ra"))]
    assert stopped == ([stop] if stop else [])
    assert found.steps[-1].milliseconds >= 2  # it waits
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == names
    assert all(" ms  " in line for line in lines)


def test_a_bare_route_is_explained_too():
    app = App().get("/", lambda res, req: res.end("x"))
    assert len(app.test_client(explain=True).get("/").explain().steps) == 1
    assert app._routes[1].handler is app._routes[1]._bare  # as before


def test_nothing_is_explained_when_nobody_asked():
    app = App().get("/", hello)
    with pytest.raises(RuntimeError, match="test_client\\(explain=True\\)"):
        app.test_client().get("/").explain()


def test_with_runs_shutdown_hooks_when_a_start_hook_has_failed_as_run_does():
    app, log = App(), []
    app.on_start(lambda: log.append("opened"))
    app.on_shutdown(lambda: log.append("closed"))

    @app.on_start
    def fails():
        raise OSError("no database")

    with pytest.raises(OSError, match="no database"), app.test_client():
        pass
    assert log == ["opened", "closed"]


def test_with_is_refused_for_a_closed_app():
    app, log = App(), []
    app.on_start(lambda: log.append("started"))
    client = app.test_client()
    app.close()
    with pytest.raises(RuntimeError, match="this app was closed"), client:
        pass
    assert log == []
