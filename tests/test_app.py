"""Routes, answers and errors, as a client sees them."""

import gc
import logging
import queue
import re
import socket
import weakref

import httpx
import pytest

from socketify_mw import App, RouteError

VERBS = ["get", "post", "options", "delete", "patch", "put", "head", "connect", "trace"]


def hello(res, req):
    res.end("Hello, World!")


def test_a_plain_answer_is_whole(serve):
    answer = serve(lambda app: app.get("/", hello)).ask("/")
    assert (answer.status, answer.reason) == (200, "OK")
    assert answer.body == b"Hello, World!"
    assert answer["content-length"] == "13"
    assert answer["content-type"] == "text/plain; charset=utf-8"
    date = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"
    assert re.fullmatch(date, answer["date"])


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_reaches_its_own_route(serve, verb):
    def answer_with(verb):
        # 202 to CONNECT would have no content: it would begin a tunnel.
        return lambda res, req: res.write_status(403).end(verb)

    def setup(app):
        assert getattr(app, verb)("/*", answer_with(verb)) is app
        app.any("/*", answer_with("any"))

    client = serve(setup).client()
    target = "host:80" if verb == "connect" else "/x"
    answer = client.ask(target, verb.upper())
    assert answer.body == (b"" if verb == "head" else verb.encode())
    assert answer["content-length"] == str(len(verb))
    assert client.ask("/x", "SEARCH").body == b"any"


def test_a_static_route_wins_over_a_parameter_and_that_over_a_rest(serve):
    def setup(app):
        app.get("/user/*", lambda res, req: res.end("rest"))
        app.get("/user/:id", lambda res, req: res.end(req.get_parameter("id")))
        app.get("/user/me", lambda res, req: res.end("myself"))

    client = serve(setup).client()
    assert client.ask("/user/me").body == b"myself"
    assert client.ask("/user/7").body == b"7"
    assert client.ask("/user/7/books").body == b"rest"


def test_what_matches_no_route_is_404(serve):
    assert serve(lambda app: app.get("/", hello)).ask("/nothing").status == 404


def test_a_method_without_a_route_is_405_with_allow(serve):
    answer = serve(lambda app: app.get("/", hello).put("/", hello)).ask("/", "POST")
    assert answer.status == 405
    assert answer["allow"] == "GET, PUT, HEAD, OPTIONS"


def test_options_without_a_route_tells_the_methods(serve):
    client = serve(
        lambda app: app.get("/", hello).post("/form", hello).options("/own", hello)
    ).client()
    found = [client.ask(path, "OPTIONS") for path in ("/", "/form", "/nothing", "*")]
    assert [answer.status for answer in found] == [204, 204, 404, 204]
    assert [answer["allow"] for answer in found] == [
        "GET, HEAD, OPTIONS",
        "POST, OPTIONS",
        None,
        "GET, POST, OPTIONS, HEAD",
    ]
    assert client.ask("/own", "OPTIONS").body == b"Hello, World!"


def test_connect_without_a_route_is_not_implemented(serve):
    assert serve(lambda app: app.get("/", hello)).ask("a:80", "CONNECT").status == 501


def test_a_success_of_connect_has_no_content_and_closes(serve):
    client = serve(lambda app: app.connect("/*", hello)).client()
    answer = client.ask("a:80", "CONNECT")
    assert answer.status == 200
    assert answer["content-length"] is None and answer["transfer-encoding"] is None
    assert client.is_closed_by_server()


def test_head_is_answered_from_get_without_a_body(serve):
    client = serve(lambda app: app.get("/", hello)).client()
    answer = client.ask("/", "HEAD")
    assert answer["content-length"] == "13"
    assert client.ask("/").body == b"Hello, World!"


def test_status_and_fields_may_come_in_any_order(serve):
    def handler(res, req):
        res.write_header("X-One", 1).write_status(201).write_header("X-One", "two")
        res.end(b"made")

    answer = serve(lambda app: app.get("/", handler)).ask("/")
    assert (answer.status, answer.reason) == (201, "Created")
    assert [v for k, v in answer.fields if k == "x-one"] == ["1", "two"]
    assert answer["content-type"] is None


