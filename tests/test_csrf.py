"""VerifyCsrfToken, as browsers, scripts and attackers meet it."""

import asyncio
import base64
import logging
import re
import socket
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socketify_mw import App, ConfigError, Get, Middleware, Route, middleware
from socketify_mw.middlewares import (
    SessionMiddleware,
    VerifyCsrfToken,
    csrf_field,
    csrf_token,
)
from socketify_mw.middlewares.csrf import _is_of
from socketify_mw.stores import MemoryStore

UNSAFE = ["POST", "PUT", "PATCH", "DELETE", "PURGE", "post", "get"]
OWN = {"sec-fetch-site": "same-origin"}
REFUSED = "This form has expired, or another site has sent it."
FORM = "application/x-www-form-urlencoded"


class Outer(Middleware):
    def after(self, request, response):
        response.header("X-Outer", response.get_status())
        return request


def regenerate(request):
    request.session.regenerate()
    return "regenerated"


def flush(request):
    request.session.flush()
    return "flushed"


ROUTES = [
    Get("/token", csrf_token),
    Get("/field", csrf_field),
    Get("/regenerate", regenerate),
    Get("/flush", flush),
    Route.any("/act", lambda request: "done"),
    Route.post("/inputs", lambda request: request.all()),
]


def app_of(*routes, store=None, exempt=(), **options):
    class Kernel:
        route_middleware = {
            "web": [
                Outer,
                SessionMiddleware.using(store=store or "memory:"),
                VerifyCsrfToken.using(exempt=exempt),
            ]
        }

    return App(**options).kernel(Kernel, routes=[*ROUTES, *routes])


@pytest.fixture
def client():
    return app_of().test_client()


def is_through(answer):
    assert (answer.status, answer.text) in [(200, "done"), (403, REFUSED)]
    return answer.status == 200


# ---- what the browser says ----


@pytest.mark.parametrize("method", UNSAFE)
@pytest.mark.parametrize(
    ("site", "passes"),
    [
        ("same-origin", True),
        ("none", True),
        ("same-site", False),
        ("cross-site", False),
        ("nonsense", False),
        ("", False),
        ("Same-Origin", False),
        ("NONE", False),
        ("same-origin, none", False),
        ("same-origin;a=1", False),
        ('"same-origin"', False),
        (None, False),
    ],
)
def test_an_unsafe_method_needs_a_site_of_its_own(client, method, site, passes):
    headers = {} if site is None else {"Sec-Fetch-Site": site}
    assert is_through(client.request(method, "/act", headers=headers)) is passes


@pytest.mark.parametrize("second", ["same-origin", "cross-site", ""])
def test_a_repeated_site_does_not_count(client, second):
    headers = [("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", second)]
    assert not is_through(client.post("/act", headers=headers))
    assert not is_through(client.post("/act", headers=headers[::-1]))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("site", ["cross-site", "nonsense", None])
def test_safe_methods_pass(client, method, site):
    headers = {"Sec-Fetch-Site": site} if site else {}
    headers["Origin"] = "http://evil"
    answer = client.request(method, "/act", headers=headers)
    assert (answer.status, answer.text) == (200, "" if method == "HEAD" else "done")


def test_head_of_a_route_for_get_passes(client):
    answer = client.head("/token", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status, answer.text) == (200, "")


