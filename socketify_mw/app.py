"""App: routes, listeners, and running until stopped."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import Literal, Self

from ._binding import FORKED, METHODS, W_ALLOW
from .errors import NativeError, RouteError
from .limits import Limits
from .loop import Loop, thread_loop
from .request import Request
from .response import Response
from .route import PATTERN_RULES, Handler, Route

logger = logging.getLogger("socketify_mw")

# How long a turn may wait for the GIL while another thread computes. Python's own 5 ms
# would be the price of every turn then; at 0.5 ms the other thread loses about 1 %.
SWITCH_INTERVAL = 0.0005

# Seconds for clients to take their last answers when the app is stopped.
GRACE = 30.0

# Of a route: bytes, None for any number, or the app's own limit.
MaxBody = int | Literal["default"] | None

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class ListenConfig:
    """What `listen` tells its handler: where the app can be reached."""

    port: int  # 0 for a unix socket
    host: str | None
    path: str | None = None


class App:
    """A web application: routes to handlers, and the server that runs them.

    Handlers are called `handler(res, req)`. Apps of one thread share one loop.

    limits: what a client may take; see `Limits`.
    half_close: let a client end its side of the connection and still wait for an answer
        that takes longer than its handler's call. Else that counts as having gone.

    A route's `max_body` is the most bytes that a body may have (413 beyond); None for
    any number, "default" for the app's own limit.

    Example::

        app = App()
        app.get("/", lambda res, req: res.end("Hello, World!"))
        app.listen(3000, lambda config: print(f"http://localhost:{config.port}"))
        app.run()
    """

    def __init__(
        self, *, limits: Limits | None = None, half_close: bool = False
    ) -> None:
        self._loop = thread_loop()
        self._server = self._loop.new_server(limits or Limits(), half_close)
        self._methods: set[str] = set()  # that any route has
        self._is_closing = False
        self._is_listening = False
        self._grace = GRACE
        self._server.miss(self._loop.add_route(Route(self, "ANY", "*", _miss)))

    # ---- routes ----

    def get(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for GET, and for HEAD (whose body is not sent)."""
        return self._route("GET", path, handler, max_body)

    def post(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for POST."""
        return self._route("POST", path, handler, max_body)

    def options(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for OPTIONS."""
        return self._route("OPTIONS", path, handler, max_body)

    def delete(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for DELETE."""
        return self._route("DELETE", path, handler, max_body)

    def patch(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for PATCH."""
        return self._route("PATCH", path, handler, max_body)

    def put(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for PUT."""
        return self._route("PUT", path, handler, max_body)

    def head(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for HEAD, in place of the GET route's."""
        return self._route("HEAD", path, handler, max_body)

    def connect(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for CONNECT; the only pattern that matches is `/*`."""
        return self._route("CONNECT", path, handler, max_body)

    def trace(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for TRACE."""
        return self._route("TRACE", path, handler, max_body)

    def any(
        self, path: str, handler: Handler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` for every method that the path has no route of its own for."""
        return self._route("ANY", path, handler, max_body)

    def _route(
        self, method: str, path: str, handler: Handler, max_body: MaxBody
    ) -> Self:
        route = Route(self, method, path, handler)
        if max_body is not None and max_body != "default":
            _check_size(route, max_body)
        token = self._loop.add_route(route)
        try:
            self._server.route(method, route.pattern, token)
        except NativeError as error:
            raise RouteError(f"{route}: {error}. {PATTERN_RULES}") from None
        if max_body != "default":
            self._server.max_body(token, max_body)
        self._methods.add(method)
        return self

    # ---- serving ----

    def listen(
        self,
        port: int | None = None,
        handler: Callable[[ListenConfig], object] | None = None,
        *,
        host: str | None = None,
        path: str | os.PathLike[str] | bytes | None = None,
        mode: int | None = None,
        backlog: int = 0,
        reuse_port: bool = False,
    ) -> Self:
        """Listen at once, and call `handler` with the real port, or with the path.

        port: TCP; None or 0 for a free one.
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
        self._check_open()
        if port is not None and (type(port) is not int or not 0 <= port <= 65535):
            raise ValueError(f"a port is a number from 0 to 65535, not {port!r}")
        if handler is not None and not callable(handler):
            raise TypeError(f"the handler of listen, {handler!r}, is not callable")
        if path is None:
            if mode is not None:
                raise ValueError("mode is for a unix socket: give its path too")
            config = self._listen_at_port(host, port or 0, backlog, reuse_port)
        else:
            if port is not None or host is not None or reuse_port:
                raise ValueError(
                    "a unix socket has no port or host, and cannot be shared: give "
                    "path without port, host and reuse_port"
                )
            config = self._listen_at_path(path, mode, backlog)
        self._is_listening = True
        if handler is not None:
            handler(config)
        return self

    def _listen_at_port(
        self, host: str | None, port: int, backlog: int, reuse_port: bool
    ) -> ListenConfig:
        try:
            real = self._server.listen(host, port, backlog, reuse_port, None, 0)
        except OSError as error:
            where = f"port {port} of {host or 'every address'}"
            raise OSError(error.errno, f"{error.strerror} ({where})") from None
        return ListenConfig(real, host)

    def _listen_at_path(
        self, path: str | os.PathLike[str] | bytes, mode: int | None, backlog: int
    ) -> ListenConfig:
        name = os.fsencode(path)
        if not name or b"\0" in name:
            raise ValueError(f"a path has a byte at least, and no NUL, not {path!r}")
        if mode is not None and (type(mode) is not int or not 0 < mode <= 0o777):
            raise ValueError(f"a mode is a number from 0o001 to 0o777, not {mode!r}")
        text = os.fsdecode(name)
        try:
            self._server.listen(None, 0, backlog, False, name, mode or 0)
        except OSError as error:
            raise OSError(error.errno, error.strerror, text) from None
        return ListenConfig(0, None, text)

    def run(self, *, switch_interval: float | None = SWITCH_INTERVAL) -> None:
        """Serve until SIGINT, SIGTERM or `close()`, which close the app for good.

        switch_interval: seconds after which a computing thread must give up the GIL
            (`sys.setswitchinterval`, so it holds for the whole process); it is set
            while the app runs and restored after it. None, or a smaller interval in
            force, leaves it alone.

        An exception that is no `Exception` (KeyboardInterrupt, SystemExit) ends it too;
        then it may be called again, and goes on where it was.
        """
        self._check_open()
        loop = self._loop
        if loop.is_running() or asyncio._get_running_loop() is not None:
            raise RuntimeError(
                "an event loop is running in this thread already: call run() from "
                "plain code, not from a handler or a coroutine"
            )
        if not self._is_listening:
            logger.warning("the app runs without listening: call listen() before run()")
        with _signals(loop, self.close), _interval(switch_interval):
            try:
                loop.run_forever()
                if self._is_closing:
                    loop.run_until_complete(self._finish())
            finally:
                if not loop.is_closed():
                    loop.turns.finish()

    def close(self) -> None:
        """Stop listening, answer what is in flight, and end `run`; from any thread.

        A second call does not wait for slow clients any longer.
        """
        if self._loop.is_running() and asyncio._get_running_loop() is not self._loop:
            self._loop.call_soon_threadsafe(self.close)
        elif self._is_closing:
            self._grace = 0.0
        else:
            self._is_closing = True
            self._server.stop()
            self._loop.stop()

    def _check_open(self) -> None:
        if self._is_closing:
            raise RuntimeError("this app was closed: make a new App")
        if self._loop.turns.is_abandoned:
            raise RuntimeError(FORKED)

    async def _finish(self) -> None:
        """Wait until every connection was told the end, or the grace is over."""
        started = monotonic()
        while self._server.connections() and monotonic() - started < self._grace:
            await asyncio.sleep(0.01)


def _check_size(route: Route, max_body: object) -> None:
    if type(max_body) is not int or not 0 <= max_body < 2**63:
        raise RouteError(
            f"{route}: max_body is a number of bytes, None for any number, or "
            f'"default", not {max_body!r}'
        )


def _miss(res: Response, req: Request) -> None:
    """Answer a request that no route matches (RFC 9110 9.3.7, 15.5.5, 15.5.6)."""
    method = req.get_method()
    if method == "CONNECT":
        res.write_status(501).end("Not Implemented")
        return
    allowed = _allowed(req)
    if not allowed:
        res.write_status(404).end("Not Found")
        return
    res.write_header("Allow", ", ".join(allowed))
    if method == "OPTIONS":
        res.write_status(204).end()
    else:
        res.write_status(405).end("Method Not Allowed")


def _allowed(req: Request) -> list[str]:
    """Return the methods that routes for the request's path have."""
    if req.get_url() == "*":  # OPTIONS about the server as a whole
        known = req.app._methods
        found = [name for name in METHODS if name in known or "ANY" in known]
    else:
        allow = req._view.words[req._base + W_ALLOW]
        found = [name for i, name in enumerate(METHODS) if allow >> i & 1]
    if "GET" in found and "HEAD" not in found:
        found.append("HEAD")
    if found and "OPTIONS" not in found:
        found.append("OPTIONS")
    return found


@contextmanager
def _signals(loop: Loop, stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT and SIGTERM call `stop`; impossible, and left out, in a thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    for number in _SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            if not loop.is_closed():
                loop.remove_signal_handler(number)
            if handler is not None:  # None: it was not set by Python
                signal.signal(number, handler)


@contextmanager
def _interval(seconds: float | None) -> Iterator[None]:
    before = sys.getswitchinterval()
    if seconds is None or seconds >= before:
        yield
        return
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
