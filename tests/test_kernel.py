"""Kernels, their routes and controllers, as a client sees them."""

import asyncio
import importlib
import json
import sys
import types
import uuid
from enum import Enum
from pathlib import Path
from typing import Any, Literal, NewType
from urllib.parse import quote

import pytest

from socketify_mw import App, Get, Middleware, Post, Route, RouteError, RouteGroup

# ---- the four kinds of middleware, in order ----

ran = []


def tracing(name, is_async=False):
    """Return a middleware class that tells when it runs, and does what it is told."""

    def act(self, phase, request, response, values):
        ran.append((name, phase, *values))
        if phase == "after":
            response.write_header(f"X-{name}", "after")
        what = (request.get_header("x-do") or "").partition(f"{name}.{phase}=")[2]
        match what.partition(" ")[0]:
            case "stop":
                response.write_status(403).end(f"stopped by {name}")
                return None
            case "raise":
                raise ValueError(name)
            case "return":
                return {"by": name}, 418
        return request

    class Plain:
        def before(self, request, response, *values):
            self.values = values
            return act(self, "before", request, response, values)

        def after(self, request, response, *values):
            assert self.values == values
            return act(self, "after", request, response, values)

    class Async(Plain):
        async def before(self, request, response, *values):
            self.values = values
            return act(self, "before", request, response, values)

        async def after(self, request, response, *values):
            return act(self, "after", request, response, values)

    cls = Async if is_async else Plain
    cls.__name__ = cls.__qualname__ = name
    return cls


def order():
    return " ".join(f"{name}.{phase}" for name, phase, *_ in ran)


class ThingController:
    def show(self, request):
        ran.append(("controller", "runs"))
        if request.get_query("fail"):
            raise ValueError("controller")
        return "shown"


def function(res, req):
    ran.append(("function", "runs"))
    res.end("function")


DOWN = "Http.before Web.before Auth.before"
UP = "Auth.after Web.after Http.after"
ORDERS = [
    # what is asked, what the classes do, status, body, what ran
    ("GET /thing", "", 200, "shown", f"{DOWN} controller.runs {UP}"),
    ("HEAD /thing", "", 200, "", f"{DOWN} controller.runs {UP}"),
    ("GET /thing?fail=1", "", 500, None, f"{DOWN} controller.runs {UP}"),
    ("GET /thing", "Http.before=stop", 403, "stopped by Http", "Http.before"),
    (
        "GET /thing",
        "Web.before=stop",
        403,
        "stopped by Web",
        "Http.before Web.before Http.after",
    ),
    (
        "GET /thing",
        "Auth.before=return",
        418,
        '{"by": "Auth"}',
        f"{DOWN} Web.after Http.after",
    ),
    ("GET /thing", "Auth.before=raise", 500, None, f"{DOWN} Web.after Http.after"),
    ("GET /thing", "Http.before=raise", 500, None, "Http.before"),
    ("GET /thing", "Auth.after=raise", 500, None, f"{DOWN} controller.runs {UP}"),
    (
        "GET /thing",
        "Web.after=return",
        418,
        '{"by": "Web"}',
        f"{DOWN} controller.runs Auth.after Web.after",
    ),
    ("GET /function", "", 200, "function", "Http.before function.runs Http.after"),
    ("GET /nothing", "", 404, "Not Found", "Http.before Http.after"),
    ("GET /nothing", "Http.before=stop", 403, "stopped by Http", "Http.before"),
    ("PUT /thing", "", 405, "Method Not Allowed", "Http.before Http.after"),
    ("OPTIONS /thing", "", 204, "", "Http.before Http.after"),
]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("row", ORDERS, ids=lambda row: f"{row[0]} {row[1]}")
def test_the_four_kinds_run_in_order_around_what_answers(row, is_async):
    asked, told, status, body, expected = row

    class Kernel:
        http_middleware = [tracing("Http", is_async)]
        route_middleware = {
            "web": [tracing("Web", is_async)],
            "auth": tracing("Auth", is_async),
        }

    routes = [Route.get("/thing", "ThingController@show").middleware("auth")]
    app = App().get("/function", function)
    app.kernel(Kernel, routes=routes, controllers=[ThingController])
    ran.clear()
    found = app.test_client().request(*asked.split(), headers={"x-do": told})
    assert (found.status, order()) == (status, expected)
    assert found.text == ("Internal Server Error" if body is None else body)
    last = expected.split()[-1]
    assert (found.header("x-http") == "after") is (last == "Http.after")


# ---- names and parameters ----


class Taking(Middleware):
    def before(self, request, response, *values):
        ran.append(values)
        return request


class Counting(Middleware):
    def before(
        self, request, response, minutes: int, share: float, strict: bool = False
    ):
        ran.append((minutes, share, strict))
        return request

    def after(self, request, response, minutes, share, strict=False):
        ran.append((minutes, share, strict))
        return request


class Plain(Middleware):
    def before(self, request, response):
        ran.append("plain")
        return request


def noting(res, req, data):
    ran.append("function")
    return True


def answer(request, response):
    return "x"


class Names:
    route_middleware = {
        "taking": Taking,
        "counting": Counting,
        "plain": Plain,
        "function": noting,
        "list": [Taking, Plain, "function"],
        "outer": ["list", "taking:inner"],
        "dotted": "test_kernel.Plain",
        "itself": ["plain", "itself"],
    }


PARAMETERS = [
    ("taking", [()]),
    ("taking:", [("",)]),
    ("taking: a , b ", [("a", "b")]),
    ("taking:http://a:80/b", [("http://a:80/b",)]),
    ("taking:@id", [("5 a",)]),
    ("taking:x,@id,y", [("x", "5 a", "y")]),
    ("taking:@@id", [("@id",)]),
    ("counting:2,0.5", [(2, 0.5, False), (2, 0.5, False)]),
    ("counting:2,1,yes", [(2, 1.0, True), (2, 1.0, True)]),
    ("plain", ["plain"]),
    ("function", ["function"]),
    ("list", [(), "plain", "function"]),
    ("list:a,b", [("a", "b"), "plain", "function"]),
    ("outer", [(), "plain", "function", ("inner",)]),
    ("dotted", ["plain"]),
    (f"{__name__}.Plain", ["plain"]),
    (Plain, ["plain"]),
    (noting, ["function"]),
]


@pytest.mark.parametrize(("spec", "expected"), PARAMETERS, ids=str)
def test_a_name_stands_for_middleware_with_parameters(spec, expected):
    routes = [Get("/a/@id", answer).middleware(spec)]
    client = App().kernel(Names, routes=routes).test_client()
    ran.clear()
    assert client.get("/a/5%20a").text == "x"
    assert ran == expected


def test_parameters_of_the_url_are_converted_or_not_found():
    class Sized(Middleware):
        def before(self, request, response, size: int | None):
            ran.append(size)
            return request

        def after(self, request, response, size):
            return request

    class Kernel:
        route_middleware = {"sized": Sized}

    routes = [Get("/@size", answer).middleware("sized:@size")]
    client = App().kernel(Kernel, routes=routes).test_client()
    ran.clear()
    assert client.get("/12").status == 200
    assert client.get("/twelve").status == 404
    assert ran == [12]


