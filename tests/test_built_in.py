"""Each built-in class, from a kernel's alias, in `middleware()` and in `app.use()`."""

import pytest

from socketify_mw import App, Get, middleware
from socketify_mw.middlewares import (
    EncryptCookies,
    HashIDMiddleware,
    SessionMiddleware,
    ThrottleMiddleware,
    VerifyCsrfToken,
    csrf_token,
    hashid,
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("APP_ENV", "testing")


def by_alias(classes, handler):
    class Kernel:
        route_middleware = {"group": list(classes)}

    def controller(request, response):
        handler(response, request, None)

    routes = [Get("/@id", controller), Get("/", controller)]
    routes.append(type(routes[0])(["post"], "/", controller))
    for route in routes:
        route.middleware("group")
    return App().kernel(Kernel, routes)


def in_chain(classes, handler):
    chain = middleware(*classes, handler)
    return App().get("/:id", chain).get("/", chain).post("/", chain)


def in_front(classes, handler):
    app = App().use(*classes)
    return app.get("/:id", handler).get("/", handler).post("/", handler)


WAYS = pytest.mark.parametrize("make", [by_alias, in_chain, in_front])


@WAYS
def test_encrypted_cookies(make):
    def handler(res, req, data):
        res.set_cookie("name", "Ann").end(req.get_cookie("name") or "nobody")

    client = make([EncryptCookies], handler).test_client()
    assert [client.get("/").text for _ in range(2)] == ["nobody", "Ann"]
    assert "Ann" not in client.cookies["name"]
    client.cookies["name"] = "Eve"
    assert client.get("/").text == "nobody"


@WAYS
def test_sessions(make):
    def handler(res, req, data):
        req.session.put("n", req.session.get("n", 0) + 1)
        res.end(req.session.get("n"))

    client = make([SessionMiddleware], handler).test_client()
    assert [client.get("/").json() for _ in range(3)] == [1, 2, 3]


@WAYS
def test_csrf_tokens(make):
    def handler(res, req, data):
        res.end(csrf_token(req))

    client = make([SessionMiddleware, VerifyCsrfToken], handler).test_client()
    token = client.get("/").text
    assert client.post("/").status == 403
    assert client.post("/", form={"__token": token}).status == 200


@WAYS
def test_hashed_ids(make):
    def handler(res, req, data):
        res.end(req.get_parameter("id"))

    client = make([HashIDMiddleware], handler).test_client()
    assert client.get(f"/{hashid(10)}").text == "10"


@WAYS
def test_throttling(make):
    def handler(res, req, data):
        res.end("x")

    limited = ThrottleMiddleware.using(limit="2/hour")
    client = make([limited], handler).test_client()
    assert [client.get("/").status for _ in range(3)] == [200, 200, 429]


@WAYS
def test_all_of_them_together(make):
    def handler(res, req, data):
        req.session.put("id", req.get_parameter("id"))
        res.end(csrf_token(req))

    limited = ThrottleMiddleware.using(limit="5/hour")
    classes = [EncryptCookies, SessionMiddleware, HashIDMiddleware]
    app = make([*classes, VerifyCsrfToken, limited], handler)
    client = app.test_client()
    token = client.get(f"/{hashid(10)}").text
    assert client.post("/", headers={"X-CSRF-TOKEN": token}).status == 200
    assert client.post("/", headers={"X-CSRF-TOKEN": "x"}).status == 403
    assert len(client.cookies["session"]) > 43
