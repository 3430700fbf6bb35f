"""Where classes may stand in a chain: told when the app begins to listen."""

import subprocess
import sys

import pytest

from socketify_mw import App, Get, Middleware, Post, RouteError, middleware
from socketify_mw.keys import new_key
from socketify_mw.middlewares import EncryptCookies, SessionMiddleware, VerifyCsrfToken

Encrypted = EncryptCookies.using(keys=[new_key()])
Sessions = SessionMiddleware.using(cookie="mine")
Tokens = VerifyCsrfToken.using(exempt=["/hook"])

NO_SESSION = "keeps its tokens in the session: let SessionMiddleware stand in front"
IS_LATE = "EncryptCookies is to stand in front of SessionMiddleware"


class Goes(Middleware):
    def before(self, request, response):
        return request


def done(res, req, data=None):
    res.end("done")


def passes(res, req, data):
    return True


def by_middleware(*members):
    return App().post("/", middleware(*members, done))


def by_use(*members):
    return App().post("/", done).use(*members)


def by_kernel(*members):
    class Kernel:
        http_middleware = members

    return App().kernel(Kernel, [Post("/", lambda: "done")])


def by_alias(*members):
    class Kernel:
        route_middleware = {"web": [*members]}

    return App().kernel(Kernel, [Post("/", lambda: "done")])


def by_both(first, *others):
    """The first one for all routes, the others for the only one."""

    class Kernel:
        http_middleware = [first]
        route_middleware = {"web": [*others]}

    return App().kernel(Kernel, [Post("/", lambda: "done")])


WAYS = pytest.mark.parametrize(
    "make", [by_middleware, by_use, by_kernel, by_alias, by_both]
)


def begin(app, how):
    app.test_client() if how == "test_client" else app.listen(0, host="127.0.0.1")


@WAYS
@pytest.mark.parametrize("how", ["listen", "test_client"])
@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([VerifyCsrfToken], NO_SESSION),
        ([Goes, Tokens], NO_SESSION),
        ([VerifyCsrfToken, SessionMiddleware], NO_SESSION),
        ([SessionMiddleware, Encrypted], IS_LATE),
        ([Sessions, Goes, passes, Encrypted], IS_LATE),
    ],
)
def test_a_class_in_the_wrong_place_is_refused(make, members, message, how):
    app = make(*members)
    with pytest.raises(RouteError, match=message):
        begin(app, how)
    app.close()


@WAYS
@pytest.mark.parametrize(
    "members",
    [
        [SessionMiddleware, VerifyCsrfToken],
        [Encrypted, Sessions, Goes, Tokens],
        [passes, VerifyCsrfToken],  # a function may do whatever it wants
        [middleware(Goes, Sessions), middleware(Tokens)],
    ],
)
def test_a_class_in_the_right_place_is_not(make, members):
    client = make(*members).test_client()
    headers = {"Sec-Fetch-Site": "same-origin"}
    assert client.post("/", headers=headers).text == "done"


def test_what_is_used_later_stands_in_front_as_well():
    app = App().post("/", middleware(VerifyCsrfToken, done))
    with pytest.raises(RouteError):
        app.test_client()
    app.use(SessionMiddleware)
    assert app.test_client().post("/").status == 403


def test_a_router_has_its_own_in_front():
    app = App()
    app.router("/in", SessionMiddleware).post("/a")(middleware(Tokens, done))
    assert app.test_client().post("/in/a").status == 403


def test_an_error_tells_the_route_and_all_routes_are_told_at_once():
    def first(res, req, data):
        res.end("x")

    app = App().get("/none", done)
    app.get("/a/:id", middleware(VerifyCsrfToken, first))
    app.get("/b", middleware(SessionMiddleware, Encrypted, done))
    with pytest.raises(RouteError) as caught:
        app.listen(0)
    lines = str(caught.value).splitlines()
    assert lines[0] == "2 things are wrong:" and len(lines) == 3
    assert lines[1].startswith("- GET /a/:id (test_an_error") and "first" in lines[1]
    assert lines[2].startswith("- GET /b (done): EncryptCookies is to stand")


def test_what_is_in_front_of_every_route_is_told_once():
    class Kernel:
        http_middleware = [VerifyCsrfToken]

    app = App().kernel(Kernel, [Get(f"/{i}", lambda: "x") for i in range(20)])
    with pytest.raises(RouteError) as caught:
        app.listen(0)
    assert str(caught.value).startswith("in front of every route: VerifyCsrfToken ")


def test_nothing_listens_after_a_refusal():
    heard = []
    app = App().get("/", middleware(VerifyCsrfToken, done))
    with pytest.raises(RouteError):
        app.listen(0, heard.append)
    assert heard == [] and not app._is_listening


def test_a_subclass_may_ask_for_something_else():
    class Anywhere(VerifyCsrfToken):
        @classmethod
        def check_place(cls, in_front):
            seen.append(in_front)

    seen = []
    app = App().get("/", middleware(passes, Goes, Anywhere, done))
    app.test_client()
    assert seen == [[None, Goes]]


def test_routes_on_the_command_line_tells_it_too(tmp_path):
    (tmp_path / "shop.py").write_text(
        "from socketify_mw import App, middleware\n"
        "from socketify_mw.middlewares import VerifyCsrfToken\n"
        "app = App()\n"
        "app.get('/', middleware(VerifyCsrfToken, lambda res, req, data: None))\n"
    )
    command = [sys.executable, "-m", "socketify_mw", "routes", "shop:app"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert NO_SESSION in done.stderr and "Traceback" not in done.stderr


def test_an_attribute_cls_of_a_member_that_is_no_class_means_nothing():
    class Passes:
        cls = "economy"

        def __call__(self, res, req, data=None):
            return True

    app = App()
    app.use(Passes(), SessionMiddleware, VerifyCsrfToken)
    app.get("/", done)
    app.test_client()  # asks about places
