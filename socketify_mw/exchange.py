"""Exchange: an answer from what is said about it to what is handed over.

`end` has two steps: the answer is stashed (status, fields, body), then committed to
the outbox, from which the next turn sends it. Plain answers go through both at once.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextvars import copy_context
from inspect import iscoroutine
from struct import Struct
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast

from ._binding import (
    OUT_AGAIN,
    OUT_CLOSE,
    OUT_LAST,
    OUT_MORE,
    OUT_TEXT,
    SLOT_MASK,
)
from .claim import Claim
from .draft import Draft
from .functions import name_of, place_of
from .head import ENDED_ALREADY, CommitHook, Head
from .outbox import Outbox

if TYPE_CHECKING:
    from .app import App
    from .request import Request
    from .route import Route

logger = logging.getLogger("socketify_mw")

# Exchange, status, flags, head length, body length: the record of smw.h.
pack = Struct("=QHHIQ").pack

# Bodies above this are not joined with others: C takes them piece by piece.
LARGE = 16 * 1024

_JSON = b"Content-Type: application/json\r\n"

# In place of a head: nothing was said, but there is a claim; the answer was committed;
# its head and a part of its body were; the server gave its own; there is nobody left.
_LATER: Final = Head()
_DONE: Final = Head()
_OPEN: Final = Head()
_FAILED: Final = Head()
_GONE: Final = Head()
_ENDED: Final = (_DONE, _FAILED)


class Exchange:
    """The part of a `Response` that an answer goes through, whoever gives it.

    There are no others: where a Response is wanted, this is one.
    """

    __slots__ = ("_draft", "_exchange", "_extra", "_head", "_outbox", "_route")

    _exchange: int
    _outbox: Outbox
    _route: "Route"
    _head: Head | None  # None: nothing said yet
    _extra: dict[str, Any]  # of extensions; unset: none
    _draft: Draft  # of the chain with classes that runs, also when nobody is left

    @property
    def app(self) -> "App":
        """The application that answers."""
        return self._route.app

    # ---- what is said ----

    def write_status(self, status_or_status_text: int | str | bytes) -> Self:
        """Set the status: a number from 200 to 999, or text such as "404 Not Found"."""
        self._open_head().set_status(status_or_status_text)
        return self

    def write_header(self, key: str | bytes, value: object) -> Self:
        """Add a header field. The same name twice gives two lines.

        Text is sent as latin-1. `Content-Length`, `Transfer-Encoding` and `Connection`
        belong to the server: they are left out, but that `Connection: close` closes.
        """
        self._open_head().add(key, value)
        return self

    def end(self, message: object = None, end_connection: bool = False) -> Self:
        """Answer with `message`, and close the connection if `end_connection`.

        str is sent as UTF-8 with `text/plain; charset=utf-8` unless a type was set,
        bytes as they are, None as no body, anything else as JSON (TypeError when it
        cannot be serialised). After `write` it is the last part of the stream. After
        the first end, another is an error (RuntimeError).
        """
        if self._head is None and not end_connection:
            if type(message) is str:
                body = message.encode()
                flags = OUT_TEXT
            elif type(message) is bytes:
                body = message
                flags = 0
            else:
                return self._finish(message, end_connection)
            if len(body) <= LARGE:
                record = pack(self._exchange, 200, flags, 0, len(body))
                # One instruction, so that a signal's exception cannot come between a
                # record and its body.
                parts = self._outbox.parts
                parts += (record, body)
                self._head = _DONE
                return self
        elif (
            self._head is _LATER and not end_connection and self._finish_plain(message)
        ):
            return self
        elif type(self._head) is Draft:
            self._check_thread()
            self._head.make(self, message, end_connection)  # type: ignore[arg-type]
            return self
        return self._finish(message, end_connection)

    # Every turn is corked: there is nothing to do for it.
    cork_end = end

    def has_responded(self) -> bool:
        """Return whether the answer was ended."""
        head = self._head
        return head in _ENDED or (type(head) is Draft and head.is_made)

    def close(self) -> Self:
        """Close the connection at once, whatever was said so far.

        An answer that was ended goes out before; if the client has sent its next
        request already, the connection stays: `end(..., end_connection=True)` is sure.
        """
        head = self._head
        if type(head) is Draft and head.is_made:
            head.flags |= OUT_CLOSE
        elif head is not _GONE:
            self._outbox.close_connection(self._exchange)
            if self._head not in _ENDED:
                self._head = _GONE
        return self

    # ---- stash and commit ----

    def _on_commit(self, hook: CommitHook) -> None:
        """Run a hook before the head is committed; the last one given goes first."""
        self._open_head().hooks.append(hook)

    def _run_hooks(self, head: Head, body: bytes | None) -> bytes | None:
        while head.hooks:
            body = head.hooks.pop()(head, body)
        return body

    def _finish(self, message: object, end_connection: bool) -> Self:
        if self._head is _OPEN:
            return self._finish_stream(message, end_connection)
        head = self._open_head()
        if self._head is _GONE:
            return self
        if end_connection:
            head.flags |= OUT_CLOSE
        body = self._encode(head, message)
        if head.hooks:
            body = self._run_hooks(head, body) or b""
        self._commit(head, body)
        return self

    def _finish_plain(self, message: object) -> bool:
        """Answer as `end` does, without any fields, if the message is plain, small."""
        flags = 0
        if type(message) is str:
            body = message.encode()
            flags = OUT_TEXT
        elif type(message) is bytes:
            body = message
        else:
            return False
        outbox = self._outbox
        if len(body) > LARGE or get_ident() != outbox.thread:
            return False
        exchange = self._exchange
        slot = exchange & SLOT_MASK
        if slot in outbox.held:
            flags |= OUT_AGAIN  # what was left alone behind it
        parts = outbox.parts
        parts += (pack(exchange, 200, flags, 0, len(body)), body)
        self._head = _DONE
        claim = outbox.claims.get(slot)
        if claim is not None and claim.response is self:
            del outbox.claims[slot]
            claim.end()
        return True

    def _encode(self, head: Head, message: object) -> bytes:
        """Turn a message into bytes, and say its type."""
        if message is None:
            return b""
        if isinstance(message, str):
            text = message.encode()  # first: it raises when there are surrogates
            if not head.has_type:
                head.flags |= OUT_TEXT
            return text
        if isinstance(message, (bytes, bytearray, memoryview)):
            return bytes(message)
        if iscoroutine(message):
            message.close()
            raise TypeError(
                "a coroutine was given as a message: await it first, in a handler that "
                "is a coroutine function (async def)"
            )
        try:
            body = self.app._json.dumps(message)
        except TypeError as error:
            if "coroutine" in str(error):
                error.add_note("something in the message is to be awaited first")
            raise
        if not head.has_type:
            head.lines.append(_JSON)
            if type(head) is Draft:
                head.json_line = _JSON
        return body.encode() if isinstance(body, str) else bytes(body)

    def _commit(self, head: Head, body: bytes) -> None:
        """Hand the answer over. From here on it cannot be changed."""
        block = head.block()
        flags = head.flags | self._again()
        outbox = self._outbox
        exchange = self._exchange
        parts = outbox.parts
        if len(body) <= LARGE:
            record = pack(exchange, head.status, flags, len(block), len(body))
            parts += (record, block, body)  # one instruction, as in `end`
            self._head = _DONE
        else:
            more = flags | OUT_MORE
            record = pack(exchange, head.status, more, len(block), len(body))
            outbox.bodies[exchange] = body
            parts += (record, block)
            self._head = _DONE
            outbox.send_body(exchange)
        if outbox.claims:  # not before: an exception would leave nobody to answer
            self._unclaim()
        if flags & OUT_CLOSE:
            outbox.hold(exchange)  # RFC 9112 9.6: nothing behind it is processed

    def _finish_stream(self, message: object, end_connection: bool) -> Self:
        self._check_stream()
        flags = OUT_LAST | self._again() | (OUT_CLOSE if end_connection else 0)
        data = self._encode(Head(), message)
        parts = self._outbox.parts
        parts += (pack(self._exchange, 0, flags, 0, len(data)), data)
        self._head = _DONE
        self._unclaim()
        if end_connection:
            self._outbox.hold(self._exchange)
        return self

    def _again(self) -> int:
        """Return the flag by which what was left alone behind this comes again."""
        is_held = self._exchange & SLOT_MASK in self._outbox.held
        return OUT_AGAIN if is_held else 0

    def _check_stream(self) -> None:
        claim = self._find_claim()
        if claim is not None and claim.total >= 0:
            raise RuntimeError("a body that try_end began is sent on by try_end")

    def _put(self, *data: bytes) -> None:
        parts = self._outbox.parts
        parts += data
        self._outbox.add_bytes(sum(map(len, data)))

    def _fail(self, status: int = 500) -> None:
        """Answer with an error in place of whatever was said so far."""
        head = self._head
        if head in (_DONE, _FAILED, _GONE):
            return
        if head is _OPEN:  # too late for that: the client is to see that it is cut off
            self.close()
            return
        if type(head) is Draft:
            if not head.is_made or head.parts is not None:
                head.clear()
                self._end_with(status)
            return
        fresh = self._head = Head()
        if head is not None and head is not _LATER:
            fresh.hooks, fresh.seal = head.hooks, head.seal
        count = len(fresh.hooks)
        try:
            self._end_with(status)
        except Exception:
            if len(fresh.hooks) == count:
                raise  # not by a hook, each of which is called once
            logger.exception("%s: a hook raised before the answer", self._route)
            self._fail()
            return
        self._head = _FAILED

    def _end_with(self, status: int) -> None:
        from http import HTTPStatus

        self.write_status(status).end(HTTPStatus(status).phrase)

    def _tell_unanswered(self, request: "Request | None") -> None:
        """Answer 500 for a handler that has returned, and say so in the log."""
        last = getattr(request, "_last", None)
        logger.error(
            "%s: %s returned without an answer: %s",
            self._route,
            f"{name_of(last)} ({place_of(last)})" if last else "the handler",
            _cure(last),
        )
        self._fail()

    def _is_committed(self) -> bool:
        return self._head in _ENDED

    def _is_left(self) -> bool:
        """Whether there is no answer, and nobody left to give it."""
        claim = self._find_claim()
        if self._head in (_DONE, _FAILED, _GONE) or self.has_responded():
            return False
        return claim is None or not claim.can_answer

    def _check_thread(self) -> None:
        if get_ident() != self._outbox.thread:
            raise RuntimeError(
                "a response belongs to the thread of its loop: from another one, use "
                "app.loop.call_soon_threadsafe(...)"
            )

    def _open_head(self) -> Head:
        self._check_thread()
        head = self._head
        if head is None or head is _LATER:
            head = self._head = Head()
        elif head is _GONE:
            return Head()  # for nobody
        elif head is _OPEN:
            raise RuntimeError("status and fields were sent with the first part")
        elif head is _DONE:
            raise RuntimeError(ENDED_ALREADY)
        elif head is _FAILED:
            raise RuntimeError(
                "the server has answered this request with 500, because its handler "
                "raised or returned without an answer: answer before it returns"
            )
        return head

    # ---- claims ----

    def _find_request(self) -> "Request | None":
        """Return the request that this answers, if it is known here."""
        if type(self._head) is Draft:
            return self._head.request
        claim = self._find_claim()
        return claim.request if claim is not None else None

    def _find_claim(self) -> Claim | None:
        claim = self._outbox.claims.get(self._exchange & SLOT_MASK)
        return claim if claim is not None and claim.response is self else None

    def _claim(self, *, is_kept: bool = False) -> Claim | None:
        """Have the exchange's events told; None when there is nobody to answer.

        is_kept: the response stays open when its handler has returned.
        """
        head = self._head
        if head is _GONE:
            return None
        if head is _DONE or head is _FAILED:
            self._open_head()  # which says why not
        self._check_thread()
        claims = self._outbox.claims
        slot = self._exchange & SLOT_MASK
        claim = claims.get(slot)
        if claim is None or claim.response is not self:
            claim = claims[slot] = Claim(self)  # type: ignore[arg-type]
            if head is None:
                self._head = _LATER
        if is_kept:
            claim.is_kept = True
        return claim

    def _suspend(self, request: "Request", task: "asyncio.Task[Any]") -> None:
        """Leave open what nothing was said about yet: its task will answer."""
        outbox = self._outbox
        slot = self._exchange & SLOT_MASK
        claim = outbox.claims[slot] = Claim(self)  # type: ignore[arg-type]
        claim.has_returned = True
        claim.request = request
        claim.task = task
        self._head = _LATER
        outbox.held.add(slot)

    def _unclaim(self) -> None:
        claim = self._find_claim()
        if claim is None:
            return
        del self._outbox.claims[self._exchange & SLOT_MASK]
        claim.end()

    def _leave(self) -> None:
        """There is nobody to answer any more."""
        head = self._head
        self._head = _GONE
        self._outbox.claims.pop(self._exchange & SLOT_MASK, None)
        if type(head) is Draft and head.waits:
            # What was begun is ended.
            head.finish(self, head)  # type: ignore[arg-type]


def _cure(last: Any) -> str:
    """Return what whoever ran last is to do, who has not answered."""
    if last is None:
        return "call res.end() in it"
    if getattr(last, "is_controller", False):
        return "return the answer"
    if getattr(last, "__name__", "") == "before":
        return "return the request to go on, or an answer"
    return "call res.end() in it, or return something to go on"


def waiting(
    futures: "tuple[asyncio.Future[None], ...]",
) -> "Iterable[asyncio.Future[None]]":
    """Return those that nobody has cancelled."""
    return (future for future in futures if not future.done())


_H = TypeVar("_H", bound=Callable[..., object])


def checked(handler: _H, name: str) -> _H:
    if not callable(handler):
        raise TypeError(f"the handler of {name}, {handler!r}, is not callable")
    context = copy_context()

    def in_context(*arguments: object) -> object:
        # A copy, for one call may come within another.
        return context.copy().run(handler, *arguments)

    return cast(_H, in_context)
