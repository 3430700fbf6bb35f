"""Listen: ports and unix sockets, with errors that name them."""

import os
from dataclasses import dataclass
from errno import EADDRNOTAVAIL

from ._binding import NativeServer


@dataclass(frozen=True)
class ListenConfig:
    """What `listen` tells its handler: where the app can be reached.

    domain: the path, as socketify calls it.
    """

    port: int  # 0 for a unix socket
    host: str | None
    path: str | None = None

    @property
    def domain(self) -> str | None:
        return self.path


def listen_at_port(
    server: NativeServer, host: str | None, port: int, backlog: int, reuse_port: bool
) -> ListenConfig:
    try:
        real = server.listen(host, port, backlog, reuse_port, None, 0)
    except OSError as error:
        where = f"port {port} of {host or 'every address'}"
        text = f"{error.strerror} ({where})"
        if host and error.errno == EADDRNOTAVAIL:
            text += ": this machine does not have that address, or nobody knows it"
        raise OSError(error.errno, text) from None
    return ListenConfig(real, host)


def listen_at_path(
    server: NativeServer,
    path: str | os.PathLike[str] | bytes,
    mode: int | None,
    backlog: int,
) -> ListenConfig:
    name = os.fsencode(path)
    if not name or b"\0" in name:
        raise ValueError(f"a path has a byte at least, and no NUL, not {path!r}")
    if mode is not None and (type(mode) is not int or not 0 < mode <= 0o777):
        raise ValueError(f"a mode is a number from 0o001 to 0o777, not {mode!r}")
    text = os.fsdecode(name)
    try:
        server.listen(None, 0, backlog, False, name, mode or 0)
    except OSError as error:
        raise OSError(error.errno, error.strerror, text) from None
    return ListenConfig(0, None, text)