def test_no_name_is_read_at_request_time(monkeypatch):
    routes = [Get("/@id", answer).middleware("list:a", "counting:1,2", "taking:@id")]
    client = App().kernel(Names, routes=routes).test_client()
    client.get("/1")

    def fail(*arguments):
        raise AssertionError("it was read again")

    for module in ("alias", "layer", "kernel", "controllers"):
        for name, value in vars(sys.modules[f"socketify_mw.{module}"]).items():
            if isinstance(value, types.FunctionType) and name.startswith(
                ("parse", "_reader", "_member", "layer_of", "takes", "_plan")
            ):
                monkeypatch.setattr(f"socketify_mw.{module}.{name}", fail)
    assert client.get("/2").text == "x"


# ---- groups ----


class Grouped:
    http_middleware = [tracing("Http")]
    route_middleware = {
        "web": [tracing("A"), tracing("B")],
        "api": ["c"],
        "c": tracing("C"),
        "d": tracing("D"),
    }


def chain_of(route, **options):
    app = App().kernel(Grouped, routes=[route], **options)
    ran.clear()
    assert app.test_client().get("/").status == 200
    return "".join(name[0] for name, phase, *_ in ran if phase == "before")


def test_groups_run_before_a_routes_own_and_each_class_once():
    assert chain_of(Get("/", answer)) == "HAB"
    assert chain_of(Get("/", answer), group="api") == "HC"
    assert chain_of(Get("/", answer), group="nothing") == "H"
    assert chain_of(Get("/", answer).middleware("d", "c")) == "HABDC"
    assert chain_of(Get("/", answer).middleware("d", "web", "d")) == "HABD"
    assert chain_of(Get("/", answer).prepend_middleware("c", "d")) == "HCDAB"
    assert chain_of(Get("/", answer).exclude_middleware("web").middleware("c")) == "HC"
    first, second = Grouped.route_middleware["web"]
    assert chain_of(Get("/", answer).exclude_middleware(first)) == "HB"
    assert chain_of(Get("/", answer).middleware(Grouped.http_middleware[0])) == "HAB"
    assert chain_of(Get("/", answer).exclude_middleware(second, "d:x")) == "HA"


def test_route_groups_give_prefix_names_and_middleware():
    inner = Route.group(
        Get("/", answer).name("home"),
        [Post("/@id", answer).middleware("d")],
        prefix="inner/",
        name="inner.",
        middleware=["c"],
    )
    routes = RouteGroup([inner], prefix="/outer", name="outer.", middleware=["d"])
    app = App().kernel(Grouped, routes=routes)
    assert app.url("outer.inner.home") == "/outer/inner"
    ran.clear()
    assert app.test_client().get("/outer/inner").status == 200
    assert order().startswith("Http.before A.before B.before D.before C.before C.after")
    assert app.test_client().post("/outer/inner/5").status == 200
    assert [it.url for it in inner] == ["/inner", "/inner/@id"]  # as they were


# ---- URLs ----


def test_urls_are_built_from_names():
    routes = [
        Get("/users/@id/posts/?page", answer).name("posts"),
        Get("/", answer).name("home"),
    ]
    app = App().kernel(Names, routes=routes)
    assert app.url("home") == "/"
    assert app.url("posts", id="a b/c") == "/users/a%20b%2Fc/posts"
    assert app.url("posts", id=1, page=2, sort="x&y") == "/users/1/posts/2?sort=x%26y"
    with pytest.raises(ValueError, match="needs the parameter 'id'"):
        app.url("posts")
    with pytest.raises(RouteError, match="no route has the name 'hom'.*mean 'home'"):
        app.url("hom")
    client = app.test_client()
    assert client.get("/users/1/posts").status == 200
    assert client.get("/users/1/posts/2").status == 200
    assert client.get("/users/1").status == 404


# ---- routes and controllers ----


class Clock:
    def __init__(self):
        self.time = 12


class ManyController:
    def __init__(self):
        self.calls = 0  # one object a request

    def text(self):
        self.calls += 1
        return f"call {self.calls}"

    def data(self):
        return b"\x00\x01"

    def json(self):
        return {"a": [1]}

    def items(self):
        return [1, 2]

    def pair(self):
        return {"made": True}, 201

    def number(self):
        return 5

    def answered(self, response):
        response.write_status(202).end("answered")

    def response(self, response):
        return response.write_status(203).end("returned")

    async def late(self, id):
        return f"late {id}"

    async def stream(self, response):
        response.write("a")
        await response.drain()
        response.end("b")

    def typed(self, id: int, clock: Clock, request, page: int = 1):
        return [id, clock.time, request.get_method(), page]

    @staticmethod
    def static(request):
        return "static"

    @classmethod
    def of_class(cls):
        return cls.__name__

    def nothing(self):
        return None

    def triple(self):
        return 1, 2, 3

    def __call__(self, id=None):
        return f"called {id}"


RETURNED = [
    ("text", 200, "call 1"),
    ("data", 200, "\x00\x01"),
    ("json", 200, '{"a": [1]}'),
    ("items", 200, "[1, 2]"),
    ("pair", 201, '{"made": true}'),
    ("number", 200, "5"),
    ("answered", 202, "answered"),
    ("response", 203, "returned"),
    ("late", 200, "late 7"),
    ("stream", 200, "ab"),
    ("typed", 200, '[7, 12, "GET", 1]'),
    ("static", 200, "static"),
    ("of_class", 200, "ManyController"),
    ("nothing", 500, "Internal Server Error"),
    ("triple", 500, "Internal Server Error"),
]


@pytest.mark.parametrize("has_classes", [False, True])
@pytest.mark.parametrize(("method", "status", "text"), RETURNED)
def test_what_a_controller_returns_is_the_answer(method, status, text, has_classes):
    class Kernel:
        http_middleware = [tracing("Http")] if has_classes else []

    app = App().bind(Clock, Clock)
    routes = [Get("/@id", f"ManyController@{method}")]
    app.kernel(Kernel, routes=routes, controllers=__name__)
    for _ in range(2):
        found = app.test_client().get("/7")
        assert (found.status, found.text) == (status, text)


