"""The one place where Python meets C: no other module imports `_native`.

`Native` is a loop with a batch, which the asyncio loop runs on. It gives no C pointer
away: connections, exchanges and timers are named by numbers that C checks.
"""

import os
from array import array
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ._native import ffi, lib
from .errors import NativeError

if TYPE_CHECKING:
    from .limits import Limits

__all__ = ["Native", "NativeServer", "check", "ffi", "lib"]

METHODS = (
    "GET",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    "TRACE",
)
METHOD_NUMBERS = {name: getattr(lib, f"SMW_{name}") for name in (*METHODS, "ANY")}

W_HEAD: int = lib.SMW_W_HEAD
W_HEAD_END: int = lib.SMW_W_HEAD_END
W_METHOD: int = lib.SMW_W_METHOD
W_METHOD_END: int = lib.SMW_W_METHOD_END
W_PATH: int = lib.SMW_W_PATH
W_PATH_END: int = lib.SMW_W_PATH_END
W_QUERY: int = lib.SMW_W_QUERY
W_QUERY_END: int = lib.SMW_W_QUERY_END
W_FIELDS: int = lib.SMW_W_FIELDS
W_ALLOW: int = lib.SMW_W_ALLOW
W_TARGET_END: int = lib.SMW_W_TARGET_END
W_MINOR: int = lib.SMW_W_MINOR
W_PARAMS: int = lib.SMW_W_PARAMS
MAX_PARAMS: int = lib.SMW_MAX_PARAMS
W_PARAM: int = lib.SMW_W_PARAM
W_COUNT: int = lib.SMW_W_COUNT
W_ODD: int = lib.SMW_W_ODD

OUT_TEXT: int = lib.SMW_OUT_TEXT
OUT_CLOSE: int = lib.SMW_OUT_CLOSE
OUT_MORE: int = lib.SMW_OUT_MORE
OUT_REASON: int = lib.SMW_OUT_REASON
OUT_NO_DATE: int = lib.SMW_OUT_NO_DATE
OUT_AGAIN: int = lib.SMW_OUT_AGAIN
OUT_STREAM: int = lib.SMW_OUT_STREAM
OUT_LAST: int = lib.SMW_OUT_LAST

EVENT_READY: int = lib.SMW_EVENT_READY
EVENT_WRITABLE: int = lib.SMW_EVENT_WRITABLE
EVENT_DATA: int = lib.SMW_EVENT_DATA
FIRST_TOKEN: int = lib.SMW_FIRST_TOKEN

EGONE: int = lib.SMW_EGONE

# Of the places of a piece; its start is shifted by 32, its end is below this bit.
PIECE_LAST: int = lib.SMW_PIECE_LAST
PIECE_END: int = PIECE_LAST - 1

SLOT_MASK: int = lib.SMW_SLOT_MASK

READABLE: int = lib.SMW_READABLE
WRITABLE: int = lib.SMW_WRITABLE

# Where the words of a numbered header field begin, by its lower-case name.
FIELD_WORDS: dict[str, int] = {
    ffi.string(lib.smw_header_name(i)).decode(): lib.SMW_W_KNOWN + 2 * i
    for i in range(lib.SMW_KNOWN_FIELDS)
}

_MESSAGES = {
    lib.SMW_EGONE: "it has gone",
    lib.SMW_EBUSY: "it is running already, or its last batch was not taken",
    lib.SMW_EORDER: "an exchange before this one is still unanswered",
    lib.SMW_EPATTERN: "the pattern is malformed",
    lib.SMW_EEXIST: "this method and pattern are taken",
    lib.SMW_ELIMIT: "over a fixed capacity",
    lib.SMW_ERECORD: "an outbox record is malformed",
}


def check(result: int) -> int:
    """Return `result`, or raise what a negative one stands for.

    Raises OSError for a failed system call and NativeError for the core's own codes.
    """
    if result >= 0:
        return result
    if result in _MESSAGES:
        raise NativeError(result, _MESSAGES[result])
    raise OSError(-result, os.strerror(-result))


def listen_options(
    host: str | None,
    port: int,
    backlog: int,
    reuse_port: bool,
    path: bytes | None = None,
    mode: int = 0,
) -> tuple[Any, Any]:
    """Return `smw_listen_options *`, and what must live as long as C reads it."""
    kept_host = ffi.NULL if host is None else ffi.new("char[]", host.encode("idna"))
    kept_path = ffi.NULL if path is None else ffi.new("char[]", path)
    options = ffi.new("smw_listen_options *")
    options.host = kept_host
    options.port = port
    options.backlog = backlog
    options.reuse_port = reuse_port
    options.path = kept_path
    options.mode = mode
    return options, (kept_host, kept_path)


