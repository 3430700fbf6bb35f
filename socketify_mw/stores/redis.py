"""Redis, or Valkey: a store that many machines share."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import sha1
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from ..errors import ConfigError, StoreBusy, StoreError
from ._checks import check_amount, check_key, check_limit, check_seconds, check_value
from .protocol import Hit

# Open at once, for one loop. One connection answers some 10,000 calls a second, so more
# would only be more to wait for.
_MOST = 16

# Firewalls forget a connection that is silent for minutes, and tell nobody.
_LONGEST_PAUSE = 60.0


_Call = Callable[[Any], Awaitable[Any]]  # what is done with a connection


class _Script:
    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest()


_REPLACE = _Script("""
local value = redis.call('GET', KEYS[1])
if ARGV[1] == 'if absent' then
    if value then return 0 end
elseif value ~= ARGV[2] then
    return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1
""")

# The count as a string: a number of Lua has 53 bits.
_INCREMENT = _Script("""
redis.call('INCRBY', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('GET', KEYS[1])
""")

# Microseconds of the server's clock; a member is one hit's own name. A server's clock
# may be set back. By up to a window, stamps go on from the last one: nobody is allowed
# too much, but must wait for it. By more, the log begins anew.
_HIT = _Script("""
local key, limit, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local clock = time[1] * 1000000 + time[2]
local now = clock
local function stamp(place)
    return tonumber(redis.call('ZRANGE', key, place, place, 'WITHSCORES')[2])
end
local count = redis.call('ZCARD', key)
if count > 0 then
    local last = stamp(-1)
    if last > now + window then
        redis.call('DEL', key)
    elseif last > now then
        now = last
    end
    redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
    count = redis.call('ZCARD', key)
end
if redis.call('ZSCORE', key, ARGV[3]) then
    return {1, math.max(limit - count, 0), stamp(-1) + window - clock, 0}
end
if count >= limit then
    return {0, 0, stamp(-1) + window - clock, stamp(count - limit) + window - clock}
end
redis.call('ZADD', key, now, ARGV[3])
redis.call('PEXPIRE', key, math.ceil((now + window - clock) / 1000))
return {1, limit - count - 1, now + window - clock, 0}
""")


class RedisStore:
    """Keeps what it is given in Redis 5 or later, or in Valkey; not in a cluster.

    url: as redis-py has it, or with valkey: in place of redis:. timeout: seconds for
    each call, connecting included. prefix: what each key begins with.

    Each loop that uses a store has connections of its own, and is to `close()` them.
    """

    is_immediate = False

    def __init__(self, url: str, timeout: float = 1.0, prefix: str = "smw:") -> None:
        check_seconds("timeout", timeout)
        check_key(prefix)
        self._timeout = timeout
        self._prefix = prefix
        self._names = _Names(url)
        self._lines: dict[asyncio.AbstractEventLoop, _Line] = {}
        self._pid = os.getpid()

    async def get(self, key: str) -> bytes | None:
        check_key(key)
        value: bytes | None = await self._do(_command("GET", self._key("v", key)))
        return value

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        check_key(key)
        check_value(value)
        check_seconds("ttl", ttl)
        await self._do(_command("SET", self._key("v", key), value, "PX", _ms(ttl)))

    async def replace(
        self, key: str, old: bytes | None, new: bytes, ttl: float
    ) -> bool:
        check_key(key)
        if old is not None:
            check_value(old)
        check_value(new)
        check_seconds("ttl", ttl)
        condition = "if absent" if old is None else "if equal"
        call = self._script(
            _REPLACE, self._key("v", key), condition, old or b"", new, _ms(ttl)
        )
        # Done twice, it would find its own value, and tell that it was another's.
        return bool(await self._do(call, is_repeatable=False))

    async def delete(self, key: str) -> None:
        check_key(key)
        await self._do(_command("DEL", *(self._key(kind, key) for kind in "vch")))

    async def increment(self, key: str, ttl: float, amount: int = 1) -> int:
        check_key(key)
        check_seconds("ttl", ttl)
        check_amount(amount)
        call = self._script(_INCREMENT, self._key("c", key), amount, _ms(ttl))
        return int(await self._do(call, is_repeatable=False))

    async def hit(self, key: str, limit: int, window: float) -> Hit:
        check_key(key)
        check_limit(limit)
        check_seconds("window", window)
        # Its name makes it repeatable: it is not counted twice.
        call = self._script(
            _HIT, self._key("h", key), limit, ceil(window * 1e6), os.urandom(12)
        )
        is_allowed, remaining, reset, retry_after = await self._do(call)
        return Hit(
            bool(is_allowed), remaining, max(reset, 0) / 1e6, max(retry_after, 0) / 1e6
        )

    async def close(self) -> None:
        self._leave_to_parent()
        line = self._lines.pop(asyncio.get_running_loop(), None)
        if line is not None:
            with suppress(TimeoutError, OSError, self._names.error):
                async with asyncio.timeout(self._timeout):
                    await line.close()

    def _key(self, kind: str, key: str) -> str:
        return f"{self._prefix}{kind}:{key}"

    def _script(self, script: _Script, *arguments: Any) -> _Call:
        async def call(connection: Any) -> Any:
            try:
                return await _ask(connection, "EVALSHA", script.digest, 1, *arguments)
            except self._names.no_script:  # nothing was done
                return await _ask(connection, "EVAL", script.text, 1, *arguments)

        return call

    async def _do(self, call: _Call, is_repeatable: bool = True) -> Any:
        line = self._line()
        answers, has_place = line.answers, False
        try:
            async with asyncio.timeout(self._timeout), line.places:
                has_place = True
                return await line.do(call, is_repeatable)
        except TimeoutError as error:
            if not has_place and line.answers != answers:
                raise StoreBusy(
                    f"{self._names.label}: there are more calls than it answers within "
                    f"{self._timeout:g} s"
                ) from error
            raise StoreError(
                f"{self._names.label}: no answer within {self._timeout:g} s"
            ) from error
        except (self._names.error, OSError, ValueError) as error:
            raise StoreError(f"{self._names.label}: {error}") from error

    def _line(self) -> "_Line":
        self._leave_to_parent()
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            for other in list(self._lines):
                if other.is_closed():
                    self._lines.pop(other, None)
            line = self._lines[loop] = _Line(self._names)
        return line

    def _leave_to_parent(self) -> None:
        """In a child, have nothing of what its parent has opened.

        It is not closed here, either: the parent's loop watches it through an epoll
        that both have.
        """
        if self._pid != os.getpid():
            _abandoned.append(self._lines)
            self._pid = os.getpid()
            self._lines = {}


_abandoned: list[object] = []


def _command(*arguments: Any) -> _Call:
    async def call(connection: Any) -> Any:
        return await _ask(connection, *arguments)

    return call


async def _ask(connection: Any, *arguments: Any) -> Any:
    await connection.send_command(*arguments)
    return await connection.read_response()


def _ms(seconds: float) -> int:
    return ceil(seconds * 1000)


class _Names:
    """What a URL and redis-py give: connections, and what they raise."""

    def __init__(self, url: str) -> None:
        try:
            from redis import exceptions
            from redis.asyncio import ConnectionPool
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
        except ImportError as error:
            raise ConfigError(
                "RedisStore needs redis-py: pip install 'socketify-mw[redis]'"
            ) from error
        self.error = exceptions.RedisError
        self.lost = (exceptions.ConnectionError, OSError)
        self.refused = exceptions.ResponseError
        self.no_script = exceptions.NoScriptError
        scheme, colon, rest = url.partition(":")
        url = scheme.replace("valkey", "redis") + colon + rest
        try:
            parts = urlsplit(url)
            place = parts.path if scheme == "unix" else parts.netloc + parts.path
            # Without its password, for logs.
            self.label = f"{scheme}://{place.rpartition('@')[2]}"
            # Time limits and retries are ours.
            pool = ConnectionPool.from_url(
                url,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_timeout=None,
                socket_connect_timeout=None,
            )
            pool.connection_kwargs.update(decode_responses=False)
            connect: Callable[[], Any] = pool.make_connection
            connect()  # finds out about its options
            self.connect = connect
        except (TypeError, ValueError, self.error) as error:
            raise ConfigError(
                f"the URL of a RedisStore is not right: {error}"
            ) from None


class _Line:
    """The connections of one loop."""

    def __init__(self, names: _Names) -> None:
        self._names = names
        self._idle: list[tuple[float, Any]] = []  # since when
        self.places = asyncio.Semaphore(_MOST)  # to be had for each call
        self.answers = 0  # calls that were answered
        self._is_closed = False

    async def do(self, call: _Call, is_repeatable: bool) -> Any:
        """Make a call, on a connection that is there or on a new one.

        One that is there may be dead, and nobody knows. What is not repeatable is sent
        only on one that has just answered.
        """
        connection = await self._take()
        if connection is not None:
            if not is_repeatable and await self._is_alive(connection):
                return await self._use(connection, call)
            if is_repeatable:
                try:
                    return await self._use(connection, call)
                except self._names.lost:
                    pass
            await self._drop_idle()  # what ended one has ended the others
        return await self._use(self._names.connect(), call)

    async def close(self) -> None:
        self._is_closed = True
        await self._drop_idle(nowait=False)

    async def _take(self) -> Any:
        if not self._idle:
            return None
        since, connection = self._idle.pop()
        if time.monotonic() - since < _LONGEST_PAUSE:
            return connection
        self._idle.append((since, connection))
        await self._drop_idle()  # it was the last one that was used
        return None

    async def _use(self, connection: Any, call: _Call) -> Any:
        try:
            answer = await call(connection)
        except self._names.refused:
            await self._give_back(connection)
            raise
        except BaseException:
            # An answer may still come, which would be taken for another call's.
            await connection.disconnect(nowait=True)
            raise
        self.answers += 1
        await self._give_back(connection)
        return answer

    async def _is_alive(self, connection: Any) -> bool:
        try:
            await _ask(connection, "PING")
        except self._names.lost:
            await connection.disconnect(nowait=True)
            return False
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return True

    async def _give_back(self, connection: Any) -> None:
        if self._is_closed:
            await connection.disconnect(nowait=True)
        elif connection.is_connected:
            self._idle.append((time.monotonic(), connection))

    async def _drop_idle(self, nowait: bool = True) -> None:
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await connection.disconnect(nowait=nowait)