@pytest.mark.parametrize(
    ("given", "status", "reason"),
    [
        (404, 404, "Not Found"),
        ("404 Not Found", 404, "Not Found"),
        (b"404 Lost", 404, "Lost"),
        ("299 Odd One", 299, "Odd One"),
        (799, 799, ""),
        ("418", 418, ""),
    ],
)
def test_a_status_is_a_number_or_a_text(serve, given, status, reason):
    handler = lambda res, req: res.write_status(given).end("x")  # noqa: E731
    answer = serve(lambda app: app.get("/", handler)).ask("/")
    assert (answer.status, answer.reason) == (status, reason)


@pytest.mark.parametrize("given", [99, 199, 1000, "soon", "", "12 Short", None])
def test_a_status_that_is_none_is_the_handlers_error(serve, caplog, given):
    handler = lambda res, req: res.write_status(given).end("x")  # noqa: E731
    assert serve(lambda app: app.get("/", handler)).ask("/").status == 500


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_content_has_no_length(serve, status):
    handler = lambda res, req: res.write_status(status).end("ignored")  # noqa: E731
    client = serve(lambda app: app.get("/", handler)).client()
    assert client.ask("/")["content-length"] is None
    assert client.ask("/").status == status


@pytest.mark.parametrize(
    ("message", "body", "type"),
    [
        ("grüß", "grüß".encode(), "text/plain; charset=utf-8"),
        (b"\x00\xff", b"\x00\xff", None),
        (bytearray(b"ab"), b"ab", None),
        (None, b"", None),
        ("", b"", "text/plain; charset=utf-8"),
        ({"a": [1, None]}, b'{"a": [1, null]}', "application/json"),
        (0, b"0", "application/json"),
    ],
)
def test_what_end_takes(serve, message, body, type):
    answer = serve(lambda app: app.get("/", lambda res, req: res.end(message))).ask("/")
    assert (answer.body, answer["content-type"]) == (body, type)


def test_a_type_that_was_set_is_kept(serve):
    def handler(res, req):
        res.write_header("content-TYPE", "text/html").end("<p>")

    answer = serve(lambda app: app.get("/", handler)).ask("/")
    assert [v for k, v in answer.fields if k == "content-type"] == ["text/html"]


def test_fields_that_frame_the_message_belong_to_the_server(serve):
    def handler(res, req):
        res.write_header("Content-Length", "1").write_header("transfer-encoding", "x")
        res.write_header("Date", "today").end("whole")

    answer = serve(lambda app: app.get("/", handler)).ask("/")
    assert answer.body == b"whole"
    names = [key for key, _ in answer.fields]
    assert names.count("content-length") == 1
    assert "transfer-encoding" not in names
    assert [v for k, v in answer.fields if k == "date"] == ["today"]


@pytest.mark.parametrize(
    "close",
    [
        lambda res: res.end("x", True),
        lambda res: res.cork_end("x", end_connection=True),
        lambda res: res.write_header("Connection", "close").end("x"),
    ],
)
def test_the_app_can_close_the_connection(serve, close):
    client = serve(lambda app: app.get("/", lambda res, req: close(res))).client()
    assert client.ask("/")["connection"] == "close"
    assert client.is_closed_by_server()


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"])
def test_a_value_cannot_break_out_of_its_line(serve, caplog, value):
    handler = lambda res, req: res.write_header("X", value).end("x")  # noqa: E731
    answer = serve(lambda app: app.get("/", handler)).ask("/")
    assert answer.status == 500
    assert answer["x-evil"] is None


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ä", "☃"])
def test_a_name_that_is_no_token_is_refused(serve, caplog, name):
    handler = lambda res, req: res.write_header(name, "x").end("x")  # noqa: E731
    assert serve(lambda app: app.get("/", handler)).ask("/").status == 500


