"""Signals: what a program's main thread has set while an app runs."""

import signal
import sys
import threading
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def handled_signals(
    loop: AbstractEventLoop, stop: Callable[[], object]
) -> Iterator[None]:
    """Let SIGINT and SIGTERM call `stop`; impossible, and left out, in a thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    is_waiting = False  # a signal, for the loop to act on it

    def note(number: int, frame: object) -> None:
        nonlocal is_waiting
        if is_waiting:
            raise KeyboardInterrupt
        is_waiting = True

    def act() -> None:
        nonlocal is_waiting
        is_waiting = False
        stop()

    for number in _SIGNALS:
        loop.add_signal_handler(number, act)  # it is woken up by a descriptor
        signal.signal(number, note)
        signal.siginterrupt(number, False)
    try:
        yield
    finally:
        for number, handler in before.items():
            if not loop.is_closed():
                loop.remove_signal_handler(number)
            if handler is not None:  # None: it was not set by Python
                signal.signal(number, handler)


@contextmanager
def shorter_interval(seconds: float | None) -> Iterator[None]:
    """Have computing threads give up the GIL after fewer seconds; None: as it is."""
    before = sys.getswitchinterval()
    if seconds is None or seconds >= before:
        yield
        return
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
