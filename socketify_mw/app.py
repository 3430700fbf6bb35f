"""App: routes, listeners, and running until stopped."""

import asyncio
import inspect
import logging
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context, copy_context
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ._binding import FORKED
from .chain import Member, flat
from .claim import Claim
from .errors import (
    ClientGone,
    ConfigError,
    NativeError,
    RouteError,
    SocketifyError,
)
from .extension import Extension
from .follow import leave_open
from .loop import Loop, thread_loop
from .miss import answer_miss
from .request import Request
from .response import Response
from .route import (
    PATTERN_RULES,
    Guard,
    Handler,
    MaxBody,
    Route,
    Wrapper,
    check_max_body,
)
from .services import Services
from .signals import handled_signals, shorter_interval
from .verbs import AnyHandler, Verbs

if TYPE_CHECKING:
    from .explain import Explanation
    from .limits import Limits
    from .listen import ListenConfig
    from .listing import RouteInfo, RouteMatch
    from .options import AppListenOptions, AppOptions
    from .router import Router
    from .testing import TestClient

# What few programs need, or not before they begin to serve, is imported where it is
# used: each module costs time at every start.

ErrorHandler = Callable[[BaseException, Response | None, Request | None], object]
Hook = Callable[[], object]

logger = logging.getLogger("socketify_mw")
access_logger = logging.getLogger("socketify_mw.access")

# How long a turn may wait for the GIL while another thread computes. Python's own 5 ms
# would be the price of every turn then; at 0.5 ms the other thread loses about 1 %.
SWITCH_INTERVAL = 0.0005

# Seconds for clients to take their last answers when the app is stopped.
GRACE = 30.0

# Seconds that tasks may take to end when they were cancelled.
CANCELLING = 5.0


