"""Memory: a store in this process, which forgets before it grows too large."""

import logging
import os
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil, frexp, inf, ldexp
from struct import Struct
from typing import Any, Generic, TypeVar

from ._checks import (
    check_amount,
    check_key,
    check_limit,
    check_seconds,
    check_sum,
    check_value,
)
from ._log import count_hit, refused
from .protocol import Hit

_DOUBLE = Struct("d")

_logger = logging.getLogger("socketify_mw")

_Bucket = TypeVar("_Bucket", list[Any], set[Any])

# A value's key is a str; a counter's is (str,), so that one dict has them all.
_Key = str | tuple[str]

# bytes or a counter; until when; the time to live that says in which bucket the key is.
# Nothing in it can be part of a cycle, so that the garbage collector soon leaves it
# alone: a million others would take it a tenth of a second.
_Entry = tuple[Any, float, float]

# For the same reason, stamps are bytes once there are two: doubles, in order.
_Log = float | bytes

# Keys of one dict, at most, as a rule. A dict that grows is copied, in one call.
_PART = 2048

# Those for whom there is no room share a log by 12 bits of a salted hash. Each log has
# at most `limit` stamps.
_SHARED_LOGS = 4096

# What a call forgets at most: a little each time, and more when there is no room. The
# latter is about 0.1 ms.
_FEW, _MANY = 4, 256


class _Buckets(Generic[_Bucket]):
    """Keys by the time at which they may be forgotten, in not too many buckets.

    A bucket's end is at most 1/16 of the time to live later than the key's own.
    """

    def __init__(self, new: Callable[[], _Bucket]) -> None:
        self._new: Callable[[], _Bucket] = new
        self._ends: list[tuple[float, float]] = []  # a heap
        self._buckets: dict[tuple[float, float], _Bucket] = {}

    def find(self, until: float, ttl: float, tag: float = 0.0) -> _Bucket:
        """Return the bucket for a key; keys of different tags do not share one."""
        width = max(ldexp(1.0, frexp(ttl)[1] - 5), 0.001)
        end = (ceil(until / width) * width, tag)
        bucket = self._buckets.get(end)
        if bucket is None:
            bucket = self._buckets[end] = self._new()
            heappush(self._ends, end)
        return bucket

    def pop(self, now: float) -> tuple[Any, float] | None:
        """Take out a key whose bucket has ended, with its tag, if there is one."""
        while self._ends and self._ends[0][0] <= now:
            end = self._ends[0]
            bucket = self._buckets[end]
            if bucket:
                return bucket.pop(), end[1]
            heappop(self._ends)
            del self._buckets[end]
        return None


