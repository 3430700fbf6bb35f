"""Inputs of odd and hostile requests; the plain ones are in test_kernel.py."""

import asyncio
import json
import socket
import time
import tracemalloc
from urllib.parse import parse_qs, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketify_mw import (
    App,
    BadRequest,
    ClientGone,
    Get,
    Limits,
    Middleware,
    Post,
    Route,
    middleware,
)
from socketify_mw.inputs import parse_form

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


class Kernel:
    pass


def all_of(request):
    return request.all()


async def later(request):
    await request.load()
    return request.all()


def a(request):
    return [request.input("a")]


ROUTES = [
    Route.any("/all", all_of),
    Route.get("/get", all_of),
    Route.get("/get-later", later),
    Route.any("/a", a),
]


def setup(app):
    app.kernel(Kernel, routes=ROUTES)

    async def load(res, req):
        await req.load()
        res.end(req.all())

    app.any("/function", load)


@pytest.fixture
def client():
    app = App()
    setup(app)
    return app.test_client()


PATHS = pytest.mark.parametrize("path", ["/all", "/function"])


# ---- how a body comes ----


def chunked(body, size):
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(it), it) for it in parts) + b"0\r\n\r\n"


def head(path, kind, *lines, method="POST"):
    lines = (f"{method} {path} HTTP/1.1", "Host: a", f"Content-Type: {kind}", *lines)
    return "\r\n".join((*lines, "", "")).encode("latin-1")


@PATHS
@pytest.mark.parametrize(("kind", "body"), [(FORM, b"a=1&b=2"), (JSON, b'{"a": "1"}')])
@pytest.mark.parametrize("step", [1, 4, 1000])
@pytest.mark.parametrize("size", [None, 1, 3, 1000])
def test_bodies_in_pieces(serve, path, kind, body, step, size):
    client = serve(setup).client()
    if size is None:
        data = head(path, kind, f"Content-Length: {len(body)}") + body
    else:
        data = head(path, kind, "Transfer-Encoding: chunked") + chunked(body, size)
    expected = {"a": "1", "b": "2"} if kind == FORM else {"a": "1"}
    for _ in range(2):
        for i in range(0, len(data), step):
            client.send(data[i : i + step])
        assert json.loads(client.read().body) == expected
    client.send(data * 3)
    assert [json.loads(client.read().body) for _ in range(3)] == [expected] * 3


@PATHS
def test_a_chunked_body_without_anything_has_no_inputs(serve, path):
    client = serve(setup).client()
    client.send(head(f"{path}?a=1", FORM, "Transfer-Encoding: chunked") + b"0\r\n\r\n")
    assert json.loads(client.read().body) == {"a": "1"}
    client.send(head(f"{path}?a=1", JSON, "Transfer-Encoding: chunked") + b"0\r\n\r\n")
    assert json.loads(client.read().body) == {"a": "1"}
    client.send(head(f"{path}?a=1", JSON, "Content-Length: 00"))
    assert json.loads(client.read().body) == {"a": "1"}


@PATHS
def test_a_client_that_waits_to_be_told_is_told(serve, path):
    client = serve(setup).client()
    client.send(head(path, FORM, "Content-Length: 3", "Expect: 100-continue"))
    assert client.read().status == 100
    client.send(b"a=1")
    assert json.loads(client.read().body) == {"a": "1"}


def test_nobody_is_told_to_go_on_for_a_body_without_inputs(serve):
    client = serve(setup).client()
    client.send(head("/all", "text/plain", "Content-Length: 3", "Expect: 100-continue"))
    answer = client.read()
    assert (answer.status, answer.body) == (200, b"{}")