def test_controllers_are_found_in_many_ways(tmp_path, monkeypatch):
    package = tmp_path / "site_of_test"
    (package / "admin").mkdir(parents=True)
    (package / "__init__.py").write_text("class One:\n    def go(self): return 'one'\n")
    (package / "Two.py").write_text("class Two:\n    def go(self): return 'two'\n")
    (package / "admin" / "__init__.py").write_text("")
    (package / "admin" / "Three.py").write_text(
        "class Three:\n    def __call__(self): return 'three'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    many = ManyController()
    routes = [
        Get("/1", "One@go"),
        Get("/2", "Two@go"),
        Get("/3", "admin.Three"),
        Get("/4", ManyController),
        Get("/5", many.text),
        Get("/6", many.text),
        Get("/7", lambda response: response.end("seven")),
    ]
    app = App().kernel(Names, routes=routes, controllers="site_of_test")
    client = app.test_client()
    found = [client.get(f"/{n}").text for n in range(1, 8)]
    assert found == ["one", "two", "three", "called None", "call 1", "call 2", "seven"]


def test_each_verb_and_kind_of_route():
    verbs = ["post", "put", "patch", "delete", "options"]
    routes = [getattr(Route, verb)("/verb", answer) for verb in verbs]
    routes += [
        Route.any("/any", answer),
        Route.match(["GET", "post"], "/match", answer),
        Route.redirect("/old", "/new"),
        Route.permanent_redirect("/older", "/new"),
        Route.view("/view", "page", {"name": "Ann"}),
        Route.api("photos", "PhotoController"),
    ]

    class PhotoController:
        def index(self):
            return "index"

        def store(self):
            return "store"

        def show(self, id):
            return f"show {id}"

        def update(self, id):
            return f"update {id}"

        def destroy(self, id):
            return f"destroy {id}"

    class Engine:
        def render(self, template, **names):
            return f"{template} {names}"

    app = App().kernel(Names, routes=routes, controllers=PhotoController)
    app.template(Engine())
    client = app.test_client()
    for verb in verbs:
        assert client.request(verb.upper(), "/verb").text == "x"
    assert client.request("PURGE", "/any").text == "x"
    assert [client.request(it, "/match").status for it in ("GET", "POST", "PUT")] == [
        200,
        200,
        405,
    ]
    assert (client.get("/old").status, client.get("/old").header("location")) == (
        302,
        "/new",
    )
    assert client.get("/older").status == 301
    assert client.get("/view").text == "page {'name': 'Ann'}"
    asked = ["GET /photos", "POST /photos", "GET /photos/1", "PUT /photos/1"]
    asked += ["PATCH /photos/1", "DELETE /photos/1"]
    assert [client.request(*it.split()).text.split()[0] for it in asked] == [
        *("index", "store", "show", "update", "update", "destroy")
    ]
    assert app.url("photos.show", id=3) == "/photos/3"


def test_a_kernel_and_routes_may_be_named(tmp_path, monkeypatch):
    (tmp_path / "KernelOfTest.py").write_text(
        "from test_kernel import Plain\n"
        "class Kernel:\n"
        "    route_middleware = {'web': [Plain]}\n"
    )
    (tmp_path / "web_of_test.py").write_text(
        "from socketify_mw import Route\n"
        "routes = [Route.get('/', 'ManyController@text')]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    app = App().kernel("KernelOfTest:Kernel", "web_of_test", "test_kernel")
    ran.clear()
    assert app.test_client().get("/").text == "call 1"
    assert ran == ["plain"]


# ---- what is wrong is told at the start ----


class Needing:
    def __init__(self, it):
        pass

    def before(self, request, response):
        pass

    after = before


class NoAfter:
    def before(self, request, response):
        pass


class WRONG(Middleware):
    def before(self, request):
        pass


PROBLEMS = [
    (
        Get("/", answer).middleware("plane"),
        "no middleware 'plane'; did you mean 'plain'",
    ),
    (Get("/", answer).middleware("counting:1"), r"Counting.before .*1 parameters"),
    (Get("/", answer).middleware("plain:1"), r"Plain.before .* and 1 parameters"),
    (
        Get("/", answer).middleware("counting:x,1"),
        "cannot take its parameter: 'x' is no whole",
    ),
    (
        Get("/", answer).middleware("counting:1,1,maybe"),
        "parameter: 'maybe' is neither true nor",
    ),
    (Get("/@ids", answer).middleware("taking:@id"), "no parameter 'id'; .*mean 'ids'"),
    (Get("/", answer).middleware("function:1"), "is a function"),
    (Get("/", answer).middleware("itself"), "itself -> itself names itself"),
    (Get("/", answer).middleware(NoAfter), "class NoAfter has no method 'after'"),
    (Get("/", answer).middleware(Needing), r"Needing\(\) needs arguments"),
    (Get("/", answer).middleware(WRONG), r"WRONG.before .* \(request, response\)"),
    (Get("/", answer).middleware(5), "5 is not callable"),
    (Get("/", answer).exclude_middleware("plane"), "did you mean 'plain'"),
    (Get("/", "ManyControler@text"), "did you mean 'ManyController'"),
    (Get("/", "ManyController@txt"), "no method 'txt'; did you mean 'text'"),
    (Get("/", "ThingController"), "no method '__call__'"),
    (Get("/", "ManyController@late"), "wants 'id', which neither the URL"),
    (Get("/@id", "ManyController@typed"), "wants 'clock'"),
    (Get("/", 5), "5 is no controller"),
    (Get("/a?b", answer), "it can never match"),
    (Get("/@id:inte", answer), "no type 'inte' of parameters; did you mean 'int"),
    (Get("/@id<int>", answer), "'@id<int>' is no parameter"),
    (Get("/@1", answer), "'@1' is no parameter"),
    (Get("/@", answer), "'@' is no parameter"),
]


@pytest.mark.parametrize(("route", "message"), PROBLEMS, ids=lambda it: str(it)[:60])
def test_what_is_wrong_with_a_route_is_told_with_its_place(route, message):
    with pytest.raises(RouteError, match=message) as found:
        App().kernel(Names, routes=[route], controllers=__name__)
    assert f"{__file__}:" in str(found.value) and route.url in str(found.value)


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_registered():
    routes = [route for route, _ in PROBLEMS[:5]]
    routes += [Get("/x", answer).name("same"), Get("/y", answer).name("same")]
    app = App()
    with pytest.raises(RouteError, match="6 things are wrong") as found:
        app.kernel(Names, routes=routes, controllers=__name__)
    assert str(found.value).count("\n- ") == 6
    assert "has the name 'same', too" in str(found.value)
    assert [it.method for it in app.routes()] == [""]


def test_what_is_no_route_or_kernel_is_refused():
    with pytest.raises(TypeError, match="5 is neither a Route nor a list"):
        App().kernel(Names, routes=[5])

    class Kernel:
        http_middleware = ["plane", NoAfter]
        route_middleware = {"plain": Plain}

    with pytest.raises(RouteError, match="2 things are wrong"):
        App().kernel(Kernel)
    Kernel.route_middleware = [Plain]
    with pytest.raises(RouteError, match="no dict of names"):
        App().kernel(Kernel)


def test_a_chain_may_have_classes_and_functions_in_any_order(serve):
    def setup(app):
        app.get("/", lambda res, req, data: res.end(data), middlewares=[Plain, hand_on])
        app.get(
            "/2", lambda res, req, data: res.end(data), middlewares=[hand_on, Plain]
        )

    def hand_on(res, req, data):
        return ["data"]

    client = serve(setup).client()
    assert json.loads(client.ask("/").body) == ["data"]
    assert json.loads(client.ask("/2").body) == ["data"]


# ---- parameters of types ----

UUID = "0123abcd-0123-4567-89ab-CDEF01234567"


def test_types_tell_routes_apart():
    def told(name):
        return lambda x: [name, x]

    Route.compile("word_of_test", "[a-c]+")
    Route.compile("year_of_test", "(19|20)[0-9]{2}x?")
    routes = [
        Get("/a/@x", told("text")),
        Get("/a/@x:word_of_test", told("word")),
        Get("/a/@x:int", told("int")),
        Get("/a/@x:uuid", told("uuid")),
        Get("/a/@x:year_of_test", told("year")),
        Get("/b/@x:year_of_test", told("year")),
        Get("/b/@x:string/c", told("string")),
        Get("/c/?x:int", lambda x=None: ["optional", x]),
        Get("/d/?x/?y", lambda x=None, y=None: ["two", x, y]),
    ]
    app = App().kernel(Grouped, routes=routes)
    client = app.test_client()
    asked = ["7", "abc", "1999x", UUID, "x", "123456789012345678901", "%61", "-7"]
    found = [client.get(f"/a/{it}").json() for it in asked]
    assert found == [
        ["int", 7],
        ["word", "abc"],
        ["year", "1999x"],
        ["uuid", UUID],
        ["text", "x"],
        ["text", "123456789012345678901"],
        ["word", "a"],
        ["text", "-7"],
    ]
    assert client.get("/b/1999").json() == ["year", "1999"]
    ran.clear()
    assert client.get("/b/1850").status == 404
    assert order() == "Http.before Http.after"  # once, though a route was passed over
    assert client.get("/b/1850/c").json() == ["string", "1850"]
    assert client.get("/c").json() == ["optional", None]
    assert client.get("/c/5").json() == ["optional", 5]
    assert client.get("/c/x").status == 404
    assert client.get("/d").json() == ["two", None, None]
    assert client.get("/d/1").json() == ["two", "1", None]
    assert client.get("/d/1/2").json() == ["two", "1", "2"]
    assert app.match("GET", "/a/7").parameters == {"x": "7"}


def test_types_are_native_on_the_function_side_too(serve):
    def setup(app):
        app.get("/:id<int>", lambda res, req: res.end(f"int {req.get_parameter('id')}"))
        app.get("/:id<uuid>", lambda res, req: res.end("uuid"))
        app.get("/:id", lambda res, req: res.end("text"))

    client = serve(setup).client()
    assert client.ask("/7").body == b"int 7"
    assert client.ask(f"/{UUID}").body == b"uuid"
    assert client.ask("/a").body == b"text"


@pytest.mark.parametrize("name", ["int", "not a name", ""])
def test_a_type_needs_a_name_of_its_own(name):
    with pytest.raises(RouteError, match="is no name for a type"):
        Route.compile(name, ".*")


def test_a_fallback_takes_what_no_other_route_matches():
    routes = [Get("/a", answer), Route.fallback(lambda request: request.get_url())]
    client = App().kernel(Names, routes=routes).test_client()
    assert (client.get("/a").text, client.get("/b/c").text) == ("x", "/b/c")
    assert client.request("PUT", "/a").text == "/a"


# ---- requests and responses in Masonite's words ----


def test_a_request_is_read_in_other_words():
    def read(request):
        request.set_user({"name": "Ann"})
        return [
            request.param("id"),
            request.param("none"),
            request.header("X-One"),
            request.cookie("a"),
            request.get_path(),
            request.get_request_method(),
            request.is_ajax(),
            request.accepts_json(),
            request.user(),
            request.state.user,
        ]

    routes = [Get("/a/@id", read), Get("/user", lambda request: [request.user()])]
    client = App().kernel(Names, routes=routes).test_client()
    headers = {
        "x-one": "1",
        "cookie": "a=b%20c",
        "x-requested-with": "XMLHttpRequest",
        "accept": "text/html, application/problem+json;q=0.5",
    }
    ann = {"name": "Ann"}
    expected = ["5", None, "1", "b c", "/a/5", "GET", True, True, ann, ann]
    assert client.get("/a/5?x=1", headers=headers).json() == expected
    assert client.get("/user").json() == [None]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("*/*", False),
        ("application/json", True),
        ("text/html;q=1, Application/JSON ; q=0.1", True),
        ("application/json;q=0", False),
        ("application/jsonp", False),
    ],
)
def test_json_is_accepted_when_it_is_named(accept, expected):
    routes = [Get("/", lambda request: [request.accepts_json()])]
    headers = {} if accept is None else {"accept": accept}
    client = App().kernel(Names, routes=routes).test_client()
    assert client.get("/", headers=headers).json() == [expected]