def test_a_handler_that_raises_is_500_and_a_log_line(serve, caplog):
    def broken(res, req):
        res.write_status(200).write_header("X-Half", "said")
        raise LookupError("nothing here")

    server = serve(lambda app: app.get("/broken", broken).get("/", hello))
    client = server.client()
    answer = client.ask("/broken")
    assert (answer.status, answer["x-half"]) == (500, None)
    assert "LookupError: nothing here" in caplog.text
    assert "GET /broken" in caplog.text and "broken" in caplog.text
    assert client.ask("/").status == 200


def test_raising_after_the_answer_is_a_log_line_alone(serve, caplog):
    def late(res, req):
        res.end("fine")
        raise LookupError

    client = serve(lambda app: app.get("/", late)).client()
    assert [client.ask("/").body for _ in range(2)] == [b"fine"] * 2
    assert "after it had answered" in caplog.text


def test_a_handler_that_does_not_answer_is_500_and_named(serve, caplog):
    def forgetful(res, req):
        res.write_status(200)

    assert serve(lambda app: app.get("/", forgetful)).ask("/").status == 500
    assert "forgetful" in caplog.text and "without an answer" in caplog.text


def test_a_second_answer_is_a_log_line_and_not_on_the_wire(serve, caplog):
    def twice(res, req):
        res.end("one")
        res.end("two")

    client = serve(lambda app: app.get("/", twice)).client()
    assert [client.ask("/").body for _ in range(2)] == [b"one"] * 2
    assert "ended already" in caplog.text


def test_what_cannot_be_json_is_500(serve, caplog):
    handler = lambda res, req: res.end(object())  # noqa: E731
    assert serve(lambda app: app.get("/", handler)).ask("/").status == 500


@pytest.mark.parametrize("size", [16 * 1024, 16 * 1024 + 1, 1_000_000, 20_000_000])
def test_large_bodies_arrive_whole(serve, size):
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]

    def handler(res, req):
        res.write_header("X-Large", "yes").end(body)

    client = serve(lambda app: app.get("/", handler)).client()
    for _ in range(2):
        answer = client.ask("/")
        assert answer["x-large"] == "yes"
        assert answer.body == body


def test_a_large_body_keeps_its_place_among_pipelined_answers(serve):
    large = b"L" * 3_000_000

    def setup(app):
        app.get("/large", lambda res, req: res.end(large))
        app.get("/small", lambda res, req: res.end(b"s"))

    client = serve(setup).client()
    one = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"
    client.send(b"".join(one % n for n in (b"small", b"large", b"large", b"small")))
    assert [client.read().body for _ in range(4)] == [b"s", large, large, b"s"]


def test_a_client_that_leaves_during_a_large_body_harms_nobody(serve):
    def setup(app):
        app.get("/large", lambda res, req: res.end(b"L" * 5_000_000))
        app.get("/", hello)

    server = serve(setup)
    for _ in range(20):
        client = server.client()
        client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        client.socket.recv(1000)
        client.close()
    assert server.ask("/").body == b"Hello, World!"
    assert server.call(lambda: dict(server.app._loop.turns.bodies)) == {}


def test_a_common_client_is_served(serve):
    def setup(app):
        app.get("/", lambda res, req: res.end({"agent": req.get_header("user-agent")}))

    server = serve(setup)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        for _ in range(3):
            assert client.get("/").json() == {"agent": client.headers["user-agent"]}


def test_both_ip_versions_reach_the_default_listener(serve):
    server = serve(lambda app: app.get("/", hello))
    assert httpx.get(f"http://127.0.0.1:{server.port}/").text == "Hello, World!"
    if socket.has_ipv6:
        try:
            answer = httpx.get(f"http://[::1]:{server.port}/")
        except httpx.ConnectError:
            pytest.skip("this machine has no IPv6 loopback address")
        assert answer.text == "Hello, World!"