ORIGINS = [
    # Host, Origin, whether it passes
    ("test", "http://test", True),
    ("test", "https://test", True),
    ("TEST", "http://test", True),
    ("test", "http://TEST", True),
    ("test", "http://test\t", True),  # blanks around a value are none of it
    ("test:8080", "http://test:8080", True),
    ("[::1]:80", "http://[::1]:80", True),
    ("[::1]", "http://[::1]", True),
    ("[2001:DB8::1]", "http://[2001:db8::1]", True),
    ("127.0.0.1:1", "http://127.0.0.1:1", True),
    ("test", None, False),
    ("test", "", False),
    ("test", "null", False),
    ("test", "NULL", False),
    ("null", "null", False),
    ("test", "test", False),
    ("test", "//test", False),
    ("test", "http://evil", False),
    ("test", "http://test:80", False),
    ("test", "http://test:8080", False),
    ("test:8080", "http://test", False),
    ("test:8080", "http://test:8081", False),
    ("test", "http://test@evil", False),
    ("test", "http://evil@test", False),
    ("test", "http://test:x@evil", False),
    ("test", "http://test.evil", False),
    ("test", "http://eviltest", False),
    ("test", "http://evil.test", False),
    ("evil.test", "http://test", False),
    ("test", "http://test.", False),
    ("test", "http://test/", False),
    ("test", "http://test/..//evil", False),
    ("test", "http://test#", False),
    ("test", "http://test?", False),
    ("test", "http://te\tst", False),
    ("test", "http://test evil", False),
    ("test", "http:// test", False),
    ("test", "http:/test", False),
    ("test", "http:test", False),
    ("test", "http:///test", False),
    ("test", "http://http://test", False),
    ("test", "HTTP://test", False),  # no browser writes it so
    ("test", "ftp://test", False),
    ("test", "file://test", False),
    ("test", "chrome-extension://test", False),
    ("test", "javascript://test", False),
    ("test", "http://%74est", False),
    ("test", "http://test\x00", False),
    ("test", "http://t\xe9st", False),
    ("[::1]:80", "http://[::1]", False),
    ("[::1]", "http://[::2]", False),
    ("[::1]", "http://::1", False),
    ("", "http://", False),
    ("", "", False),
    ("", "http://test", False),
]


@pytest.mark.parametrize(("host", "origin", "passes"), ORIGINS, ids=repr)
def test_without_a_site_the_origin_has_to_be_the_host(client, host, origin, passes):
    headers = {"Host": host}
    if origin is not None:
        headers["Origin"] = origin
    answer = client.post("/act", headers=headers)
    if answer.status != 400:  # C does not take that value at all
        assert is_through(answer) is passes
    assert (answer.status == 400) is ("\x00" in (origin or ""))


def test_a_repeated_origin_does_not_count(client):
    headers = [("Origin", "http://test"), ("Origin", "http://test")]
    assert not is_through(client.post("/act", headers=headers))


@pytest.mark.parametrize(
    ("site", "origin", "passes"),
    [
        ("cross-site", "http://test", False),
        ("same-site", "http://test", False),
        ("nonsense", "http://test", False),
        ("", "http://test", False),
        ("same-origin", "http://evil", True),
        ("none", "null", True),
    ],
)
def test_the_site_counts_and_not_the_origin(client, site, origin, passes):
    headers = {"Sec-Fetch-Site": site, "Origin": origin}
    assert is_through(client.post("/act", headers=headers)) is passes


@pytest.mark.parametrize(
    ("version", "hosts", "origin", "status"),
    [
        ("1.0", [], "http://test", 403),
        ("1.0", [], "http://", 403),
        ("1.0", ["test"], "http://test", 200),
        ("1.1", [], "http://test", 400),
        ("1.1", ["test", "test"], "http://test", 400),
        ("1.0", ["test", "evil"], "http://evil", 400),
        ("1.1", [""], "http://", 403),
        ("1.1", ["test@evil"], "http://test@evil", 400),
    ],
)
def test_a_host_that_is_absent_or_repeated(serve, version, hosts, origin, status):
    def setup(app):
        app.use(SessionMiddleware, VerifyCsrfToken)
        app.post("/act", lambda res, req: res.end("done"))

    lines = [f"POST /act HTTP/{version}", *(f"Host: {it}" for it in hosts)]
    lines += [f"Origin: {origin}", "Content-Length: 0", "", ""]
    client = serve(setup).client()
    client.send("\r\n".join(lines).encode())
    assert client.read().status == status


def test_the_host_is_the_field_even_if_the_target_has_another_one(client):
    for host, passes in [("evil", False), ("test", True)]:
        found = client.post("http://evil/act", headers={"Origin": f"http://{host}"})
        assert is_through(found) is passes


# ---- tokens ----


@pytest.mark.parametrize("method", UNSAFE)
def test_a_token_in_the_header_passes(client, method):
    token = client.get("/token").text
    assert is_through(client.request(method, "/act", headers={"x-csrf-token": token}))


