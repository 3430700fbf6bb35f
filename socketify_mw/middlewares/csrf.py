"""VerifyCsrfToken: no other site has a browser act for its user here."""

import base64
import binascii
import hmac
import logging
import os
import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .options import Configurable, is_list_of_text
from .session import SessionMiddleware

if TYPE_CHECKING:
    from ..app import App
    from ..request import Request
    from ..response import Response

logger = logging.getLogger("socketify_mw")

# RFC 9110 9.2.1.
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))

# What a browser says of a request that a page of this very site has made, or its user
# by hand (Fetch Metadata, "Sec-Fetch-Site").
_OWN = frozenset(("same-origin", "none"))

_SIZE = 32  # bytes

# A path as a client writes it: "/", or one without a query that may end in "/*".
_EXEMPT = re.compile(r"/|/[!\"$-)+->@-~]+(/\*)?")


class VerifyCsrfToken(Configurable):
    """Refuses unsafe requests (403) that no page of this site has made.

    They pass if the browser says so (`Sec-Fetch-Site`, or `Origin` with the host that
    was asked), or with a token of the session: in the header `X-CSRF-TOKEN`, or as the
    input `__token`. `csrf_token(request)` makes it; SessionMiddleware is to run before.
    """

    __slots__ = ()

    exempt: Collection[str] = ()
    """Paths that are not looked at: exact ones, or "/hooks/*" for all beneath one."""

    @classmethod
    def prepare(cls, app: "App") -> tuple[frozenset[str], tuple[str, ...]]:
        """Check what is exempt."""
        if not is_list_of_text(cls.exempt):
            raise ConfigError(f"exempt is a list of paths, not {cls.exempt!r}")
        for path in cls.exempt:
            if not _EXEMPT.fullmatch(path):
                raise ConfigError(
                    f'{path!r} cannot be exempt: it is a path, or ends in "/*"'
                )
        whole = frozenset(it for it in cls.exempt if not it.endswith("/*"))
        return whole, tuple(it[:-1] for it in cls.exempt if it.endswith("/*"))

    @classmethod
    def check_place(cls, in_front: Sequence[type[Any] | None]) -> None:
        """Refuse to stand where there is no session."""
        # A plain function (None) may run SessionMiddleware when it wants to.
        if not any(it is None or issubclass(it, SessionMiddleware) for it in in_front):
            raise ConfigError(
                f"{cls.__name__} keeps its tokens in the session: let "
                "SessionMiddleware stand in front of it"
            )

    def before(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Let the request through, or answer 403."""
        if request.get_method() in _SAFE or _is_own(request):
            return request
        whole, beneath = request.app._services.prepare(type(self))
        path = request.get_url()
        if path in whole or path.startswith(beneath):
            return request
        return self._check_token(request, response)

    async def _check_token(self, request: "Request", response: "Response") -> Any:
        secret = (await request.session.load()).known_secret()
        token = request.get_header("x-csrf-token")
        # Who has no session has no token: nobody waits for such a client's body.
        if token is None and secret is not None:
            if request._awaits_inputs():
                await request._load(response)
            # Not of the query, which stands in logs and in `Referer`.
            if request.get_query("__token") is None:
                token = request.input("__token")
        if secret is not None and isinstance(token, str) and _is_of(token, secret):
            return request
        logger.info(
            "%s %s: refused, for it may come from another site (%s)",
            request.get_method(),
            request.get_url(),
            "it has no CSRF token" if not token else "its CSRF token is another one",
        )
        return "This form has expired, or another site has sent it.", 403


def csrf_token(request: "Request") -> str:
    """Return a token for a page, or for scripts, of the request's session.

    Each call returns another text, so that compression does not leak it (BREACH).
    """
    mask = os.urandom(_SIZE)
    hidden = _xor(mask, _bytes_of(request.session.secret()))
    return base64.urlsafe_b64encode(mask + hidden).rstrip(b"=").decode()


def csrf_field(request: "Request") -> str:
    """Return the hidden input, as HTML, that a form needs."""
    return f'<input type="hidden" name="__token" value="{csrf_token(request)}">'


def _is_own(request: "Request") -> bool:
    site = request.get_header("sec-fetch-site")
    if site is not None:
        return site in _OWN
    origin = request.get_header("origin")
    if origin is None:
        return False
    scheme, _, host = origin.partition("://")
    asked = (request.get_header("host") or "").lower()
    return scheme in ("http", "https") and bool(asked) and host.lower() == asked


def _is_of(token: str, secret: str) -> bool:
    data = _bytes_of(token)
    if len(data) != 2 * _SIZE:
        return False
    return hmac.compare_digest(_xor(data[:_SIZE], data[_SIZE:]), _bytes_of(secret))


def _bytes_of(text: str) -> bytes:
    try:
        data = text.encode("ascii")
        return base64.b64decode(data + b"=" * (-len(data) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return b""


def _xor(one: bytes, two: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, two, strict=True))