def _size(limit: int | None) -> int:
    return 2**64 - 1 if limit is None else limit


def _milliseconds(seconds: float | None) -> int:
    return lib.SMW_NEVER if seconds is None else max(round(seconds * 1000), 1)


def server_options(limits: "Limits") -> Any:
    """Return `smw_server_options *`."""
    return ffi.new(
        "smw_server_options *",
        {
            "max_line": limits.max_line,
            "max_head": limits.max_head,
            "max_fields": limits.max_fields,
            "max_body": _size(limits.max_body),
            "max_connections": limits.max_connections or 0,
            "head_timeout": _milliseconds(limits.head_timeout),
            "body_timeout": _milliseconds(limits.body_timeout),
            "idle_timeout": _milliseconds(limits.idle_timeout),
            "send_timeout": _milliseconds(limits.send_timeout),
            "answer_timeout": _milliseconds(limits.answer_timeout),
        },
    )


def new_loop() -> Any:
    """Return a new `smw_loop *`, or raise OSError."""
    pointer = lib.smw_loop_new()
    if pointer == ffi.NULL:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    return pointer


FORKED = "this loop belongs to the parent process: make the App after fork()"

# Enough for 250 connections that each send a kilobyte in one turn; what does not fit
# waits for the next one.
_ARENA = 256 * 1024
_REQUESTS = 256
_RECORDS = 1024


def read_stats(loop: Any) -> dict[str, int]:
    """Return how often a loop has asked the kernel for what, so far."""
    stats = lib.smw_loop_stats(loop)
    return {name: getattr(stats, name) for name, _ in ffi.typeof("smw_stats").fields}


class Native:
    """A native loop with a batch, and the memory that both share with Python.

    arena: what was read from sockets in this turn, as a buffer of bytes.
    words: numbers that say where in the arena the parts of each request are.
    shared: [number of records that wait, 1 once the outbox was taken].
    turn(timeout_ms, limit, outbox, length): the one call of the plain path.
    """

    def __init__(self) -> None:
        self._loop = new_loop()
        self._arena = ffi.new("char[]", _ARENA)
        # An array: its items are read more cheaply than those of other buffers.
        self.words = array("I", bytes(4 * _REQUESTS * W_COUNT))
        self._words = ffi.from_buffer("uint32_t[]", self.words, require_writable=True)
        self._records = ffi.new("uint64_t[]", _RECORDS * 3)
        self._shared = ffi.new("smw_shared *")
        memory = ffi.new(
            "smw_batch_memory *",
            {
                "arena": self._arena,
                "arena_size": _ARENA,
                "words": self._words,
                "word_count": _REQUESTS * W_COUNT,
                "records": self._records,
                "record_count": _RECORDS,
                "shared": self._shared,
            },
        )
        self._batch = lib.smw_batch_new(self._loop, memory)
        if self._batch == ffi.NULL:
            error = ffi.errno
            self.close()
            raise OSError(error, os.strerror(error))
        self.arena = ffi.buffer(self._arena)
        self.shared = memoryview(ffi.buffer(self._shared)).cast("Q")
        self.turn: Callable[[int, int, bytes, int], int]
        self.turn = partial(lib.smw_turn, self._batch)
        self._unpack: Callable[[int], list[int]] = partial(ffi.unpack, self._records)

    def records(self, count: int) -> list[int]:
        """Return the batch's first `count` records, three numbers each."""
        return self._unpack(count * 3)

    def flush(self, outbox: bytes) -> None:
        """Scatter an outbox now, without a wait."""
        check(lib.smw_flush(self._batch, outbox, len(outbox)))

    def send(self, exchange: int, data: bytes, left: int) -> int:
        """Go on with an announced body; returns the bytes that are left.

        `data` begins `left` bytes before its end, not behind what was taken before.
        Raises NativeError with EGONE when the peer has gone.
        """
        size = len(data)
        return check(lib.smw_exchange_send(self._batch, exchange, data, size, left))

    def take_back(self, exchange: int) -> None:
        """Have what was left alone behind an exchange in this turn come again."""
        check(lib.smw_exchange_take_back(self._batch, exchange))

    def backlog(self, exchange: int) -> int:
        """Return the bytes of an answer that wait; EVENT_WRITABLE follows if any."""
        return check(lib.smw_exchange_backlog(self._batch, exchange))

    def close_connection(self, exchange: int) -> None:
        """Close the connection of an exchange at once."""
        check(lib.smw_exchange_close(self._batch, exchange))

    def peer(self, exchange: int) -> tuple[bytes, int]:
        """Return the client's address (4 or 16 bytes, or none) and port."""
        peer = ffi.new("smw_peer *")
        check(lib.smw_exchange_peer(self._batch, exchange, peer))
        return bytes(ffi.buffer(peer.address, peer.length)), peer.port

    def read(self, exchange: int, wants: bool) -> int:
        """Ask for a request's body, or for no more; returns the piece that is here.

        What comes later comes as EVENT_DATA. Raises NativeError with EGONE.
        """
        return check(lib.smw_exchange_read(self._batch, exchange, wants))

    def watch(self, fd: int, events: int) -> None:
        """Report readiness of a descriptor in the batch; 0 forgets it."""
        check(lib.smw_batch_watch(self._batch, fd, events))

    def stats(self) -> dict[str, int]:
        return read_stats(self._loop)

    def new_server(self, limits: "Limits", half_close: bool) -> "NativeServer":
        return NativeServer(self, limits, half_close)

    def close(self) -> None:
        """Close everything of the loop. The memory stays readable."""
        pointer, self._loop = self._loop, ffi.NULL
        self._batch = ffi.NULL
        self.turn = _closed
        lib.smw_loop_free(pointer)

    def abandon(self, *, is_ours: bool) -> None:
        """Let go of the loop in a child of fork; the parent goes on with it.

        is_ours: the loop belongs to the thread that forked. Another thread may have
        been in the middle of something: then its memory and descriptors are left.
        """
        pointer, self._loop = self._loop, ffi.NULL
        self._batch = ffi.NULL
        self.turn = _forked
        if is_ours and pointer != ffi.NULL:
            lib.smw_loop_abandon(pointer)