@PATHS
@pytest.mark.parametrize("framing", ["Content-Length: 9", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("is_reset", [False, True])
def test_a_client_that_leaves_in_the_middle_is_no_error(
    serve, caplog, path, framing, is_reset
):
    server = serve(setup)
    client = server.client()
    client.send(head(path, FORM, framing) + b"5\r\n")
    time.sleep(0.02)
    if is_reset:
        linger = b"\1\0\0\0\0\0\0\0"
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    client.close()
    time.sleep(0.02)
    assert json.loads(server.ask("/all?a=1").body) == {"a": "1"}
    assert caplog.text == ""


def test_who_loads_for_a_client_that_leaves_gets_client_gone(serve):
    found = []

    def setup(app):
        async def handler(res, req):
            try:
                await req.load()
            except BaseException as error:
                found.append(type(error))
                raise

        app.post("/", handler)

    server = serve(setup)
    client = server.client()
    client.send(head("/", FORM, "Content-Length: 9") + b"a=")
    time.sleep(0.02)
    client.close()
    for _ in range(200):
        if found:
            break
        time.sleep(0.01)
    assert found in ([ClientGone], [asyncio.CancelledError])


@pytest.mark.parametrize(
    "framing", ["Content-Length: 11", "Transfer-Encoding: chunked"]
)
def test_a_body_over_the_limit_is_413(serve, framing):
    async def load(res, req):
        await req.load()
        res.end(req.all())

    client = serve(lambda app: app.post("/", load, max_body=10)).client()
    client.send(head("/", FORM, framing) + b"b\r\na=345678901\r\n0\r\n\r\n")
    assert client.read().status == 413


# ---- GET ----


@pytest.mark.parametrize("path", ["/get", "/get-later", "/all", "/function"])
@pytest.mark.parametrize(("kind", "body"), [(FORM, "a=2"), (JSON, '{"a": 2}')])
def test_content_of_get_is_no_input(client, caplog, path, kind, body):
    # No client can make a page fail with it that asks for an input, nor have another
    # input than the URL, by which caches know the page.
    headers = {"Content-Type": kind}
    found = client.request("GET", f"{path}?a=1", headers=headers, body=body)
    assert (found.status, found.json()) == (200, {"a": "1"})
    found = client.request("HEAD", f"{path}?a=1", headers=headers, body=body)
    assert found.status == 200
    found = client.request("GET", f"{path}?a=1", headers=headers, body="{")
    assert found.json() == {"a": "1"}
    assert caplog.text == ""


def test_content_of_get_can_be_read_nevertheless():
    async def search(request, response):
        return await response.get_json()

    client = App().kernel(Kernel, routes=[Get("/", search)]).test_client()
    assert client.get("/", json={"a": 1}).json() == {"a": 1}


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "QUERY", "post"])
def test_other_methods_have_inputs_in_their_bodies(client, method):
    assert client.request(method, "/all", form={"a": 1}).json() == {"a": "1"}


# ---- types ----


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (f"{FORM};charset=utf-8", "a=1", "1"),
        (f"{FORM} ; a=b; c", "a=1", "1"),
        (f"  {FORM.title()}\t", "a=1", "1"),
        (f'{FORM}; charset="iso-8859-1"', "a=%E9", "\ufffd"),  # UTF-8 it is, always
        ("Application/JSON;charset=UTF-8", '{"a": 1}', 1),
        ("application/merge-patch+JSON", '{"a": 1}', 1),
        ("application/json", '\ufeff{"a": 1}', 1),
        ("text/json", '{"a": 1}', None),
        ("application/jsonp", '{"a": 1}', None),
        ("application/json5", '{"a": 1}', None),
        ("application/json, text/plain", '{"a": 1}', None),
        (";application/json", '{"a": 1}', None),
        ("multipart/form-data; boundary=x", "--x", None),
        ("multipart/form-data", "a=1", None),
        ("text/plain", "a=1", None),
        ("nonsense", "a=1", None),
        ("", "a=1", None),
        ("\xff", "a=1", None),
    ],
)
def test_the_type_of_a_body_tells_whether_it_has_inputs(client, kind, body, expected):
    data = body.encode()
    found = client.post("/a", headers={"Content-Type": kind}, body=data)
    assert found.json() == [expected]


def test_a_body_without_a_type_has_no_inputs(client):
    assert client.post("/a?a=1", body="a=2").json() == ["1"]