class Page:
    def render(self, template, **names):
        return f"{template} {names}"


ANSWERS = [
    (lambda response: response.json("text"), 200, '"text"'),
    (lambda response: response.json(None, 201), 201, "null"),
    (lambda response: response.status(202).header("ETag", "x").end(), 202, ""),
    (lambda response: response.view("page", {"a": 1}), 200, "page {'a': 1}"),
    (lambda response: response.view("page"), 200, "page {}"),
    (lambda response: response.redirect(name="thing", id="a b"), 302, ""),
    (lambda response: response.cookie("a", "b", path="/x").end("x"), 200, "x"),
    (lambda response: response.delete_cookie("a").end("x"), 200, "x"),
    (lambda response: response.redirect(), 500, "Internal Server Error"),
    (lambda response: response.redirect("/", name="a"), 500, "Internal Server Error"),
]


@pytest.mark.parametrize(("say", "status", "text"), ANSWERS)
def test_an_answer_is_given_in_other_words(say, status, text):
    routes = [Get("/", say), Get("/thing/@id", say).name("thing")]
    app = App().kernel(Names, routes=routes)
    app.template(Page())
    found = app.test_client().get("/")
    assert (found.status, found.text) == (status, text)
    if status == 302:
        assert found.header("location") == "/thing/a%20b"
    if status in (200, 201) and text in ('"text"', "null"):
        assert found.header("content-type") == "application/json"
    if status == 202:
        assert ("ETag", "x") in found.headers
    if text == "x":
        cookie = found.header("set-cookie")
        assert cookie in ("a=b; Path=/x", "a=; Path=/; Max-Age=0")


def test_an_extension_may_have_one_of_those_names():
    def extend(request, response, ws):
        request.property("user", "nobody")
        response.method(json)

    def json(self, data):
        return self.end(f"json {data}")

    app = App().get("/", lambda res, req: res.json(req.user))
    app.register(extend)
    assert app.test_client().get("/").text == "json nobody"


# ---- inputs ----


class InputController:
    def all(self, request):
        return request.all()

    def one(self, request):
        return [request.input("a"), request.input("b.c", "none")]

    def only(self, request):
        return request.only("a", "z")

    async def later(self, request):
        return await request.load() is request and request.all()


INPUT_ROUTES = [
    Route.any("/all", "InputController@all"),
    Route.any("/one", "InputController@one"),
    Route.any("/only", "InputController@only"),
    Route.get("/later", "InputController@later"),
]
FORM = "application/x-www-form-urlencoded"


class Asking(Middleware):
    """Reads an input on the way down, and needs no coroutine for it."""

    def before(self, request, response):
        response.header("X-Input", repr(request.input("a")).encode())
        return request


def inputs_app(app):
    class Kernel:
        route_middleware = {"web": [Asking]}

    app.kernel(Kernel, INPUT_ROUTES, [InputController])


