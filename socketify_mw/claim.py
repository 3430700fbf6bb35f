"""Claim: what keeps an exchange open after its handler has returned."""

import inspect
from asyncio import CancelledError, Future, Task
from collections import deque
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
    """Handlers, futures and tasks that wait for something of one exchange.

    What is set in the class is what most claims never change.
    """

    request: "Request | None" = None  # known when the handler has returned
    has_returned = False  # the route's handler, or its first segment
    is_kept = False  # somebody may answer later, whom nothing below tells
    running = 0  # tasks of `run_async` that may answer
    task: "Task[Any] | None" = None  # the coroutine handler's own
    is_of_error_handler = False  # it was made behind an error

    # The request's body: somebody has asked for it, and it may come.
    is_reading = is_paused = False
    has_begun = False  # a piece of the body was given
    body: bytes | None = None  # the whole, once it is complete and was wanted as such
    chunks: list[bytes] | None = None  # until then
    pieces: "deque[bytes] | None" = None  # of a stream, that nobody has taken
    has_ended = False  # that stream
    on_data: tuple[DataHandler, ...] = ()

    on_aborted: tuple[AbortedHandler, ...] = ()
    on_writable: WritableHandler | None = None
    # Of a body whose length was told (-1: it was not), how much was taken.
    total = -1
    offset = 0
    # What `send_chunk` has still to send, and the future that waits for it.
    sending: "tuple[bytes, Future[tuple[bool, bool]]] | None" = None

    readers: "tuple[Future[None], ...]" = ()  # wait for the body, or for more of it
    writers: "tuple[Future[None], ...]" = ()  # wait for room in the output

    def __init__(self, response: "Response") -> None:
        self.response = response
        self.exchange = response._exchange

    @property
    def can_answer(self) -> bool:
        """Whether anything is left that may answer."""
        return bool(
            self.is_kept
            or self.running
            or self.task is not None
            or self.sending is not None
            or any(not future.done() for future in self.readers + self.writers)
        )

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for the request's body."""
        if self.pieces is not None:
            return not self.pieces and not self.has_ended
        return bool(self.on_data) or self.chunks is not None

    def give(self, data: bytes, is_last: bool) -> None:
        """Give a piece of the body to whoever waits for it."""
        self.has_begun = True
        if self.pieces is not None:
            if data:
                self.pieces.append(data)
            self.has_ended = is_last
            self.end_reads()
        elif self.chunks is not None:
            self.chunks.append(data)
            if is_last:
                self.body = b"".join(self.chunks) if len(self.chunks) > 1 else data
                self.chunks = None
                self.end_reads()
        for handler in self.on_data:
            self._call(handler, data, is_last)

    def end_reads(self, error: Exception | None = None) -> None:
        """Wake up whoever waits for the body."""
        readers, self.readers = self.readers, ()
        _finish(readers, error)

    def end_writes(self, error: Exception | None = None) -> None:
        """Wake up whoever waits for room."""
        writers, self.writers = self.writers, ()
        _finish(writers, error)

    def writable(self) -> None:
        """Tell that the output has room."""
        self.end_writes()
        if self.sending is not None:
            self._go_on(*self.sending)
        elif self.on_writable is not None:
            self._call(self.on_writable, self.response.get_write_offset())

    def is_sending(self) -> bool:
        """Return whether somebody waits for a chunk."""
        return self.sending is not None and not self.sending[1].done()

    def _go_on(self, data: bytes, future: "Future[tuple[bool, bool]]") -> None:
        before = self.offset
        self.sending = None  # not to be settled when this was the last part
        taken, is_done = self.response._send_part(self, data)
        if not taken and not is_done:
            self.sending = (data[self.offset - before :], future)
        elif not future.done():
            future.set_result((taken, is_done))

    def end(self) -> None:
        """Let nobody wait on: the response was ended, or its handler raised."""
        if self.readers:
            why = "the response was ended before the body had come"
            self.end_reads(RuntimeError(why))
        if self.writers:
            self.end_writes()
        if self.sending is not None and not self.sending[1].done():
            self.sending[1].set_result((False, True))

    def abort(self) -> None:
        """Tell that there is nobody to answer any more."""
        gone = ClientGone("the client has gone, or was refused, before its answer")
        self.end_reads(gone)
        self.end_writes(gone)
        if self.sending is not None and not self.sending[1].done():
            self.sending[1].set_result((False, True))
        for handler in self.on_aborted:
            self._call(handler)
        # Not kept: what it is cancelled with has frames that may have this claim.
        task, self.task = self.task, None
        if task is not None and self.response.app._cancels_abandoned:
            task.cancel()

    def _call(self, handler: Callable[..., object], *arguments: object) -> None:
        response = self.response
        try:
            result = handler(response, *arguments)
        except (Exception, CancelledError) as error:
            response.app._fail(error, response, self.request, self)
        else:
            if inspect.iscoroutine(result):
                response.run_async(result)


def _finish(futures: "tuple[Future[None], ...]", error: Exception | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