def test_a_token_in_a_form_or_in_json_passes(client):
    token = client.get("/token").text
    assert is_through(client.post("/act", form={"__token": token}))
    assert is_through(client.post("/act", json={"__token": token, "a": [1]}))
    assert client.post("/inputs", form={"__token": token, "a": 1}).json()["a"] == "1"


def test_a_token_in_the_query_counts_for_nothing(client):
    # URLs stand in logs and in `Referer`.
    token = client.get("/token").text
    assert not is_through(client.post(f"/act?__token={token}"))
    assert not is_through(client.delete(f"/act?__token={token}"))
    assert not is_through(client.post("/act?__token=", form={"__token": token}))
    assert is_through(client.post("/act?a=1", form={"__token": token}))


def test_a_token_passes_wherever_the_request_comes_from(client):
    headers = {"x-csrf-token": client.get("/token").text, "origin": "http://evil"}
    assert is_through(client.post("/act", headers=headers))
    headers["sec-fetch-site"] = "cross-site"
    assert is_through(client.post("/act", headers=headers))


def test_the_field_has_a_token(client):
    field = client.get("/field").text
    found = re.fullmatch(
        r'<input type="hidden" name="__token" value="([\w-]{86})">', field
    )
    assert is_through(client.post("/act", form={"__token": found[1]}))


def test_each_token_is_another_text_and_all_of_them_pass(client):
    tokens = {client.get("/token").text for _ in range(20)}
    assert len(tokens) == 20
    assert len({it[:43] for it in tokens}) == len({it[43:] for it in tokens}) == 20
    for token in tokens:
        assert is_through(client.post("/act", headers={"x-csrf-token": token}))


def test_the_secret_is_neither_the_sessions_id_nor_in_a_token(client):
    token = client.get("/token").text
    id = client.cookies["session"]
    assert id not in token
    data = base64.urlsafe_b64decode(token + "==")
    secret = bytes(a ^ b for a, b in zip(data[:32], data[32:], strict=True))
    assert secret != base64.urlsafe_b64decode(id + "=")
    for own in (secret, bytes(32) + secret):
        text = base64.urlsafe_b64encode(own).rstrip(b"=").decode()
        # With a mask of zeros it is well-formed, and only who knows it can say it.
        passes = len(own) == 64
        headers = {"x-csrf-token": text}
        assert is_through(client.post("/act", headers=headers)) is passes


def test_a_token_that_is_not_whole_does_not_pass(client):
    token = client.get("/token").text
    for i in range(len(token)):
        headers = {"x-csrf-token": token[:i]}
        assert not is_through(client.post("/act", headers=headers))
    for wrong in (token[1:], token + "A", token + "AAAA", token * 2, f"{token} x"):
        assert not is_through(client.post("/act", headers={"x-csrf-token": wrong}))


def test_no_other_character_will_do(client):
    token = client.get("/token").text
    for i in range(len(token) - 1):  # of the last one, two bits alone count
        other = next(it for it in "Aa" if it != token[i])
        wrong = token[:i] + other + token[i + 1 :]
        assert not is_through(client.post("/act", headers={"x-csrf-token": wrong}))


@pytest.mark.parametrize(
    "wrong",
    ["", " ", "null", "=", "====", "A" * 86, "A" * 87, "é" * 86, "\xff", "0", "*" * 86],
)
def test_what_is_no_token_does_not_pass(client, wrong):
    for _ in range(2):  # without a session, and with one
        assert not is_through(client.post("/act", headers={"x-csrf-token": wrong}))
        assert not is_through(client.post("/act", form={"__token": wrong}))
        assert not is_through(client.post("/act", json={"__token": wrong}))
        client.get("/token")


@given(st.text(max_size=100) | st.text(string.printable, min_size=84, max_size=90))
def test_no_text_is_a_token_by_chance(text):
    assert not _is_of(text, "A" * 43)
    assert not _is_of(text, "-_" * 21 + "w")