@pytest.mark.parametrize(
    ("target", "kind", "body", "expected"),
    [
        ("/all", "", b"", {}),
        ("/all?a=1&a=2&b=&c=%C3%A4", "", b"", {"a": ["1", "2"], "b": "", "c": "ä"}),
        ("/all?a=1&b=2", FORM, b"a=3&c=4&c=5", {"a": "3", "b": "2", "c": ["4", "5"]}),
        ("/all?a=1", f"{FORM.upper()}; charset=x", b"a=%E2%82%AC", {"a": "€"}),
        (
            "/all?a=1",
            "application/json",
            b'{"a": 2, "b": [null]}',
            {"a": 2, "b": [None]},
        ),
        ("/all?a=1", "application/vnd.x+json", b"[1]", {"a": "1"}),
        ("/all?a=1", "text/plain", b"a=2", {"a": "1"}),
        ("/one", "application/json", b'{"a": 1, "b": {"c": 2}}', [1, 2]),
        ("/one", "application/json", b'{"b": {"d": 2}, "a": false}', [False, "none"]),
        ("/one", "application/json", b'{"b.c": 3}', [None, 3]),
        ("/only?a=1&b=2", "", b"", {"a": "1"}),
        ("/later?a=1", "", b"", {"a": "1"}),
    ],
)
def test_inputs_of_query_form_and_json(serve, target, kind, body, expected):
    client = serve(inputs_app).client()
    head = f"Content-Length: {len(body)}\r\nContent-Type: {kind}\r\n" if body else ""
    method = "POST" if body else "GET"
    request = f"{method} {target} HTTP/1.1\r\nHost: a\r\n{head}\r\n".encode() + body
    client.send(request)
    assert json.loads(client.read().body) == expected
    for i in range(0, len(request), 3):
        client.send(request[i : i + 3])
    assert json.loads(client.read().body) == expected


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 100_000])
def test_inputs_that_cannot_be_read_are_400(serve, body):
    client = serve(inputs_app).client()
    length = len(body) or 1
    client.send(
        b"POST /all HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (length, body or b" ")
    )
    assert client.read().status == 400


def test_an_input_of_a_body_that_was_not_read_is_an_error_that_names_the_cure(caplog):
    app = App().post("/", lambda res, req: res.end(req.input("a")))
    assert app.test_client().post("/", form={"a": 1}).status == 500
    assert "await req.load()" in caplog.text
    assert app.test_client().post("/?a=2").text == "2"


def test_a_coroutine_handler_loads_inputs():
    async def handler(res, req):
        await req.load()
        await req.load()
        res.end(req.all())

    app = App().post("/", handler)
    assert app.test_client().post("/?b=2", form={"a": 1}).json() == {"a": "1", "b": "2"}


def test_get_json_and_inputs_of_the_same_body():
    async def handler(res, req):
        await req.load()
        res.end([req.all(), await res.get_json()])

    app = App().post("/", handler)
    found = app.test_client().post("/", json={"a": 1}).json()
    assert found == [{"a": 1}, {"a": 1}]


# ---- back ----


@pytest.mark.parametrize(
    ("referer", "location"),
    [
        ("http://test/form?a=1#b", "/form?a=1"),
        ("https://TEST/form", "/form"),
        ("http://other/form", "/home"),
        ("http://test//evil.example", "/home"),
        ("http://test@evil.example/", "/home"),
        ("javascript:alert(1)", "/home"),
        ("http://test", "/home"),
        ("/form", "/home"),
        ("", "/home"),
        ("http://[", "/home"),
    ],
)
def test_back_goes_to_the_page_before_if_it_is_of_this_site(referer, location):
    app = App().get("/", lambda res, req: res.back(req, default="/home"))
    answer = app.test_client().get("/", headers={"Referer": referer})
    assert (answer.status, answer.header("location")) == (302, location)


def test_back_knows_the_request_in_a_chain_with_an_after(caplog):
    class Kernel:
        http_middleware = [tracing("A")]

    app = App().kernel(
        Kernel,
        [Get("/", lambda request, response: response.back())],
    )
    answer = app.test_client().get("/", headers={"Referer": "http://test/x"})
    assert answer.header("location") == "/x"
    alone = App().get("/", lambda res, req: res.back())
    assert alone.test_client().get("/").status == 500
    assert "response.back(request)" in caplog.text


# ---- hosts ----


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("docs.example.com", "docs"),
        ("DOCS.example.com:80", "docs"),
        ("docs.localhost:3000", "docs"),
        ("docs", "any"),
        ("api.example.com", "api"),
        ("v2.api.example.com", "beneath"),
        ("xapi.example.com", "some"),
        ("example.com", "some"),
        ("localhost:3000", "any"),
        ("[::1]:80", "any"),
        ("docs.example.com.", "docs"),
    ],
)
def test_routes_with_the_same_pattern_for_different_hosts(host, text):
    def answering(name):
        return lambda request, id: f"{name} {id}"

    routes = [
        Get("/@id", answering("docs")).domain("docs"),
        Get("/@id", answering("api")).domain("api.EXAMPLE.com"),
        Get("/@id", answering("beneath")).domain("*.api.example.com"),
        Get("/@id", answering("some")).domain("*"),
        Get("/@id", answering("any")),
    ]
    client = App().kernel(type("Kernel", (), {}), routes).test_client()
    assert client.get("/7", headers={"Host": host}).text == f"{text} 7"


def test_a_host_that_no_route_is_for_is_404_and_names_of_parameters_may_differ():
    routes = [
        Get("/@one", lambda request, one: one).domain("one"),
        Get("/@two", lambda request, two: two * 2).domain("two"),
    ]
    client = App().kernel(type("Kernel", (), {}), routes).test_client()
    for host, status, text in [
        ("one.test", 200, "x"),
        ("two.test", 200, "xx"),
        ("three.test", 404, "Not Found"),
    ]:
        answer = client.get("/x", headers={"Host": host})
        assert (answer.status, answer.text) == (status, text)


def test_two_routes_that_nothing_tells_apart_are_refused():
    twice = [Get("/@a", lambda request, a: a), Get("/@b", lambda request, b: b)]
    with pytest.raises(RouteError, match="this method and pattern are taken"):
        App().kernel(type("Kernel", (), {}), twice)
    for routes in (
        [Get("/", lambda request: "1"), Get("/", lambda request: "2").domain("a")],
        [
            Get("/", lambda request: "1").domain("a"),
            Get("/", lambda request: "2"),
            Get("/", lambda request: "3"),
        ],
    ):
        with pytest.raises(RouteError, match="this method and pattern are taken"):
            App().kernel(type("Kernel", (), {}), routes)


# ---- the order of after ----


def test_after_in_listed_order():
    class Kernel:
        http_middleware = [tracing("A"), tracing("B", is_async=True)]
        route_middleware = {"web": [tracing("C")]}
        after_order = "listed"

    app = App().kernel(Kernel, [Get("/", lambda request: "home")])
    ran.clear()
    app.test_client().get("/")
    assert order() == "A.before B.before C.before A.after B.after C.after"
    ran.clear()
    app.test_client().get("/", headers={"X-Do": "B.after=stop"})
    assert order() == "A.before B.before C.before A.after B.after"


def test_an_unknown_order_is_refused_with_the_nearest_one():
    class Kernel:
        after_order = "list"

    with pytest.raises(RouteError, match="did you mean 'listed'"):
        App().kernel(Kernel)


# ---- what the built-in classes refuse at the start ----


