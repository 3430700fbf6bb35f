"""Loop: asyncio on the native loop; one a thread."""

import asyncio
import atexit
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

from ._binding import NativeServer
from .turns import TurnSelector

if TYPE_CHECKING:
    from .eager import Carrier
    from .limits import Limits
    from .route import Route

_loops: "weakref.WeakSet[Loop]" = weakref.WeakSet()


def _abandon_all() -> None:
    here = threading.get_ident()
    for loop in _loops:
        loop.turns.abandon(is_ours=loop._thread == here)


os.register_at_fork(after_in_child=_abandon_all)


class _Handle(asyncio.Handle):
    """A handle that does not ask whether its loop is in debug mode."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        arguments: tuple[Any, ...],
        loop: "Loop",
        context: Context | None,
    ) -> None:
        self._callback = callback
        self._args = arguments
        self._loop = loop
        self._context = context if context is not None else copy_context()
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class Loop(asyncio.SelectorEventLoop):
    """An asyncio event loop whose selector is the native loop's turn."""

    parking: "Carrier | None" = None  # its next step is kept, and does not run

    def __init__(self) -> None:
        self.turns = TurnSelector()
        super().__init__(self.turns)
        self.turns.attach(self)
        self._thread = threading.get_ident()
        _loops.add(self)

    def call_soon(  # type: ignore[override]
        self,
        callback: Callable[..., object],
        *arguments: Any,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call `callback(*arguments)` in the loop's next round.

        It does what asyncio's does, in half the time.
        """
        carrier = self.parking
        if carrier is not None and self.turns.starter.park(carrier, callback):
            return carrier._smw_state  # type: ignore[return-value]
        if self._closed or self._debug:  # type: ignore[attr-defined]
            return super().call_soon(callback, *arguments, context=context)
        handle = _Handle(callback, arguments, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def run_forever(self) -> None:
        """Run until `stop` is called. Handlers see the contextvars that are set now."""
        if not self.is_running():
            self.turns.renew()
        super().run_forever()

    # ---- what socketify's loop has ----

    def set_timeout(
        self, timeout: float, callback: Callable[..., object], *arguments: Any
    ) -> asyncio.TimerHandle:
        """Call `callback(*arguments)` in `timeout` milliseconds."""
        return self.call_later(timeout / 1000, callback, *arguments)

    def ensure_future(self, awaitable: Any) -> "asyncio.Future[Any]":
        """Return a future of something that can be awaited."""
        future: asyncio.Future[Any] = asyncio.ensure_future(awaitable, loop=self)
        return future

    def create_background_task(
        self, function: Callable[[], Coroutine[Any, Any, Any]]
    ) -> None:
        """Start `function()`, a coroutine, in the loop's next round."""
        self.call_soon(lambda: self.ensure_future(function()))

    # ---- for apps ----

    def add_route(self, route: "Route") -> int:
        """Return the token under which requests for a route will come."""
        self.turns.routes.append(route)
        return len(self.turns.routes) - 1

    def forget(self, tokens: list[int]) -> None:
        """Let go of routes for which no request comes any more."""
        if self.turns.is_idle:
            for token in tokens:
                self.turns.routes[token] = None  # type: ignore[call-overload]
            tokens.clear()

    def new_server(self, limits: "Limits", half_close: bool) -> NativeServer:
        """Return a native HTTP server on this loop."""
        return self.turns.native.new_server(limits, half_close)


_of_thread = threading.local()


def _close_at_exit() -> None:
    loop: Loop | None = getattr(_of_thread, "loop", None)
    if loop is not None and not loop.is_running():
        loop.close()


atexit.register(_close_at_exit)  # in the main thread; others close theirs


def thread_loop() -> Loop:
    """Return the loop that the apps of this thread share."""
    loop: Loop | None = getattr(_of_thread, "loop", None)
    if loop is None or loop.is_closed() or loop.turns.is_abandoned:
        loop = _of_thread.loop = Loop()
    return loop
