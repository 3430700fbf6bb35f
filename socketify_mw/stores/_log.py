"""Log: when the last hits of one key were, and whether one more is allowed."""

from array import array
from bisect import bisect_right

from .protocol import Hit


def count_hit(stamps: "array[float]", limit: int, window: float, now: float) -> Hit:
    """Add `now` to a log, if that is allowed, and take out what is too old.

    A hit counts for `window` seconds, the last moment of them excluded.
    """
    del stamps[: bisect_right(stamps, now, key=lambda stamp: stamp + window)]
    count = len(stamps)
    if count >= limit:
        # Where the limit was higher, more than one has to grow old.
        return refused(stamps[count - limit], stamps[-1], window, now)
    stamps.append(now)
    return Hit(True, limit - count - 1, window, 0.0)


def refused(first: float, last: float, window: float, now: float) -> Hit:
    """Tell of a hit that may be allowed when `first` is too old."""
    return Hit(False, 0, last + window - now, first + window - now)