def test_a_body_is_loaded_behind_what_may_refuse_the_request(monkeypatch):
    from socketify_mw.middlewares import SessionMiddleware, VerifyCsrfToken

    monkeypatch.setenv("APP_ENV", "testing")

    class Kernel:
        route_middleware = {"web": [SessionMiddleware, VerifyCsrfToken, tracing("A")]}

    app = App().kernel(Kernel, [Post("/", lambda request: request.input("a"))])
    names = [it.name for it in app.routes()[0].members]
    assert [it.rpartition(".")[2] for it in names[:4]] == [
        "SessionMiddleware",
        "VerifyCsrfToken",
        "LoadInputs",
        "A",
    ]


@pytest.mark.parametrize(
    "text", ["+5", "1_000", "%205", "5%20", "٥", "1e3", "nan", "inf"]
)
def test_a_number_in_a_url_has_one_spelling(text):
    def whole(request, x: int):
        return [x]

    def decimal(request, x: float):
        return [x]

    routes = [Get("/int/@x", whole), Get("/float/@x", decimal)]
    client = App().kernel(type("Kernel", (), {}), routes).test_client()
    text = text.replace("٥", "%D9%A5")
    assert client.get(f"/int/{text}").status == 404
    assert client.get(f"/float/{text}").status == 404
    assert client.get("/int/-5").json() == [-5]
    assert client.get("/int/" + "9" * 20).status == 404
    assert client.get("/float/-5.25").json() == [-5.25]


# ---- slips of the pen that would leave all without protection ----


def kernel_with(**members):
    return type("Kernel", (), members)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (kernel_with(route_middlewares={}), "did you mean 'route_middleware'"),
        (kernel_with(http_middlewear=[]), "did you mean 'http_middleware'"),
        (kernel_with(route_middleware={"wbe": []}), "has no 'web'.* mean 'wbe'"),
        ({}, "a kernel is a class"),
    ],
)
def test_a_misspelt_kernel_is_refused(kernel, message):
    with pytest.raises(RouteError, match=message):
        App().kernel(kernel, [])


def test_a_kernel_without_the_group_runs_none_if_it_is_told_so():
    kernel = kernel_with(route_middleware={"wbe": [tracing("A")]})
    app = App().kernel(kernel, [Get("/", lambda request: "x")], group="")
    ran.clear()
    assert app.test_client().get("/").text == "x" and ran == []


def test_names_that_only_begin_alike_are_no_slip():
    kernel = kernel_with(route_middleware={"webhook": tracing("A"), "w": tracing("B")})
    app = App().kernel(kernel, [Get("/", lambda request: "x")])
    assert app.test_client().get("/").text == "x"


def test_a_class_with_a_misspelt_method_is_refused():
    class Slip(Middleware):
        def befor(self, request, response):
            return request

    with pytest.raises(RouteError, match="'befor'; did you mean 'before'"):
        App().kernel(kernel_with(http_middleware=[Slip]))


@pytest.mark.parametrize("url", ["/:id", "/<id>", "/{id}", "/<int:id>", "/{id:int}"])
def test_a_parameter_in_another_framework_s_spelling_is_refused(url):
    with pytest.raises(RouteError, match="is no parameter, '@i"):
        App().kernel(kernel_with(), [Get(url, lambda request: "x")])


@pytest.mark.parametrize("url", ["/{id}", "/<id>", "/<int:id>"])
def test_a_pattern_in_another_framework_s_spelling_is_refused(url):
    with pytest.raises(RouteError, match="is no parameter, ':id' is one"):
        App().get(url, lambda res, req: res.end("x"))


def test_a_pattern_with_a_kernel_s_parameter_is_told(caplog):
    client = App().get("/@id", lambda res, req: res.end("x")).test_client()
    assert "a parameter is written ':id' here" in caplog.text
    assert client.get("/@id").text == "x"  # as names of people may be written


def test_who_returns_nothing_is_told_what_to_return(caplog):
    class Forgets(Middleware):
        def before(self, request, response):
            pass

    forgets = kernel_with(http_middleware=[Forgets])
    client = App().kernel(forgets, [Get("/", lambda request: "x")]).test_client()
    assert client.get("/").status == 500
    assert "return the request to go on, or an answer" in caplog.text
    caplog.clear()
    client = App().kernel(kernel_with(), [Get("/", lambda request: None)]).test_client()
    assert client.get("/").status == 500
    assert "returned without an answer: return the answer" in caplog.text


def test_an_error_handler_that_says_nothing_does_not_hide_the_error(caplog):
    app = App().get("/", lambda res, req: {}["missing"])
    app.on_error(lambda error, res, req: None)
    assert app.test_client().get("/").status == 500
    (record,) = caplog.records
    assert "its error handler has not answered" in record.getMessage()
    assert record.exc_info[0] is KeyError
    caplog.clear()

    async def waits(error, res, req):
        pass

    app.on_error(waits)
    assert app.test_client().get("/").status == 500
    (record,) = caplog.records
    assert record.exc_info[0] is KeyError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: App().use("auth"), "names of middleware are for the routes of a"),
        (lambda: App().use(tracing("A")()), "give the class, A"),
        (lambda: App(limits={"max_body": 5}), "limits are Limits"),
        (lambda: App().listen(0, "0.0.0.0"), "host="),
        (
            lambda: App().kernel(kernel_with(), [Get("/", InputController.all)]),
            '"Controller@method"',
        ),
    ],
)
def test_what_is_given_wrong_is_told_with_what_is_right(make, message):
    with pytest.raises((RouteError, ValueError, TypeError), match=message):
        make()


def test_a_test_client_s_timeout_names_the_request():
    app = App().get("/never", lambda res, req: res.grab_aborted_handler())
    with pytest.raises(TimeoutError, match=r"GET /never was not answered within 0.1 s"):
        app.test_client().get("/never", timeout=0.1)


def test_parameters_that_are_missing_are_told_with_where_they_stand():
    class Permission(Middleware):
        def before(self, request, response, user_id):
            return request

    kernel = kernel_with(route_middleware={"permission": Permission})
    route = Get("/@id", lambda request: "x").middleware("permission")
    with pytest.raises(RouteError, match="as in 'name:@id'"):
        App().kernel(kernel, [route])


# ---- what a Masonite user has met ----


class Guarding(Middleware):
    def before(self, request, response, user_id):
        return "no", 403


class Pairs(Middleware):
    def before(self, request, response, share: float, name: str):
        return {"share": share, "name": name}


class ForMasonite:
    http_middleware = [tracing("Masonite")]
    route_middleware = {
        "guard": Guarding,
        "pairs": Pairs,
        "half": ["pairs:0.5,example.com"],
        "half_text": "pairs:0.5,example.com",
        "nested": ["pairs"],
        "none": [Plain],
        "one": "test_kernel.OneOf",
        "path": "test_kernel.WantsPath",
    }


@pytest.mark.parametrize("spec", ["guard", "guard:@user_id", Guarding])
def test_a_class_with_parameters_can_be_excluded(spec):
    inner = Get("/", lambda: "in").exclude_middleware(spec)
    group = Route.group(inner, prefix="/@user_id", middleware=["guard:@user_id"])
    app = App().kernel(ForMasonite, group)
    assert app.test_client().get("/7").text == "in"