@pytest.mark.parametrize("kinds", [(FORM, FORM), (FORM, JSON), (JSON, FORM)])
def test_a_repeated_type_is_none(client, kinds):
    headers = [("Content-Type", it) for it in kinds]
    assert client.post("/a?a=1", headers=headers, body="a=2").json() == ["1"]


# ---- JSON ----


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"a": 1, "a": 2}', 2),  # as Python has it: the last one
        ('{"a": {"a": 1, "a": [2]}}', {"a": [2]}),
        ('{"": 1, "a": ""}', ""),
        ('{"a": "\\u0000"}', "\0"),
        ('{"a": 1e400}', float("inf")),
        ('{"a": ' + "9" * 400 + "}", int("9" * 400)),
        (" " * 1000 + '{"a": 1}\r\n', 1),
        ('{"__proto__": 5, "a": 1}', 1),
        ("5", None),
        ('"a"', None),
        ("null", None),
        ("[]", None),
        ('[{"a": 1}]', None),
    ],
)
def test_json_as_python_reads_it(client, body, expected):
    found = client.post("/a", headers={"Content-Type": JSON}, body=body)
    assert found.json() == [expected]


@pytest.mark.parametrize(
    "body",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 100_000 + "1" + "}" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        "{'a': 1}",
        '{"a": 1} x',
        '{"a": 1}{"a": 2}',
        '{"a": 1,}',
        '{"a": "\n"}',
        '{"a": "\\u12"}',
        '{"a": 01}',
        b'{"a": "\xff"}',
        b'\xff\xfe{\0"\0',
        b"\0",
        "a=1",
        " ",
    ],
    ids=lambda it: repr(it[:12]),
)
@PATHS
def test_json_that_is_none_is_400(client, caplog, path, body):
    found = client.post(path, headers={"Content-Type": JSON}, body=body)
    assert found.status == 400
    assert "Traceback" not in caplog.text


# ---- forms and queries ----


@PATHS
def test_the_fields_of_a_form_are_counted_and_those_of_a_query_bounded(client, path):
    # A query's bound is that of the request's line (8 KiB), so nobody counts.
    pairs = "&".join(f"{i}=" for i in range(1000))
    many = "&".join("ab"[i % 2] for i in range(3000))
    headers = {"Content-Type": FORM}
    assert len(client.post(path, headers=headers, body=pairs).json()) == 1000
    assert client.post(path, headers=headers, body=f"{pairs}&x=").status == 400
    assert client.post(path, headers=headers, body=many).status == 400
    assert len(client.get(f"{path}?{pairs}&x=").json()) == 1001
    assert [len(it) for it in client.get(f"{path}?{many}").json().values()] == [
        1500
    ] * 2
    assert client.get(f"{path}?{many}&{many}&{many}").status == 414


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"a=\0", "\0"),
        (b"a=%00b", "\0b"),
        (b"a=%FF", "\ufffd"),
        (b"a=%ED%A0%80", "\ufffd" * 3),
        (b"a=%C0%80", "\ufffd" * 2),
        ("a=ä€".encode(), "ä€"),
        (b"a=%zz%", "%zz%"),
        (b"a=1+2%2B3", "1 2+3"),
        (b"a", ""),
        (b"a=", ""),
        (b"a==", "="),
        (b"a=1;b=2", "1;b=2"),
        (b"&&a=1&&", "1"),
        (b"=5&a=1", "1"),
        (b"a=1\r\n", "1\r\n"),
        (b"%61=1", "1"),
        (b"a=1&%61=2&a=", ["1", "2", ""]),
        (b"A=1", None),
        (b"a[]=1", None),
        (b"a.b=1", None),
        (b"\0a=1", None),
    ],
)
def test_odd_forms(client, body, expected):
    found = client.post("/a", headers={"Content-Type": FORM}, body=body)
    assert found.json() == [expected]