def test_a_port_in_use_raises_to_the_caller(serve):
    server = serve(lambda app: app.get("/", hello))
    with pytest.raises(OSError, match=f"in use.*port {server.port} of every address"):
        serve(lambda app: app.listen(server.port))


def test_reuse_port_lets_two_apps_share_one(serve):
    def setup(app):
        app.get("/", hello).listen(0, ports.append, reuse_port=True)

    ports = []
    serve(setup)
    port = ports[0].port
    serve(lambda app: app.get("/", hello).listen(port, reuse_port=True))
    assert httpx.get(f"http://127.0.0.1:{port}/").text == "Hello, World!"


def test_a_host_is_listened_on_alone(serve):
    ports = []
    serve(lambda app: app.get("/", hello).listen(0, ports.append, host="127.0.0.1"))
    assert ports[0].host == "127.0.0.1"
    assert httpx.get(f"http://127.0.0.1:{ports[0].port}/").text == "Hello, World!"
    with pytest.raises(OSError):
        serve(lambda app: app.listen(0, host="no.such.host.invalid"))


@pytest.mark.parametrize("port", [-1, 65536, 10**6, "3000", 80.5, True, []])
def test_what_is_no_port_is_an_error_that_names_it(port):
    with pytest.raises(ValueError, match="not " + re.escape(repr(port))):
        App().listen(port)


def test_listening_takes_a_callable():
    with pytest.raises(TypeError, match="not callable"):
        App().listen(0, 5)


MANY = "".join(f"/:p{n}" for n in range(17))


@pytest.mark.parametrize(
    "pattern",
    ["", "x", "/a/*/b", "/:", MANY, "/a?b", "/a#b", "/a*", "/:a/:a", "/:a/b/:a", 5],
)
def test_a_pattern_that_cannot_match_is_an_error_at_registration(pattern):
    with pytest.raises(RouteError, match="A pattern begins with '/'|not a str"):
        App().get(pattern, hello)


def test_a_pattern_is_percent_encoded_as_clients_do(serve):
    server = serve(lambda app: app.get("/ä b", hello).get("/c%20d", hello))
    assert server.ask("/%C3%A4%20b").status == 200
    assert server.ask("/c%20d").status == 200


def test_a_route_twice_is_an_error_at_registration():
    with pytest.raises(RouteError, match="taken"):
        App().get("/:a", hello).get("/:b", hello)


def test_a_handler_must_be_callable():
    with pytest.raises(RouteError, match="not callable"):
        App().get("/", "hello")


def test_a_handler_must_take_two_arguments():
    for handler in (lambda: 0, lambda res: 0, lambda res, req, data: 0):
        with pytest.raises(RouteError, match=r"called with \(res, req\)"):
            App().get("/", handler)
    App().get("/", lambda *arguments: 0).post("/", lambda res, req, data=None: 0)


def test_an_answer_after_the_servers_own_says_why_it_cannot_be(serve, caplog):
    kept = []
    server = serve(lambda app: app.get("/", lambda res, req: kept.append(res)))
    assert server.ask("/").status == 500

    def end():
        with pytest.raises(RuntimeError, match="answer before it returns"):
            kept[0].end("late")

    server.call(end)


def test_an_answer_from_another_thread_says_how_to_give_it(serve):
    kept = queue.Queue()

    def handler(res, req):
        kept.put(res.grab_aborted_handler())

    server = serve(lambda app: app.get("/", handler))
    client = server.client()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    response = kept.get(timeout=10)
    with pytest.raises(RuntimeError, match="call_soon_threadsafe"):
        response.end("late")
    server.call(lambda: response.end("late"))
    assert client.read().body == b"late"


def test_a_closed_app_says_so(serve):
    server = serve(lambda app: app.get("/", hello))
    server.stop()
    for use in (server.app.run, server.app.listen):
        with pytest.raises(RuntimeError, match="make a new App"):
            use()


def test_close_ends_an_idle_app_from_another_thread(serve):
    server = serve(lambda app: app.get("/", hello))
    server.app.close()
    server.thread.join(5)
    assert not server.thread.is_alive()