@pytest.mark.parametrize("name", ["half", "half_text"])
def test_a_parameter_in_an_alias_may_have_a_dot(name):
    app = App().kernel(ForMasonite, [Get("/", lambda: "in").middleware(name)])
    expected = {"share": 0.5, "name": "example.com"}
    assert app.test_client().get("/").json() == expected


def test_members_of_a_list_get_its_parameters_by_name_too():
    # As the class itself does in its place.
    route = Get("/", lambda: "in").middleware("nested:0.5,a")
    app = App().kernel(ForMasonite, [route])
    assert app.test_client().get("/").json() == {"share": 0.5, "name": "a"}


def test_parameters_that_no_member_of_a_list_takes_are_told():
    with pytest.raises(RouteError, match="none"):
        App().kernel(ForMasonite, [Get("/", answer).middleware("none:1,2")])


def test_one_annotation_that_is_not_imported_does_not_take_the_others_away():
    # As of `if TYPE_CHECKING: from socketify_mw import Request`.
    class Typed(Middleware):
        def before(self, request: "Unimported", response, n: int):  # noqa: F821
            return {"n": n}

    def show(request: "Unimported", id: int):  # noqa: F821
        return [id]

    routes = [Get("/a/@id", show), Get("/b", show).middleware("typed:5")]

    class Kernel:
        route_middleware = {"typed": Typed}

    routes[1].controller = answer
    client = App().kernel(Kernel, routes).test_client()
    assert client.get("/a/5").json() == [5]
    assert client.get("/a/x").status == 404
    assert client.get("/b").json() == {"n": 5}


def test_http_middleware_runs_once_for_each_of_several_lists_of_routes():
    # web.py and api.py, each with a group of its own.
    app = App().kernel(ForMasonite, [Get("/", answer)], group="web")
    app.kernel(ForMasonite, [Get("/api", answer)], group="api")
    ran.clear()
    app.test_client().get("/")
    assert order() == "Masonite.before Masonite.after"


def test_a_controller_s_name_in_a_package_is_told_with_the_nearest(
    tmp_path, monkeypatch
):
    package = tmp_path / "package_of_test"
    (package / "admin").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "HomeController.py").write_text("class HomeController: pass\n")
    (package / "admin" / "PostController.py").write_text("class PostController: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    for wrong, right in [
        ("HomeControler", "HomeController"),
        ("admin.PostControler", "admin.PostController"),
    ]:
        with pytest.raises(RouteError, match=f"did you mean '{right}'"):
            App().kernel(Names, [Get("/", wrong)], controllers="package_of_test")