def _closed(*arguments: Any) -> int:
    raise RuntimeError("Event loop is closed")


def _forked(*arguments: Any) -> int:
    raise RuntimeError(FORKED)


class NativeServer:
    """An HTTP server of a native loop. Used after the loop's close: RuntimeError."""

    def __init__(self, native: Native, limits: "Limits", half_close: bool) -> None:
        self._native = native
        options = server_options(limits)
        options.half_close = half_close
        self._pointer = lib.smw_server_new(native._loop, options)
        if self._pointer == ffi.NULL:
            raise MemoryError("no memory for a server")

    @property
    def _server(self) -> Any:
        if self._native._loop == ffi.NULL:  # which freed the server
            self._native.turn(0, 0, b"", 0)  # raises, and says why
        return self._pointer

    def route(self, method: str, pattern: str, token: int) -> None:
        data = pattern.encode()
        number = METHOD_NUMBERS[method]
        check(lib.smw_server_route(self._server, number, data, len(data), token))

    def max_body(self, token: int, limit: int | None) -> None:
        """Let requests for a route have bodies of `limit` bytes; None for any."""
        check(lib.smw_server_max_body(self._server, token, _size(limit)))

    def match(self, method: str, path: str, skip: int) -> tuple[int, list[int]]:
        """Return the token of a match in order of precedence, and its parameters.

        The token is 0 when there are not so many. The parameters are places in the
        path: pairs of start and end, MAX_PARAMS of them, 0 where there are no more.
        """
        data = path.encode("latin-1")
        number = METHOD_NUMBERS.get(method, lib.SMW_OTHER)
        places = ffi.new("uint32_t[]", 2 * MAX_PARAMS)
        token = lib.smw_server_match(
            self._server, number, data, len(data), skip, places
        )
        return token, ffi.unpack(places, 2 * MAX_PARAMS)

    def miss(self, token: int) -> None:
        lib.smw_server_miss(self._server, token)

    def listen(
        self,
        host: str | None,
        port: int,
        backlog: int,
        reuse_port: bool,
        path: bytes | None,
        mode: int,
    ) -> int:
        options, _kept = listen_options(host, port, backlog, reuse_port, path, mode)
        return check(lib.smw_server_listen(self._server, options))

    def adopt(self, fd: int) -> None:
        """Serve a connected stream socket; the descriptor is taken over."""
        check(lib.smw_server_adopt(self._server, fd))

    def hold(self, holds: bool) -> None:
        """Let connections wait to be accepted, or accept them again."""
        lib.smw_server_hold(self._server, holds)

    def stop(self) -> None:
        lib.smw_server_stop(self._server)

    def connections(self) -> int:
        return int(lib.smw_server_connections(self._server))
