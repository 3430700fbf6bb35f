"""Response: what a handler says about the answer, and how it is handed over.

`end` has two steps: the answer is stashed (status, fields, body), then committed to
the outbox, from which the next turn sends it. Plain answers go through both at once.
"""

import asyncio
import io
import logging
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextvars import copy_context
from inspect import iscoroutine, iscoroutinefunction
from struct import Struct
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, cast
from urllib.parse import quote

from ._binding import (
    OUT_AGAIN,
    OUT_CLOSE,
    OUT_LAST,
    OUT_MORE,
    OUT_STREAM,
    OUT_TEXT,
    SLOT_MASK,
)
from .claim import AbortedHandler, Claim, DataHandler, WritableHandler
from .draft import Draft
from .errors import ClientGone
from .functions import name_of, place_of
from .head import CommitHook, Head, cookie_line
from .inputs import decoded, parse_form, parse_json
from .outbox import Outbox
from .words import ResponseWords

if TYPE_CHECKING:
    from .app import App
    from .request import Request
    from .route import Route

logger = logging.getLogger("socketify_mw")

# Exchange, status, flags, head length, body length: the record of smw.h.
_pack = Struct("=QHHIQ").pack

# Bodies above this are not joined with others: C takes them piece by piece.
LARGE = 16 * 1024

_MOST_BYTES = 2**63 - 1  # of a body: C counts what is left of it

_JSON = b"Content-Type: application/json\r\n"

# In place of a head: nothing was said, but there is a claim; the answer was committed;
# its head and a part of its body were; the server gave its own; there is nobody left.
_LATER: Final = Head()
_DONE: Final = Head()
_OPEN: Final = Head()
_FAILED: Final = Head()
_GONE: Final = Head()
_ENDED: Final = (_DONE, _FAILED)


