"""Opening: from a URL in a configuration to a store."""

import re

from ..errors import ConfigError
from .memory import MemoryStore
from .protocol import Store

_REDIS = ("redis", "rediss", "valkey", "valkeys", "unix")

_FORMS = (
    "give a store, or 'memory:', 'sqlite:PATH', 'sqlite:///PATH', "
    "'redis://HOST:PORT/DB', 'rediss://...', 'valkey://...', 'valkeys://...' or "
    "'unix://PATH'"
)


def open_store(spec: "Store | str") -> Store:
    """Return the store that a URL names; a store is returned as it is.

    sqlite:shop.db and sqlite:///shop.db are relative paths, sqlite:/var/shop.db and
    sqlite:////var/shop.db absolute ones. Nothing is opened before the first call.
    """
    if not isinstance(spec, str):
        if not callable(getattr(spec, "hit", None)):
            raise ConfigError(f"{spec!r} is no store: {_FORMS}")
        return spec
    scheme, colon, rest = spec.partition(":")
    if scheme == "memory" and colon and rest in ("", "//"):
        return MemoryStore()
    # sqlite://shop.db would have a host; SQLAlchemy refuses it, too.
    if scheme == "sqlite" and (found := re.fullmatch("(///)?([^/].*|/(?!/).+)", rest)):
        from .sqlite import SqliteStore

        return SqliteStore(found[2])
    if scheme in _REDIS and rest.startswith("//"):
        from .redis import RedisStore

        return RedisStore(spec)
    # Not as it is: it may have a password.
    raise ConfigError(f"no store is called {(scheme + colon)[:20]!r}...: {_FORMS}")
