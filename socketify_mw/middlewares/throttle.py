"""ThrottleMiddleware: so many requests of one client in a time, and no more."""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from time import time
from typing import TYPE_CHECKING, Any, Literal

from ..alias import nearest
from ..errors import ClientGone, ConfigError, StoreBusy, StoreError
from ..services import require
from ..session import run_now
from ..stores import Hit, Store
from ..stores._checks import LONGEST, MOST_HITS
from .options import Configurable

if TYPE_CHECKING:
    from ..app import App
    from ..request import Request
    from ..response import Response

logger = logging.getLogger("socketify_mw")

# Of IPv6 addresses: a client has at least so many bytes' worth of them (RFC 6177).
_NETWORK_BYTES = 8
_MAPPED = bytes(10) + b"\xff\xff"  # in front of an IPv4 address (RFC 4291 2.5.5.2)


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` requests in each span of `seconds`."""

    count: int
    seconds: float


Limiter = str | Callable[["Request"], str | None]


class ThrottleMiddleware(Configurable):
    """Answers 429 to a client that has sent more requests than it may.

    `throttle:2,100` lets 100 through in any two minutes, as `throttle:100/2 minutes`
    does; `throttle:100/hour;10/second` has two limits; `throttle:name` is one of
    `limiters`. A client is the request's user, or else its peer's address: no header of
    the request is believed. Refused requests do not count.
    """

    __slots__ = ()

    limit: Limiter | None = None
    """What holds where no parameter says it: text as above, or a function of the
    request that returns such text, or None for no limit."""

    limiters: Mapping[str, Limiter] = {}
    """Limits by name. All routes with one name count together."""

    per: Literal["route", "all"] = "route"
    """Whether limits without a name count for each route, or for all together."""

    store: Store | str | None = None
    """A store or its URL. None: `Kernel.store`, or the memory of this process."""

    when_down: Literal["open", "closed"] = "open"
    """What to do when the store does not answer: let through, or answer 503."""

    headers: bool = True
    """Whether answers say what is left: `RateLimit`, `RateLimit-Policy` (IETF draft),
    and `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds since the epoch)."""

    @classmethod
    def prepare(cls, app: "App") -> "_Counter":
        """Open the store; ConfigError for options that cannot be meant."""
        for option, known in (("per", ("route", "all")), ("when_down", _WAYS)):
            value = getattr(cls, option)
            if value not in known:
                raise ConfigError(f"{option} is {value!r}{nearest(str(value), known)}")
        for limit in (*cls.limiters.values(), cls.limit):
            if isinstance(limit, str):
                _parse(limit)
            elif limit is not None and not callable(limit):
                raise ConfigError(f"{limit!r} is no limit: write it as {_EXAMPLE}")
        return _Counter(app._services.store(cls.store))

    @classmethod
    def check(cls, *values: str) -> None:
        """Refuse parameters that are no limit; ConfigError."""
        cls._limiter(values)

    @classmethod
    @lru_cache(maxsize=1000)
    def _limiter(cls, values: tuple[str, ...]) -> tuple[str, Limiter]:
        """Return the name and the limit that parameters stand for."""
        if not values:
            if cls.limit is None:
                raise ConfigError(f"{cls.__name__} needs a limit, such as {_EXAMPLE}")
            return "", cls.limit
        if len(values) == 1 and values[0] in cls.limiters:
            return values[0], cls.limiters[values[0]]
        text = ",".join(values)
        if "/" not in text and " per " not in text and not _PAIR.fullmatch(text):
            hint = nearest(text, cls.limiters) if cls.limiters else ""
            raise ConfigError(
                f"there is no limiter {text!r}{hint}. A limit is written as {_EXAMPLE}"
            )
        _parse(text)
        return "", text

    def before(self, request: "Request", response: "Response", *values: str) -> Any:
        """Count the request, and let it through or answer 429."""
        name, limiter = self._limiter(values)
        text = limiter if isinstance(limiter, str) else limiter(request)
        if text is None:
            return request
        scope = name or (request._route.scope if self.per == "route" else "")
        key = f"throttle:{scope}:{self.key(request, response)}"
        counter: _Counter = request.app._services.prepare(type(self))
        counting = self._count(request, response, counter, key, _parse(text), name)
        return run_now(counting) if counter.store.is_immediate else counting

    def key(self, request: "Request", response: "Response") -> str:
        """Return who the client is, as text. To be overridden where it is neither the
        user (`request.user()`: its `id`, or itself if it is text or a number) nor the
        peer's address. Raises ClientGone when that has gone.
        """
        user = request.user()
        if user is None:
            if response.aborted:
                raise ClientGone("its address is not known any more")
            return f"address:{_network(response.get_remote_address_bytes()).hex()}"
        id = user.get("id") if isinstance(user, Mapping) else getattr(user, "id", user)
        if not isinstance(id, (str, int)):
            raise TypeError(
                f"the user {user!r} has no id to be throttled by: override "
                f"{type(self).__name__}.key"
            )
        return f"user:{id}"

    async def _count(
        self,
        request: "Request",
        response: "Response",
        counter: "_Counter",
        key: str,
        limits: tuple[Limit, ...],
        name: str,
    ) -> Any:
        hits = []
        try:
            for limit in limits:
                own = f"{key}:{limit.count}/{limit.seconds!r}"
                hits.append((limit, await counter.hit(own, limit)))
                if not hits[-1][1].is_allowed:
                    break
        except StoreError as error:
            # One that is busy is not down: that may be the doing of who is counted.
            is_busy = isinstance(error, StoreBusy)
            what = "busy" if is_busy else "down"
            logger.error(
                "requests are not counted, for the store is %s: %s", what, error
            )
            if self.when_down == "open" and not is_busy:
                return request
            return "Service Unavailable", 503
        if self.headers and not response.aborted:
            _tell(response, hits, name or "default")
        limit, hit = hits[-1]
        if hit.is_allowed:
            return request
        response.write_header(b"Retry-After", max(ceil(hit.retry_after), 1))
        return "Too Many Requests", 429


class _Counter:
    """A store, and the calls of each key that wait for its answer."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._crowds: dict[str, _Crowd] = {}

    async def hit(self, key: str, limit: Limit) -> Hit:
        """Count a request, at most so many of one key at a time as may pass.

        Those behind them would be refused in any case: each that is counted in front
        of them either has passed, or was refused for others that have. So a crowd of
        one client's does not keep the store from answering in time. If it does not
        answer those in front, it is down for those behind them, too.
        """
        if self.store.is_immediate:
            return await self.store.hit(key, limit.count, limit.seconds)
        crowd = self._crowds.get(key)
        if crowd is None:
            crowd = self._crowds[key] = _Crowd()
        elif crowd.count >= limit.count:
            error = await crowd.wait()
            if error is not None:
                kind = StoreBusy if isinstance(error, StoreBusy) else StoreError
                raise kind(str(error)) from error
            return Hit(False, 0, limit.seconds, limit.seconds)
        crowd.count += 1
        error = None
        try:
            return await self.store.hit(key, limit.count, limit.seconds)
        except StoreError as raised:
            error = raised
            raise
        finally:
            crowd.tell(error)
            if not crowd.count:
                self._crowds.pop(key, None)


