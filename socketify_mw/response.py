"""Response: what a handler says about the answer, and how it is handed over.

`end` has two steps: the answer is stashed (status, fields, body), then committed to
the outbox, from which the next turn sends it. Plain answers go through both at once.
"""

import json
import re
from collections.abc import Callable
from http import HTTPStatus
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol, Self

from ._binding import (
    OUT_AGAIN,
    OUT_CLOSE,
    OUT_MORE,
    OUT_NO_DATE,
    OUT_REASON,
    OUT_TEXT,
    SLOT_MASK,
)

if TYPE_CHECKING:
    from .route import Route

DataHandler = Callable[["Response", bytes, bool], object]
AbortedHandler = Callable[["Response"], object]

# Exchange, status, flags, head length, body length: the record of smw.h.
_pack = Struct("=QHHIQ").pack

# Bodies above this are not joined with others: C takes them piece by piece.
LARGE = 16 * 1024

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2
_JSON = b"Content-Type: application/json\r\n"


class Outbox(Protocol):
    """Where answers wait for the next turn."""

    parts: list[bytes]
    bodies: dict[int, bytes]
    claims: "dict[int, Claim]"

    def read(self, claim: "Claim") -> None: ...
    def hold(self, exchange: int) -> None: ...
    def is_held(self, exchange: int) -> bool: ...
    def send_body(self, exchange: int) -> None: ...


class Head:
    """What was said about an answer before its end: status and field lines."""

    __slots__ = ("flags", "has_type", "lines", "reason", "status")

    def __init__(self) -> None:
        self.status = 200
        self.reason: bytes | None = None
        self.lines: list[bytes] = []
        self.flags = 0
        self.has_type = False

    def block(self) -> bytes:
        """Return the field lines in one piece; ValueError when a line breaks out.

        A CR, LF or NUL in a value would let whoever supplied it write fields of his
        own (RFC 9110 5.5).
        """
        lines = self.lines
        if self.reason is not None:
            lines = [self.reason + b"\r\n", *lines]
        block = b"".join(lines)
        count = len(lines)
        if block.count(b"\n") != count or block.count(b"\r") != count or b"\0" in block:
            raise ValueError("a header value or the status has CR, LF or NUL in it")
        return block


class Claim:
    """What a handler leaves behind when it returns before it has answered."""

    __slots__ = (
        "exchange",
        "is_reading",
        "on_aborted",
        "on_data",
        "response",
        "route",
    )

    def __init__(self, response: "Response") -> None:
        self.response = response
        self.exchange = response._exchange
        self.route: Route | None = None  # set when the handler has returned
        self.on_data: list[DataHandler] = []
        self.on_aborted: list[AbortedHandler] = []
        self.is_reading = False


# In place of a head: the answer was committed, the server gave its own, or there is
# nobody left to answer.
_DONE: Final = Head()
_FAILED: Final = Head()
_GONE: Final = Head()


