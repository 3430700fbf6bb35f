"""Keys: the secret of an application, and what is derived from it.

`APP_KEY` in the environment, or `Kernel.key`, is 256 random bits in base64, as
`python -m socketify_mw key` prints them.
"""

import base64
import binascii
import hashlib
import hmac
import logging
import os
import secrets

from .errors import ConfigError

logger = logging.getLogger("socketify_mw")

_SIZE = 32  # bytes

# Environments (`APP_ENV`) in which a generated key will do. Any other one, and none, is
# production: who forgets to say so is not to be left without protection.
_DEVELOPMENT = frozenset(("development", "dev", "local", "test", "testing"))

# Keys that stand in public: of Masonite's templates and its tests, and of our examples.
_PUBLISHED = frozenset(
    map(base64.urlsafe_b64decode, ("-RkDOqXojJIlsF_I8wWiUq_KRZ0PtGWTOZ676u5HtLg=",))
)

# A random key has about 30 different bytes; one in 10^20 has fewer than this.
_LEAST_BYTES = 16

_CURE = (
    "`python -m socketify_mw key` prints a good one, for the variable APP_KEY or for "
    "Kernel.key"
)


def is_development() -> bool:
    """Whether `APP_ENV` says that this is no production."""
    return os.environ.get("APP_ENV", "").strip().lower() in _DEVELOPMENT


def new_key() -> str:
    """Return a new key, as text."""
    return secrets.token_urlsafe(_SIZE)


def parse_key(text: str | bytes) -> bytes:
    """Return a key's bytes; ConfigError for one that is none, or that anybody knows."""
    if not isinstance(text, (str, bytes)):
        kind = type(text).__name__
        raise ConfigError(f"the application's key is text, not {kind}: {_CURE}")
    data = text.strip() if isinstance(text, bytes) else text.strip().encode()
    plain = data.removeprefix(b"base64:").replace(b"+", b"-").replace(b"/", b"_")
    plain = plain.rstrip(b"=")
    try:
        key = base64.b64decode(plain + b"=" * (-len(plain) % 4), b"-_", validate=True)
    except binascii.Error:
        raise ConfigError(f"the application's key is not base64: {_CURE}") from None
    if key in _PUBLISHED:
        raise ConfigError(f"the application's key stands in public: {_CURE}")
    if len(key) < _SIZE:
        raise ConfigError(
            f"the application's key has {len(key) * 8} bits, and needs 256: {_CURE}"
        )
    if len(set(key)) < _LEAST_BYTES:
        raise ConfigError(f"the application's key is easy to guess: {_CURE}")
    return key


_given: str | bytes | None = None  # by a kernel
_generated: bytes | None = None


def give_key(text: str | bytes) -> None:
    """Have this as the application's key, of which a process has one."""
    global _given
    if not is_development():
        parse_key(text)  # first: one that is refused is not to stay
    _given = text
    application_key()


def application_key() -> bytes:
    """Return the application's key: a kernel's, `APP_KEY`, or a generated one.

    The last is for development alone (`APP_ENV`): else ConfigError.
    """
    global _generated
    text = _given or os.environ.get("APP_KEY")
    problem = "the application has no key"
    if text:
        try:
            return parse_key(text)
        except ConfigError as error:
            if not is_development():
                raise
            problem = str(error)
    elif not is_development():
        raise ConfigError(
            f"{problem}: {_CURE}. With APP_ENV=development one is made for each run"
        )
    if _generated is None:
        logger.warning(
            "%s: one was made for this run, so cookies and sessions end with it",
            problem,
        )
        _generated = secrets.token_bytes(_SIZE)
    return _generated


def derive(key: bytes, purpose: str) -> bytes:
    """Return a key of 256 bits for one purpose (RFC 5869, with an empty salt)."""
    extracted = hmac.digest(bytes(32), key, hashlib.sha256)
    return hmac.digest(extracted, purpose.encode() + b"\x01", hashlib.sha256)
