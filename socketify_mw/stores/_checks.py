"""Checks: what each store refuses before it does anything."""

from ..errors import StoreError

# A hundred years. Beyond it, sums of times lose the digits that tell them apart.
LONGEST = 3.2e9

# Within a window: what a number of Redis' Lua can count to.
MOST_HITS = 2**53

_MOST = 2**63 - 1  # what Redis and SQLite can count to


def check_key(key: str) -> None:
    if not isinstance(key, str):
        raise TypeError(f"a store's key is a str, not {type(key).__name__}")
    if not key.isascii():
        key.encode()  # half a surrogate pair cannot be stored: a ValueError


def check_value(value: bytes) -> None:
    # Not bytearray: who holds it could change what is kept in memory.
    if not isinstance(value, bytes):
        raise TypeError(f"a store's value is bytes, not {type(value).__name__}")


def check_seconds(name: str, seconds: float) -> None:
    if not isinstance(seconds, (int, float)):
        raise TypeError(f"{name} is a number of seconds, not {seconds!r}")
    if not 0 < seconds <= LONGEST:  # NaN is not, either
        raise ValueError(
            f"{name} is {seconds!r}: give seconds, more than 0 and up to {LONGEST:g}"
        )


def check_amount(amount: int) -> None:
    if not isinstance(amount, int):
        raise TypeError(f"amount is an int, not {amount!r}")
    if not -_MOST <= amount <= _MOST:
        raise ValueError(f"amount is {amount}: a counter has 64 bits")


def check_sum(count: int) -> int:
    if not -_MOST - 1 <= count <= _MOST:
        raise StoreError(f"a counter has 64 bits, and {count} has more")
    return count


def check_limit(limit: int, name: str = "limit") -> None:
    if not isinstance(limit, int):
        raise TypeError(f"{name} is an int, not {limit!r}")
    if not 1 <= limit <= MOST_HITS:
        raise ValueError(f"{name} is {limit}: give 1 or more, and at most 2**53")
