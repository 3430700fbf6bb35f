"""What a handler reads of a request as a whole, and requests that it hands on."""

import asyncio
import gc
import json

import pytest

from socketify_mw import App, RequestExpired
from socketify_mw.loop import thread_loop


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


def read_of(read, target="/", *lines, method="GET", pattern="/*"):
    """Return what `read(req)` gives in a handler."""
    found = []
    app = App()
    app.any(pattern, lambda res, req: (found.append(read(req)), res.end()))
    headers = [
        (name, value.strip()) for name, _, value in (x.partition(":") for x in lines)
    ]
    assert app.test_client().request(method, target, headers=headers).status == 200
    return found[0]


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("/", "/"),
        ("/?", "/?"),
        ("/a%20b?c=%20&d=+", "/a%20b?c=%20&d=+"),
        ("/a?b=http://c/?d", "/a?b=http://c/?d"),
        ("http://host/a?b", "/a?b"),
        ("http://host?q=1", "/?q=1"),
        ("http://host", "/"),
    ],
)
def test_the_full_url_is_path_and_query_as_the_client_wrote_them(target, url):
    assert read_of(lambda req: req.get_full_url(), target) == url


def test_the_full_url_of_options_about_the_server_is_a_star():
    app = App()
    app.not_found(lambda res, req: res.end(req.get_full_url()))
    assert app.test_client().options("*").body == b"*"


LINES = [
    "X-Own: a",
    "ACCEPT: text/html",
    "x-own:b",
    "Cookie: c=1",
    "cookie: d=2",
    "X-Empty:",
]


def test_headers_have_lower_case_names_and_joined_values():
    headers = read_of(lambda req: req.get_headers(), "/", *LINES)
    assert headers == {
        "host": "test",
        "x-own": "a, b",
        "accept": "text/html",
        "cookie": "c=1; d=2",
        "x-empty": "",
        "connection": "close",
    }


def test_headers_keep_their_lines():
    headers = read_of(lambda req: req.get_headers(), "/", *LINES)
    assert headers.lines[1:4] == [
        ("x-own", "a"),
        ("accept", "text/html"),
        ("x-own", "b"),
    ]
    assert headers.get_all("x-own") == headers.get_all("X-OWN") == ["a", "b"]
    assert headers.get_all("cookie") == ["c=1", "d=2"]
    assert headers.get_all("missing") == [] and "missing" not in headers


def test_for_each_header_is_called_for_each_line():
    def read(req):
        seen = []
        assert (
            req.for_each_header(lambda name, value: seen.append((name, value))) is None
        )
        return seen, req.get_headers().lines

    seen, lines = read_of(read, "/", *LINES)
    assert seen == lines and len(seen) == 8


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X: y: z", "y: z"),
        ("X: caf\xe9", "caf\xe9"),
        ("X: a, b", "a, b"),
        ("X: a\tb", "a\tb"),
    ],
)
def test_headers_agree_with_get_header(line, value):
    def read(req):
        return req.get_headers()["x"], req.get_header("x")

    assert read_of(read, "/", line) == (value, value)


def test_a_request_without_a_header_has_none(serve):
    client = serve(
        lambda app: app.get(
            "/", lambda res, req: res.end([req.get_headers(), req.is_ancient()])
        )
    ).client()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert json.loads(client.read().body) == [{}, True]


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("?", {}),
        ("?q", {"q": [""]}),
        ("?q=&r", {"q": [""], "r": [""]}),
        ("?q=1&r=3&q=2", {"q": ["1", "2"], "r": ["3"]}),
        ("?q=a+b%20c%2B", {"q": ["a b c+"]}),
        ("?%71+r=%C3%A4", {"q r": ["ä"]}),
        ("?q=%FF&%FE=1", {"q": ["\ufffd"], "\ufffd": ["1"]}),
        ("?q=%&r=%zz", {"q": ["%"], "r": ["%zz"]}),
        ("?q=a=b?c", {"q": ["a=b?c"]}),
        ("?&&q=1&", {"q": ["1"]}),
        ("?q=1;r=2", {"q": ["1;r=2"]}),
        ("?=1", {"": ["1"]}),
    ],
)
def test_queries_are_decoded_and_agree_with_get_query(query, values):
    def read(req):
        found = req.get_queries()
        return found, {name: req.get_query(name) for name in found}

    assert read_of(read, "/" + query) == (values, {k: v[0] for k, v in values.items()})


@pytest.mark.parametrize(
    ("query", "key"),
    [("?%41=1", "%41"), ("?a+b=1", "a+b"), ("?&a=1", ""), ("?", ""), ("?%41=1&", "")],
)
def test_a_query_is_not_found_under_a_name_that_it_does_not_have(query, key):
    def read(req):
        return req.get_query(key), key in req.get_queries()

    assert read_of(read, "/" + query) == (None, False)


