"""Protocol: what a store can do."""

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Hit:
    """What `Store.hit` tells.

    remaining: further hits that would be allowed now.
    reset: seconds until all `limit` hits are allowed again, if there are no more.
    retry_after: seconds until the next hit may be allowed; 0.0 if this one was.
    """

    is_allowed: bool
    remaining: int
    reset: float
    retry_after: float


class Store(Protocol):
    """Keys and values with a time to live, and counts; each call is atomic.

    Times are seconds. What is behind a store may be slow, or away: then each call
    raises StoreError within the store's own time limit, and the next one tries again.
    What such a call was to do may have been done nevertheless. Calls never block the
    loop for more than about a millisecond.

    Values, counters and logs of hits are kept apart: one key may name one of each.
    Wrong arguments raise TypeError or ValueError before anything is done.
    """

    is_immediate: bool
    """Whether each coroutine ends without waiting, so that plain code can run it."""

    def get(self, key: str) -> Coroutine[Any, Any, bytes | None]:
        """Return a value; None if there is none, or its time is over."""

    def set(self, key: str, value: bytes, ttl: float) -> Coroutine[Any, Any, None]:
        """Keep a value for `ttl` seconds, in place of the one that there is."""

    def replace(
        self, key: str, old: bytes | None, new: bytes, ttl: float
    ) -> Coroutine[Any, Any, bool]:
        """Keep `new` if the value is `old` (None: if there is none); return whether."""

    def delete(self, key: str) -> Coroutine[Any, Any, None]:
        """Forget a key's value, its counter and its log of hits, if there are any."""

    def increment(
        self, key: str, ttl: float, amount: int = 1
    ) -> Coroutine[Any, Any, int]:
        """Add to a counter and return it; `ttl` counts from its first increment.

        A counter has 64 bits. What would go beyond them raises StoreError, and is not
        added.
        """

    def hit(self, key: str, limit: int, window: float) -> Coroutine[Any, Any, Hit]:
        """Count one more event, unless `limit` of them were in the last `window`.

        In no span of `window` seconds are more than `limit` allowed, whoever else
        counts under this key. What is refused is not counted.

        A key names one limiter: `limit` may change from call to call, and counts for
        the call it was given to, but `window` is to stay. What is older than a call's
        window is forgotten, also for a later call with a longer one.
        """

    def close(self) -> Coroutine[Any, Any, None]:
        """Let connections and files go. A later call may open them again."""
