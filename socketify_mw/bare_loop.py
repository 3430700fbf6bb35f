"""The native loop by itself, as libuv gives it: timers, descriptors, streams.

For programs without asyncio. It is not how requests are served: here each event is
a callback from C.
"""

from collections.abc import Callable
from typing import Any

from ._binding import check, ffi, lib, listen_options, new_loop, read_stats

EINTR = -4


class BareLoop:
    """A native loop with callbacks.

    An exception in a callback ends `run`, which raises it. Everything belongs to the
    thread that made the loop, but for `wake`.

    Example::

        loop = BareLoop()
        loop.start_timer(100, lambda timer: print("100 ms are over"))
        loop.run()
        loop.close()
    """

    DEFAULT: int = lib.SMW_RUN_DEFAULT
    ONCE: int = lib.SMW_RUN_ONCE
    NOWAIT: int = lib.SMW_RUN_NOWAIT

    READABLE: int = lib.SMW_READABLE
    WRITABLE: int = lib.SMW_WRITABLE

    def __init__(self) -> None:
        self._loop = new_loop()
        self._timers: dict[int, int] = {}  # callback numbers by timer
        self._watches: dict[int, int] = {}  # and by descriptor
        self._error: BaseException | None = None
        self._is_running = False

    def run(self, mode: int = DEFAULT) -> bool:
        """Run callbacks: until nothing is left or `stop()` (DEFAULT), for one wait
        (ONCE), or for what is ready now (NOWAIT).

        Returns whether something is left to wait for.
        """
        pointer = self._pointer()
        if self._is_running:
            raise RuntimeError("a callback cannot run the loop that runs it")
        self._is_running = True
        try:
            result = self._run(pointer, mode)
        finally:  # around a call, not a loop: see `TurnSelector._walk`
            self._is_running = False
        self._raise()
        return bool(check(result))

    def _run(self, pointer: Any, mode: int) -> int:
        # Signal handlers of Python have run when a signal cut the wait short.
        while (result := lib.smw_loop_run(pointer, mode)) == EINTR:
            self._raise()
        return int(result)

    def stop(self) -> None:
        """Make `run` return after the callbacks of this round."""
        lib.smw_loop_stop(self._pointer())

    def wake(self) -> None:
        """End the current or the next wait; from any thread."""
        lib.smw_loop_wake(self._pointer())

    def start_timer(
        self, delay_ms: int, callback: Callable[[int], object], repeat_ms: int = 0
    ) -> int:
        """Call `callback(timer)` after `delay_ms`, then every `repeat_ms` if not 0."""
        user = _keep(self, callback)
        timer = ffi.new("uint64_t *")
        result = lib.smw_timer_start(
            self._pointer(), delay_ms, repeat_ms, lib.smw_py_on_due, user, timer
        )
        self._check_kept(result, user)
        self._timers[timer[0]] = user
        return int(timer[0])

    def stop_timer(self, timer: int) -> None:
        """Stop a timer; NativeError when it has fired or was stopped."""
        check(lib.smw_timer_stop(self._pointer(), timer))
        del _kept[self._timers.pop(timer)]

    def watch(
        self, fd: int, events: int, callback: Callable[[int, int], object]
    ) -> None:
        """Call `callback(fd, events)` while `fd` is READABLE, WRITABLE or both."""
        user = _keep(self, callback)
        result = lib.smw_watch_set(
            self._pointer(), fd, events, lib.smw_py_on_ready, user
        )
        self._check_kept(result, user)
        _kept.pop(self._watches.get(fd, 0), None)
        self._watches[fd] = user

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; to be called before it is closed."""
        check(lib.smw_watch_set(self._pointer(), fd, 0, ffi.NULL, 0))
        _kept.pop(self._watches.pop(fd, 0), None)

    def listen(
        self,
        on_open: Callable[[int], object],
        on_data: Callable[[int, bytes], object],
        on_close: Callable[[int], object],
        *,
        host: str | None = None,
        port: int = 0,
        backlog: int = 0,
        reuse_port: bool = False,
    ) -> int:
        """Listen for connections and return the port.

        The callbacks get the connection's id, `on_data` also the bytes.
        """
        options, _kept = listen_options(host, port, backlog, reuse_port)
        user = _keep(self, (on_open, on_data, on_close))
        result = lib.smw_stream_listen(
            self._pointer(),
            options,
            lib.smw_py_on_open,
            lib.smw_py_on_data,
            lib.smw_py_on_close,
            user,
        )
        return self._check_kept(result, user)

    def cork(self, conn: int) -> None:
        """Gather writes to a connection until `uncork`; they leave as one send."""
        check(lib.smw_conn_cork(self._pointer(), conn))

    def uncork(self, conn: int) -> None:
        """Send what was gathered, unless the connection is corked once more."""
        check(lib.smw_conn_uncork(self._pointer(), conn))

    def write(self, conn: int, data: bytes) -> None:
        """Send bytes, now or when the peer takes them."""
        check(lib.smw_conn_write(self._pointer(), conn, data, len(data)))

    def close_connection(self, conn: int) -> None:
        """Close a connection once everything written has left."""
        check(lib.smw_conn_close(self._pointer(), conn))

    def stats(self) -> dict[str, int]:
        """Return how often the loop has asked the kernel for what, so far."""
        return read_stats(self._pointer())

    def close(self) -> None:
        """Close everything. Further use raises RuntimeError; a second close is fine."""
        if self._is_running:
            raise RuntimeError("a callback cannot close the loop that runs it")
        pointer, self._loop = self._loop, ffi.NULL
        lib.smw_loop_free(pointer)  # connections still report their closing
        for user in [user for user, (loop, _) in _kept.items() if loop is self]:
            del _kept[user]

    def _pointer(self) -> Any:
        if self._loop == ffi.NULL:
            raise RuntimeError("the loop is closed")
        return self._loop

    def _check_kept(self, result: int, user: int) -> int:
        if result < 0:
            del _kept[user]
        return check(result)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


# Callbacks by the number that C carries for them: C holds no Python object.
_kept: dict[int, tuple[BareLoop, Any]] = {}
_last_user = 0


def _keep(loop: BareLoop, callback: Any) -> int:
    global _last_user
    _last_user += 1
    _kept[_last_user] = (loop, callback)
    return _last_user


def _call(loop: BareLoop, callback: Callable[..., object], *arguments: object) -> None:
    try:
        callback(*arguments)
    except BaseException as error:  # nothing may cross C: `run` raises it
        loop._error = loop._error or error
        if loop._loop != ffi.NULL:
            loop.stop()


@ffi.def_extern()  # type: ignore[untyped-decorator]
def smw_py_on_due(_loop: Any, timer: int, user: int) -> None:
    loop, callback = _kept[user]
    is_over = lib.smw_timer_is_running(loop._loop, timer) == 0
    if is_over:
        del _kept[loop._timers.pop(timer)]
    _call(loop, callback, timer)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def smw_py_on_ready(_loop: Any, fd: int, events: int, user: int) -> None:
    loop, callback = _kept[user]
    _call(loop, callback, fd, events)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def smw_py_on_open(_loop: Any, conn: int, user: int) -> None:
    loop, (on_open, _on_data, _on_close) = _kept[user]
    _call(loop, on_open, conn)


@ffi.def_extern()  # type: ignore[untyped-decorator]
def smw_py_on_data(_loop: Any, conn: int, data: Any, length: int, user: int) -> None:
    loop, (_on_open, on_data, _on_close) = _kept[user]
    _call(loop, on_data, conn, ffi.buffer(data, length)[:])


@ffi.def_extern()  # type: ignore[untyped-decorator]
def smw_py_on_close(_loop: Any, conn: int, user: int) -> None:
    loop, (_on_open, _on_data, on_close) = _kept[user]
    _call(loop, on_close, conn)