@pytest.mark.parametrize(
    ("pattern", "target", "values"),
    [
        ("/x", "/x", []),
        ("/*", "/x/y", []),
        ("/:a", "/x", ["x"]),
        ("/:a/y/:b", "/x/y/z", ["x", "z"]),
        ("/:a/:b/*", "/%C3%A4%2F/%FF/rest", ["ä/", "\ufffd"]),
        ("".join(f"/:p{i}" for i in range(16)), "/v" * 16, ["v"] * 16),
    ],
)
def test_parameters_are_listed_in_their_order(pattern, target, values):
    assert read_of(lambda req: req.get_parameters(), target, pattern=pattern) == values


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        ([], {}),
        (["Cookie:"], {}),
        (["Cookie: a=1"], {"a": "1"}),
        (["Cookie: a=1; b=2;c=3 ;\td=4"], {"a": "1", "b": "2", "c": "3", "d": "4"}),
        (["Cookie: a=1; a=2"], {"a": "1"}),
        (["Cookie: a=1", "Cookie: a=2; b=3"], {"a": "1", "b": "3"}),
        (['Cookie: a="x y"; b=""; c="'], {"a": "x y", "b": "", "c": '"'}),
        (["Cookie: a=x%20%C3%A4%3B; b=%FF; c=%; d=x+y"],
         {"a": "x ä;", "b": "\ufffd", "c": "%", "d": "x+y"}),
        (['Cookie: a="%22"'], {"a": '"'}),
        (["Cookie: a=b=c==; b="], {"a": "b=c==", "b": ""}),
        (["Cookie: junk; ;; a=1; more junk"], {"a": "1"}),
        (["Cookie: caf\xe9=\xe9"], {"caf\xe9": "\xe9"}),
        (["Cookie: A=1; a=2"], {"A": "1", "a": "2"}),
    ],
)  # fmt: skip
def test_cookies_are_found_by_name(lines, cookies):
    def read(req):
        found = req.get_cookies()
        assert req.get_cookie("missing") is None
        return found, {name: req.get_cookie(name) for name in found}

    assert read_of(read, "/", *lines) == (cookies, cookies)


def test_what_set_cookie_writes_get_cookie_reads():
    value = 'a "b"; c=ä, \\ %41\n'
    app = App()
    app.get("/set", lambda res, req: res.set_cookie("v", value).end())
    app.get("/get", lambda res, req: res.end({"v": req.get_cookie("v")}))
    client = app.test_client()
    client.get("/set")
    assert client.get("/get").json() == {"v": value}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_http_1_0_is_ancient(serve, version):
    client = serve(
        lambda app: app.get("/", lambda res, req: res.end(str(req.is_ancient())))
    ).client()
    client.send(f"GET / HTTP/{version}\r\nHost: a\r\n\r\n".encode())
    assert client.read().body == str(version == "1.0").encode()


