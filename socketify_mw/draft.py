"""Draft: an answer that may still be changed when it was made.

In a chain with class middleware, what a handler says is kept here until every `after`
has run: `Response` asks its head, and this is one that does not let the answer go.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ._binding import OUT_CLOSE, OUT_TEXT
from .head import Head

if TYPE_CHECKING:
    from .request import Request
    from .response import Response


class Draft(Head):
    """Status and fields of an answer, its body, and what runs before it goes."""

    __slots__ = (
        "body",
        "entered",
        "finish",
        "is_made",
        "json_line",
        "may_be_replaced",
        "parts",
        "request",
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
        self.request = request
        self.finish = finish  # runs what is to run after the answer, and commits it
        self.entered: list[Any] = []  # middleware that is still to see the answer
        self.waits = False  # its chain has ended, and somebody else will answer
        self.is_made = False
        self.may_be_replaced = False  # by an `after`
        self.body = b""
        self.parts: list[object] | None = None  # of a stream that waits for its head
        self.json_line: bytes | None = None

    def make(self, response: "Response", message: object, end_connection: bool) -> None:
        """Take the answer, or the end of a stream."""
        if self.is_made and self.may_be_replaced and self.parts is None:
            self.forget()
        if self.is_made:
            raise RuntimeError("this response has been ended already")
        if end_connection:
            self.flags |= OUT_CLOSE
        if self.parts is not None:
            self.parts.append(message)
            self.is_made = True
            return
        self.body = response._encode(self, message)
        self.is_made = True
        if self.waits:
            self.finish(response, self)

    def write(self, response: "Response", message: object) -> None:
        """Take a part of a stream. Its head is finished now."""
        if self.is_made:
            raise RuntimeError("this response has been ended already")
        if self.parts is None:
            self.parts = [message]
            self.finish(response, self)
        else:
            self.parts.append(message)

    def forget(self) -> None:
        """Let the answer be made once more: status and fields stay."""
        self.is_made = False
        self.flags &= ~OUT_TEXT
        if self.json_line in self.lines:
            self.lines.remove(self.json_line)

    def clear(self) -> None:
        """Let another answer be made, of which nothing was said."""
        self.is_made = False
        self.status, self.reason, self.flags = 200, None, 0
        self.has_type = False
        self.lines.clear()

    def plain(self) -> Head:
        """Return the head alone, which is committed as any other."""
        head = Head()
        head.hooks, head.lines = self.hooks, self.lines
        head.status, head.reason = self.status, self.reason
        head.flags, head.has_type = self.flags, self.has_type
        return head
