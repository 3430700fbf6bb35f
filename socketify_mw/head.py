"""Head: status and field lines of an answer, until they are committed."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ._binding import OUT_CLOSE, OUT_NO_DATE, OUT_REASON

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2

# The server frames answers itself.
_OWN_FIELDS = frozenset((b"connection", b"content-length", b"transfer-encoding"))


# Called with the head and the body (None: a stream begins); returns the body to send.
CommitHook = Callable[["Head", bytes | None], bytes | None]


Seal = Callable[[list[bytes]], list[bytes]]


class Head:
    """What was said about an answer before its end."""

    __slots__ = ("flags", "has_type", "hooks", "lines", "reason", "seal", "status")

    def __init__(self) -> None:
        self.hooks: list[CommitHook] = []  # to run before it is committed
        self.status = 200
        self.reason: bytes | None = None
        self.lines: list[bytes] = []
        self.flags = 0
        self.has_type = False
        # Makes the lines what is sent, also those of an error that takes their place.
        self.seal: Seal | None = None

    def set_status(self, status: int | str | bytes) -> None:
        """Set the status: a number from 200 to 999, or text such as "404 Not Found"."""
        if isinstance(status, int):
            number, reason = int(status), None
        else:
            number, reason = _parse_status(status)
        if not 200 <= number <= 999:
            raise ValueError(f"{number} is not the status of a final answer")
        self.status = number
        self.reason = reason

    def add(self, key: str | bytes, value: object) -> None:
        """Add a field line, unless it is one of the server's own."""
        name = _field_name(key)
        data = _to_latin1(value)
        lower = name.lower()
        if lower in _OWN_FIELDS:
            if lower == b"connection" and data.strip().lower() == b"close":
                self.flags |= OUT_CLOSE
            return
        if lower == b"content-type":
            self.has_type = True
        elif lower == b"date":
            self.flags |= OUT_NO_DATE
        self.lines.append(b"%b: %b\r\n" % (name, data))

    def keep(self, lines: list[bytes]) -> None:
        """Add field lines that are sent whatever becomes of the answer."""
        inner = self.seal

        def seal(given: list[bytes]) -> list[bytes]:
            found = [*given, *lines]
            return found if inner is None else inner(found)

        self.seal = seal

    def block(self) -> bytes:
        """Return the field lines in one piece; ValueError when a line breaks out.

        A CR, LF or NUL in a value would let whoever supplied it write fields of his
        own (RFC 9110 5.5).
        """
        lines = self.lines
        if self.seal is not None:
            lines = self.seal(lines)
        if not lines and self.reason is None:
            return b""
        if self.reason is not None:
            self.flags |= OUT_REASON
            lines = [self.reason + b"\r\n", *lines]
        block = b"".join(lines)
        count = len(lines)
        if block.count(b"\n") != count or block.count(b"\r") != count or b"\0" in block:
            raise ValueError(self._drop_bad(lines))
        return block

    def _drop_bad(self, lines: list[bytes]) -> str:
        """Take out what breaks out of its line, so that an error can be answered.

        Returns what it was.
        """
        bad = next(it for it in lines if not _is_one_line(it))
        name = bad.partition(b":")[0].decode("latin-1")
        if self.reason is not None and not _is_one_line(self.reason + b"\r\n"):
            self.reason = None
            name = "the status"
        self.lines = [it for it in self.lines if _is_one_line(it)]
        return f"CR, LF or NUL in the value of {name}"


def _is_one_line(line: bytes) -> bool:
    return line.count(b"\n") == 1 == line.count(b"\r") and b"\0" not in line


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
    from http import HTTPStatus

    status = int(number)
    try:
        is_usual = HTTPStatus(status).phrase.encode() == reason
    except ValueError:
        is_usual = False
    return status, None if is_usual or not reason else reason


# ---- cookies ----

# cookie-octet of RFC 6265 4.1.1 but for "%", which begins an escape.
_COOKIE_SAFE = "!#$&'()*+-./:<=>?@[]^_`{|}~"
_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}
_TEXT = {"domain": "Domain", "path": "Path"}
_FLAGS = {"secure": "Secure", "httponly": "HttpOnly", "partitioned": "Partitioned"}


# RFC 2109's, which no client knows any more.
_OLD = ("comment", "version")


ENDED_ALREADY = (
    "this response has been ended already: `return` behind res.end(), and in front of "
    "others return nothing, so that they do not run"
)


def cookie_line(name: str, value: object, options: Mapping[str, Any] | None) -> bytes:
    """Return the value of a Set-Cookie field (RFC 6265 4.1).

    The value is percent-encoded as UTF-8, and `Request.get_cookie` decodes it. For
    `options` see `Response.set_cookie`. Raises ValueError for what no client would
    understand.
    """
    if not _TOKEN.fullmatch(name.encode("latin-1", "replace")):
        raise ValueError(f"{name!r} is not the name of a cookie")
    parts = [f"{name}={quote(str(value), safe=_COOKIE_SAFE)}"]
    given = options or {}
    if not any(plain_option(key) == "path" for key in given):
        # Without one, it would come back below the URL alone that has set it.
        given = {**given, "path": "/"}
    for key, option in given.items():
        if option is not None and option is not False and key.lower() not in _OLD:
            parts.append(_cookie_attribute(key, option))
    return "; ".join(parts).encode("ascii")


def plain_option(key: str) -> str:
    """Return one spelling for `max_age`, `Max-Age` and `maxage`."""
    return key.lower().replace("-", "").replace("_", "")


def _cookie_attribute(key: str, value: Any) -> str:
    lower = plain_option(key)
    if lower in _FLAGS:
        return _FLAGS[lower]
    if lower == "expires":
        return f"Expires={_http_date(value)}"
    if lower == "maxage":
        return f"Max-Age={int(value)}"
    if lower == "samesite":
        if str(value).lower() not in _SAME_SITE:
            raise ValueError(f"SameSite is Strict, Lax or None, not {value!r}")
        return f"SameSite={_SAME_SITE[str(value).lower()]}"
    if lower in _TEXT:
        text = str(value)
        if not text.isascii() or not text.isprintable() or ";" in text:
            raise ValueError(f"the cookie's {key} {value!r} cannot be sent")
        return f"{_TEXT[lower]}={text}"
    raise ValueError(f"{key!r} is not an attribute of a cookie")


def _http_date(value: Any) -> str:
    """Return an IMF-fixdate (RFC 9110 5.6.7) of a datetime, or text as it is."""
    from datetime import UTC, datetime
    from email.utils import format_datetime

    if isinstance(value, datetime):
        # One without a time zone is in UTC, as in http.cookies programs.
        aware = value if value.tzinfo else value.replace(tzinfo=UTC)
        return format_datetime(aware.astimezone(UTC), usegmt=True)
    text = str(value)
    if not text.isascii() or not text.isprintable() or ";" in text:
        raise ValueError(f"{value!r} is not a date")
    return text
