"""EncryptCookies: cookies that clients can neither read nor write."""

from collections.abc import Collection, Sequence
from email.utils import parsedate_to_datetime
from time import time
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..keys import application_key, derive, parse_key
from ..request import unquote_cookie
from ..services import require
from ..vault import LONGEST, Vault
from .options import Configurable
from .session import SessionMiddleware

if TYPE_CHECKING:
    from ..app import App
    from ..request import Request
    from ..response import Response

_PREFIX = b"Set-Cookie: "

# Browsers drop cookies that are larger, with name and attributes (RFC 6265 6.1).
_MOST_BYTES = 4096

_IS_LATE = (
    "EncryptCookies is to stand in front of SessionMiddleware, which has read its "
    "cookie already"
)


class EncryptCookies(Configurable):
    """Encrypts each cookie of an answer, and decrypts those of a request.

    What does not decrypt is dropped: the program never sees what a client has written
    itself, or has got under another name. The answer's cookies are encrypted when its
    head is sent, whatever has set them: handlers, error handlers, other middleware.
    """

    __slots__ = ()

    keys: Sequence[str | bytes] | None = None
    """Keys, the newest first: it encrypts, and each decrypts. None: `APP_KEY`."""

    except_: Collection[str] = ()
    """Names of cookies that are left as they are, both ways."""

    lifetime: float = 30 * 86400
    """Seconds after which a cookie counts no more that has no Max-Age or Expires."""

    @classmethod
    def prepare(cls, app: "App") -> Vault:
        """Make what encrypts; ConfigError if the key or the library is missing."""
        if not cls.lifetime > 0:
            raise ConfigError(f"lifetime is a number of seconds, not {cls.lifetime!r}")
        if isinstance(cls.except_, str):
            raise ConfigError(f"except_ is a list of names, not {cls.except_!r}")
        cipher = require("sessions", _cipher, cls.__name__)
        if cls.keys is not None:
            if isinstance(cls.keys, (str, bytes)) or not cls.keys:
                raise ConfigError("keys is a list with at least one key")
            keys = [parse_key(it) for it in cls.keys]
        else:
            keys = [application_key()]
        return Vault(cipher, [derive(key, "cookies") for key in keys])

    @classmethod
    def check_place(cls, in_front: Sequence[type[Any] | None]) -> None:
        """Refuse to stand behind a session, which has read its cookie by then."""
        if any(it is not None and issubclass(it, SessionMiddleware) for it in in_front):
            raise ConfigError(_IS_LATE)

    def before(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Have both done when they are needed."""
        if hasattr(request, "_cookies"):
            return request  # it runs twice: once was enough
        if hasattr(request, "_session"):
            raise ConfigError(_IS_LATE)
        cls = type(self)
        vault: Vault = request.app._services.prepare(cls)
        found: dict[str, str] = {}
        is_open = False

        def opened(cookies: dict[str, str]) -> dict[str, str]:
            nonlocal is_open
            if not is_open:
                is_open = True
                for name, sealed in cookies.items():
                    value = sealed if name in cls.except_ else vault.open(name, sealed)
                    if value is not None:
                        found[name] = value
            return dict(found)

        def seal(lines: list[bytes]) -> list[bytes]:
            return [cls._sealed(it, vault) if _is_cookie(it) else it for it in lines]

        request._cookies = opened
        if not response.aborted:
            response._open_head().seal = seal
        return request

    @classmethod
    def _sealed(cls, line: bytes, vault: Vault) -> bytes:
        pair, *attributes = line[len(_PREFIX) :].decode("latin-1").rstrip().split(";")
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals:
            # Browsers take all of it for the value of a cookie without a name.
            raise ValueError("a cookie without a name cannot be encrypted")
        if name in cls.except_:
            return line
        lifetime = _lifetime(attributes, cls.lifetime)
        # One that the client is to forget has nothing to be kept.
        if lifetime <= 0:
            value = ""
        elif value:
            value = vault.seal(name, unquote_cookie(value.strip()), lifetime)
        found = ";".join((f"{name}={value}", *attributes)).encode("latin-1")
        if len(found) > _MOST_BYTES:
            raise ValueError(
                f"the cookie {name!r} has {len(found)} bytes when it is encrypted, and "
                f"browsers drop those of more than {_MOST_BYTES}"
            )
        return _PREFIX + found + b"\r\n"


def _is_cookie(line: bytes) -> bool:
    return line[: len(_PREFIX)].lower() == _PREFIX.lower()


def _cipher() -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM


def _lifetime(attributes: list[str], default: float) -> float:
    """Return for how many seconds a cookie is good; Max-Age counts (RFC 6265 5.3)."""
    found = {
        name.strip().lower(): value.strip()
        for name, _, value in (it.partition("=") for it in attributes)
    }
    try:
        if "max-age" in found:
            return float(min(int(found["max-age"]), LONGEST))
        if "expires" in found:
            return parsedate_to_datetime(found["expires"]).timestamp() - time()
    except (ValueError, OverflowError):
        pass
    return default
