"""SQLite: a store in a file, which the processes of one machine share."""

import asyncio
import os
import sqlite3
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ConfigError, StoreError
from ._checks import (
    check_amount,
    check_key,
    check_limit,
    check_seconds,
    check_sum,
    check_value,
)
from ._log import count_hit
from .protocol import Hit

_T = TypeVar("_T")

_VERSION = "1"  # of the tables

# Times of values and counters are those of time.time(), for they outlive a reboot.
# Stamps are doubles of time.monotonic(), which nobody can set, and `until` is, too.
_TABLES = """
CREATE TABLE IF NOT EXISTS smw_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS smw_values
    (key BLOB PRIMARY KEY, value BLOB NOT NULL, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS smw_counters
    (key BLOB PRIMARY KEY, count INTEGER NOT NULL, until REAL NOT NULL);
CREATE TABLE IF NOT EXISTS smw_hits
    (key BLOB PRIMARY KEY, stamps BLOB NOT NULL, until REAL NOT NULL);
CREATE INDEX IF NOT EXISTS smw_values_until ON smw_values (until);
CREATE INDEX IF NOT EXISTS smw_counters_until ON smw_counters (until);
CREATE INDEX IF NOT EXISTS smw_hits_until ON smw_hits (until);
"""

# What a call that writes forgets at most: more than it adds.
_FEW = 8

# The share of the time limit for which SQLite waits for a lock. What remains is for
# the answer, which says that this was the reason.
_PATIENCE = 0.9

_PAUSE = 0.005  # before the next try, where SQLite does not wait


