"""Claim: what keeps an exchange open after its handler has returned."""

import inspect
from asyncio import Future
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import ClientGone

if TYPE_CHECKING:
    from .request import Request
    from .response import Response

DataHandler = Callable[["Response", bytes, bool], object]
AbortedHandler = Callable[["Response"], object]
WritableHandler = Callable[["Response", int], object]


class Claim:
    """Handlers and futures that wait for something of one exchange."""

    __slots__ = (
        "body",
        "can_answer",
        "chunks",
        "exchange",
        "has_begun",
        "has_returned",
        "is_paused",
        "is_reading",
        "on_aborted",
        "on_data",
        "offset",
        "on_writable",
        "request",
        "response",
        "sending",
        "total",
        "waiters",
        "writers",
    )

    def __init__(self, response: "Response") -> None:
        self.response = response
        self.exchange = response._exchange
        self.request: Request | None = None  # known when the handler has returned
        self.has_returned = False  # the route's handler
        self.can_answer = False  # somebody may, after that
        self.is_reading = self.is_paused = False
        self.has_begun = False  # a piece of the body was given
        self.on_data: list[DataHandler] = []
        self.on_aborted: list[AbortedHandler] = []
        self.on_writable: WritableHandler | None = None
        self.chunks: list[bytes] | None = None  # of a body that is wanted as a whole
        self.body: bytes | None = None  # that, once it is complete
        self.waiters: list[Future[bytes]] = []  # for it
        self.writers: list[Future[None]] = []  # for room in the output
        # Of a body whose length was told (-1: it was not), how much was taken.
        self.total = -1
        self.offset = 0
        # What `send_chunk` has still to send, and the future that waits for it.
        self.sending: tuple[bytes, Future[tuple[bool, bool]]] | None = None

    def give(self, data: bytes, is_last: bool) -> None:
        """Give a piece of the body to whoever waits for it."""
        self.has_begun = True
        if self.chunks is not None:
            self.chunks.append(data)
            if is_last:
                self._complete(b"".join(self.chunks))
        for handler in tuple(self.on_data):
            self._call(handler, data, is_last)

    def _complete(self, body: bytes) -> None:
        self.body = body
        self.chunks = None
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(body)
        self.waiters.clear()

    def writable(self) -> None:
        """Tell that the output has room."""
        writers, self.writers = self.writers, []
        for writer in writers:
            if not writer.done():
                writer.set_result(None)
        if self.sending is not None:
            self._go_on(*self.sending)
        elif self.on_writable is not None:
            self._call(self.on_writable, self.response.get_write_offset())

    def _go_on(self, data: bytes, future: "Future[tuple[bool, bool]]") -> None:
        before = self.offset
        taken, is_done = self.response._send_part(self, data)
        self.sending = None
        if not taken and not is_done:
            self.sending = (data[self.offset - before :], future)
        elif not future.done():
            future.set_result((taken, is_done))

    def abort(self) -> None:
        """Tell that there is nobody to answer any more."""
        gone = ClientGone("the client has gone, or was refused, before its answer")
        waiting: list[Future[Any]] = [*self.waiters, *self.writers]
        self.waiters.clear()
        self.writers.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(gone)
        if self.sending is not None and not self.sending[1].done():
            self.sending[1].set_result((False, True))
        for handler in self.on_aborted:
            self._call(handler)

    def _call(self, handler: Callable[..., object], *arguments: object) -> None:
        response = self.response
        try:
            result = handler(response, *arguments)
        except Exception as error:
            response.app._fail(error, response, self.request)
        else:
            if inspect.iscoroutine(result):
                response.run_async(result)
