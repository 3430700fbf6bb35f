"""What a handler reads of a request, in its turn and after `preserve()`."""

import pytest

from socketify_mw import RequestExpired


def collect(answer):
    """Return a handler that answers with what `answer(req)` gives."""
    # A status that lets even an answer to CONNECT have content.
    return lambda res, req: res.write_status(403).end({"found": answer(req)})


def ask(serve, read, target="/", *lines, method="GET", pattern="/*"):
    import json

    server = serve(lambda app: app.any(pattern, collect(read)))
    answer = server.ask(target, method, *lines)
    assert answer.status == 403
    return json.loads(answer.body)["found"]


@pytest.mark.parametrize(
    ("name", "lines", "value"),
    [
        ("host", [], "test"),
        ("Host", [], "test"),
        ("authorization", ["Authorization:  Bearer x \t"], "Bearer x"),
        ("x-own", ["X-Own: 1"], "1"),
        ("X-OWN", ["x-own: 1"], "1"),
        ("x-own", ["x-own:"], ""),
        ("cookie", ["Cookie:"], ""),
        ("missing", [], None),
        ("accept", [], None),
        ("", [], None),
        ("x-own", ["X-Own: a", "Other: b", "x-own: c"], "a, c"),
        ("accept", ["Accept: a", "Accept: b", "Accept: c"], "a, b, c"),
        ("cookie", ["Cookie: a=1", "Cookie: b=2"], "a=1; b=2"),
        ("x-own", ["X-Own: caf\xe9"], "caf\xe9"),
        ("user-agent", ["User-Agent: caf\xe9"], "caf\xe9"),
        ("own", ["X-Own: 1"], None),
        ("x", ["X: y: z"], "y: z"),
    ],
)
def test_a_header_is_found_by_its_name(serve, name, lines, value):
    assert ask(serve, lambda req: req.get_header(name), "/", *lines) == value


@pytest.mark.parametrize(
    ("target", "value"),
    [
        ("/", None),
        ("/?", None),
        ("/?q", ""),
        ("/?q=", ""),
        ("/?q=1", "1"),
        ("/?a=0&q=1&q=2", "1"),
        ("/?qq=1", None),
        ("/?q=a+b%20c%2B", "a b c+"),
        ("/?%71=coded", "coded"),
        ("/?q=%FF", "\ufffd"),
        ("/?q=%C3%A4", "ä"),
        ("/?q=%", "%"),
        ("/?q=a=b?c", "a=b?c"),
        ("/?&&q=1", "1"),
    ],
)
def test_a_query_value_is_decoded(serve, target, value):
    assert ask(serve, lambda req: req.get_query("q"), target) == value


@pytest.mark.parametrize(
    ("target", "by_index", "by_name"),
    [
        ("/user/7/x", "7", "x"),
        ("/user/a%2Fb%20c/%C3%A4", "a/b c", "ä"),
        ("/user/%FF/+", "\ufffd", "+"),
    ],
)
def test_a_parameter_is_decoded(serve, target, by_index, by_name):
    def read(req):
        return [req.get_parameter(0), req.get_parameter("what"), req.get_parameter(1)]

    found = ask(serve, read, target, pattern="/user/:id/:what")
    assert found == [by_index, by_name, by_name]


@pytest.mark.parametrize("which", [1, -1, 99, "other", ""])
def test_a_parameter_that_the_route_lacks_is_none(serve, which):
    found = ask(serve, lambda req: req.get_parameter(which), "/a", pattern="/:id")
    assert found is None


@pytest.mark.parametrize(
    ("target", "method", "url"),
    [
        ("/", "GET", "/"),
        ("/a/b?c=/d", "GET", "/a/b"),
        ("/a%20b", "POST", "/a%20b"),
        ("http://host/a?b", "GET", "/a"),
        ("http://host", "GET", "/"),
        ("http://host?q", "GET", "/"),
        ("*", "OPTIONS", "*"),
        ("host:443", "CONNECT", "host:443"),
        ("/", "BREW", "/"),
    ],
)
def test_method_and_url_are_those_of_the_client(serve, target, method, url):
    found = ask(
        serve, lambda req: [req.get_method(), req.get_url()], target, method=method
    )
    assert found == [method, url]


def test_a_request_is_unreadable_after_its_turn_and_says_the_cure(serve):
    kept = []

    def keep(res, req):
        kept.append(req)
        res.end("kept")

    server = serve(lambda app: app.get("/:id", keep))
    client = server.client()
    client.ask("/secret?q=1")
    client.ask("/other")
    for read in (
        lambda req: req.get_header("host"),
        lambda req: req.get_header("x-none"),
        lambda req: req.get_query("q"),
        lambda req: req.get_parameter(0),
        lambda req: req.get_parameter("id"),
        lambda req: req.get_url(),
        lambda req: req.get_method(),
        lambda req: req.preserve(),
    ):
        with pytest.raises(RequestExpired, match=r"req\.preserve\(\)"):
            read(kept[0])
    assert kept[0].app is server.app


