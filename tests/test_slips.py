"""Slips of people who come from other frameworks: told, and not swallowed."""

import asyncio
import contextlib
import functools

import pytest

from socketify_mw import (
    App,
    ConfigError,
    Get,
    Middleware,
    RouteError,
    RouteGroup,
    middleware,
)


def done(res, req, data=None):
    res.end("done")


# ---- at the start ----


async def lifespan_of_asgi():
    yield


def lifespan():
    yield


@pytest.mark.parametrize("hook", [lifespan, lifespan_of_asgi])
@pytest.mark.parametrize("name", ["on_start", "on_shutdown"])
def test_a_hook_that_is_a_generator_is_refused(name, hook):
    with pytest.raises(ConfigError, match=f"{name} .*{hook.__name__}.* `yield`"):
        getattr(App(), name)(hook)


@pytest.mark.parametrize("name", ["on_start", "on_shutdown"])
def test_a_hook_with_parameters_is_refused(name):
    with pytest.raises(ConfigError, match="without arguments"):
        getattr(App(), name)(lambda app: None)


def test_lifespan_is_a_switch():
    with pytest.raises(ConfigError, match="App.on_start"):
        App(lifespan=lifespan_of_asgi)


def test_an_app_has_no_name():
    with pytest.raises(ConfigError, match="no name: leave 'shop' out"):
        App("shop")


def test_an_error_handler_takes_three():
    with pytest.raises(ConfigError, match=r"called with \(error, res, req\)"):
        App().on_error(lambda error: None)


def test_a_port_of_text_is_told_what_to_do():
    with pytest.raises(ValueError, match=r"int\(\).*host="):
        App().listen("3000")


def by_word(res, req):
    yield "x"


async def by_word_later(res, req):
    yield "x"


@pytest.mark.parametrize("handler", [by_word, by_word_later])
def test_a_handler_that_is_a_generator_is_refused(handler):
    with pytest.raises(RouteError, match=r"GET /: .*has a `yield`.*res.write"):
        App().get("/", handler)


class Swapped(Middleware):
    def before(self, response, request):
        return request


@pytest.mark.parametrize(
    ("make", "right"),
    [
        (lambda app: app.get("/", lambda req, res: None), "res, req"),
        (lambda app: app.get("/", lambda request, response: None), "res, req"),
        (
            lambda app: app.get("/", middleware(lambda req, res, data: None, done)),
            "res, req",
        ),
        (lambda app: app.use(lambda request, response, data: None), "res, req"),
        (lambda app: app.use(Swapped), "request, response"),
    ],
)
def test_parameters_the_other_way_round_are_refused(make, right):
    with pytest.raises(RouteError, match=rf"called with \({right}\)"):
        make(App())


def test_a_type_is_written_as_ours():
    with pytest.raises(RouteError, match="':id:int' is written ':id<int>'"):
        App().get("/:id:int", done)


def test_a_type_of_a_kernel_s_routes_is_told(caplog):
    App().get("/@id:int", done)
    assert "a parameter is written ':id<int>' here" in caplog.text


def test_what_is_bound_is_a_class():
    with pytest.raises(ConfigError, match="'mail'.*by type"):
        App().bind("mail", object)


def test_a_template_engine_is_told_with_what_it_needs():
    with pytest.raises(ConfigError, match=r"render\(template, \*\*names\)"):
        App().template(object())


# ---- for a request ----


class Guard(Middleware):
    def before(self, request, response):
        response.redirect("/login")
        return request  # where `response` was meant


class LateGuard(Middleware):
    async def before(self, request, response):
        await asyncio.sleep(0)
        response.redirect("/login")
        return request


class Seeing(Middleware):
    def after(self, request, response):
        response.header("X-Seen", response.get_status())
        return request