class Response(ResponseWords):
    """The answer to one request. Made by the loop, which sets the slots; see `Loop`.

    Its methods can be chained. Status and fields may be given in any order until
    `end`, or the first `write`. When the client has gone, what is said is ignored.
    """

    __slots__ = ("_draft", "_exchange", "_extra", "_head", "_outbox", "_route")

    _exchange: int
    _outbox: Outbox
    _route: "Route"
    _head: Head | None  # None: nothing said yet
    _extra: dict[str, Any]  # of extensions; unset: none
    _draft: Draft  # of the chain with classes that runs, also when nobody is left

    # ---- the head ----

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

    def set_cookie(
        self, name: str, value: object, options: Mapping[str, Any] | None = None
    ) -> Self:
        """Add a cookie, with a `Set-Cookie` line of its own (RFC 6265 4.1).

        The value is percent-encoded as UTF-8; `Request.get_cookie` decodes it.
        options: `expires` (datetime or text), `max_age` (seconds), `domain`, `path`,
        `secure`, `httponly`, `partitioned` (True), `samesite` ("Strict", "Lax",
        "None"). Raises ValueError for others, and for what cannot be sent.
        """
        self._open_head().add(b"Set-Cookie", cookie_line(name, value, options))
        return self

    # ---- the answer as a whole ----

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
                record = _pack(self._exchange, 200, flags, 0, len(body))
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
            self._head.make(self, message, end_connection)
            return self
        return self._finish(message, end_connection)

    # Every turn is corked: there is nothing to do for it.
    cork_end = end

    def end_without_body(self, end_connection: bool = False) -> Self:
        """Answer with status and fields alone."""
        return self.end(None, end_connection)

    def send(
        self,
        message: object = b"",
        content_type: str | bytes | None = None,
        status: int | str | bytes | None = None,
        headers: "Headers | None" = None,
        end_connection: bool = False,
    ) -> Self:
        """Answer with all that is given, in one call; see `end`.

        content_type: None for what `end` makes of the message.
        status: None for 200, or what was written before.
        headers: pairs of name and value, or a mapping.
        """
        if status is not None:
            self.write_status(status)
        pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
        for name, value in pairs:
            self.write_header(name, value)
        if content_type is not None:
            self.write_header(b"Content-Type", content_type)
        return self.end(message, end_connection)

    cork_send = send

    def redirect(
        self,
        location: str | None = None,
        status_code: int = 302,
        *,
        name: str | None = None,
        **parameters: object,
    ) -> Self:
        """Send the client to another address, percent-encoded where it must be.

        name: of the route to go to, in place of an address, with its parameters; see
            `App.url`.
        """
        if (location is None) == (name is None):
            raise TypeError("give the address, or the name of a route")
        if name is not None:
            location = self.app.url(name, **parameters)
        target = quote(location or "", safe=_URL_SAFE)
        self.write_status(status_code)
        self.write_header(b"Location", target)
        return self.end()

    def render(self, *arguments: Any, **names: Any) -> Self:
        """Answer with the HTML that the app's template engine makes of the arguments.

        Raises RuntimeError when the app has none; see `App.template`.
        """
        html = self.app._render(arguments, names)
        if not self._open_head().has_type:
            self.write_header(b"Content-Type", b"text/html; charset=utf-8")
        return self.end(html)

    def cork(self, callback: Callable[[Self], object]) -> Self:
        """Call `callback(res)`. What it says leaves in one write, as it does anyway.

        Raises TypeError for a coroutine function, for it would say it later.
        """
        if iscoroutinefunction(callback):
            raise TypeError("cork calls plain functions: all is corked anyway")
        callback(self)
        return self

    # ---- the answer in parts ----

    def write(self, message: object) -> Self:
        """Send a part of the body; the first one commits status and fields.

        The length of the whole need not be known. `message` as in `end`; nothing is
        sent for an empty one. `end` ends it.
        """
        if self._head is _GONE:
            return self
        if self._head is _OPEN:
            self._check_stream()
            data = self._encode(Head(), message)
            if data:
                self._put(_pack(self._exchange, 0, 0, 0, len(data)), data)
            return self
        head = self._open_head()
        if type(head) is Draft:
            head.write(self, message)
            return self
        data = self._encode(head, message)
        self._run_hooks(head, None)
        self._claim()
        block = head.block()
        flags = head.flags | OUT_STREAM
        record = _pack(self._exchange, head.status, flags, len(block), len(data))
        self._put(record, block, data)
        self._head = _OPEN
        return self

    def drain(self) -> "asyncio.Future[None]":
        """Return a future that is done when what was written has left the server.

        It is done in the loop's next round at the earliest, so that others have their
        turn beside a client that takes all at once. Raises ClientGone in whoever awaits
        it when the client has gone.
        """
        loop = self.app.loop
        future: asyncio.Future[None] = loop.create_future()
        claim = self._claim()
        backlog = self._outbox.backlog(self._exchange) if claim is not None else None
        if claim is None or backlog is None:
            self._head = _GONE  # the next turn tells whoever listens
            future.set_exception(ClientGone("the client has gone"))
        elif backlog:
            claim.writers = (*_waiting(claim.writers), future)
        else:
            loop.call_soon(_set_done, future)
        return future

    def try_end(
        self, message: object, total_size: int, end_connection: bool = False
    ) -> tuple[bool, bool]:
        """Send as much of `message` as goes without waiting, of a body of `total_size`.

        Returns (all of the message was taken, the body is complete). What was not
        taken is to be offered again in `on_writable`, from `get_write_offset()` on.
        When the client has gone, it is (False, True).
        """
        claim = self._claim(is_kept=True)
        if claim is None:
            return False, True
        data = self._encode(Head(), message)
        has_body = True
        if self._head is _OPEN:
            if claim.total < 0:
                raise RuntimeError("a stream that write began is ended by end")
        else:
            if (
                type(total_size) is not int
                or not claim.offset <= total_size <= _MOST_BYTES
            ):
                raise ValueError(
                    f"{total_size!r} is not the size of a body that begins at "
                    f"{claim.offset}"
                )
            head = self._open_head()
            if type(head) is Draft:
                head.is_opening = True
                head.finish(self, head)
                head = self._open_head()
                if type(head) is Draft:
                    head.is_opening = False
                    raise RuntimeError(
                        "try_end cannot wait for an `after` that is a coroutine "
                        "function: use write, or end"
                    )
            self._run_hooks(head, None)
            if end_connection:
                head.flags |= OUT_CLOSE
            block = head.block()
            flags = head.flags | OUT_MORE | self._again()
            claim.total = total_size
            rest = total_size - claim.offset
            has_body = rest > 0 and _has_body(head, claim)
            self._put(
                _pack(self._exchange, head.status, flags, len(block), rest), block
            )
            self._head = _OPEN
        return self._send_part(claim, data, has_body)

    def _send_part(
        self, claim: Claim, data: bytes, has_body: bool = True
    ) -> tuple[bool, bool]:
        rest = claim.total - claim.offset
        # What is more than was announced is not sent.
        left = self._outbox.send_part(self._exchange, data[:rest], rest)
        taken = len(data)
        if left is None and has_body:
            self._head = _GONE  # the next turn tells whoever listens
            return False, True
        if left is None:  # it has gone, or wants no body: that of HEAD is not sent
            left = 0
        else:
            taken = min(rest - left, taken)
        claim.offset += taken
        if left == 0:
            self._head = _DONE
            self._unclaim()
        else:
            self._outbox.hold(self._exchange)
        return taken == len(data), left == 0

    def send_chunk(
        self, buffer: object, total_size: int
    ) -> "asyncio.Future[tuple[bool, bool]]":
        """Send all of `buffer` as a part of a body of `total_size`, as room comes.

        Returns a future of (True, the body is complete); (False, True) when the client
        has gone.
        """
        future: asyncio.Future[tuple[bool, bool]] = self.app.loop.create_future()
        data = self._encode(Head(), buffer)
        claim = self._claim(is_kept=True)
        if claim is not None and claim.is_sending():
            raise RuntimeError("a chunk is being sent: await it before the next one")
        before = claim.offset if claim is not None else 0
        taken, is_done = self.try_end(data, total_size)
        if taken or is_done or claim is None:
            future.set_result((taken, is_done))
        else:
            claim.sending = (data[claim.offset - before :], future)
        return future

    def get_write_offset(self) -> int:
        """Return how many bytes of a body sent by `try_end` were taken so far."""
        claim = self._find_claim()
        return claim.offset if claim is not None else 0

    def write_offset(self, offset: int) -> Self:
        """Begin a body at `offset`, in bytes: `try_end` sends what is behind it.

        The length that the client is told is that of the rest. Raises RuntimeError
        once the first part was sent.
        """
        if type(offset) is not int or offset < 0:
            raise ValueError(f"an offset is a number of bytes, not {offset!r}")
        self._open_head()
        claim = self._claim()
        if claim is not None:
            claim.offset = offset
        return self

    def on_writable(self, handler: WritableHandler) -> Self:
        """Call `handler(res, offset)` when there is room for more of the body."""
        claim = self._claim(is_kept=True)
        if claim is not None:
            claim.on_writable = _checked(handler, "on_writable")
        return self

    # ---- the request's body ----

    def on_data(self, handler: DataHandler) -> Self:
        """Call `handler(res, chunk, is_end)` with the request's body as it comes.

        The calls begin when the route's handler has returned; the response stays open
        then. A request without a body gives one call, with b"" and True. A body that
        nobody asks for stays with the client.
        """
        claim = self._claim(is_kept=True)
        if claim is not None:
            if claim.has_begun:
                raise RuntimeError(_TAKEN)
            claim.on_data += (_checked(handler, "on_data"),)
            if claim.has_returned:  # not within this call, nor in its caller's context
                self.app.loop.call_soon(self._outbox.read, claim)
        return self

    async def get_data(self) -> io.BytesIO:
        """Return the request's whole body; a second call returns it again.

        Raises ClientGone when the client has gone, or sent too much.
        """
        body = self._body_now()
        return io.BytesIO(await self._body() if body is None else body)

    async def get_text(self, encoding: str = "utf-8") -> str:
        """Return the request's whole body as text; see `get_data`.

        Raises BadRequest when it cannot be decoded.
        """
        return decoded(await self._body(), encoding)

    async def get_json(self) -> Any:
        """Return the request's whole body, parsed as JSON; see `get_data`.

        Raises BadRequest when it is none.
        """
        return parse_json(await self._body(), self.app._json)

    async def get_form_urlencoded(
        self, encoding: str = "utf-8"
    ) -> dict[str, list[str]]:
        """Return the request's whole body, parsed as a form; see `get_data`.

        Raises BadRequest when it cannot be decoded, or has over 1,000 fields.
        """
        return parse_form(await self._body(), encoding)

    def _body_now(self) -> bytes | None:
        """Ask for the whole body, and return it if it is here already."""
        claim = self._claim_body()
        if claim.body is None and claim.chunks is None:
            if claim.has_begun:
                raise RuntimeError(_TAKEN)
            claim.chunks = []
            self._outbox.read(claim)
        return claim.body

    async def _body(self) -> bytes:
        body = self._body_now()
        if body is None:
            claim = self._claim_body()
            await self._more(claim)
            body = claim.body
            assert body is not None  # or there is an exception
        return body

    async def _stream(self) -> AsyncIterator[bytes]:
        """Yield the request's body as it comes; see `Request.stream`."""
        claim = self._claim_body()
        if claim.body is not None:
            if claim.body:
                yield claim.body
            return
        if claim.has_begun or claim.chunks is not None or claim.pieces is not None:
            raise RuntimeError(_TAKEN)
        claim.pieces = deque()
        while claim.pieces or not claim.has_ended:
            if not claim.pieces:
                await self._more(claim)
            while claim.pieces:
                yield claim.pieces.popleft()

    def _claim_body(self) -> Claim:
        claim = self._claim()
        if claim is None:
            raise ClientGone("the client has gone")
        return claim

    async def _more(self, claim: Claim) -> None:
        """Wait for more of the request's body, which may be here already."""
        if self._find_claim() is not claim:
            raise ClientGone("the client has gone, or the answer was ended")
        reader: asyncio.Future[None] = self.app.loop.create_future()
        claim.readers = (*_waiting(claim.readers), reader)
        self._outbox.read(claim)
        try:
            await reader
        finally:
            del reader  # its error's traceback has this frame

    def pause(self) -> Self:
        """Take no more of the request's body until `resume`."""
        claim = self._claim(is_kept=True)
        if claim is not None:
            claim.is_paused = True
            self._outbox.pause(self._exchange)
        return self

    def resume(self) -> Self:
        """Go on with the request's body."""
        claim = self._claim(is_kept=True)
        if claim is not None and claim.is_paused:
            claim.is_paused = claim.is_reading = False
            if claim.has_returned:
                self._outbox.read(claim)
        return self

    def write_continue(self) -> Self:
        """Do nothing: a client that waits is told to go on when somebody reads."""
        return self

    # ---- the end of the exchange ----

    def get_status(self) -> int | None:
        """Return the status of the answer as it is now; None when it was sent."""
        head = self._head
        if head is None or head is _LATER:
            return 200
        sentinels = (_DONE, _OPEN, _FAILED, _GONE)
        return None if head in sentinels else head.status

    @property
    def aborted(self) -> bool:
        """Whether the client is known to have gone. What is said then is ignored.

        It is known of responses that stayed open when their handler had returned.
        """
        return self._head is _GONE

    def on_aborted(self, handler: AbortedHandler) -> Self:
        """Call `handler(res)` when the client has gone, or took too long.

        The response may be ended later, after the route's handler has returned.
        """
        claim = self._claim(is_kept=True)
        if claim is not None:
            claim.on_aborted += (_checked(handler, "on_aborted"),)
        return self

    def grab_aborted_handler(self) -> Self:
        """Keep the response open after its handler has returned; see `aborted`."""
        self._claim(is_kept=True)
        return self

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

    # ---- what it belongs to ----

    @property
    def app(self) -> "App":
        """The application that answers."""
        return self._route.app

    def run_async(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Start a coroutine, which may answer when the handler has returned."""
        return self.app.run_async(coroutine, self)

    def get_remote_address_bytes(self) -> bytes:
        """Return the client's address: 4 bytes, 16 for IPv6, none for a unix socket."""
        return self._outbox.peer(self._exchange)[0]

    def get_remote_address(self) -> str:
        """Return the client's address as text; "" for a unix socket."""
        address = self.get_remote_address_bytes()
        if not address:
            return ""
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        return socket.inet_ntop(family, address)

    def get_native_handle(self) -> int:
        """Return the exchange's id: a number, no pointer."""
        return self._exchange

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
        parts += (_pack(exchange, 200, flags, 0, len(body)), body)
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
            raise TypeError("a coroutine was given as a message: await it first")
        body = self.app._json.dumps(message)
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

    def _finish_stream(self, message: object, end_connection: bool) -> Self:
        self._check_stream()
        flags = OUT_LAST | self._again() | (OUT_CLOSE if end_connection else 0)
        data = self._encode(Head(), message)
        parts = self._outbox.parts
        parts += (_pack(self._exchange, 0, flags, 0, len(data)), data)
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
            "%s: %s returned without an answer: call res.end() in it",
            self._route,
            f"{name_of(last)} ({place_of(last)})" if last else "the handler",
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
            raise RuntimeError("this response has been ended already")
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
            claim = claims[slot] = Claim(self)
            if head is None:
                self._head = _LATER
        if is_kept:
            claim.is_kept = True
        return claim

    def _suspend(self, request: "Request", task: "asyncio.Task[Any]") -> None:
        """Leave open what nothing was said about yet: its task will answer."""
        outbox = self._outbox
        slot = self._exchange & SLOT_MASK
        claim = outbox.claims[slot] = Claim(self)
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
            head.finish(self, head)  # what was begun is ended


Headers = Mapping[str, object] | Iterable[tuple[str | bytes, object]]

# What may stand in a reference as it is (RFC 3986 2), and "%", which begins an escape.
_URL_SAFE = "%:/?#[]@!$&'()*+,;=~"


def _has_body(head: Head, claim: Claim) -> bool:
    """Whether an answer is known to have a body (RFC 9110 6.4.1, 15.3.6)."""
    request = claim.request  # not known before the handler has returned
    return (
        request is not None
        and request.get_method() != "HEAD"
        and head.status not in (204, 205, 304)
    )


def _waiting(
    futures: "tuple[asyncio.Future[None], ...]",
) -> "Iterable[asyncio.Future[None]]":
    """Return those that nobody has cancelled."""
    return (future for future in futures if not future.done())


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


_TAKEN = "others were given the body already, by on_data or stream"

_H = TypeVar("_H", bound=Callable[..., object])


def _checked(handler: _H, name: str) -> _H:
    if not callable(handler):
        raise TypeError(f"the handler of {name}, {handler!r}, is not callable")
    context = copy_context()

    def in_context(*arguments: object) -> object:
        # A copy, for one call may come within another.
        return context.copy().run(handler, *arguments)

    return cast(_H, in_context)