@PATHS
@pytest.mark.parametrize("body", [b"a=\xff", b"\xff=a", b"a=\xed\xa0\x80", b"a=\xc3"])
def test_a_form_whose_bytes_are_no_utf_8_is_400(client, path, body):
    assert client.post(path, headers={"Content-Type": FORM}, body=body).status == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a=%00", "\0"),
        ("a=%FF", "\ufffd"),
        ("a=%C3%A4&a=+", ["ä", " "]),
        ("a", ""),
        ("a=1;b=2", "1;b=2"),
        ("a=1?b&c/d", "1?b"),
        ("%61=1", "1"),
        ("", None),
        ("&=&", None),
    ],
)
def test_odd_queries(client, query, expected):
    assert client.get(f"/a?{query}").json() == [expected]


# ---- readers ----


def test_inputs_within_inputs_are_found_by_dotted_names():
    def read(request):
        names = ["a.b", "a.b.c", "a.b.c.d", "a.x", "a.", ".a", "a..b", ".", "", "l.0"]
        return {name: request.input(name, "none") for name in names}

    client = App().kernel(Kernel, routes=[Post("/", read)]).test_client()
    found = client.post("/", json={"a": {"b": {"c": None}}, "l": ["x"]}).json()
    assert found == {
        **dict.fromkeys(found, "none"),
        "a.b": {"c": None},
        "a.b.c": None,
    }
    found = client.post("/", json={"a.b": 1, "a": {"b": 2, "": {"b": 3}}, "": 4}).json()
    assert found["a.b"] == 1
    assert (found["a."], found["a..b"], found[""]) == ({"b": 3}, 3, 4)
    found = client.post("/?a.b=1", form={"a": "x"}).json()
    assert (found["a.b"], found["a.b.c"]) == ("1", "none")


def test_defaults_stand_for_what_is_absent_alone():
    def read(request):
        return [request.input(it, "none") for it in ("a", "b", "c", "d", "e")]

    client = App().kernel(Kernel, routes=[Post("/", read)]).test_client()
    found = client.post("/", json={"a": None, "b": "", "c": 0, "d": []}).json()
    assert found == [None, "", 0, [], "none"]


def test_all_and_only_return_copies():
    def read(request):
        request.all()["a"] = request.only("a")["a"] = "changed"
        request.all().clear()
        return [request.all(), request.only("b", "a"), request.input("a")]

    client = App().kernel(Kernel, routes=[Post("/", read), Get("/", read)])
    client = client.test_client()
    assert client.post("/", form={"a": 1}).json() == [{"a": "1"}, {"a": "1"}, "1"]
    assert client.get("/?a=1").json() == [{"a": "1"}, {"a": "1"}, "1"]


def test_requests_of_one_connection_do_not_mix(serve):
    async def slow(request):
        await asyncio.sleep(0.001)
        return request.all()

    def setup(app):
        app.kernel(Kernel, routes=[Post("/slow", slow), Post("/all", all_of)])

    client = serve(setup).client()
    asked = b""
    for i in range(60):
        path = ("/slow", "/all")[i % 2]
        body = b"" if i % 3 == 0 else b"b=%d" % i
        asked += head(f"{path}?a={i}", FORM, f"Content-Length: {len(body)}") + body
    client.send(asked)
    for i in range(60):
        expected = {"a": f"{i}"} | ({"b": f"{i}"} if i % 3 else {})
        assert json.loads(client.read().body) == expected


# ---- beside other readers of the body ----


def posting(handler):
    return App().post("/", handler).test_client().post("/?q=1", form={"a": 1})


def test_load_twice_and_beside_all_that_read_the_whole_body():
    async def handler(res, req):
        before = (await res.get_data()).read().decode()
        assert await req.load() is await req.load() is req
        form = await res.get_form_urlencoded()
        res.end([before, req.all(), form, await res.get_text()])

    expected = ["a=1", {"q": "1", "a": "1"}, {"a": ["1"]}, "a=1"]
    assert posting(handler).json() == expected