def test_a_token_in_json_has_to_be_text(client):
    token = client.get("/token").text
    for wrong in (5, 0, None, True, 1.5, [token], {"__token": token}, [], {}):
        assert not is_through(client.post("/act", json={"__token": wrong}))
    headers = {"Content-Type": "application/json"}
    for body in (f'["{token}"]', f'"{token}"', "null", "{}"):
        assert not is_through(client.post("/act", headers=headers, body=body))
    for body in ('"\\ud800"', '{"__token": "\\ud800"}'):
        assert client.post("/act", headers=headers, body=body).status == 400


def test_the_header_alone_counts_when_it_is_there(client):
    token = client.get("/token").text
    for wrong in ("", "x"):
        headers = {"x-csrf-token": wrong}
        found = client.post("/act", headers=headers, form={"__token": token})
        assert not is_through(found)
    headers = [("x-csrf-token", token), ("x-csrf-token", token)]
    assert not is_through(client.post("/act", headers=headers))


def test_a_token_in_a_body_that_is_no_form_does_not_count(client):
    token = client.get("/token").text
    for kind in ("text/plain", "multipart/form-data; boundary=x", ""):
        headers = {"Content-Type": kind} if kind else {}
        found = client.post("/act", headers=headers, body=f"__token={token}")
        assert not is_through(found)


def test_the_token_of_another_session_does_not_pass():
    app = app_of()
    ann, eve = app.test_client(), app.test_client()
    ann.get("/token")
    headers = {"x-csrf-token": eve.get("/token").text}
    assert is_through(eve.post("/act", headers=headers))
    assert not is_through(ann.post("/act", headers=headers))
    assert not is_through(app.test_client().post("/act", headers=headers))
    cookie = {"cookie": "session=" + "A" * 43, **headers}
    assert not is_through(ann.post("/act", headers=cookie))


@pytest.mark.parametrize("path", ["/regenerate", "/flush"])
def test_a_token_ends_with_the_sessions_id(client, path):
    headers = {"x-csrf-token": client.get("/token").text}
    assert is_through(client.post("/act", headers=headers))
    old = dict(client.cookies)
    assert client.get(path).status == 200
    assert client.cookies != old
    assert not is_through(client.post("/act", headers=headers))
    client.cookies.update(old)
    assert not is_through(client.post("/act", headers=headers))
    client.cookies.clear()
    headers = {"x-csrf-token": client.get("/token").text}
    assert is_through(client.post("/act", headers=headers))


def test_a_refused_request_makes_no_session(client):
    answer = client.post("/act", headers={"x-csrf-token": "x"})
    assert answer.header("set-cookie") is None
    assert client.cookies == {}


# ---- exempt ----


def seen(name):
    return lambda request: f"{name} {request.get_path()}"


EXEMPT = [
    # path, status, who has answered
    ("/hooks/a", 200, "hook"),
    ("/hooks/a?x=/admin", 200, "hook"),
    ("/hooks/a/b", 200, "two"),
    ("/exact", 200, "exact"),
    ("/exact?a=1", 200, "exact"),
    ("http://x/hooks/a", 200, "hook"),
    ("http://x/admin?/hooks/a", 403, None),
    ("/hooks", 403, None),
    ("/hooks?/hooks/a", 403, None),
    ("/hooks-evil", 403, None),
    ("/hooksx", 403, None),
    ("/exact/a", 403, None),
    ("/admin", 403, None),
    ("/admin?x=/hooks/a", 403, None),
    ("/x/hooks/a", 403, None),
    # The router takes paths as they are written: dots and percents lead nowhere else.
    ("/hooks/../admin", 200, "two"),
    ("/hooks/%2e%2e/admin", 200, "two"),
    ("/hooks/..%2fadmin", 200, "hook"),
    ("/hooks/..;/admin", 200, "two"),
    ("/hooks/%2e%2e%2fadmin", 200, "hook"),
    ("/hooks/./../admin", 404, None),
    ("/hooks/", 404, None),
    ("/hooks//", 404, None),
    ("/exact/", 404, None),
    ("/Exact", 404, None),
    ("/HOOKS/a", 404, None),
    ("//hooks/a", 404, None),
    ("/./hooks/a", 404, None),
    ("/%68ooks/a", 404, None),
    ("/hooks%2fa", 404, None),
    ("/hooks;/a", 404, None),
]


