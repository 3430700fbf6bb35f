"""What an app's routes are, as data and on the command line."""

import base64
import functools
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_programs import run_in

from socketify_mw import App, MiddlewareRouter, middleware

HERE = Path(__file__).name


def log(res, req, data):
    return data or True


async def auth(res, req, data):
    return "Ann"


def user(res, req, data):
    res.end(data)


def line_of(function):
    return function.__code__.co_firstlineno


def names(route):
    return [member.name for member in route.members]


# ---- app.routes() ----


def test_routes_come_in_order_with_all_that_runs_for_them():
    app = App()
    app.get("/", lambda res, req: res.end("x"))
    app.router("/api/", auth).router("v1", log).get("users/:id")(user)
    MiddlewareRouter(app, log).any("/*", middleware(auth, middleware(log, user)))
    app.use(log)
    routes = app.routes()
    assert [(it.method, it.pattern) for it in routes] == [
        ("GET", "/"),
        ("GET", "/api/v1/users/:id"),
        ("ANY", "/*"),
        ("", ""),
    ]
    chains = [[name.rpartition(".")[2] for name in names(it)] for it in routes]
    assert chains == [
        ["log", "<lambda>"],
        ["log", "auth", "log", "user"],
        ["log", "log", "auth", "log", "user"],
        ["log", "answer_miss"],
    ]
    _, first, *_, last = routes[1].members
    assert (Path(first.file).name, first.line) == (HERE, line_of(auth))
    assert (first.is_async, last.is_async) == (True, False)
    app.not_found(lambda res, req: res.end("no"))
    assert names(app.routes()[-1])[1].endswith("<lambda>")


class Callable:
    def __call__(self, res, req, data):
        return data


class AsyncCallable:
    async def __call__(self, res, req, data):
        return data


def decorated(function):
    @functools.wraps(function)
    def inner(*arguments):
        return function(*arguments)

    return inner


ASYNC = {
    "function": (log, False),
    "coroutine function": (auth, True),
    "partial": (functools.partial(log), False),
    "async partial": (functools.partial(auth), True),
    "object": (Callable(), False),
    "async object": (AsyncCallable(), True),
    "decorated": (decorated(log), False),
    "async decorated": (decorated(auth), True),
    "method": (Callable().__call__, False),
    "async method": (AsyncCallable().__call__, True),
    "partial of decorated": (functools.partial(decorated(auth)), True),
    "builtin": (max, False),
}


@pytest.mark.parametrize("kind", ASYNC)
def test_it_tells_which_members_are_coroutine_functions(kind):
    member, is_async = ASYNC[kind]
    app = App().get("/", user, middlewares=[member])
    first, _ = app.routes()[0].members
    assert first.is_async is is_async
    if kind == "builtin":
        assert (first.name, first.file, first.line) == ("max", "", 0)
    else:
        assert Path(first.file).name == HERE
        assert first.line > 0


# ---- app.match() ----

PATTERNS = ["/", "/a", "/a/:x", "/a/b", "/:x/b", "/a/*", "/*", "/b/:x/c"]
METHODS = ["GET", "POST", "HEAD", "OPTIONS", "ANY"]
PATHS = ["/", "/a", "/a/b", "/a/c", "/c/b", "/b/1/c", "/a/b/c", "/no", "//", "/a/%20"]
ROUTES = st.lists(
    st.tuples(st.sampled_from(METHODS), st.sampled_from(PATTERNS)), unique=True
)


@settings(max_examples=60, deadline=None)
@given(ROUTES, st.sampled_from([*METHODS[:-1], "PURGE"]), st.sampled_from(PATHS))
def test_a_match_is_what_the_server_runs(routes, method, path):
    """All that match hand the request on, and so tell that they ran."""
    app = App()
    ran = []

    def teller(route):
        def tell(res, req):
            ran.append((*route, req.get_parameters()))
            req.set_yield(True)

        return tell

    for route in routes:
        getattr(app, route[0].lower())(route[1], teller(route))
    status = app.test_client().request(method, path).status
    match = app.match(method, path)
    assert [it[:2] for it in ran] == [
        (it.method, it.pattern) for it in match.routes[:-1]
    ]
    assert match.is_miss is (ran == [])
    if ran:
        decoded = [value.replace("%20", " ") for value in match.parameters.values()]
        assert ran[0][2][: len(decoded)] == decoded
        assert match.allowed == ()
    elif method != "OPTIONS":
        assert status == (405 if match.allowed else 404)