def test_load_by_two_tasks_at_a_time(serve):
    async def handler(res, req):
        await asyncio.gather(req.load(), req.load(), req.load())
        res.end(req.all())

    client = serve(lambda app: app.post("/", handler)).client()
    client.send(head("/", FORM, "Content-Length: 3") + b"a")
    time.sleep(0.02)
    client.send(b"=1")
    assert json.loads(client.read().body) == {"a": "1"}


def test_a_stream_behind_load_yields_what_was_loaded():
    async def handler(res, req):
        await req.load()
        pieces = [it.decode() async for it in req.stream()]
        res.end([pieces, req.all()])

    assert posting(handler).json() == [["a=1"], {"q": "1", "a": "1"}]


def test_load_behind_a_stream_is_an_error_that_says_so(caplog):
    async def handler(res, req):
        async for _ in req.stream():
            pass
        await req.load()

    assert posting(handler).status == 500
    assert "RuntimeError: others were given the body already" in caplog.text


def test_on_data_before_load_has_the_body_too():
    async def handler(res, req):
        pieces = []
        res.on_data(lambda res, chunk, is_end: pieces.append([chunk.decode(), is_end]))
        await req.load()
        res.end([req.all(), pieces])

    assert posting(handler).json() == [{"q": "1", "a": "1"}, [["a=1", True]]]


def test_on_data_behind_load_is_an_error_that_says_so(caplog):
    async def handler(res, req):
        await req.load()
        res.on_data(lambda res, chunk, is_end: None)

    assert posting(handler).status == 500
    assert "RuntimeError: others were given the body already" in caplog.text


def test_load_of_a_body_without_inputs_leaves_it_to_others():
    async def handler(res, req):
        await req.load()
        assert req.all() == {}
        res.end(b"".join([it async for it in req.stream()]))

    app = App().post("/", handler)
    assert app.test_client().post("/", body="a=1").text == "a=1"


def test_plain_functions_cannot_load(caplog):
    def handler(res, req):
        coroutine = req.load()
        try:
            coroutine.send(None)
        finally:
            coroutine.close()

    assert posting(handler).status == 500
    assert "to load a body is for coroutines" in caplog.text


# ---- where inputs are asked for ----


def test_a_request_that_is_handed_on_keeps_its_inputs():
    async def on(res, req):
        await req.load()
        req.set_yield(True)

    def end(res, req):
        res.end([req.all(), req.get_parameter("last")])

    app = App().post("/a", on).post("/:last", end)
    found = app.test_client().post("/a?q=1", form={"a": 1}).json()
    assert found == [{"q": "1", "a": "1"}, "a"]

    def hand_on(request):
        request.set_yield(True)

    routes = [Post("/a", hand_on), Post("/@last", all_of)]
    client = App().kernel(Kernel, routes=routes).test_client()
    assert client.post("/a?q=1", form={"a": 1}).json() == {"q": "1", "a": "1"}


class Asking(Middleware):
    def before(self, request, response):
        response.header("X-A", str(request.input("a")))
        return request


class Loading(Asking):
    async def before(self, request, response):
        await request.load()
        return super().before(request, response)


def test_classes_around_every_request_that_ask_too_early_are_told(caplog):
    # They run before the route is looked at, and so before its body is loaded.
    class Http:
        http_middleware = [Asking]

    client = App().kernel(Http, routes=ROUTES).test_client()
    assert client.post("/all", form={"a": 1}).status == 500
    assert "await req.load()" in caplog.text
    caplog.clear()
    assert client.get("/all?a=1", form={"a": 2}).header("x-a") == "1"
    assert client.post("/all?a=1", body="a=2").header("x-a") == "1"
    assert client.post("/nothing?a=1").header("x-a") == "1"
    assert caplog.text == ""


def test_classes_around_every_request_may_load():
    class Http:
        http_middleware = [Loading]

    client = App().kernel(Http, routes=ROUTES).test_client()
    for path, status in [("/all", 200), ("/nothing", 404), ("/get", 405)]:
        answer = client.post(path, form={"a": 1})
        assert (answer.status, answer.header("x-a")) == (status, "1")