class SqliteStore:
    """Keeps what it is given in a file, made with mode 0600.

    A thread of its own does the work. timeout: seconds for each call, waiting for the
    other calls and for other processes included.
    """

    is_immediate = False

    def __init__(self, path: str | os.PathLike[str], timeout: float = 1.0) -> None:
        check_seconds("timeout", timeout)
        name = os.fspath(path)
        if name in ("", ":memory:"):
            raise ConfigError("SqliteStore needs a file's path; MemoryStore does not")
        self._timeout = timeout
        self._room = _Room(os.path.abspath(name))
        weakref.finalize(self, self._room.abandon)

    async def get(self, key: str) -> bytes | None:
        check_key(key)

        def work(file: sqlite3.Connection) -> bytes | None:
            return _get(file, key.encode(), time.time())

        return await self._do(work)

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        check_key(key)
        check_value(value)
        check_seconds("ttl", ttl)

        def work(file: sqlite3.Connection) -> None:
            with _writing(file):
                _set(file, key.encode(), value, ttl, time.time())

        await self._do(work)

    async def replace(
        self, key: str, old: bytes | None, new: bytes, ttl: float
    ) -> bool:
        check_key(key)
        if old is not None:
            check_value(old)
        check_value(new)
        check_seconds("ttl", ttl)

        def work(file: sqlite3.Connection) -> bool:
            with _writing(file):
                now = time.time()
                if _get(file, key.encode(), now) != old:
                    return False
                _set(file, key.encode(), new, ttl, now)
                return True

        return await self._do(work)

    async def delete(self, key: str) -> None:
        check_key(key)

        def work(file: sqlite3.Connection) -> None:
            with _writing(file):
                for table in ("smw_values", "smw_counters", "smw_hits"):
                    file.execute(f"DELETE FROM {table} WHERE key = ?", [key.encode()])

        await self._do(work)

    async def increment(self, key: str, ttl: float, amount: int = 1) -> int:
        check_key(key)
        check_seconds("ttl", ttl)
        check_amount(amount)

        def work(file: sqlite3.Connection) -> int:
            with _writing(file):
                now = time.time()
                count, until = amount, now + ttl
                row = file.execute(
                    "SELECT count, until FROM smw_counters WHERE key = ? AND until > ?",
                    [key.encode(), now],
                ).fetchone()
                if row is not None:
                    count, until = check_sum(row[0] + amount), row[1]
                file.execute(
                    "REPLACE INTO smw_counters VALUES (?, ?, ?)",
                    [key.encode(), count, until],
                )
                _forget_some(file, "smw_counters", now)
                return count

        return await self._do(work)

    async def hit(self, key: str, limit: int, window: float) -> Hit:
        check_key(key)
        check_limit(limit)
        check_seconds("window", window)

        def work(file: sqlite3.Connection) -> Hit:
            with _writing(file):
                # Read behind the lock, so that stamps are in order.
                now = time.monotonic()
                stamps = array("d")
                row = file.execute(
                    "SELECT stamps FROM smw_hits WHERE key = ?", [key.encode()]
                ).fetchone()
                if row is not None:
                    stamps.frombytes(row[0])
                # Without a boot's number, the time tells: it began anew with it.
                while stamps and stamps[-1] > now:
                    stamps.pop()
                told = count_hit(stamps, limit, float(window), now)
                if told.is_allowed:
                    file.execute(
                        "REPLACE INTO smw_hits VALUES (?, ?, ?)",
                        [key.encode(), stamps.tobytes(), now + window],
                    )
                    _forget_some(file, "smw_hits", now)
                return told

        return await self._do(work)

    async def close(self) -> None:
        with suppress(StoreError):
            await self._in_thread(self._room.leave, _PATIENCE * self._timeout)
        self._room.dismiss()

    async def _do(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        deadline = time.monotonic() + _PATIENCE * self._timeout
        return await self._in_thread(self._room.do, work, deadline)

    async def _in_thread(self, function: Callable[..., _T], *arguments: object) -> _T:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                return await loop.run_in_executor(
                    self._room.worker(), function, *arguments
                )
        except TimeoutError:
            raise StoreError(
                f"{self._room.path}: no answer within {self._timeout:g} s"
            ) from None


def _get(file: sqlite3.Connection, key: bytes, now: float) -> bytes | None:
    row = file.execute(
        "SELECT value FROM smw_values WHERE key = ? AND until > ?", [key, now]
    ).fetchone()
    return None if row is None else row[0]


def _set(
    file: sqlite3.Connection, key: bytes, value: bytes, ttl: float, now: float
) -> None:
    file.execute("REPLACE INTO smw_values VALUES (?, ?, ?)", [key, value, now + ttl])
    _forget_some(file, "smw_values", now)


def _forget_some(file: sqlite3.Connection, table: str, now: float) -> None:
    file.execute(
        f"DELETE FROM {table} WHERE key IN (SELECT key FROM {table} "
        "WHERE until <= ? ORDER BY until LIMIT ?)",
        [now, _FEW],
    )


@contextmanager
def _writing(file: sqlite3.Connection) -> Iterator[None]:
    file.execute("BEGIN IMMEDIATE")
    try:
        yield
        file.execute("COMMIT")
    except BaseException:
        if file.in_transaction:
            file.execute("ROLLBACK")
        raise


class _Room:
    """A connection, and the one thread that uses it. All but `worker` may block."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: sqlite3.Connection | None = None
        self._identity: tuple[int, int] = (0, 0)
        self._executor: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()  # while the connection is in use
        self._is_held_by_fork = False
        self._is_left = False
        _rooms.add(self)

    def worker(self) -> ThreadPoolExecutor:
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, f"store {self.path}")
        return self._executor

    def dismiss(self) -> None:
        """Let the thread end."""
        executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown(wait=False)

    def do(self, work: Callable[[sqlite3.Connection], _T], deadline: float) -> _T:
        try:
            with self._lock:
                return self._do(work, deadline)
        finally:
            self._close_if_left()

    def _do(self, work: Callable[[sqlite3.Connection], _T], deadline: float) -> _T:
        while True:
            try:
                return work(self._opened(deadline))
            except (sqlite3.Error, OSError, ValueError) as error:
                # Some locks do not wait: those of opening, and of recovery.
                is_locked = _is_locked(error)
                if not is_locked:
                    # The file may be another one by the next call, or well again.
                    self._close()
                if not is_locked or time.monotonic() + _PAUSE >= deadline:
                    raise StoreError(f"{self.path}: {error}") from error
            time.sleep(_PAUSE)

    def leave(self, timeout: float) -> None:
        """Close the file. The next call opens it again."""
        if self._lock.acquire(timeout=timeout):
            try:
                self._close()
            finally:
                self._lock.release()

    def abandon(self) -> None:
        """Close the file as soon as nobody uses it, for its store is gone.

        It does not wait: the garbage collector may call it in any thread.
        """
        self._is_left = True
        self._close_if_left()

    def _close_if_left(self) -> None:
        if self._is_left and self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()

    def _opened(self, deadline: float) -> sqlite3.Connection:
        """Return a connection to the file that has the path now."""
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the calls before this one took all of its time")
        if self._file is not None and self._identity != _identify(self.path):
            self._close()  # it was deleted, or another one was put in its place
        if self._file is None:
            with _opening:
                self._file = self._open(seconds)
        self._file.execute(f"PRAGMA busy_timeout = {_ms(seconds)}")
        return self._file

    def _open(self, seconds: float) -> sqlite3.Connection:
        with suppress(FileExistsError):
            # SQLite's files beside this one are made with its mode.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        file = sqlite3.connect(
            self.path, timeout=seconds, isolation_level=None, check_same_thread=False
        )
        try:
            file.execute("PRAGMA journal_mode = WAL")
            file.execute("PRAGMA synchronous = NORMAL")
            with _writing(file):
                for command in _TABLES.split(";"):
                    file.execute(command)
                self._check(file)
            identity = _identify(self.path)
            if identity is None:
                raise FileNotFoundError("it was deleted while it was opened")
            self._identity = identity
        except BaseException:
            file.close()
            raise
        return file

    def _check(self, file: sqlite3.Connection) -> None:
        meta = dict(file.execute("SELECT name, value FROM smw_meta"))
        if meta.get("version", _VERSION) != _VERSION:
            raise ValueError(
                f"its tables are those of version {meta['version']}, not {_VERSION}: "
                "give another path"
            )
        boot = _boot()
        if meta.get("boot") != boot:
            file.execute("DELETE FROM smw_hits")  # the clock of another boot
        if meta != {"version": _VERSION, "boot": boot}:
            file.executemany(
                "REPLACE INTO smw_meta VALUES (?, ?)",
                [("version", _VERSION), ("boot", boot)],
            )

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with suppress(sqlite3.Error):
                file.close()

    # ---- fork: SQLite's connections must not be in two processes, not even closed ----

    def before_fork(self) -> None:
        # At most for one call's time. Without the lock, the child leaves it alone.
        self._is_held_by_fork = self._lock.acquire(timeout=1.0)
        if self._is_held_by_fork:
            self._close()

    def after_fork(self) -> None:
        if self._is_held_by_fork:
            self._is_held_by_fork = False
            self._lock.release()

    def begin_in_child(self) -> None:
        if self._file is not None:
            _abandoned.append(self._file)
            self._file = None
        self._executor = None  # its thread is the parent's
        self._lock = threading.Lock()
        self._is_held_by_fork = False


def _ms(seconds: float) -> int:
    return int(seconds * 1000) + 1


def _identify(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_locked(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


# Closing a file takes this process's locks on it away, in whichever thread they were
# taken: so none is made while another one is opened.
_opening = threading.Lock()
_rooms: "weakref.WeakSet[_Room]" = weakref.WeakSet()
_abandoned: list[Any] = []  # connections of a parent, which only it may close


def _before_fork() -> None:
    for room in list(_rooms):
        room.before_fork()


def _after_fork() -> None:
    for room in list(_rooms):
        room.after_fork()


def _begin_in_child() -> None:
    global _opening
    _opening = threading.Lock()
    for room in list(_rooms):
        room.begin_in_child()


os.register_at_fork(
    before=_before_fork,
    after_in_parent=_after_fork,
    after_in_child=_begin_in_child,
)
