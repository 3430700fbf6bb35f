"""Bodies: what a response does with the body of its request."""

import asyncio
import io
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Self

from .claim import Claim, DataHandler
from .errors import ClientGone
from .exchange import Exchange, checked, waiting
from .inputs import decoded, parse_form, parse_json

_TAKEN = "others were given the body already, by on_data or stream"


class Bodies(Exchange):
    """The part of a `Response` that reads the request's body."""

    __slots__ = ()

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
            claim.on_data += (checked(handler, "on_data"),)
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
        claim.readers = (*waiting(claim.readers), reader)
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