def test_a_match_tells_parameters_and_what_other_methods_there_are():
    app = App().get("/users/:id/:what", user, middlewares=[log]).put("/x", lambda *_: 0)
    match = app.match("get", "/users/5/a%20b c?query=1#fragment")
    assert (match.method, match.path) == ("GET", "/users/5/a%20b%20c")
    assert match.parameters == {"id": "5", "what": "a b c"}
    assert names(match.routes[0]) == ["log", "user"]
    assert app.match("GET", "/x").allowed == ("PUT",)
    assert app.match("GET", "/y").allowed == ()


# ---- the command line ----

SHOP = '''"""A program as most are: it serves when it is imported."""

import os
import sys

from socketify_mw import App

print("starting", *sys.argv[1:])


async def auth(res, req, data):
    return "Ann"


def user(res, req, data):
    res.end(data)


def make():
    print("a factory prints, too")
    os.write(1, b"and so does a child\\n")
    app = App()
    app.use(max)
    app.get("/users/:id", user, middlewares=[auth]).post("/users/:id", user)
    return app


async def later():
    return make()


app = make()
number = 5
app.listen(1, lambda config: sys.exit("it listens"))
app.run(grace=3)
'''

TABLE = """\
METHOD  PATTERN        #  RUNS         KIND   WHERE
GET     /users/:id     1  max          sync   no Python code
                       2  auth         async  shop.py:11
                       3  user         sync   shop.py:15
POST    /users/:id     1  max          sync   no Python code
                       2  user         sync   shop.py:15
-       no route left  1  max          sync   no Python code
                       2  answer_miss  sync   ...
"""


@pytest.fixture
def routes(tmp_path, command):
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "broken.py").write_text("import there_is_no_such_module")
    return functools.partial(command, "routes")


@pytest.fixture
def command(tmp_path):
    def run(*arguments, status=0, module="socketify_mw"):
        found = run_in(tmp_path, sys.executable, "-m", module, *arguments)
        assert found.returncode == status, found.stderr
        return found.stdout if status == 0 else found.stderr

    return run


def without_place(text):
    """Leave out where the package itself is."""
    lines = text.splitlines(keepends=True)
    return "".join(
        line.partition("/")[0] + "...\n" if "answer_miss" in line else line
        for line in lines
    )


@pytest.mark.parametrize("name", ["shop:app", "shop:make"])
def test_the_command_line_shows_a_table(routes, name):
    assert without_place(routes(name)) == TABLE


@pytest.mark.parametrize(
    ("method", "methods"), [("post", ["POST", "-"]), ("HEAD", ["GET", "-"])]
)
def test_the_table_may_be_of_one_method(routes, method, methods):
    _, *rows = routes("shop:app", "--method", method).splitlines()
    assert [row.split()[0] for row in rows if row[0] != " "] == methods


@pytest.mark.parametrize(
    ("arguments", "verdict", "rows"),
    [
        (["--path", "/users/5?x=1"], "GET /users/5: GET /users/:id, id = '5'", 5),
        (["--path", "/users/5", "--method", "put"], None, 2),
        (["--path", "/nope"], "GET /nope: no route", 2),
    ],
)
def test_the_command_line_tells_what_runs_for_a_path(routes, arguments, verdict, rows):
    first, blank, head, *rest = routes("shop:app", *arguments).splitlines()
    assert first == (
        verdict or "PUT /users/5: no route for this method, but for GET, POST, HEAD"
    )
    assert blank == "" and head.startswith("METHOD")
    assert len(rest) == rows