class MemoryStore:
    """Keeps at most `max_keys` values and counters, and as many logs of hits.

    When there are more, what has expired is forgotten first. After that, a value or
    counter goes that was not used for the longest time (of some thousands, when there
    are more), and new keys of `hit` share logs: none of them is allowed more than its
    limit, but they wait for each other.

    It is for the loops of one thread; each process has its own.

    clock: returns seconds, and never fewer than before.
    """

    is_immediate = True

    def __init__(
        self, max_keys: int = 1_000_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        check_limit(max_keys, "max_keys")
        self._max_keys = max_keys
        self._clock = clock
        self._salt = os.urandom(16)
        self._warned: set[str] = set()
        parts = range(1 << (max_keys // _PART).bit_length())
        self._mask = len(parts) - 1
        # In each part, the one that was not used for the longest time comes first.
        self._entries: list[OrderedDict[_Key, _Entry]] = [OrderedDict() for _ in parts]
        self._entry_count = 0
        self._entry_buckets = _Buckets[set[Any]](set)  # the tag is the part's number
        # A log is a float while it has one stamp. Its key stands in one bucket, which
        # is that of its first hit until it has ended; the tag is the window.
        self._logs: list[dict[str, _Log]] = [{} for _ in parts]
        self._log_count = 0
        self._log_buckets = _Buckets[list[Any]](list)
        self._shared: dict[tuple[int, float], _Log] = {}

    async def get(self, key: str) -> bytes | None:
        check_key(key)
        entry = self._find(key, self._clock())
        return None if entry is None else entry[0]

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        check_key(key)
        check_value(value)
        check_seconds("ttl", ttl)
        self._keep(key, value, ttl, self._clock())

    async def replace(
        self, key: str, old: bytes | None, new: bytes, ttl: float
    ) -> bool:
        check_key(key)
        if old is not None:
            check_value(old)
        check_value(new)
        check_seconds("ttl", ttl)
        now = self._clock()
        entry = self._find(key, now)
        if (None if entry is None else entry[0]) != old:
            return False
        self._keep(key, new, ttl, now)
        return True

    async def delete(self, key: str) -> None:
        check_key(key)
        self._forget(key)
        self._forget((key,))
        logs = self._logs[hash(key) & self._mask]
        if key in logs:
            logs[key] = -inf  # empty: a bucket has it still

    async def increment(self, key: str, ttl: float, amount: int = 1) -> int:
        check_key(key)
        check_seconds("ttl", ttl)
        check_amount(amount)
        now = self._clock()
        entry = self._find((key,), now)
        if entry is None:
            self._keep((key,), amount, ttl, now)
            return amount
        count = check_sum(entry[0] + amount)
        self._entries[hash((key,)) & self._mask][(key,)] = (count, *entry[1:])
        return count

    async def hit(self, key: str, limit: int, window: float) -> Hit:
        check_key(key)
        check_limit(limit)
        check_seconds("window", window)
        now, window = float(self._clock()), float(window)
        self._forget_logs(now, _FEW)
        logs = self._logs[hash(key) & self._mask]
        if key in logs:
            return _count(logs, key, limit, window, now)
        slot = (hash((self._salt, key)) % _SHARED_LOGS, window)
        if self._log_count >= self._max_keys:
            self._forget_logs(now, _MANY)
            if self._log_count >= self._max_keys:
                self._warn("new keys of hit() share logs, and wait for each other")
                return _count(self._shared, slot, limit, window, now)
        # It may have been here when there was no room: then its hits are in that log.
        log = self._shared.get(slot, -inf)
        if _last(log) + window <= now:
            self._shared.pop(slot, None)
            log = -inf
        logs[key] = log
        self._log_count += 1
        self._log_buckets.find(now + window, window, window).append(key)
        return _count(logs, key, limit, window, now)

    async def close(self) -> None:
        """Do nothing: there is neither file nor connection, and all is kept."""

    def _find(self, key: _Key, now: float) -> _Entry | None:
        entries = self._entries[hash(key) & self._mask]
        entry = entries.get(key)
        if entry is None:
            return None
        if entry[1] <= now:
            self._forget(key)
            return None
        entries.move_to_end(key)
        return entry

    def _keep(self, key: _Key, value: bytes | int, ttl: float, now: float) -> None:
        self._forget_entries(now, _FEW)
        self._forget(key)
        part = hash(key) & self._mask
        if self._entry_count >= self._max_keys:
            self._forget_entries(now, _MANY)
            if self._entry_count >= self._max_keys:
                self._warn("values and counters that were not used are forgotten")
                entries = self._entries[part] or next(filter(None, self._entries))
                self._forget(next(iter(entries)))
        self._entry_buckets.find(now + ttl, ttl, part).add(key)
        self._entries[part][key] = (value, now + ttl, ttl)
        self._entry_count += 1

    def _forget(self, key: _Key) -> None:
        part = hash(key) & self._mask
        entry = self._entries[part].pop(key, None)
        if entry is not None:
            self._entry_count -= 1
            self._entry_buckets.find(*entry[1:], part).discard(key)

    def _forget_entries(self, now: float, most: int) -> None:
        for _ in range(most):
            found = self._entry_buckets.pop(now)
            if found is None:
                return
            key, part = found
            del self._entries[int(part)][key]
            self._entry_count -= 1

    def _forget_logs(self, now: float, most: int) -> None:
        for _ in range(most):
            found = self._log_buckets.pop(now)
            if found is None:
                return
            key, window = found
            logs = self._logs[hash(key) & self._mask]
            until = _last(logs[key]) + window
            if until <= now:
                del logs[key]
                self._log_count -= 1
            else:  # there were more hits
                self._log_buckets.find(until, window, window).append(key)

    def _warn(self, consequence: str) -> None:
        if consequence not in self._warned:
            self._warned.add(consequence)
            _logger.warning(
                "MemoryStore: its %d keys are in use; %s", self._max_keys, consequence
            )


def _last(log: _Log) -> float:
    return log if isinstance(log, float) else _DOUBLE.unpack_from(log, len(log) - 8)[0]


def _count(
    logs: dict[Any, _Log], key: object, limit: int, window: float, now: float
) -> Hit:
    log = logs.get(key, -inf)
    last = _last(log)
    if last + window <= now:
        logs[key] = now
        return Hit(True, limit - 1, window, 0.0)
    if isinstance(log, float):
        if limit == 1:
            return refused(log, log, window, now)
        log = _DOUBLE.pack(log)
    stamps = array("d", log)
    told = count_hit(stamps, limit, window, now)
    if told.is_allowed:
        logs[key] = stamps.tobytes()
    return told