def test_running_in_a_handler_is_refused_and_harms_nothing(serve, caplog):
    def nested(res, req):
        req.app.run()

    server = serve(lambda app: app.get("/nested", nested).get("/", hello))
    client = server.client()
    assert client.ask("/nested").status == 500
    assert "not from a handler" in caplog.text
    assert client.ask("/").status == 200


def test_running_without_listening_is_told(caplog):
    app = App()
    app._loop.call_soon(app.close)
    app.run()
    assert "without listening" in caplog.text


def test_apps_of_a_thread_share_a_loop_and_keep_their_routes_apart(serve):
    ports = []

    def setup(app):
        app.get("/", lambda res, req: res.end("one"))
        other = App()
        other.get("/", lambda res, req: res.end("two"))
        other.get("/app", lambda res, req: res.end(str(req.app is other)))
        other.listen(0, ports.append)

    server = serve(setup)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    assert server.ask("/").body == b"one"
    assert httpx.get(f"http://127.0.0.1:{ports[0].port}/").text == "two"
    assert httpx.get(f"http://127.0.0.1:{ports[0].port}/app").text == "True"


def test_an_app_whose_loop_was_closed_says_so():
    app = App()
    app.listen(0)
    app._loop.close()
    for use in (app.close, app.listen, lambda: app.get("/", print)):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_another_thread_may_close_the_app(serve):
    server = serve(lambda app: app.get("/", lambda res, req: res.end("here")))
    assert server.ask("/").status == 200
    server.app.close()
    server.thread.join(10)
    assert not server.thread.is_alive()


def test_a_client_that_asks_and_does_not_read_fills_no_memory(serve):
    served = []

    def count(res, req):
        served.append(1)
        res.end(b"z" * 16_000)

    server = serve(lambda app: app.get("/", count))
    client = server.client()
    client.socket.settimeout(1)
    one = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    sent = 0
    with pytest.raises(TimeoutError):  # the server stops to read
        while sent < 50_000_000:
            sent += client.socket.send(one * 100)
    answered = len(served)
    assert answered < 2000
    client.socket.settimeout(10)
    for _ in range(answered + 1000):  # and goes on once the client reads
        assert len(client.read().body) == 16_000


def test_nothing_behind_an_answer_that_closes_is_run(serve):
    ran = []

    def note(res, req):
        number = req.get_parameter(0)
        ran.append(number)
        res.end(number, number == "2")

    client = serve(lambda app: app.get("/:n", note)).client()
    one = "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n"
    client.send("".join(map(one.format, range(5))).encode())
    assert [client.read().body for _ in range(3)] == [b"0", b"1", b"2"]
    assert client.is_closed_by_server()
    assert ran == ["0", "1", "2"]


def test_a_closed_app_does_not_stay_in_memory():
    def served():
        app = App().get("/", lambda res, req: res.end("x"))
        assert app.test_client().get("/").text == "x"
        app.close()
        return weakref.ref(app)

    def run():
        app = App().get("/", lambda res, req: res.end("x"))
        app.on_start(app.close)
        app.listen(0)
        app.run()
        return weakref.ref(app)

    for made in (served(), run()):
        gc.collect()
        assert made() is None


@pytest.mark.parametrize("name", ["ws", "publish", "static", "add_server_name"])
def test_what_socketify_s_app_has_and_this_one_has_not_is_told(name):
    with pytest.raises(AttributeError, match=f"App.{name} is not there yet: "):
        getattr(App(), name)


@pytest.mark.parametrize("name", ["OpCode", "WebSocket", "ASGI", "sendfile"])
def test_what_socketify_has_and_this_package_has_not_is_told(name):
    with pytest.raises(ImportError, match=f"{name} is not there yet: "):
        exec(f"from socketify_mw import {name}")
    with pytest.raises(ImportError, match="cannot import name 'Nothing'"):
        exec("from socketify_mw import Nothing")