@pytest.mark.parametrize(("path", "status", "name"), EXEMPT)
def test_exempt_are_paths_as_they_are_written(path, status, name):
    routes = [
        Route.post("/admin", seen("admin")),
        Route.post("/hooks", seen("hooks")),
        Route.post("/hooks-evil", seen("hooks-evil")),
        Route.post("/hooksx", seen("hooksx")),
        Route.post("/exact/a", seen("exact a")),
        Route.post("/x/hooks/a", seen("x")),
        Route.post("/hooks/@one", seen("hook")),
        Route.post("/hooks/@one/@two", seen("two")),
        Route.post("/exact", seen("exact")),
    ]
    answer = app_of(*routes, exempt=["/hooks/*", "/exact"]).test_client().post(path)
    assert answer.status == status
    if name:
        assert answer.text.split()[0] == name


def test_what_is_exempt_costs_no_session():
    store = Slow()
    routes = [Route.post("/hooks/@one", seen("hook"))]
    client = app_of(*routes, store=store, exempt={"/hooks/*"}).test_client()
    client.cookies["session"] = "A" * 43
    assert client.post("/hooks/1").text == "hook /hooks/1"
    assert store.calls == []
    assert client.post("/act", headers={"x-csrf-token": "x"}).status == 403
    assert store.calls == ["get"]


def test_the_root_alone_can_be_exempt():
    app = app_of(Route.post("/", seen("root")), exempt=("/",))
    client = app.test_client()
    assert client.post("/").status == 200
    assert client.post("/?a=1").status == 200
    assert client.post("/act").status == 403


@pytest.mark.parametrize(
    "exempt",
    [
        "/hooks",
        b"/hooks",
        None,
        5,
        [5],
        [None],
        [b"/hooks"],
        [re.compile("/hooks")],
        [""],
        ["hooks"],
        ["*"],
        ["/*"],
        ["//*"],
        ["/hooks*"],
        ["/hooks/**"],
        ["/hooks/*/"],
        ["/*/hooks"],
        ["/hooks/*/*"],
        ["/hooks?a=1"],
        ["/hooks#a"],
        ["/ hooks"],
        ["/hööks"],
        ["/hooks\n"],
        ["http://test/hooks"],
        ["/good", "bad"],
    ],
    ids=repr,
)
def test_what_cannot_be_exempt_is_told_at_registration(exempt):
    chain = middleware(SessionMiddleware, VerifyCsrfToken.using(exempt=exempt), done)
    with pytest.raises(ConfigError, match="exempt"):
        App().post("/", chain)
    with pytest.raises(ValueError, match="exempt"):
        app_of(exempt=exempt)


# ---- 403 ----


def test_a_refusal_has_text_a_log_line_and_the_afters_of_outer_classes(client, caplog):
    caplog.set_level(logging.INFO, "socketify_mw")
    answer = client.post("/act?secret=1")
    assert (answer.status, answer.text) == (403, REFUSED)
    assert answer.header("content-type") == "text/plain; charset=utf-8"
    assert answer.header("x-outer") == "403"
    client.post("/act", headers={"x-csrf-token": "abc"})
    first, second = (it.getMessage() for it in caplog.records)
    assert first == (
        "POST /act: refused, for it may come from another site (it has no CSRF token)"
    )
    assert "its CSRF token is another one" in second
    assert {it.levelname for it in caplog.records} == {"INFO"}


def test_a_body_that_is_not_looked_at_is_not_read(serve):
    for limit in (None, "default"):
        client = serve(lambda app, it=limit: fill(app, max_body=it)).client()
        # Nothing of the 10 MB is sent: nobody waits for it.
        client.send(
            b"POST /act HTTP/1.1\r\nHost: test\r\nContent-Length: 10485760\r\n"
            b"Content-Type: application/octet-stream\r\n\r\n"
        )
        answer = client.read()
        assert (answer.status, answer.body.decode()) == (403, REFUSED)