class App(Verbs):
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
        if limits is None:
            from .limits import Limits

            limits = Limits()
        self._loop = thread_loop()
        self._server = self._loop.new_server(limits, half_close)
        self._lifespan = lifespan
        self._cancels_abandoned = cancel_abandoned
        self._is_closing = False
        self._is_listening = False
        self._is_serving = False
        self._hook: asyncio.Task[None] | None = None  # a start or shutdown hook's
        self._grace = GRACE
        self._methods: set[str] = set()  # that any route has
        self._routes: list[Route] = []
        self._tokens: list[int] = []  # of those that the server knows
        self._by_shape: dict[tuple[str, str], Route] = {}
        self._serializer: Any = None
        self._template: Any = None
        self._error_handler: ErrorHandler | None = None
        self._start_hooks: list[Hook] = []
        self._shutdown_hooks: list[Hook] = []
        self._tasks: set[asyncio.Task[Any]] = set()  # of run_async
        self._handlers: dict[int, asyncio.Task[Any]] = {}  # by exchange
        self._wrappers: list[Wrapper] = []
        self._used: list[Member] = []  # in front of every route
        self._bindings: dict[Any, Callable[[], Any]] = {}  # by type; see `bind`
        self._services = Services(self)
        self._next_after = -1  # of those to run, the last one; see `Kernel.after_order`
        self._patterns: dict[str, str] = {}  # of routes that have a name
        self._extensions = Extension(), Extension()
        self._explanation: Explanation | None = None  # of the test client's request
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
        guard: Guard | None = None,
    ) -> Self:
        if callable(middlewares) or isinstance(middlewares, str):
            raise RouteError(f"{method} {path}: middlewares is a list of functions")
        route = Route(self, method, path, handler, middlewares)
        route.guard = guard
        if max_body is not None and max_body != "default":
            check_max_body(route, max_body)
        twin = self._by_shape.setdefault(route.shape, route)
        if twin is not route and all(it.guard for it in (twin, *twin.others)):
            twin.others.append(route)
        else:
            self._add(route, max_body)
        self._methods.add(method)
        self._routes.append(route)
        self._compose(route)
        return self

    def _add(self, route: Route, max_body: MaxBody) -> None:
        """Let the server match a route."""
        token = self._token_of(route)
        try:
            self._server.route(route.method, route.pattern, token)
        except NativeError as error:
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
        self._bindings[kind] = _called(factory, "bind")
        return self

    def url(self, name: str, **parameters: object) -> str:
        """Return the URL of the route that has a name; see `Route.name`."""
        from .kernel import url_of

        return url_of(name, self._patterns, parameters)

    def not_found(self, handler: Handler) -> Handler:
        """Call `handler` for requests that no route matches; a decorator."""
        self._miss_route.set_handler(handler)
        self._compose(self._miss_route)
        return handler

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
            raise ConfigError(f"the template engine {engine!r} has no render()")
        self._template = engine

    def _render(self, arguments: tuple[Any, ...], names: dict[str, Any]) -> str | bytes:
        if self._template is None:
            raise RuntimeError("the app has no template engine: see App.template")
        html: str | bytes = self._template.render(*arguments, **names)
        return html

    def register(self, extension: Callable[..., object]) -> None:
        """Let `extension(request, response, ws)` add methods and properties.

        Each of the three has `.method` (a decorator) and `.property(name, default)`.
        What is added to `ws` is for websockets, which there are none of yet.
        """
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

    # ---- errors ----

    def on_error(self, handler: ErrorHandler) -> ErrorHandler:
        """Call `handler(error, res, req)` when a handler raises; a decorator.

        It may answer; else the answer is 500. `req` is None for an error outside of
        any request.
        """
        self._error_handler = _called(handler, "on_error")
        return handler

    def set_error_handler(self, handler: ErrorHandler | None) -> None:
        """Set the handler of `on_error`, or take it away."""
        self._error_handler = handler and _called(handler, "set_error_handler")

    def _fail(
        self,
        error: BaseException,
        response: Response | None,
        request: Request | None,
        by: Claim | None = None,
    ) -> None:
        """Let the error handler answer, or answer 500.

        by: whose handler or task it was, if it was one.
        """
        where: object = self if response is None else response._route
        has_ended = response is not None and response.has_responded()
        is_left = has_ended or (response is not None and response.aborted)
        if is_left and isinstance(error, ClientGone):
            logger.debug("the client of %s left: %s", where, error)
            return
        if has_ended:
            logger.error("%s raised after it had answered", where, exc_info=error)
            return
        claim = response._find_claim() if response is not None else None
        if response is not None and claim is not None and claim.is_of_error_handler:
            # Not to that handler again: it might raise for ever.
            logger.error("%s raised behind an error", where, exc_info=error)
            if claim is by:
                response._unclaim()
                response._fail(_status_of(error))
            return
        if response is not None:
            response._unclaim()  # what it was waiting for does not count any more
        if self._error_handler is None:
            if _status_of(error) < 500:
                logger.info("%s: %s", where, error)
            else:
                logger.error("%s raised", where, exc_info=error)
        else:
            try:
                result = copy_context().run(
                    self._error_handler, error, response, request
                )
            except Exception as second:
                logger.error("%s: its error handler raised", where, exc_info=second)
            else:
                if inspect.iscoroutine(result):
                    self._await_error_handler(result, response, request)
        if response is None:
            return
        claim = response._find_claim()
        if claim is not None:
            claim.is_of_error_handler = True
        if response._is_left():
            response._fail(_status_of(error))
        elif request is not None and claim is not None:
            leave_open(response, request)

    def _await_error_handler(
        self,
        coroutine: Coroutine[Any, Any, Any],
        response: Response | None,
        request: Request | None,
    ) -> None:
        """Let an error handler that waits answer; whatever it does not is 500."""

        def finished(done: "asyncio.Task[Any]") -> None:
            self._tasks.discard(done)
            error = None if done.cancelled() else done.exception()
            if error is not None:
                logger.error("an error handler raised", exc_info=error)
            if response is not None and not response.has_responded():
                response._fail()

        if request is not None:
            request.preserve()  # there may be no claim that would keep it
        if response is not None and not response.has_responded():
            response._claim(is_kept=True)
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(finished)

    def run_async(
        self,
        coroutine: Coroutine[Any, Any, Any],
        response: Response | None = None,
        *,
        context: Context | None = None,
    ) -> "asyncio.Task[Any]":
        """Start a coroutine. What it raises goes to the error handler.

        response: keep it open; the coroutine may answer.
        context: to run in; None for a copy of the current one.
        """
        claim = None
        if response is not None and not response._is_committed():
            claim = response._claim()
        task = self._loop.create_task(coroutine, context=context)
        if claim is not None:
            claim.running += 1
        self._tasks.add(task)  # or it might be collected before its end
        task.add_done_callback(lambda done: self._finished(done, response, claim))
        return task

    def _finished(
        self,
        task: "asyncio.Task[Any]",
        response: Response | None,
        claim: Claim | None,
    ) -> None:
        self._tasks.discard(task)
        if claim is not None:
            claim.running -= 1
            if claim.task is task:
                claim.task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            request = claim.request if claim is not None else None
            self._fail(error, response, request, claim)
        elif claim is None or response is None or not claim.has_returned:
            return
        elif response._is_left():
            response._tell_unanswered(claim.request)

    # ---- start and end ----

    def on_start(self, hook: Hook) -> Hook:
        """Call `hook()` when `run` begins, before any request; a decorator.

        It may be a coroutine function. Several run one after another. Clients that
        connect meanwhile wait, a hook that asks its own app too, for ever.
        """
        self._start_hooks.append(_called(hook, "on_start"))
        return hook

    def on_shutdown(self, hook: Hook) -> Hook:
        """Call `hook()` when `run` ends, whatever ended it; a decorator.

        It may be a coroutine function. Several run one after another; what one raises
        is logged, and the next one runs.
        """
        self._shutdown_hooks.append(_called(hook, "on_shutdown"))
        return hook

    def _run_start_hooks(self) -> None:
        if not self._lifespan or not self._start_hooks:
            return
        self._server.hold(True)  # clients connect, and wait
        try:
            for hook in self._start_hooks:
                try:
                    self._run_hook(hook)
                except asyncio.CancelledError:
                    if not self._is_closing:
                        raise
                if self._is_closing:
                    return
        finally:
            self._server.hold(False)

    def _run_shutdown_hooks(self) -> None:
        hooks = [*self._shutdown_hooks] if self._lifespan else []
        if self._services.has_stores:
            hooks.append(self._services.close)
        for hook in hooks:
            try:
                self._run_hook(hook)
            except (Exception, asyncio.CancelledError):
                logger.exception("a shutdown hook, %r, raised", hook)

    def _run_hook(self, hook: Hook) -> None:
        result = hook()
        if not inspect.isawaitable(result):
            return
        self._hook = self._loop.create_task(_wait(result))
        try:
            self._loop.run_until_complete(self._hook)
        finally:
            self._hook = None

    # ---- serving ----

    def listen(
        self,
        port_or_options: "int | Mapping[str, Any] | AppListenOptions | None" = None,
        handler: "Callable[[ListenConfig], object] | None" = None,
        *,
        host: str | None = None,
        path: str | os.PathLike[str] | bytes | None = None,
        mode: int | None = None,
        backlog: int = 0,
        reuse_port: bool = False,
    ) -> Self:
        """Listen at once, and call `handler` with the real port, or with the path.

        port_or_options: a TCP port, None or 0 for a free one; or the arguments
            themselves, as a dict of port, host, options and domain, or as
            AppListenOptions.
        host: None for every address, IPv6 and IPv4.
        path: of a unix socket, in place of port and host; on Linux at most 107 bytes.
        mode: permissions of the unix socket, such as 0o660, which hold before anybody
            can connect; None leaves them to the umask.
        backlog: connections that may wait to be accepted; 0 for the default.
        reuse_port: let several processes share the port (SO_REUSEPORT).

        A unix socket that a dead process left is replaced. Closing the app removes the
        file, unless another has taken its place. An app may listen more than once.

        Raises OSError when the address cannot be had, such as FileExistsError for a
        path of something that is no socket.
        """
        from .listen import listen_at_path, listen_at_port
        from .options import AppListenOptions, options_of

        self._check_open()
        if isinstance(port_or_options, Mapping):
            port_or_options = options_of(port_or_options)
        if isinstance(port_or_options, AppListenOptions):
            if host is not None or path is not None:
                raise ValueError("give host and path in the options, or as arguments")
            options = port_or_options
            path, host = options.domain, options.host
            port = None if path is not None else options.port
        else:
            port = port_or_options
        if port is not None and (type(port) is not int or not 0 <= port <= 65535):
            raise ValueError(f"a port is a number from 0 to 65535, not {port!r}")
        if handler is not None and not callable(handler):
            raise TypeError(f"the handler of listen, {handler!r}, is not callable")
        if path is None:
            if mode is not None:
                raise ValueError("mode is for a unix socket: give its path too")
            config = listen_at_port(self._server, host, port or 0, backlog, reuse_port)
        else:
            if port is not None or host is not None or reuse_port:
                raise ValueError(
                    "a unix socket has no port or host, and cannot be shared: give "
                    "path without port, host and reuse_port"
                )
            config = listen_at_path(self._server, path, mode, backlog)
        self._is_listening = True
        if handler is not None:
            handler(config)
        return self

    def run(
        self,
        *,
        switch_interval: float | None = SWITCH_INTERVAL,
        grace: float = GRACE,
    ) -> None:
        """Serve until SIGINT, SIGTERM or `close()`, which close the app for good.

        What is in flight is answered then; a second signal ends at once. If a handler
        keeps the loop from acting on the first one, it raises KeyboardInterrupt there.

        switch_interval: seconds after which a computing thread must give up the GIL
            (`sys.setswitchinterval`, so it holds for the whole process); it is set
            while the app runs and restored after it. None, or a smaller interval in
            force, leaves it alone.

        An exception that is no `Exception` (KeyboardInterrupt, SystemExit) ends it too;
        then it may be called again, and goes on where it was.
        """
        self._check_open()
        self._grace = grace
        loop = self._loop
        if loop.is_running() or asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "an event loop is running in this thread already: call run() from "
                "plain code, not from a handler or a coroutine"
            )
        if not self._is_listening:
            logger.warning("the app runs without listening: call listen() before run()")
        with handled_signals(loop, self.close), shorter_interval(switch_interval):
            try:
                self._run_start_hooks()
                self._serve()
                if self._is_closing:
                    loop.run_until_complete(self._finish())
            finally:
                if not loop.is_closed():
                    loop.turns.finish()
                    self._run_shutdown_hooks()
                    if self._is_closing:
                        self._release()

    def _serve(self) -> None:
        if self._is_closing:  # by a start hook, or while it ran
            return
        self._is_serving = True
        try:
            self._loop.run_forever()
        finally:
            self._is_serving = False

    @property
    def loop(self) -> Loop:
        """The event loop that the apps of this thread share."""
        return self._loop

    def dispose(self) -> None:
        """Close the app, without waiting for clients."""
        self.close()
        self._grace = 0.0

    def close(self) -> Self:
        """Stop listening, answer what is in flight, and end `run`; from any thread.

        A second call does not wait any longer, for slow clients or for hooks.
        """
        if self._loop.is_running() and asyncio._get_running_loop() is not self._loop:
            self._loop.call_soon_threadsafe(self.close)
        elif self._is_closing:
            self._grace = 0.0
            if self._hook is not None:
                self._hook.cancel()
        else:
            self._is_closing = True
            self._server.stop()
            if self._is_serving:
                self._loop.stop()
            elif not self._loop.is_running():
                self._release()
        return self

    def test_client(self, *, explain: bool = False) -> "TestClient":
        """Return a client that sends requests in this process, without a port.

        For tests: it runs the app's loop for the time of each request.
        explain: note what runs for each, for `TestResponse.explain`.
        """
        from .testing import TestClient

        self._check_open()
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

        self._wrap(logged_by(_called(log, "access_log")))

    def _release(self) -> None:
        """Let the loop, which lives on, forget an app that nobody is connected to."""
        if not self._loop.is_closed() and not self._server.connections():
            self._loop.forget(self._tokens)

    def _check_open(self) -> None:
        if self._is_closing:
            raise RuntimeError("this app was closed: make a new App")
        if self._loop.turns.is_abandoned:
            raise RuntimeError(FORKED)

    async def _finish(self) -> None:
        """Wait until every connection was told the end, or the grace is over; cancel
        what still runs then.
        """
        started = monotonic()
        while self._server.connections() and monotonic() - started < self._grace:
            await asyncio.sleep(0.01)
        tasks = [*self._tasks, *self._handlers.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCELLING)


def _status_of(error: BaseException) -> int:
    """Return the status that an error is answered with."""
    return error.status if isinstance(error, SocketifyError) else 500


_C = TypeVar("_C", bound=Callable[..., object])


def _called(function: _C, name: str) -> _C:
    if not callable(function):
        raise TypeError(f"{name} was given {function!r}, which is not callable")
    return function


async def _wait(awaitable: Any) -> None:
    await awaitable