READERS = {
    "get_full_url": lambda req: req.get_full_url(),
    "get_headers": lambda req: (req.get_headers(), req.get_headers().lines),
    "for_each_header": lambda req: req.for_each_header(lambda name, value: None),
    "get_queries": lambda req: req.get_queries(),
    "get_parameters": lambda req: req.get_parameters(),
    "get_cookie": lambda req: req.get_cookie("c"),
    "get_cookies": lambda req: req.get_cookies(),
    "is_ancient": lambda req: req.is_ancient(),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_preserved_request_reads_the_same_after_its_turn(read):
    kept = []
    app = App()

    def handler(res, req):
        kept.append(read(req))
        kept.append(req.preserve().preserve())
        res.end()

    app.get("/u/:id/*", handler).get("/other", lambda res, req: res.end())
    client = app.test_client()
    client.get("/u/%C3%A4/x?q=1&q=", headers={"Cookie": "c=1", "X": "y"})
    client.get("/other?z=9" + "9" * 500)
    assert read(kept[1]) == kept[0]


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_a_request_that_was_not_preserved_expires(read):
    kept = []
    app = App()
    app.get("/:id", lambda res, req: (kept.append(req), res.end()))
    client = app.test_client()
    client.get("/a?q=1", headers={"Cookie": "c=1"})
    client.get("/b")
    with pytest.raises(RequestExpired, match="preserve"):
        read(kept[0])


# ---- handing on ----


def on(name, seen=None, read=lambda req: None):
    """Return a handler that hands its request on, and notes that it was called."""

    def hand_on(res, req):
        assert req.get_yield() is False
        req.set_yield(True)
        assert req.get_yield() is True
        if seen is not None:
            seen.append((name, read(req)))

    return hand_on


def test_routes_get_a_request_in_the_order_of_precedence():
    seen = []
    app = App()
    app.get("/*", on("rest of all", seen)).get("/a/*", on("rest", seen))
    app.get("/a/:x", on("parameter", seen)).get("/a/b", on("static", seen))
    app.get("/:y/b", on("other parameter", seen)).any("/a/b", on("any", seen))
    app.post("/a/b", on("post", seen)).get("/a/c", on("another path", seen))
    assert app.test_client().get("/a/b").status == 404
    assert [name for name, _ in seen] == [
        "static",
        "any",
        "parameter",
        "rest",
        "other parameter",
        "rest of all",
    ]


def test_parameters_are_those_of_the_route_that_answers():
    seen = []

    def read(req):
        return [
            req.get_parameters(),
            req.get_parameter("x"),
            req.get_parameter("y"),
            req.get_parameter(0),
        ]

    app = App()
    app.get("/a/b/:x", on("one", seen, read)).get("/a/:x/:y", on("two", seen, read))
    app.get("/:y/*", on("three", seen, read)).get(
        "/*", lambda res, req: res.end(read(req))
    )
    answer = app.test_client().get("/a/b/%C3%A4?q")
    assert seen == [
        ("one", [["ä"], "ä", None, "ä"]),
        ("two", [["b", "ä"], "b", "ä", "b"]),
        ("three", [["a"], None, "a", "a"]),
    ]
    assert answer.json() == [[], None, None, None]


def test_status_and_fields_set_before_are_kept():
    def first(res, req):
        res.write_status(203).write_header("X-First", "1")
        req.set_yield(True)

    app = App()
    app.get("/a", first)
    app.get("/*", lambda res, req: res.write_header("X-Second", "2").end("second"))
    answer = app.test_client().get("/a")
    assert (answer.status, answer.body) == (203, b"second")
    assert (answer.header("x-first"), answer.header("x-second")) == ("1", "2")


@pytest.mark.parametrize("verb", ["GET", "POST", "HEAD", "BREW"])
def test_when_the_last_one_yields_it_is_404(verb, caplog):
    app = App()
    app.any("/a", on("any")).any("/:x", on("parameter"))
    assert app.test_client().request(verb, "/a").status == 404
    assert not caplog.records


def test_a_request_that_all_handed_on_comes_to_not_found():
    app = App()
    app.not_found(
        lambda res, req: res.write_status(404).end(["own", req.get_parameters()])
    )
    app.get("/:x", on("only"))
    answer = app.test_client().get("/a")
    assert (answer.status, answer.json()) == (404, ["own", []])


def test_a_not_found_handler_that_yields_is_called_once():
    calls = []
    app = App()
    app.not_found(lambda res, req: (calls.append(1), req.set_yield(True))[0])
    assert app.test_client().get("/a").status in (404, 500)
    assert len(calls) == 1


def test_yielding_after_an_answer_changes_nothing(caplog):
    seen = []
    app = App()
    app.get("/a", lambda res, req: (res.end("first"), req.set_yield(True)))
    app.get("/*", lambda res, req: seen.append(1))
    client = app.test_client()
    assert [client.get("/a").body for _ in range(2)] == [b"first"] * 2
    assert not seen and not caplog.records


def test_a_yield_that_was_taken_back_is_none(caplog):
    app = App()
    app.get("/a", lambda res, req: (req.set_yield(True), req.set_yield(False)))
    app.get("/*", lambda res, req: res.end("second"))
    assert app.test_client().get("/a").status == 500
    assert "returned without an answer" in caplog.text


def test_the_body_is_read_after_a_yield():
    def handler(res, req):
        async def answer():
            res.end([await res.get_text(), req.get_parameters()])

        req.preserve()
        res.run_async(answer())

    app = App()
    app.post("/a", on("first")).any("/:x", handler)
    answer = app.test_client().post("/a", body="x" * 100_000)
    assert answer.json() == ["x" * 100_000, ["a"]]


def test_head_is_handed_on_from_its_own_route_to_that_of_get_and_any():
    seen = []
    app = App()
    app.head("/a", on("head", seen)).get("/a", on("get", seen))
    app.any("/a", lambda res, req: res.end("four"))
    answer = app.test_client().head("/a")
    assert [name for name, _ in seen] == ["head", "get"]
    assert (answer.body, answer.header("content-length")) == (b"", "4")


def test_an_error_after_a_yield_names_the_route_that_raised(caplog):
    app = App()
    app.get("/a", on("first")).get("/:x", lambda res, req: 1 / 0)
    assert app.test_client().get("/a").status == 500
    assert "GET /:x" in caplog.text


def test_a_yield_does_not_mix_up_pipelined_requests(serve):
    def setup(app):
        app.get("/:x", on("first"))
        app.get("/*", lambda res, req: res.end(req.get_full_url()))
        app.get("/plain", lambda res, req: res.end("plain"))

    client = serve(setup).client()
    targets = ["/a?1", "/plain", "/b", "/plain", "/c/d"]
    client.send(
        b"".join(f"GET {t} HTTP/1.1\r\nHost: a\r\n\r\n".encode() for t in targets)
    )
    bodies = [client.read().body.decode() for _ in targets]
    assert bodies == ["/a?1", "plain", "/b", "plain", "/c/d"]
