"""Draft: an answer that may still be changed when it was made.

In a chain with class middleware, what a handler says is kept here until every `after`
has run: `Response` asks its head, and this is one that does not let the answer go.
"""

from collections.abc import Callable
from contextvars import Context
from typing import TYPE_CHECKING, Any

from ._binding import OUT_CLOSE, OUT_TEXT
from .head import ENDED_ALREADY, Head

if TYPE_CHECKING:
    from .request import Request
    from .response import Response


class Draft(Head):
    """Status and fields of an answer, its body, and what runs before it goes."""

    __slots__ = (
        "body",
        "closers",
        "context",
        "entered",
        "finish",
        "is_finishing",
        "is_made",
        "is_opening",
        "json_line",
        "makes",
        "parts",
        "request",
        "runs_after",
        "waits",
    )

    def __init__(
        self, request: "Request", finish: Callable[["Response", "Draft"], None]
    ) -> None:
        # As Head's, without a call.
        self.hooks = []
        self.status = 200
        self.reason = None
        self.lines = []
        self.flags = 0
        self.has_type = False
        self.seal = None
        self.request = request
        self.finish = finish  # runs what is to run after the answer, and commits it
        self.entered: list[Any] = []  # middleware that is still to see the answer
        # Run behind each `after`, the last one first, before the answer goes; may wait.
        self.closers: list[Callable[[], Any]] = []
        self.waits = False  # its chain has ended, and somebody else will answer
        # What each `after` runs in then: that chain's, or a copy if nothing was set.
        self.context: Context | None = None
        self.is_made = False
        self.makes = 0  # how often
        self.is_finishing = False  # each `after` runs, or waits
        self.runs_after = False  # one of them, at this moment
        self.is_opening = False  # only the head is wanted, by `try_end`
        self.body = b""
        self.parts: list[bytes] | None = None  # of a stream that waits for its head
        self.json_line: bytes | None = None

    def make(self, response: "Response", message: object, end_connection: bool) -> None:
        """Take the answer, or the end of a stream."""
        self.makes += 1
        if self.parts is not None:
            self._check_stream()
            self.parts.append(response._encode(Head(), message))
        else:
            if self.is_made and not self.is_finishing:
                raise RuntimeError(ENDED_ALREADY)
            self._forget_type()  # an `after` may answer anew
            self.body = response._encode(self, message)
        if end_connection:
            self.flags |= OUT_CLOSE
        self.is_made = True
        if self.waits and not self.is_finishing:
            self.finish(response, self)

    def write(self, response: "Response", message: object) -> None:
        """Take a part of a stream. Its head is finished now."""
        if self.parts is not None:
            self._check_stream()
            self.parts.append(response._encode(Head(), message))
            return
        if self.is_made:
            raise RuntimeError(ENDED_ALREADY)
        self.parts = [response._encode(self, message)]
        if not self.is_finishing:
            self.finish(response, self)

    def _check_stream(self) -> None:
        if self.is_made:
            raise RuntimeError(ENDED_ALREADY)
        if self.runs_after:
            raise RuntimeError("a stream has begun: an `after` cannot add to its body")

    def clear(self) -> None:
        """Let another answer be made, of which nothing was said. No part has left."""
        self.is_made = False
        self.parts = None
        self.status, self.reason, self.flags = 200, None, 0
        self.has_type = False
        self.lines.clear()

    def settle_type(self) -> None:
        """Leave the type that the body would have when another one was given."""
        if self.has_type:
            self._forget_type()

    def _forget_type(self) -> None:
        self.flags &= ~OUT_TEXT
        if self.json_line in self.lines:
            self.lines.remove(self.json_line)
        self.json_line = None

    def take(self, head: Head) -> None:
        """Go on with what was said to another head."""
        _copy(head, self)

    def plain(self) -> Head:
        """Return the head alone, which is committed as any other."""
        head = Head()
        _copy(self, head)
        return head


def _copy(source: Head, target: Head) -> None:
    target.hooks, target.lines = source.hooks, source.lines
    target.status, target.reason = source.status, source.reason
    target.flags, target.has_type = source.flags, source.has_type
    target.seal = source.seal