def done(res, req, data=None):
    res.end("done")


def fill(app, **options):
    chain = middleware(SessionMiddleware, VerifyCsrfToken, done)
    app.post("/act", chain, **options)


@pytest.mark.parametrize("kind", [FORM, "application/json"])
def test_a_form_over_the_limit_is_413(serve, kind):
    server = serve(lambda app: fill(app, max_body=1000))
    for framing in ("Content-Length: 1001", "Transfer-Encoding: chunked"):
        client = server.client()
        head = f"POST /act HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n{framing}"
        client.send(head.encode() + b"\r\n\r\n3e9\r\n" + b"a" * 1001)
        assert client.read().status == 413


def test_a_form_that_cannot_be_read_is_400_and_does_not_pass(client):
    for kind, body in [("application/json", b"{"), (FORM, b"a=\xff")]:
        found = client.post("/act", headers={"Content-Type": kind}, body=body)
        assert found.status == 400
    assert client.post("/act", form=dict.fromkeys(map(str, range(1001)))).status == 400


def test_a_refused_client_may_go_on_with_its_connection(serve):
    client = serve(fill).client()
    body = b"__token=x"
    head = f"Content-Length: {len(body)}\r\nContent-Type: {FORM}\r\n"
    for _ in range(3):
        client.send(f"POST /act HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode() + body)
    client.send(b"POST /act HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n")
    assert [client.read().status for _ in range(4)] == [403, 403, 403, 200]


def test_a_client_that_leaves_in_the_middle_of_its_form_is_no_error(serve, caplog):
    server = serve(fill)
    client = server.client()
    client.send(
        f"POST /act HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n"
        "Content-Length: 100\r\n\r\n__token=".encode()
    )
    time.sleep(0.05)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    time.sleep(0.05)
    assert server.ask("/act", "POST", "Origin: http://test").status == 200
    assert caplog.text == ""


def test_without_a_session_the_error_names_the_cure(caplog):
    app = App().post("/", middleware(lambda *_: True, VerifyCsrfToken, done))
    client = app.test_client()
    assert client.post("/", headers=OWN).text == "done"
    assert client.post("/").status == 500
    assert "let SessionMiddleware run in front of this" in caplog.text


def test_a_client_without_a_session_is_refused_before_its_form_is_there(serve):
    server = serve(fill)
    client = server.client()
    client.send(
        f"POST /act HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\n"
        "Content-Length: 100\r\n\r\n".encode()
    )
    assert client.read().status == 403


# ---- a store that takes its time ----


class Slow:
    """A store in memory that does as if it were far away, and notes its calls."""

    is_immediate = False

    def __init__(self):
        self.calls = []
        self._store = MemoryStore()

    def __getattr__(self, name):
        method = getattr(self._store, name)

        async def call(*arguments):
            self.calls.append(name)
            await asyncio.sleep(0)
            return await method(*arguments)

        return call


def test_what_passes_by_its_site_makes_no_call_of_the_store():
    store = Slow()
    client = app_of(store=store).test_client()
    for _ in range(2):
        for headers in (OWN, {"sec-fetch-site": "none"}, {"origin": "http://test"}):
            assert is_through(client.post("/act", headers=headers))
            assert is_through(client.post("/act", headers=headers, form={"a": 1}))
        assert client.get("/act").text == "done"
        assert store.calls == []
        client.cookies["session"] = "A" * 43  # now there is something to load


def test_a_token_costs_one_call_of_the_store_and_none_without_a_cookie():
    store = Slow()

    async def token(request):
        await request.session.load()
        return csrf_token(request)

    client = app_of(Get("/slow-token", token), store=store).test_client()
    assert not is_through(client.post("/act", headers={"x-csrf-token": "x"}))
    assert store.calls == []
    text = client.get("/slow-token").text
    assert store.calls == ["replace"]
    store.calls.clear()
    assert is_through(client.post("/act", headers={"x-csrf-token": text}))
    assert is_through(client.post("/act", form={"__token": text}))
    assert not is_through(client.post("/act", headers={"x-csrf-token": "x"}))
    assert store.calls == ["get"] * 3


def test_a_token_of_a_session_that_was_not_loaded_is_an_error_that_names_the_cure(
    caplog,
):
    client = app_of(store=Slow()).test_client()
    client.cookies["session"] = "A" * 43
    assert client.get("/token").status == 500
    assert "await request.session.load()" in caplog.text


def test_tokens_that_are_made_at_the_same_time_are_all_good(serve):
    # Of a session that has values, but never had a token.
    async def login(request):
        (await request.session.load()).put("user", 1)
        return "in"

    async def page(request):
        await request.session.load()
        token = csrf_token(request)
        await asyncio.sleep(0.05)
        return token

    def setup(app):
        app.kernel(Kernel, routes=[*ROUTES, Get("/login", login), Get("/page", page)])

    class Kernel:
        route_middleware = {"web": [SessionMiddleware, VerifyCsrfToken]}
        store = Slow()

    server = serve(setup)
    cookie = server.ask("/login")["set-cookie"].partition(";")[0]
    clients = [server.client() for _ in range(3)]
    for client in clients:
        head = f"GET /page HTTP/1.1\r\nHost: test\r\nCookie: {cookie}\r\n\r\n"
        client.send(head.encode())
    tokens = [client.read().body.decode() for client in clients]
    for token in tokens:
        lines = (f"Cookie: {cookie}", f"X-CSRF-Token: {token}")
        assert server.ask("/act", "POST", *lines).status == 200


# ---- beside functions ----


def token_of(res, req, data=None):
    res.end(csrf_token(req))


def used():
    app = App().get("/token", token_of).post("/act", lambda res, req: res.end("done"))
    return app.use(SessionMiddleware, VerifyCsrfToken)


def joined():
    around = middleware(SessionMiddleware, VerifyCsrfToken)
    app = App().get("/token", middleware(around, token_of))
    return app.post("/act", middleware(around, done))


async def slowly(res, req, data=None):
    await asyncio.sleep(0)
    res.end("done")


def joined_with_coroutines():
    around = middleware(SessionMiddleware, VerifyCsrfToken)
    app = App().get("/token", middleware(around, token_of))
    return app.post("/act", middleware(around, slowly))


def around_a_kernel():
    class Http:
        http_middleware = [SessionMiddleware, VerifyCsrfToken]

    return App().kernel(Http, routes=ROUTES)


@pytest.mark.parametrize(
    "make", [used, joined, joined_with_coroutines, around_a_kernel]
)
def test_in_chains_of_functions(make):
    client = make().test_client()
    assert not is_through(client.post("/act"))
    assert not is_through(client.post("/act", form={"__token": "x"}))
    assert is_through(client.post("/act", headers=OWN))
    token = client.get("/token").text
    assert is_through(client.post("/act", headers={"X-CSRF-Token": token}))
    assert is_through(client.post("/act", form={"__token": token}))
    assert is_through(client.post("/act", json={"__token": token}))


def test_around_every_request_what_is_not_there_is_refused_too():
    client = used().test_client()
    assert client.post("/nothing").status == 403
    assert client.post("/nothing", headers=OWN).status == 404
    assert client.put("/act").status == 403
    assert client.put("/act", headers=OWN).status == 405


def test_a_handler_gets_the_body_that_was_read_for_its_token():
    async def handler(res, req, data=None):
        whole = (await res.get_data()).read()
        pieces = [it async for it in req.stream()]
        res.end([whole.decode(), b"".join(pieces).decode(), req.input("a")])

    around = middleware(SessionMiddleware, VerifyCsrfToken)
    app = App().post("/act", middleware(around, handler))
    client = app.get("/token", middleware(around, token_of)).test_client()
    token = client.get("/token").text
    body = f"__token={token}&a=1"
    assert client.post("/act", form={"__token": token, "a": 1}).json() == [
        body,
        body,
        "1",
    ]


def test_letters_of_tokens_need_no_quotes_anywhere(client):
    letters = set(string.ascii_letters + string.digits + "-_")
    assert set("".join(client.get("/token").text for _ in range(20))) <= letters