def test_classes_of_a_route_may_ask_and_function_chains_load_for_them():
    def end(res, req, data=None):
        res.end(req.all())

    class Web:
        route_middleware = {"web": [Asking]}

    client = App().kernel(Web, routes=ROUTES).test_client()
    assert client.post("/all", form={"a": 1}).header("x-a") == "1"
    client = App().post("/", middleware(Loading, Asking, end)).test_client()
    answer = client.post("/", form={"a": 1})
    assert (answer.header("x-a"), answer.json()) == ("1", {"a": "1"})


def test_a_form_of_escapes_takes_no_more_than_a_few_times_its_size():
    body = b"a=" + b"%41" * 300_000
    tracemalloc.start()
    try:
        assert parse_form(body) == {"a": ["A" * 300_000]}
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * len(body)


ODD_FORMS = [
    *("", "&", "=", "a", "a=", "=b", "a=b=c", "a==b", "a&a&a", "a+b=c+d", "+=+"),
    *("a=%", "a=%4", "a=%4G", "a=%zz%41", "%%%=%", "a=%25%32%35", "%3D=%26%2B+%20"),
    *("a=%0A%0D%00", "a=\n=\r\n", "a= \t\n", "a=%C3%A4\u00e4", "a=%ff%C3", "a=_=20"),
]


@pytest.mark.parametrize("form", ODD_FORMS)
def test_a_form_means_what_urllib_says(form):
    assert parse_form(form.encode()) == parse_qs(form, True, errors="replace")


@given(st.text(st.sampled_from("%=&+ 4aF_\n\r\u00e4\x00"), max_size=40))
def test_any_form_means_what_urllib_says(form):
    assert parse_form(form.encode()) == parse_qs(form, True, errors="replace")


@given(st.dictionaries(st.text(), st.text(), max_size=5))
def test_what_a_browser_writes_is_read_back(fields):
    pairs = (f"{quote_plus(key)}={quote_plus(it)}" for key, it in fields.items())
    found = parse_form("&".join(pairs).encode())
    assert found == {key: [it] for key, it in fields.items() if key or it} | (
        {"": [""]} if fields.get("") == "" else {}
    )


def test_a_form_in_another_encoding():
    body = "a=\u00e4%E4".encode("latin-1")
    assert parse_form(body, "latin-1") == {"a": ["\u00e4" * 2]}


def test_percent_signs_without_an_escape_are_taken_up_to_a_number():
    assert parse_form(b"a=" + b"%" * 999) == {"a": ["%" * 999]}
    with pytest.raises(BadRequest, match="begin no escape"):
        parse_form(b"a=" + b"%" * 1000)


def posted(kind, body, is_chunked):
    head = f"POST /all HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n".encode()
    if not is_chunked:
        return head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    return head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(("kind", "filling"), [(FORM, b"a=%b"), (JSON, b'{"a":"%b"}')])
def test_more_than_max_inputs_is_413_and_is_not_parsed(
    serve, kind, filling, is_chunked
):
    def small(app):
        setup(app)

    server = serve(small, limits=Limits(max_inputs=100))
    most = 100 - len(filling % b"")
    for count, status in [(most, 200), (most + 1, 413)]:
        client = server.client()
        client.send(posted(kind, filling % (b"x" * count), is_chunked))
        assert client.read().status == status


def test_max_inputs_is_a_megabyte_and_can_be_taken_away():
    body = b"a=" + b"x" * 2**20
    headers = {"Content-Type": FORM}
    for limits, status in [(None, 413), (Limits(max_inputs=None), 200)]:
        app = App(limits=limits)
        setup(app)
        client = app.test_client()
        assert client.post("/all", headers=headers, body=body).status == status
        assert client.post("/all", headers=headers, body=body[3:]).status == 200


def test_what_a_program_reads_itself_may_be_longer():
    async def handler(res, req):
        res.end(str(len((await res.get_form_urlencoded())["a"][0])))

    client = App().post("/", handler).test_client()
    body = b"a=" + b"x" * 2**20
    assert client.post("/", headers={"Content-Type": FORM}, body=body).json() == 2**20