def test_the_command_line_writes_json_for_programs(routes):
    found = json.loads(routes("shop:app", "--json"))
    assert [it["method"] for it in found["routes"]] == ["GET", "POST", ""]
    auth = found["routes"][0]["members"][1]
    assert (auth["name"], auth["line"], auth["is_async"]) == ("auth", 11, True)
    found = json.loads(routes("shop:app", "--json", "--path", "/users/5"))
    assert found["parameters"] == {"id": "5"} and not found["is_miss"]
    found = json.loads(routes("shop:app", "--json", "--path", "/nope"))
    assert found["is_miss"] and found["allowed"] == []
    assert [it["name"] for it in found["routes"][0]["members"]] == [
        "max",
        "answer_miss",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("shop", "'shop' is not of the form module:app, such as shop:app"),
        (":app", "':app' is not of the form module:app, such as shop:app"),
        ("nope:app", "there is no module 'nope' here"),
        ("shop:nope", "shop has no nope"),
        ("shop:number", "shop:number is not an App, but 5"),
        ("no.such:app", "there is no module 'no' here"),
        ("shop.py:app", "there is no module 'shop.py' here"),
        ("./shop:app", "'./shop' is no name of a module, such as shop or a.shop"),
        (
            "shop:later",
            "shop:later is a coroutine function: make the app without await",
        ),
    ],
)
def test_what_is_no_app_is_told_in_one_line(routes, name, message):
    assert routes(name, status=2).splitlines()[-1] == message


def test_an_error_of_the_program_itself_is_shown_whole(routes):
    assert "there_is_no_such_module" in routes("broken:app", status=1)


KERNEL = """
from socketify_mw import App, Get, Middleware

class Throttle(Middleware):
    def before(self, request, response, minutes: int, requests: int):
        return request

class Kernel:
    http_middleware = [Middleware]
    route_middleware = {"throttle": Throttle}

class Feed:
    async def show(self, id):
        return id

routes = [Get("/feeds/@id", "Feed@show").middleware("throttle:WHAT,100")]
app = App().kernel(Kernel, routes=routes, controllers=__name__)
"""


def test_classes_are_listed_with_their_parameters(command, tmp_path):
    (tmp_path / "feeds.py").write_text(KERNEL.replace("WHAT", "2"))
    found = json.loads(command("routes", "feeds:app", "--json"))
    members = found["routes"][0]["members"]
    assert [(it["name"], it["is_async"]) for it in members] == [
        ("Middleware", False),
        ("Throttle:2,100", False),
        ("Feed.show", True),
    ]
    assert members[1]["line"] == 5


def test_what_is_wrong_with_a_kernel_ends_the_command_line_with_2(command, tmp_path):
    (tmp_path / "feeds.py").write_text(KERNEL.replace("WHAT", "two"))
    found = command("routes", "feeds:app", status=2)
    assert "cannot take its parameter: 'two' is no whole number" in found
    assert "feeds.py:16" in found and "Traceback" not in found


def test_a_middleware_is_written_with_a_test_that_passes(command, tmp_path):
    found = command("make:middleware", "RequestLog")
    paths = ["middlewares/request_log.py", "tests/test_request_log.py"]
    assert found.splitlines() == [f"wrote {path}" for path in paths]
    assert "1 passed" in command("-q", "-p", "no:cacheprovider", module="pytest")
    text = (tmp_path / paths[0]).read_text()
    assert "def before(self, request, response):" in text
    assert "def after(self, request, response):" in text
    (tmp_path / paths[0]).write_text("mine")
    assert "is there already" in command("make:middleware", "RequestLog", status=2)
    assert (tmp_path / paths[0]).read_text() == "mine"


@pytest.mark.parametrize("name", ["request_log", "Not a name", "", "1st"])
def test_a_middleware_needs_the_name_of_a_class(command, name):
    assert "is not the name of a class" in command("make:middleware", name, status=2)


def test_each_key_is_256_other_bits(command):
    first, second = (command("key").strip() for _ in range(2))
    assert first != second
    assert len(base64.urlsafe_b64decode(first + "=")) == 32


def test_who_reads_no_more_gets_no_traceback(tmp_path, command):
    (tmp_path / "shop.py").write_text(SHOP)
    line = f"{sys.executable} -m socketify_mw routes shop:app | true"
    found = run_in(tmp_path, "sh", "-c", line)
    assert "Traceback" not in found.stderr and "BrokenPipe" not in found.stderr


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        (b"GET", "/", TypeError),
        ("GET", None, TypeError),
        ("G T", "/", ValueError),
        ("", "/", ValueError),
        ("GET", "users", ValueError),
        ("GET", "", ValueError),
    ],
)
def test_what_is_no_method_or_path_is_refused(method, path, error):
    with pytest.raises(error):
        App().match(method, path)