class _Crowd:
    """The calls of one key that the store was asked, and those that wait for them."""

    def __init__(self) -> None:
        self.count = 0
        self._outcome: asyncio.Future[StoreError | None] | None = None

    async def wait(self) -> StoreError | None:
        """Wait for a call to end; return what it has raised."""
        if self._outcome is None:
            self._outcome = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._outcome)

    def tell(self, error: StoreError | None) -> None:
        """Let those go that wait: one call has ended."""
        self.count -= 1
        if self._outcome is not None:
            self._outcome.set_result(error)
            self._outcome = None


def _tell(response: "Response", hits: list[tuple[Limit, Hit]], name: str) -> None:
    """Say what is left of each limit (draft-ietf-httpapi-ratelimit-headers)."""
    policies, states = [], []
    for i, (limit, hit) in enumerate(hits):
        item = f'"{name}"' if len(hits) == 1 else f'"{name}-{i + 1}"'
        policies.append(f"{item};q={limit.count};w={ceil(limit.seconds)}")
        states.append(f"{item};r={hit.remaining};t={ceil(hit.reset)}")
    response.write_header(b"RateLimit-Policy", ", ".join(policies))
    response.write_header(b"RateLimit", ", ".join(states))
    limit, hit = min(hits, key=lambda it: it[1].remaining)
    response.write_header(b"X-RateLimit-Limit", limit.count)
    response.write_header(b"X-RateLimit-Remaining", hit.remaining)
    response.write_header(b"X-RateLimit-Reset", ceil(time() + hit.reset))


_WAYS = ("open", "closed")
_EXAMPLE = '"100/minute", or "2,100" for 100 in 2 minutes'

# Minutes and requests.
_PAIR = re.compile(r"([1-9][0-9]{0,8}),([1-9][0-9]{0,8})")


@lru_cache(maxsize=1000)  # a function might make a text for each request
def _parse(text: str) -> tuple[Limit, ...]:
    """Return the limits that text has; read once."""
    limits: tuple[Limit, ...] = ()
    if pair := _PAIR.fullmatch(text.replace(" ", "")):
        limits = (Limit(int(pair[2]), int(pair[1]) * 60.0),)  # without the library
    else:
        parse_many = require("throttle", _library, "ThrottleMiddleware")
        with suppress(ValueError):
            limits = tuple(
                Limit(it.amount, float(it.get_expiry())) for it in parse_many(text)
            )
    if not limits or not all(map(_is_possible, limits)):
        raise ConfigError(f"{text!r} is no limit: write it as {_EXAMPLE}")
    return limits


def _is_possible(limit: Limit) -> bool:
    return 1 <= limit.count <= MOST_HITS and 0 < limit.seconds <= LONGEST


def _library() -> Any:
    from limits import parse_many

    return parse_many


def _network(address: bytes) -> bytes:
    """Return what one client has of addresses; b"" for a unix socket."""
    if address.startswith(_MAPPED):
        return address[len(_MAPPED) :]
    return address[:_NETWORK_BYTES]