def test_a_name_that_a_controller_s_module_cannot_import_is_told(tmp_path, monkeypatch):
    # "nosuch" begins the package's own name: that is another module nevertheless.
    package = tmp_path / "nosuch_controllers"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "One.py").write_text("import nosuch\nclass One: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="'nosuch'"):
        App().kernel(Names, [Get("/", "One")], controllers="nosuch_controllers")


class OneOf(Middleware):
    def before(self, request, response, it: Literal["a", "b"]):
        return request


class WantsPath(Middleware):
    def before(self, request, response, it: Path):
        return request


def wants_path(id: Path):
    return "x"


def test_one_name_or_method_may_stand_without_a_list():
    group = Route.group(
        Route.match("POST", "/", answer), prefix="/@id", middleware="guard:@id"
    )
    client = App().kernel(ForMasonite, group).test_client()
    assert client.post("/1").status == 403 and client.get("/1").status == 405


class OddController:
    def gen(self):
        yield 1

    def only(self, id, /):
        return id

    @property
    def prop(self):
        return "x"


@pytest.mark.parametrize(
    ("route", "message"),
    [
        (Get("/", "OddController@gen"), r"GET / \(.*test_kernel.py:\d+\).*yield"),
        (Get("/@id", "OddController@only"), "positional"),
        (Route.match(["GTE"], "/", answer), "GTE.*did you mean 'GET'"),
        (Route.match("GET|POST", "/", answer), "no method 'GET|POST'"),
        (Get("/a/?b/c", answer), "left out"),
        (Get("/?b", lambda b: b), "may be left out"),
        (Get("/?user_id", answer).middleware("guard:@user_id"), "may be left out"),
        (Get("/@id", lambda id: id).middleware("one:x"), "'x' is none of a, b"),
        (Get("/@id", wants_path), "id: text is not turned into Path"),
        (Get("/@id", answer).middleware("path:x"), "text is not turned into Path"),
    ],
)
def test_slips_of_masonite_users_are_told_at_the_start(route, message):
    with pytest.raises(RouteError, match=message):
        App().kernel(ForMasonite, [route], controllers=OddController)


def test_what_is_no_method_is_not_told_as_the_right_spelling():
    with pytest.raises(RouteError, match="'prop'") as found:
        App().kernel(Names, [Get("/", "OddController@prop")], OddController)
    assert "did you mean 'prop'" not in str(found.value)


def test_a_generator_does_not_hide_what_else_is_wrong():
    routes = [Get("/", "OddController@gen"), Get("/x", answer).middleware("nope")]
    with pytest.raises(RouteError, match="2 things are wrong"):
        App().kernel(ForMasonite, routes, controllers=OddController)


def test_patterns_that_are_taken_are_told_with_the_rest_and_register_nothing():
    app = App()
    with pytest.raises(RouteError):
        app.kernel(ForMasonite, [Get("/", answer), Get("/", answer)])
    assert [it.method for it in app.routes()] == [""]


def test_a_module_without_routes_is_told(monkeypatch):
    module = types.ModuleType("web_without_routes")
    module.rotues = [Get("/", answer)]
    monkeypatch.setitem(sys.modules, "web_without_routes", module)
    with pytest.raises(RouteError, match="routes"):
        App().kernel(ForMasonite, "web_without_routes")


def test_http_middleware_that_is_no_list_is_told():
    class Kernel:
        http_middleware = Plain

    with pytest.raises(RouteError, match="http_middleware"):
        App().kernel(Kernel, [Get("/", answer)])


def test_a_uuid_is_converted_or_refused_at_the_start():
    from uuid import UUID

    def show(id: UUID):
        return type(id).__name__

    client = App().kernel(Names, [Get("/@id:uuid", show)]).test_client()
    assert client.get("/12345678-1234-1234-1234-123456789abc").text == "UUID"


def test_what_is_bound_is_given_where_it_may_be_none():
    class Clock:
        pass

    def show(clock: Clock | None = None):
        return type(clock).__name__

    client = App().bind(Clock, Clock).kernel(Names, [Get("/", show)]).test_client()
    assert client.get("/").text == "Clock"


@pytest.mark.parametrize("given", [{"status": 301}, {"params": {"a": 1}}, {"id": 5}])
def test_a_redirect_to_an_address_does_not_drop_what_it_is_given(given):
    found = []

    def go(response):
        try:
            response.redirect("/x", **given)
        except TypeError as error:
            found.append(error)
            return "refused"
        return response

    answer = App().kernel(Names, [Get("/", go)]).test_client().get("/")
    assert found or answer.status == 301


def test_a_request_has_the_client_s_address():
    app = App().kernel(Names, [Get("/", lambda request: request.ip())])
    answer = app.test_client().get("/")  # of a socket pair, which has none
    assert (answer.status, answer.text) == (200, "")


def test_an_after_that_returns_neither_request_nor_answer_is_told(caplog):
    class Ends(Middleware):
        def after(self, request, response):
            return True

    class Kernel:
        http_middleware = [Plain, Ends]

    App().kernel(Kernel, [Get("/", lambda: "x")]).test_client().get("/")
    assert "Ends.after" in caplog.text


def test_a_group_leaves_the_end_of_a_url_as_it_is():
    group = Route.group(Get("/about/", answer), prefix="/g")
    client = App().kernel(Names, [Get("/about/", answer), group]).test_client()
    assert client.get("/about/").status == client.get("/g/about/").status == 200


def test_a_url_that_no_controller_takes_comes_to_the_not_found_handler():
    app = App().kernel(Names, [Get("/@id", lambda id: id), Get("/n/@id", int_only)])

    @app.not_found
    def not_found(res, req):
        res.write_status(404).end("ours")

    client = app.test_client()
    assert client.get("/a/b/c").text == client.get("/n/x").text == "ours"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("has_after", [False, True])
def test_so_does_one_that_no_middleware_takes(is_async, has_after):
    class Counting(Middleware):
        def before(self, request, response, n: int):
            return request

        if has_after:

            def after(self, request, response, n: int):
                raise AssertionError

    class Kernel:
        http_middleware = [tracing("A")]
        route_middleware = {"count": Counting}

    route = Get("/@id", answer).middleware("count:@id")
    app = App().kernel(Kernel, [route])

    def not_found(res, req):
        res.write_status(404).end(f"ours: {req.get_url()}")

    async def not_found_later(res, req):
        await asyncio.sleep(0)
        not_found(res, req)

    app.not_found(not_found_later if is_async else not_found)
    ran.clear()
    response = app.test_client().get("/x")
    assert (response.status, response.text) == (404, "ours: /x")
    assert order() == "A.before A.after"


def int_only(id: int):
    return id


class Size(Enum):
    SMALL = 1
    LARGE = 2


class Slug(str):
    pass


UserId = NewType("UserId", int)


@pytest.mark.parametrize(
    ("kind", "good", "found", "bad"),
    [
        (Size, "2", "<Size.LARGE: 2>", ["3", "LARGE", "02"]),
        (Literal["a", 5], "5", "5", ["b", "05"]),
        (UserId, "7", "7", ["x"]),
        (UserId | None, "7", "7", ["x"]),
        (Size | None, "1", "<Size.SMALL: 1>", ["x"]),
        (Slug, "a b", "'a b'", []),
        (Any, "5", "'5'", []),
        (int | str, "5", "'5'", []),
        ("int", "5", "5", ["x"]),
        ("Missing", "5", "'5'", []),
        ("int |", "5", "'5'", []),
        (uuid.UUID, UUID, f"UUID('{UUID.lower()}')", ["0" * 32, "{}", "0-0", "x"]),
    ],
)
def test_what_a_url_has_becomes_what_is_annotated(kind, good, found, bad):
    def show(id):
        return repr(id)

    show.__annotations__["id"] = kind
    client = App().kernel(Names, [Get("/@id", show)]).test_client()
    assert client.get("/" + quote(good)).text == found
    assert [client.get("/" + quote(it)).status for it in bad] == [404] * len(bad)


def test_a_dotted_name_of_a_class_may_have_a_colon_and_parameters():
    routes = [
        Get("/a", lambda: "x").middleware("test_kernel:OneOf"),
        Get("/b/@id", answer).middleware("test_kernel.OneOf:@id"),
    ]
    with pytest.raises(RouteError, match="no middleware 'test_kernel'"):
        App().kernel(Names, routes[:1])
    client = App().kernel(Names, routes[1:]).test_client()
    assert [client.get(f"/b/{it}").status for it in "abc"] == [200, 200, 404]


def test_a_class_is_named_behind_a_colon_whether_its_module_is_loaded_or_not(
    tmp_path, monkeypatch
):
    (tmp_path / "own_site").mkdir()
    (tmp_path / "own_site" / "__init__.py").touch()
    (tmp_path / "own_site" / "auth.py").write_text(
        "from socketify_mw import Middleware\nclass Auth(Middleware): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    class Kernel:
        route_middleware = {"auth": "own_site.auth:Auth"}

    for _ in range(2):  # the second time it is an attribute of its package
        App().kernel(Kernel, [Get("/", lambda: "x").middleware("auth")])
        importlib.import_module("own_site.auth")


def test_a_name_for_a_list_hands_values_to_those_that_take_them():
    class Plain:
        def before(self, request, response):
            return request

        after = before

    class Takes:
        def before(self, request, response, number: int):
            response.header("X-Number", number)
            return request

        def after(self, request, response, number: int):
            return request

    class Kernel:
        route_middleware = {"both": [Plain, Takes], "short": "both"}

    for spec in ("both:5", "short:5"):
        app = App()
        app.kernel(Kernel, [Get("/", lambda: "x").middleware(spec)])
        assert app.test_client().get("/").header("x-number") == "5"


def test_nothing_is_registered_when_the_third_of_a_pattern_is_refused():
    class Kernel:
        pass

    app = App()
    before = len(app.routes())
    first = Get("/a", lambda: "1").domain("x.org")
    with pytest.raises(RouteError, match="taken"):
        app.kernel(Kernel, [first, Get("/a", lambda: "2"), Get("/a", lambda: "3")])
    assert len(app.routes()) == before


def test_all_patterns_that_the_server_refuses_are_told_and_nothing_is_registered():
    class Kernel:
        pass

    app = App()
    before = len(app.routes())
    many = "/".join(f"@p{i}" for i in range(20))
    routes = [Get("/ok", str), Get(f"/b/{many}", str), Get(f"/c/{many}", str)]
    with pytest.raises(RouteError) as raised:
        app.kernel(Kernel, [Get(it.url, lambda: "x") for it in routes])
    assert "/b/" in str(raised.value) and "/c/" in str(raised.value)
    assert len(app.routes()) == before


def test_an_at_sign_within_a_segment_is_taken_as_it_stands(caplog):
    app = App().kernel(Names, [Get("/a@b", lambda: "x")])
    assert app.test_client().get("/a@b").text == "x"
    assert "'a@b' is taken as it stands; a parameter is a whole segment" in caplog.text


def test_what_is_bound_may_be_a_new_type():
    Name = NewType("Name", str)

    def who(name: Name):
        return name

    class Kernel:
        pass

    app = App()
    app.bind(Name, lambda: "ann")
    app.kernel(Kernel, [Get("/", who)])
    assert app.test_client().get("/").text == "ann"


@pytest.mark.parametrize("name", ["status", "params"])
def test_a_redirect_takes_parameters_of_any_name(name):
    def go(response):
        return response.redirect(name="list", **{name: "open"})

    class Kernel:
        pass

    app = App()
    app.kernel(
        Kernel, [Get(f"/list/@{name}", lambda: "x").name("list"), Get("/go", go)]
    )
    assert app.test_client().get("/go").header("location") == "/list/open"
