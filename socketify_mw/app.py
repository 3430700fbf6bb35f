"""App: routes, and what handlers find. How it runs stands in `lifecycle`."""

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from .chain import Chain, Member, flat
from .errors import (
    ConfigError,
    NativeError,
    RouteError,
)
from .extension import Extension
from .functions import called, name_of, place_of, takes
from .lifecycle import Lifecycle
from .loop import thread_loop
from .miss import answer_miss
from .request import Request
from .response import Response
from .route import (
    PATTERN_RULES,
    Handler,
    MaxBody,
    Route,
    Wrapper,
    check_max_body,
)
from .services import Services
from .verbs import AnyHandler, Verbs

if TYPE_CHECKING:
    from .explain import Explanation
    from .limits import Limits
    from .listing import RouteInfo, RouteMatch
    from .options import AppOptions
    from .router import Router
    from .testing import TestClient

# What few programs need, or not before they begin to serve, is imported where it is
# used: each module costs time at every start.

logger = logging.getLogger("socketify_mw")
access_logger = logging.getLogger("socketify_mw.access")


class _NotYet:
    """What socketify's App has, and this one has not: an error that says so.

    Not by `__getattr__`, which would make all that an app has slower.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        raise AttributeError(f"App.{self._name} is not there yet: {self._why}")


class _NotYets:
    ws = _NotYet("there are no websockets")
    publish = _NotYet("there are no websockets")
    num_subscribers = _NotYet("there are no websockets")
    static = _NotYet("let a proxy, such as nginx, serve files")
    add_server_name = _NotYet("a proxy in front does TLS")
    remove_server_name = _NotYet("a proxy in front does TLS")
    missing_server_name = _NotYet("a proxy in front does TLS")
    trigger_error = _NotYet("raise it")


class App(Lifecycle, Verbs, _NotYets):
    """A web application: routes to handlers, and the server that runs them.

    Handlers are called `handler(res, req)`. Apps of one thread share one loop.

    limits: what a client may take; see `Limits`.
    half_close: let a client end its side of the connection and still wait for an answer
        that takes longer than its handler's call. Else that counts as having gone.
    cancel_abandoned: cancel a coroutine handler whose client has gone. Else it runs to
        its end, and what it says is ignored.

    A route's `max_body` is the most bytes that a body may have (413 beyond); None for
    any number, "default" for the app's own limit.

    Example::

        app = App()
        app.get("/", lambda res, req: res.end("Hello, World!"))
        app.listen(3000, lambda config: print(f"http://localhost:{config.port}"))
        app.run()
    """

    def __init__(
        self,
        options: "AppOptions | None" = None,
        request_response_factory_max_items: int = 0,
        websocket_factory_max_items: int = 0,
        task_factory_max_items: int = 100_000,
        lifespan: bool = True,
        idle_relaxation_time: float = 0.01,
        *,
        limits: "Limits | None" = None,
        half_close: bool = False,
        cancel_abandoned: bool = False,
    ) -> None:
        if isinstance(options, str):
            raise ConfigError(f"an App has no name: leave {options!r} out")
        if options is not None:
            raise ConfigError(
                "encryption is not supported yet: leave `options` out, and put a proxy "
                "that speaks TLS in front of the app"
            )
        tuning = (
            request_response_factory_max_items,
            websocket_factory_max_items,
            task_factory_max_items,
            idle_relaxation_time,
        )
        if tuning != (0, 0, 100_000, 0.01):
            logger.debug("the App's tuning arguments have no effect: none is needed")
        if not isinstance(lifespan, bool):
            raise ConfigError(
                "lifespan is True or False: functions are given by App.on_start and "
                "App.on_shutdown"
            )
        super().__init__(lifespan=lifespan)
        from .limits import Limits

        if limits is None:
            limits = Limits()
        elif not isinstance(limits, Limits):
            raise ConfigError(f"limits are Limits(...), not {limits!r}")
        self._loop = thread_loop()
        self._server = self._loop.new_server(limits, half_close)
        self._cancels_abandoned = cancel_abandoned
        self._max_inputs = limits.max_inputs
        self._methods: set[str] = set()  # that any route has
        self._routes: list[Route] = []
        self._tokens: list[int] = []  # of those that the server knows
        self._by_shape: dict[tuple[str, str], Route] = {}
        self._serializer: Any = None
        self._template: Any = None
        self._wrappers: list[Wrapper] = []
        self._used: list[Member] = []  # in front of every route
        self._bindings: dict[Any, Callable[[], Any]] = {}  # by type; see `bind`
        self._services = Services(self)
        self._next_after = -1  # of those to run, the last one; see `Kernel.after_order`
        self._patterns: dict[str, str] = {}  # of routes that have a name
        self._extensions = Extension(), Extension()
        self._explanation: Explanation | None = None  # of the test client's request
        self._has_not_found = False  # a handler of the program's own
        self._miss_route = Route(self, "ANY", "*", answer_miss)
        self._compose(self._miss_route)
        self._routes.append(self._miss_route)
        self._server.miss(self._token_of(self._miss_route))

    # ---- routes ----

    def _route(
        self,
        method: str,
        path: str,
        handler: AnyHandler,
        middlewares: Sequence[Member],
        max_body: MaxBody,
    ) -> Self:
        if callable(middlewares) or isinstance(middlewares, str):
            raise RouteError(f"{method} {path}: middlewares is a list of functions")
        route = Route(self, method, path, handler, middlewares)
        if max_body is not None and max_body != "default":
            check_max_body(route, max_body)
        self._register(route, max_body)
        return self

    def _register(self, route: Route, max_body: MaxBody) -> None:
        twins = self._twins(route)
        route.check_twins(twins)
        if twins:
            twins[0].others.append(route)
        else:
            self._by_shape[route.shape] = route
            self._add(route, max_body)
        self._methods.add(route.method)
        self._routes.append(route)
        self._compose(route)

    def _twins(self, route: Route) -> list[Route]:
        """Return the routes that the server cannot tell from this one."""
        first = self._by_shape.get(route.shape)
        return [] if first is None else [first, *first.others]

    def _add(self, route: Route, max_body: MaxBody) -> None:
        """Let the server match a route."""
        token = self._token_of(route)
        try:
            self._server.route(route.method, route.pattern, token)
        except NativeError as error:
            del self._by_shape[route.shape]
            raise RouteError(f"{route}: {error}. {PATTERN_RULES}") from None
        if max_body != "default":
            self._server.max_body(token, max_body)

    def _token_of(self, route: Route) -> int:
        token = self._loop.add_route(route)
        self._tokens.append(token)
        return token

    def router(self, prefix: str = "", *middlewares: Member) -> "Router":
        """Return decorators for routes whose paths begin with `prefix`, and whose
        handlers run behind `middlewares`.
        """
        from .router import Router

        return Router(self, prefix, middlewares)

    def use(self, *functions: Member) -> Self:
        """Run functions in front of every route's own, and of 404 and 405, too.

        It does not matter whether the routes are there already. A handler that takes
        (res, req) alone may stand behind them.
        """
        self._used += flat(functions, "use()")
        self._compose_all()
        return self

    def kernel(
        self,
        kernel: Any,
        routes: Any = (),
        controllers: Any = None,
        *,
        group: str = "web",
    ) -> Self:
        """Take a kernel's middleware classes, and routes that call controllers.

        kernel: a class with `http_middleware`, a list that runs for every request,
            and `route_middleware`, a dict of the names that routes use; or where it
            is, as "Kernel:Kernel".
        routes: a list of `Route`s, or the name of a module that has one as `routes`.
        controllers: where classes such as "FeedController" are: a module, its name,
            a class, or a list of those.
        group: what runs in front of each of these routes' own, if the kernel has it.

        Raises RouteError that tells all that is wrong with any of them.
        """
        from .kernel import install

        install(self, kernel, routes, controllers, group)
        return self

    def bind(self, kind: Any, factory: Callable[[], Any]) -> Self:
        """Give `factory()` to controllers for parameters annotated with `kind`."""
        if isinstance(kind, str):
            raise ConfigError(f"bind takes a class, not {kind!r}: it is found by type")
        self._bindings[kind] = called(factory, "bind")
        return self

    def url(self, name: str, **parameters: object) -> str:
        """Return the URL of the route that has a name; see `Route.name`."""
        from .kernel import url_of

        return url_of(name, self._patterns, parameters)

    def not_found(self, handler: Handler) -> Handler:
        """Call `handler` for requests that no route matches; a decorator."""
        self._miss_route.set_handler(handler)
        self._has_not_found = True
        self._compose(self._miss_route)
        return handler

    def _answer_not_found(self, res: Response, req: Request) -> Any:
        """Answer 404 for a URL that its route has turned out not to be for.

        Returns something to await, if the handler of `not_found` is a coroutine.
        """
        if self._has_not_found:
            return Chain(self._miss_route.members)(res, req)
        res.write_status(404).end("Not Found")
        return None

    def routes(self) -> "list[RouteInfo]":
        """Return each route with all that runs for it, in order of registration.

        The last one, whose method is "", answers what no route matches.
        """
        from .listing import info_of

        miss, *others = self._routes
        return [info_of(route) for route in (*others, miss)]

    def match(self, method: str, path: str) -> "RouteMatch":
        """Return what runs for a method and a path, also if no route matches."""
        from .listing import find

        return find(
            self._server, self._loop.turns.routes, self._miss_route, method, path
        )

    def _compose(self, route: Route) -> None:
        route.compose(self._used, self._wrappers)

    def _compose_all(self) -> None:
        for route in self._routes:
            self._compose(route)

    def _wrap(self, wrapper: Wrapper) -> None:
        """Have a wrapper around all routes, those to come and that for 404, too."""
        self._wrappers.append(wrapper)
        self._compose_all()

    # ---- what handlers find ----

    def json_serializer(self, module: Any) -> None:
        """Let `module.dumps` (to text or bytes) and `module.loads` replace json's."""
        for name in ("dumps", "loads"):
            if not callable(getattr(module, name, None)):
                raise ConfigError(f"the serializer {module!r} has no {name}()")
        self._serializer = module

    @property
    def _json(self) -> Any:
        if self._serializer is None:
            import json

            self._serializer = json
        return self._serializer

    def template(self, engine: Any) -> None:
        """Let `engine.render(...)` make the HTML for `res.render(...)`."""
        if not callable(getattr(engine, "render", None)):
            raise ConfigError(
                f"the template engine {engine!r} has no render(template, **names)"
            )
        self._template = engine

    def _render(self, arguments: tuple[Any, ...], names: dict[str, Any]) -> str | bytes:
        if self._template is None:
            raise RuntimeError(
                "the app has no template engine: give App.template an object with "
                "render(template, **names)"
            )
        html: str | bytes = self._template.render(*arguments, **names)
        return html

    def register(self, extension: Callable[..., object]) -> None:
        """Let `extension(request, response, ws)` add methods and properties.

        Each of the three has `.method` (a decorator) and `.property(name, default)`.
        What is added to `ws` is for websockets, which there are none of yet.
        """
        if not takes(extension, 3):
            raise ConfigError(
                f"{name_of(extension)} ({place_of(extension)}) cannot be called with "
                "(request, response, ws), as an extension is"
            )
        request, response = (Extension(it.members) for it in self._extensions)
        extension(request, response, Extension())
        self._request_class = request.apply(Request)
        self._response_class = response.apply(Response)
        is_first = self._extended not in self._wrappers
        self._extensions = request, response
        if is_first:
            self._wrap(self._extended)

    def _extended(self, handler: Handler) -> Handler:
        def extended(res: Response, req: Request) -> object:
            res.__class__ = self._response_class
            req.__class__ = self._request_class
            return handler(res, req)

        return extended

    def test_client(self, *, explain: bool = False) -> "TestClient":
        """Return a client that sends requests in this process, without a port.

        For tests: it runs the app's loop for the time of each request.
        explain: note what runs for each, for `TestResponse.explain`.
        """
        from .testing import TestClient

        self._check_open()
        self._services.check_places()
        return TestClient(self, explain)

    def _explain(self, explanation: "Explanation | None") -> None:
        """Note what runs for requests, or do not any more."""
        self._explanation = explanation
        self._compose_all()

    def access_log(self, log: Callable[[str], object] = access_logger.info) -> None:
        """Call `log(line)` for each answer, 404 and 500 too; else log it as INFO.

        A line is: address, method, URL, status, bytes of the body ("-": a stream or
        sent in parts), milliseconds.
        """
        from .access_log import logged_by

        self._wrap(logged_by(called(log, "access_log")))
