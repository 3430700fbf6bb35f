"""Options: what `App` and `App.listen` may be given in place of arguments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError

# Bits of AppListenOptions.options, as uWebSockets has them.
LISTEN_DEFAULT = 0
LISTEN_EXCLUSIVE_PORT = 1


@dataclass
class AppListenOptions:
    """Where to listen: a port of a host (None: every address), or a unix socket.

    options: LISTEN_EXCLUSIVE_PORT keeps other processes from sharing the port; else
        they may, when they ask for it, too (SO_REUSEPORT is set by `reuse_port` alone).
    domain: the path of a unix socket; without port and host.
    """

    port: int = 0
    host: str | None = None
    options: int = 0
    domain: str | None = None

    def __post_init__(self) -> None:
        _check(self, "port", int)
        _check(self, "host", str, type(None))
        _check(self, "options", int)
        _check(self, "domain", str, type(None))
        if self.domain is not None and (self.host is not None or self.port):
            raise ConfigError("domain goes without host and port")


def options_of(options: Mapping[str, Any]) -> AppListenOptions:
    """Return the options that stand in a mapping."""
    unknown = set(options) - set(AppListenOptions.__dataclass_fields__)
    if unknown:
        raise ConfigError(f"unknown options of listen: {', '.join(sorted(unknown))}")
    return AppListenOptions(**options)


@dataclass
class AppOptions:
    """Options of an encrypted app; see `App`."""

    key_file_name: str | None = None
    cert_file_name: str | None = None
    passphrase: str | None = None
    dh_params_file_name: str | None = None
    ca_file_name: str | None = None
    ssl_ciphers: str | None = None
    ssl_prefer_low_memory_usage: int = 0

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if name != "ssl_prefer_low_memory_usage":
                _check(self, name, str, type(None))
        _check(self, "ssl_prefer_low_memory_usage", int)


def _check(options: object, name: str, *types: type) -> None:
    value = getattr(options, name)
    if type(value) not in types:
        wanted = " or ".join(kind.__name__ for kind in types)
        raise ConfigError(f"{name}={value!r}: {wanted} was expected")