@pytest.mark.parametrize("guard", [Guard, LateGuard])
@pytest.mark.parametrize("around", [[], [Seeing]])
def test_nobody_runs_behind_a_class_that_has_answered(guard, around, caplog):
    ran = []

    class Kernel:
        http_middleware = around
        route_middleware = {"auth": guard}

    route = Get("/", lambda: ran.append(1) or "secret").middleware("auth")
    answer = App().kernel(Kernel, [route]).test_client().get("/")
    assert answer.status == 302 and answer.text == "" and ran == []
    assert answer.all("x-seen") == ["302"] * len(around)
    assert caplog.text.count("Return the response to stop") == 1
    assert f": {guard.__name__} (" in caplog.text


@pytest.mark.parametrize("around", [[], [Seeing]])
@pytest.mark.parametrize("is_late", [False, True])
def test_classes_behind_an_answer_run_as_functions_there_do(around, is_late, caplog):
    ran = []

    class Counts(Middleware):
        def before(self, request, response):
            ran.append(request.get_url())
            return request

    class CountsLater(Counts):
        async def before(self, request, response):
            await asyncio.sleep(0)
            return super().before(request, response)

    def answers(res, req, data):
        return res.end("x")

    last = lambda res, req, data: ran.append("last")  # noqa: E731
    counts = CountsLater if is_late else Counts
    app = App().get("/", middleware(*around, answers, counts, counts, last))
    assert app.test_client().get("/").text == "x"
    app.loop.run_until_complete(asyncio.sleep(0.01))
    assert ran == ["/", "/", "last"] and caplog.text == ""


def test_a_second_answer_is_told_what_to_do_about_the_first(caplog):
    def guard(res, req, data):
        res.redirect("/login")
        return True

    App().get("/", middleware(guard, done)).test_client().get("/")
    assert "in front of others return nothing" in caplog.text


@pytest.mark.parametrize("returned", [True, 5, {1}, "the response"])
def test_an_after_that_does_not_return_the_request_is_told(returned, caplog):
    class Ends(Middleware):
        def after(self, request, response):
            return response if returned == "the response" else returned

    app = App().use(Seeing, Ends).get("/", done)
    assert app.test_client().get("/").header("x-seen") is None
    assert "Ends.after (" in caplog.text
    assert f"returned {returned}: no other" in caplog.text


def test_an_after_that_answers_anew_may_return_the_response(caplog):
    class Replaces(Middleware):
        def after(self, request, response):
            return response.end("replaced")

    app = App().use(Seeing, Replaces).get("/", done)
    assert app.test_client().get("/").text == "replaced" and caplog.text == ""


def test_a_coroutine_within_json_is_told(caplog):
    async def load():
        return 1

    def handler(res, req):
        found = load()
        with contextlib.closing(found):
            res.end({"a": found})

    App().get("/", handler).test_client().get("/")
    assert "something in the message is to be awaited first" in caplog.text


def test_a_cookie_comes_back_for_every_path_but_where_another_one_is_said():
    def handler(res, req):
        res.set_cookie("a", "1").set_cookie("b", "2", {"PATH": "/x"})
        res.set_cookie("c", "3", {"path": None}).end()

    answer = App().get("/deep/down", handler).test_client().get("/deep/down")
    assert answer.all("set-cookie") == ["a=1; Path=/", "b=2; Path=/x", "c=3"]


def test_redirects_of_masonite_programs():
    routes = [
        Get("/a", lambda response: response.redirect("/x", status=301)),
        Get("/b", lambda response: response.redirect(name="c", params={"id": 5})),
        Get("/c/@id", lambda id: id).name("c"),
    ]
    client = App().kernel(type("Kernel", (), {}), routes).test_client()
    assert (client.get("/a").status, client.get("/a").header("location")) == (301, "/x")
    assert client.get("/b").header("location") == "/c/5"


