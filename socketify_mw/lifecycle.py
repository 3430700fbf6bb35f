"""Lifecycle: listening, running until stopped, and what runs before and behind."""

import asyncio
import inspect
import logging
import os
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from ._binding import FORKED, NativeServer
from .errors import ConfigError
from .functions import awaited, called, has_yield, name_of, place_of, takes
from .loop import Loop
from .services import Services
from .signals import handled_signals, shorter_interval
from .tasks import Tasks

if TYPE_CHECKING:
    from .listen import ListenConfig
    from .options import AppListenOptions

Hook = Callable[[], object]

logger = logging.getLogger("socketify_mw")

# How long a turn may wait for the GIL while another thread computes. Python's own 5 ms
# would be the price of every turn then; at 0.5 ms the other thread loses about 1 %.
SWITCH_INTERVAL = 0.0005

# Seconds for clients to take their last answers when the app is stopped.
GRACE = 30.0

# Seconds that tasks may take to end when they were cancelled.
CANCELLING = 5.0


class Lifecycle(Tasks):
    """The part of an `App` that begins, serves, and ends."""

    _server: NativeServer
    _services: Services
    _tokens: list[int]

    def __init__(self, *, lifespan: bool) -> None:
        super().__init__()
        self._lifespan = lifespan
        self._is_closing = False
        self._is_listening = False
        self._is_serving = False
        self._hook: asyncio.Task[None] | None = None  # a start or shutdown hook's
        self._grace = GRACE
        self._start_hooks: list[Hook] = []
        self._shutdown_hooks: list[Hook] = []

    # ---- start and end ----

    def on_start(self, hook: Hook) -> Hook:
        """Call `hook()` when `run` begins, before any request; a decorator.

        It may be a coroutine function. Several run one after another. Clients that
        connect meanwhile wait, a hook that asks its own app too, for ever.
        """
        self._start_hooks.append(_checked(hook, "on_start"))
        return hook

    def on_shutdown(self, hook: Hook) -> Hook:
        """Call `hook()` when `run` ends, whatever ended it; a decorator.

        It may be a coroutine function. Several run one after another; what one raises
        is logged, and the next one runs.
        """
        self._shutdown_hooks.append(_checked(hook, "on_shutdown"))
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
        self._hook = self._loop.create_task(awaited(result))
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
        path of something that is no socket; RouteError for a class in a chain that
        lacks another one in front of it.
        """
        from .listen import listen_at_path, listen_at_port
        from .options import AppListenOptions, options_of

        self._check_open()
        self._services.check_places()
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
            raise ValueError(
                f"a port is a number from 0 to 65535, not {port!r} (of text, int() "
                "makes one; an address is given as host=...)"
            )
        if handler is not None and not callable(handler):
            raise TypeError(
                f"the handler of listen, {handler!r}, is not callable (an address is "
                "given as host=...)"
            )
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
        if self._tasks:
            names = sorted(
                {getattr(it.get_coro(), "__qualname__", "?") for it in tasks}
            )
            logger.warning(
                "%d tasks are cancelled, for the app ends: %s",
                len(tasks),
                ", ".join(names[:5]),
            )
        if tasks:
            await asyncio.wait(tasks, timeout=CANCELLING)


def _checked(hook: Hook, name: str) -> Hook:
    """Refuse a generator: it would not run, and nobody would notice."""
    if has_yield(called(hook, name)):
        raise ConfigError(
            f"{name} was given {name_of(hook)} ({place_of(hook)}), which has a "
            "`yield`: what stands behind it belongs into on_shutdown"
        )
    if not takes(hook, 0):
        raise ConfigError(
            f"{name} was given {name_of(hook)} ({place_of(hook)}), which cannot be "
            "called without arguments"
        )
    return hook
