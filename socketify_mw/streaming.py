"""Streaming: an answer in parts, and how it waits for the client to take them."""

import asyncio
from typing import Self

from ._binding import OUT_CLOSE, OUT_MORE, OUT_STREAM
from .claim import Claim, WritableHandler
from .draft import Draft
from .errors import ClientGone
from .exchange import _DONE, _GONE, _OPEN, Exchange, checked, pack, waiting
from .head import Head

_MOST_BYTES = 2**63 - 1  # of a body: C counts what is left of it


class Streaming(Exchange):
    """The part of a `Response` that answers in parts."""

    __slots__ = ()

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
                self._put(pack(self._exchange, 0, 0, 0, len(data)), data)
            return self
        head = self._open_head()
        if type(head) is Draft:
            head.write(self, message)  # type: ignore[arg-type]
            return self
        data = self._encode(head, message)
        self._run_hooks(head, None)
        self._claim()
        block = head.block()
        flags = head.flags | OUT_STREAM
        record = pack(self._exchange, head.status, flags, len(block), len(data))
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
            claim.writers = (*waiting(claim.writers), future)
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
                head.finish(self, head)  # type: ignore[arg-type]
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
            self._put(pack(self._exchange, head.status, flags, len(block), rest), block)
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
            claim.on_writable = checked(handler, "on_writable")
        return self


def _has_body(head: Head, claim: Claim) -> bool:
    """Whether an answer is known to have a body (RFC 9110 6.4.1, 15.3.6)."""
    request = claim.request  # not known before the handler has returned
    return (
        request is not None
        and request.get_method() != "HEAD"
        and head.status not in (204, 205, 304)
    )


def _set_done(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)