def read_all(req):
    return [
        req.get_method(),
        req.get_url(),
        req.get_header("host"),
        req.get_header("accept"),
        req.get_header("x-own"),
        req.get_header("missing"),
        req.get_query("q"),
        req.get_query("r"),
        req.get_parameter(0),
        req.get_parameter("id"),
        req.get_parameter(1),
    ]


@pytest.mark.parametrize("target", ["/first?q=%41", "/first", "/first?"])
def test_a_preserved_request_answers_as_before_for_ever(serve, target):
    kept = []

    def keep(res, req):
        before = read_all(req)
        assert req.preserve() is req
        assert req.preserve() is req
        kept.append((req, before))
        res.end("kept")

    client = serve(lambda app: app.any("/:id", keep)).client()
    client.ask(target, "PURGE", "Accept: a", "Accept: b", "X-Own: mine")
    for number in range(50):
        client.ask(f"/other{number}?q=wrong", "GET", "X-Own: another's")
    request, before = kept[0]
    assert before[0] == "PURGE" and before[3] == "a, b" and before[4] == "mine"
    assert read_all(request) == before


def test_each_request_of_a_batch_reads_its_own_bytes(serve):
    def own(res, req):
        res.end(f"{req.get_parameter(0)} {req.get_query('q')} {req.get_header('x-n')}")

    client = serve(lambda app: app.get("/:id", own)).client()
    one = "GET /{0}?q={0} HTTP/1.1\r\nHost: a\r\nX-N: {0}\r\n\r\n"
    client.send("".join(one.format(n) for n in range(500)).encode())
    for n in range(500):
        assert client.read().body.decode() == f"{n} {n} {n}"


def test_requests_are_read_whatever_the_pieces_they_come_in(serve):
    client = serve(
        lambda app: app.get(
            "/:id", lambda res, req: res.end([req.get_parameter(0), req.get_query("q")])
        )
    ).client()
    data = (
        b"GET /a?q=1 HTTP/1.1\r\nHost: a\r\n\r\nGET /b?q=2 HTTP/1.1\r\nHost: a\r\n\r\n"
    )
    for size in (1, 2, 3, 7, 50):
        for start in range(0, len(data), size):
            client.send(data[start : start + size])
        assert client.read().body == b'["a", "1"]'
        assert client.read().body == b'["b", "2"]'


def read_at_once(req):
    each = []
    req.for_each_header(lambda name, value: each.append([name, value]))
    return {
        "url": req.get_full_url(),
        "headers": req.get_headers(),
        "accepted": req.get_headers().get_all("X-Twice"),
        "each": each,
        "queries": req.get_queries(),
        "parameters": req.get_parameters(),
        "cookies": req.get_cookies(),
        "cookie": [req.get_cookie("a"), req.get_cookie("none")],
        "ancient": req.is_ancient(),
    }


@pytest.mark.parametrize("is_preserved", [False, True])
def test_all_of_a_request_can_be_read_at_once(serve, is_preserved):
    found = ask(
        serve,
        lambda req: read_at_once(req.preserve() if is_preserved else req),
        "/of/one%20two/3?q=1&q=%C3%A9+x&blank=&bad=%FF",
        "X-Twice:  a ",
        'Cookie: a=x%20y; b="q"; a=second; junk',
        "x-twice: b",
        pattern="/of/:name/:number",
    )
    assert found == {
        "url": "/of/one%20two/3?q=1&q=%C3%A9+x&blank=&bad=%FF",
        "headers": {
            "host": "test",
            "x-twice": "a, b",
            "cookie": 'a=x%20y; b="q"; a=second; junk',
        },
        "accepted": ["a", "b"],
        "each": [
            ["host", "test"],
            ["x-twice", "a"],
            ["cookie", 'a=x%20y; b="q"; a=second; junk'],
            ["x-twice", "b"],
        ],
        "queries": {"q": ["1", "é x"], "blank": [""], "bad": ["\ufffd"]},
        "parameters": ["one two", "3"],
        "cookies": {"a": "x y", "b": "q"},
        "cookie": ["x y", None],
        "ancient": False,
    }


def test_a_bare_request_has_empty_parts(serve):
    found = ask(serve, read_at_once, "/")
    assert found["url"] == "/"
    assert (found["queries"], found["parameters"], found["cookies"]) == ({}, [], {})


def test_http_1_0_is_ancient(serve):
    client = serve(
        lambda app: app.get("/", lambda res, req: res.end([req.is_ancient()]))
    ).client()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert client.read().body == b"[true]"
