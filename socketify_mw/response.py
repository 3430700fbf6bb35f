"""Response: what a handler says about the answer."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from inspect import iscoroutinefunction
from typing import Any, Self
from urllib.parse import quote

from .bodies import Bodies
from .claim import AbortedHandler
from .exchange import _DONE, _FAILED, _GONE, _LATER, _OPEN, checked
from .head import cookie_line
from .streaming import Streaming
from .words import ResponseWords, address_text

Headers = Mapping[str, object] | Iterable[tuple[str | bytes, object]]

# What may stand in a reference as it is (RFC 3986 2), and "%", which begins an escape.
_URL_SAFE = "%:/?#[]@!$&'()*+,;=~"


class Response(Streaming, Bodies, ResponseWords):
    """The answer to one request. Made by the loop, which sets the slots; see `Loop`.

    Its methods can be chained. Status and fields may be given in any order until
    `end`, or the first `write`. When the client has gone, what is said is ignored.
    """

    __slots__ = ()

    def set_cookie(
        self, name: str, value: object, options: Mapping[str, Any] | None = None
    ) -> Self:
        """Add a cookie, with a `Set-Cookie` line of its own (RFC 6265 4.1).

        The value is percent-encoded as UTF-8; `Request.get_cookie` decodes it.
        options: `expires` (datetime or text), `max_age` (seconds), `domain`, `path`
        ("/" if it is not given; None for below the URL that sets it), `secure`,
        `httponly`, `partitioned` (True), `samesite` ("Strict", "Lax", "None"). Raises
        ValueError for others, and for what cannot be sent.
        """
        self._open_head().add(b"Set-Cookie", cookie_line(name, value, options))
        return self

    # ---- the answer as a whole ----

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
        **parameters: Any,
    ) -> Self:
        """Send the client to another address, percent-encoded where it must be.

        name: of the route to go to, in place of an address, with its parameters; see
            `App.url`. They may be given as a mapping, too: `params={"id": 5}`.
        status_code: also as `status`, with an address.
        """
        if (location is None) == (name is None):
            raise TypeError("give the address, or the name of a route")
        if name is not None:
            if isinstance(parameters.get("params"), Mapping):
                parameters |= parameters.pop("params")
            location = self.app.url(name, **parameters)
        else:
            status_code = parameters.pop("status", status_code)
            if parameters:
                raise TypeError(
                    f"redirect to an address takes no {', '.join(parameters)}: "
                    "parameters are for a route's name"
                )
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

    @aborted.setter
    def aborted(self, value: bool) -> None:
        """Do nothing: programs for socketify set in `on_aborted` what is so already."""

    def on_aborted(self, handler: AbortedHandler) -> Self:
        """Call `handler(res)` when the client has gone, or took too long.

        The response may be ended later, after the route's handler has returned.
        """
        claim = self._claim(is_kept=True)
        if claim is not None:
            claim.on_aborted += (checked(handler, "on_aborted"),)
        return self

    def grab_aborted_handler(self) -> Self:
        """Keep the response open after its handler has returned; see `aborted`."""
        self._claim(is_kept=True)
        return self

    # ---- what it belongs to ----

    def run_async(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Start a coroutine, which may answer when the handler has returned."""
        return self.app.run_async(coroutine, self)

    def get_remote_address_bytes(self) -> bytes:
        """Return the client's address: 4 bytes, 16 for IPv6, none for a unix socket."""
        return self._outbox.peer(self._exchange)[0]

    def get_remote_address(self) -> str:
        """Return the client's address as text; "" for a unix socket."""
        return address_text(self.get_remote_address_bytes())

    def get_native_handle(self) -> int:
        """Return the exchange's id: a number, no pointer."""
        return self._exchange