class Response:
    """The answer to one request. Made by the loop, which sets the slots; see `Loop`.

    Its methods can be chained. Status and fields may be given in any order until
    `end`.
    """

    __slots__ = ("_exchange", "_head", "_outbox")

    _exchange: int
    _outbox: Outbox
    _head: Head | None  # None: nothing said yet

    def write_status(self, status_or_status_text: int | str | bytes) -> Self:
        """Set the status: a number from 200 to 999, or text such as "404 Not Found"."""
        head = self._open_head()
        if isinstance(status_or_status_text, int):
            number, reason = int(status_or_status_text), None
        else:
            number, reason = _parse_status(status_or_status_text)
        if not 200 <= number <= 999:
            raise ValueError(f"{number} is not the status of a final answer")
        head.status = number
        head.reason = reason
        return self

    def write_header(self, key: str | bytes, value: object) -> Self:
        """Add a header field. The same name twice gives two lines.

        Text is sent as latin-1. `Content-Length`, `Transfer-Encoding` and `Connection`
        belong to the server: they are left out, but that `Connection: close` closes.
        """
        head = self._open_head()
        name = _field_name(key)
        data = _to_latin1(value)
        lower = name.lower()
        if lower in _OWN_FIELDS:
            if lower == b"connection" and data.strip().lower() == b"close":
                head.flags |= OUT_CLOSE
            return self
        if lower == b"content-type":
            head.has_type = True
        elif lower == b"date":
            head.flags |= OUT_NO_DATE
        head.lines.append(b"%b: %b\r\n" % (name, data))
        return self

    @property
    def aborted(self) -> bool:
        """Whether the client is known to have gone. What is said then is ignored.

        It is known of responses that asked for it, by `on_aborted` or `on_data`.
        """
        return self._head is _GONE

    def on_data(self, handler: DataHandler) -> Self:
        """Call `handler(res, chunk, is_end)` with the request's body as it comes.

        The calls begin when the route's handler has returned; the response stays open
        then. A request without a body gives one call, with b"" and True. A body that
        nobody asks for stays with the client.
        """
        if not callable(handler):
            raise TypeError(f"the handler of on_data, {handler!r}, is not callable")
        claim = self._claim()
        if claim is not None:
            claim.on_data.append(handler)
            if claim.route is not None:
                self._outbox.read(claim)
        return self

    def on_aborted(self, handler: AbortedHandler) -> Self:
        """Call `handler(res)` when the client has gone, or took too long.

        The response may be ended later, after the route's handler has returned.
        """
        if not callable(handler):
            raise TypeError(f"the handler of on_aborted, {handler!r}, is not callable")
        claim = self._claim()
        if claim is not None:
            claim.on_aborted.append(handler)
        return self

    def _claim(self) -> Claim | None:
        """Keep the exchange open; None when there is nobody to answer."""
        self._open_head()
        if self._head is _GONE:
            return None
        claims = self._outbox.claims
        slot = self._exchange & SLOT_MASK
        claim = claims.get(slot)
        if claim is None or claim.response is not self:
            claim = claims[slot] = Claim(self)
        return claim

    def _leave(self) -> None:
        """There is nobody to answer any more."""
        self._unclaim()
        self._head = _GONE

    def _unclaim(self) -> None:
        claims = self._outbox.claims
        slot = self._exchange & SLOT_MASK
        if slot in claims and claims[slot].response is self:
            del claims[slot]

    def end(self, message: object = None, end_connection: bool = False) -> Self:
        """Answer with `message`, and close the connection if `end_connection`.

        str is sent as UTF-8 with `text/plain; charset=utf-8` unless a type was set,
        bytes as they are, None as no body, anything else as JSON (TypeError when it
        cannot be serialised). After the first end, another is an error (RuntimeError).
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
                record = _pack(self._exchange, 200, flags, 0, len(body))
                # One instruction, so that a signal's exception cannot come between a
                # record and its body.
                parts = self._outbox.parts
                parts += (record, body)
                self._head = _DONE
                return self
        return self._finish(message, end_connection)

    # Every turn is corked: there is nothing to do for it.
    cork_end = end

    def _finish(self, message: object, end_connection: bool) -> Self:
        head = self._open_head()
        if self._head is _GONE:
            return self
        if end_connection:
            head.flags |= OUT_CLOSE
        self._commit(head, self._stash(head, message))
        return self

    def _stash(self, head: Head, message: object) -> bytes:
        """Turn a message into the bytes of a body, and say its type."""
        if message is None:
            return b""
        if isinstance(message, str):
            if not head.has_type:
                head.flags |= OUT_TEXT
            return message.encode()
        if isinstance(message, (bytes, bytearray, memoryview)):
            return bytes(message)
        body = json.dumps(message).encode()
        if not head.has_type:
            head.lines.append(_JSON)
        return body

    def _commit(self, head: Head, body: bytes) -> None:
        """Hand the answer over. From here on it cannot be changed."""
        block = head.block()
        flags = head.flags | (0 if head.reason is None else OUT_REASON)
        outbox = self._outbox
        exchange = self._exchange
        if outbox.is_held(exchange):
            flags |= OUT_AGAIN  # what was left alone behind it
        parts = outbox.parts
        if len(body) <= LARGE:
            record = _pack(exchange, head.status, flags, len(block), len(body))
            parts += (record, block, body)  # one instruction, as in `end`
            self._head = _DONE
        else:
            more = flags | OUT_MORE
            record = _pack(exchange, head.status, more, len(block), len(body))
            outbox.bodies[exchange] = body
            parts += (record, block)
            self._head = _DONE
            outbox.send_body(exchange)
        if outbox.claims:  # not before: an exception would leave nobody to answer
            self._unclaim()
        if flags & OUT_CLOSE:
            outbox.hold(exchange)  # RFC 9112 9.6: nothing behind it is processed

    def _fail(self) -> None:
        """Answer 500 in place of whatever was said so far."""
        if self._head is _DONE or self._head is _FAILED or self._head is _GONE:
            return
        self._head = None
        self.write_status(500).end("Internal Server Error")
        self._head = _FAILED

    def _open_head(self) -> Head:
        head = self._head
        if head is None:
            head = self._head = Head()
        elif head is _GONE:
            return Head()  # for nobody
        elif head is _DONE:
            raise RuntimeError("this response has been ended already")
        elif head is _FAILED:
            raise RuntimeError(
                "the server has answered this request with 500, because its handler "
                "raised or returned without an answer: answer before it returns"
            )
        return head


_OWN_FIELDS = frozenset((b"connection", b"content-length", b"transfer-encoding"))

_names: dict[str | bytes, bytes] = {}  # that were checked; programs have few


def _field_name(key: str | bytes) -> bytes:
    name = _names.get(key)
    if name is None:
        name = key.encode("latin-1") if isinstance(key, str) else bytes(key)
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{key!r} is not the name of a header field")
        if len(_names) < 1024:
            _names[key] = name
    return name


def _to_latin1(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return str(value).encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(
            f"the header value {value!r} has characters outside latin-1: encode it to "
            "bytes, or percent-encode it"
        ) from None


def _parse_status(text: str | bytes) -> tuple[int, bytes | None]:
    data = _to_latin1(text)
    number, _, reason = data.strip().partition(b" ")
    if not (number.isdigit() and len(number) == 3):
        raise ValueError(f"{text!r} does not begin with a status such as 404")
    status = int(number)
    try:
        is_usual = HTTPStatus(status).phrase.encode() == reason
    except ValueError:
        is_usual = False
    return status, None if is_usual or not reason else reason