def test_a_group_has_a_domain():
    own = Get("/b", lambda: "own").domain("other.example.com")
    group = RouteGroup(Get("/a", lambda: "docs"), own, domain="Docs.example.com")
    client = App().kernel(type("Kernel", (), {}), group).test_client()
    asked = [("docs", "/a"), ("docs", "/b"), ("other", "/a"), ("other", "/b")]
    found = [
        client.get(path, headers={"Host": f"{host}.example.com"}).status
        for host, path in asked
    ]
    assert found == [200, 404, 404, 200]


def test_a_request_has_its_client_s_address(serve):
    async def later(res, req):
        await asyncio.sleep(0.001)
        res.end(req.ip())

    def setup(app):
        app.get("/", lambda res, req: res.end(req.ip())).get("/later", later)

    server = serve(setup)
    spoofed = ("X-Forwarded-For: 1.2.3.4", "Forwarded: for=1.2.3.4")
    for path in ("/", "/later"):
        assert server.ask(path, "GET", *spoofed).body == b"127.0.0.1"


# ---- hooks and tests ----


def test_a_test_client_runs_the_hooks_in_a_with_statement():
    app, ran = App(), []

    @app.on_start
    async def start():
        await asyncio.sleep(0)
        ran.append("start")

    app.on_shutdown(lambda: ran.append("end"))
    app.get("/", lambda res, req: res.end("+".join(ran)))
    assert app.test_client().get("/").text == ""
    with app.test_client() as client:
        assert client.get("/").text == "start"
        assert ran == ["start"]
    assert ran == ["start", "end"]


def test_what_a_start_hook_raises_is_raised_by_the_with_statement():
    app, ran = App(), []
    app.on_start(lambda: 1 / 0)
    app.on_shutdown(lambda: ran.append("end"))
    with pytest.raises(ZeroDivisionError), app.test_client():
        raise AssertionError
    assert ran == ["end"]


def test_what_fails_within_the_with_statement_does_not_keep_the_app_from_ending():
    app, ran = App(), []
    app.on_shutdown(lambda: ran.append("end"))
    with pytest.raises(KeyError), app.test_client():
        raise KeyError
    assert ran == ["end"]


def test_tasks_that_the_end_of_the_app_cuts_off_are_told(caplog):
    app = App()

    async def send_mail():
        await asyncio.sleep(60)

    @app.on_start
    async def start():
        app.run_async(send_mail())
        app.loop.call_soon(app.close)

    app.listen(0, host="127.0.0.1").run(grace=0)
    assert "1 tasks are cancelled, for the app ends: " in caplog.text
    assert "send_mail" in caplog.text


# ---- what is no slip ----


def test_a_decorator_may_run_a_generator():
    def streamed(function):
        @functools.wraps(function)
        def handler(res, req):
            for part in function(res, req):
                res.write(part)
            res.end()

        return handler

    @streamed
    def page(res, req):
        yield "a"
        yield "b"

    app = App().get("/", page)
    assert app.test_client().get("/").text == "ab"


def test_a_decorated_hook_may_run_a_generator():
    def run(function):
        @functools.wraps(function)
        def hook():
            log.extend(function())

        return hook

    @run
    def steps():
        yield "opened"

    log, app = [], App()
    app.on_start(steps)
    with app.test_client():
        assert log == ["opened"]


def test_who_has_answered_stops_a_chain_within_a_chain_too():
    class Guard(Middleware):
        def before(self, request, response):
            response.redirect("/login")
            return request

    class Timing(Middleware):
        def after(self, request, response):
            return request

    def secret(res, req, data):
        ran.append("secret")

    inner, ran = middleware(Guard, secret), []

    def gate(res, req, data):
        return inner(res, req, data)

    app = App().get("/", middleware(Timing, gate))
    assert app.test_client().get("/").status == 302
    assert ran == []


def test_an_after_that_answers_without_a_body_again_is_not_told(caplog):
    class Away(Middleware):
        def after(self, request, response):
            return response.redirect("/b")

    def handler(res, req, data):
        res.redirect("/a")

    app = App().get("/", middleware(Away, handler))
    assert app.test_client().get("/").status == 302
    assert "no other `after` runs" not in caplog.text
