"""Eager: run a coroutine's first segment at once, within a real asyncio.Task.

A Task of its own for each coroutine would cost more than all else that a request does.
So a Task here is a *carrier*: it runs one coroutine after the other, as long as nobody
could tell it from a new one. A carrier is current while a first segment runs by hand;
if that ends without waiting, the carrier has not made a step. Whatever a coroutine
leaves with its carrier (a reference, weak or not, a callback, a name, a request to
cancel, a context variable) makes it that coroutine's own, which ends with it.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from operator import is_not
from types import coroutine
from typing import TYPE_CHECKING, Any
from weakref import getweakrefcount

# What asyncio has for those who make tasks of their own ("Extending").
from asyncio.tasks import _enter_task, _leave_task  # isort: skip

if TYPE_CHECKING:
    from .loop import Loop

# Where the interpreter does not count references, no carrier is used twice.
_has_counts = hasattr(sys, "getrefcount")
_count_references: Callable[[object], int] = getattr(sys, "getrefcount", lambda _: -1)

# Carriers that wait for a coroutine, at most; the others end.
_MOST_IDLE = 256


class _Step:
    """In asyncio's queue of handles: a carrier's next step."""

    __slots__ = ("_callback", "_context")

    _cancelled = False
    _callback: Callable[[], object] | None
    _context: Context

    def _run(self) -> None:
        # Not kept: it holds the carrier, whose references are counted.
        callback, self._callback = self._callback, None
        assert callback is not None
        self._context.run(callback)


class Carrier(asyncio.Task[None]):
    """A task that nobody can see, or miss, before its coroutine has begun."""

    __slots__ = (
        "context",
        "is_idle",
        "is_owned",
        "rest",
        "step",
        "values",
        "waits_for",
    )

    is_idle: bool
    is_owned: bool  # something was left with it, that is for one coroutine alone
    rest: Any  # the coroutine to go on with
    waits_for: Any  # what that has yielded
    step: _Step
    context: Context
    values: tuple[Any, ...]  # of the context, as it was

    def done(self) -> bool:
        return self.is_idle or super().done()

    def cancel(self, msg: Any | None = None) -> bool:
        self.is_owned = True
        return super().cancel(msg)

    def set_name(self, value: object, /) -> None:
        self.is_owned = True
        super().set_name(value)

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: Context | None = None
    ) -> None:
        self.is_owned = True
        super().add_done_callback(fn, context=context)

    def has_traces(self) -> bool:
        """Whether the coroutine that has ended has left something with its task.

        But for references, which are counted where it is known how many there are.
        """
        return (
            self.is_owned
            or getweakrefcount(self) != 1  # of asyncio.all_tasks
            or (len(self.context) > 0 and self.has_set())
        )

    def has_set(self) -> bool:
        """Whether a context variable was set, be it to an equal value."""
        values = self.values
        return len(self.context) != len(values) or (
            values != () and any(map(is_not, self.context.values(), values))
        )


class Starter:
    """Starts coroutines, each in a context that no other one has seen.

    What runs in `context` before a coroutine is started shares it with that one. If
    none is started, `renew_if_changed` is to be called.
    """

    context: Context

    def __init__(self, loop: "Loop") -> None:
        self.loop = loop
        self.idle: list[Carrier] = []
        # To a carrier whose coroutine has ended in its first segment, and later on.
        self._references_first = self.references_later = 0
        if _has_counts:
            # It measures in its first step, which stays in the queue.
            loop._ready.append(self._new(copy_context(), ()).step)  # type: ignore[attr-defined]
        self._begin(self._new(copy_context()))
        if _has_counts:
            carrier = self._carrier
            self._references_first = _count_references(carrier)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
        """Run a coroutine to its first suspension, in `context`.

        Returns the Task that goes on, or None if it has ended. The loop runs, and no
        task of it is current. What the coroutine raises passes, but for
        CancelledError, which ends it and nothing else.
        """
        carrier = self._carrier
        loop = self.loop
        has_ended = True
        carrier.is_idle = False
        _enter_task(loop, carrier)
        try:
            waits_for = self.context.run(coroutine.send, None)
            has_ended = False
        except StopIteration:
            pass
        except asyncio.CancelledError:
            carrier.cancel()  # a trace: it ends, cancelled
        finally:
            _leave_task(loop, carrier)
            if has_ended:
                if (
                    _count_references(carrier) != self._references_first
                    or carrier.has_traces()
                ):
                    self._next()
                    carrier.step._run()  # with nothing to go on with: it ends
                else:
                    carrier.is_idle = True
        if has_ended:
            return None
        carrier.rest = coroutine
        self._next()
        if waits_for is None:
            loop._ready.append(carrier.step)  # type: ignore[attr-defined]
            return carrier
        carrier.waits_for = waits_for
        carrier.step._run()
        # One that was cancelled in its first segment goes on here, to its end perhaps.
        return None if carrier.done() else carrier

    def renew(self) -> None:
        """Begin with the context that is the current one now."""
        self.idle.clear()
        self._begin(self._new(copy_context()))

    def renew_if_changed(self) -> bool:
        """Have a fresh context if something was set in the one that there is."""
        has_set = self._carrier.has_set()
        if has_set:
            self._begin(self._new(copy_context()))
        return has_set

    def adopt(self, context: Context) -> None:
        """Start the next coroutine, and no other, in this context."""
        self.idle.append(self._carrier)
        carrier = self._new(context)
        carrier.is_owned = True
        self._begin(carrier)

    def _next(self) -> None:
        """Have another carrier, for the one that there is goes its own way."""
        self._carrier._log_destroy_pending = True  # type: ignore[attr-defined]
        self._begin(self.idle.pop() if self.idle else self._new(copy_context()))

    def _begin(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.context = carrier.context

    def _new(self, context: Context, first: Any = None) -> Carrier:
        """Make a carrier, whose first step is kept back.

        first: something to run, for a carrier that is to measure.
        """
        run = _carry(self, first is not None)
        run.send(None)
        carrier = Carrier(run, loop=self.loop, context=context)
        carrier.context = context
        carrier.values = tuple(context.values()) if context else ()
        carrier.is_owned = False
        carrier.rest = first
        carrier.waits_for = None
        carrier.step = step = _Step()
        step._context = context
        step._callback = _take_step_of(carrier, self.loop)
        carrier.is_idle = True
        carrier._log_destroy_pending = False  # type: ignore[attr-defined]
        run.send(carrier)
        return carrier

    def park(self, carrier: Carrier, callback: Callable[[], object]) -> bool:
        """Let a carrier wait, if it is who has just asked its loop for this step."""
        if getattr(callback, "__self__", None) is not carrier:
            return False
        self.loop.parking = None
        carrier.step._callback = callback
        carrier.is_idle = True
        carrier._log_destroy_pending = False
        self.idle.append(carrier)
        return True


def _take_step_of(carrier: Carrier, loop: "Loop") -> Callable[[], object]:
    """Take a new task's first step out of the ready queue.

    It is the last one, unless another thread has just added its own behind it.
    """
    ready: deque[asyncio.Handle] = loop._ready  # type: ignore[attr-defined]
    others: list[asyncio.Handle] = []
    while True:
        handle = ready.pop()
        callback: Callable[[], object] = handle._callback  # type: ignore[attr-defined]
        if getattr(callback, "__self__", None) is carrier:
            break
        others.append(handle)
    ready.extend(reversed(others))
    return callback


async def _carry(starter: Starter, measures: bool) -> None:
    carrier: Carrier = await _introduced()
    is_parked = True
    while is_parked:
        try:
            await _run_rest(carrier)
        except BaseException:
            # The task keeps it, and its traceback has this frame.
            del carrier
            raise
        references = _count_references(carrier)
        if measures:
            starter.references_later = references
            measures = False
        is_parked = (
            references == starter.references_later
            and not carrier.has_traces()
            and len(starter.idle) < _MOST_IDLE
        )
        if is_parked:
            starter.loop.parking = carrier


@coroutine
def _introduced() -> Generator[None, Carrier, Carrier]:
    return (yield)


@coroutine
def _run_rest(carrier: Carrier) -> Generator[Any, Any, None]:
    """Wait for a coroutine, and for what its first segment has yielded, and run it."""
    error: BaseException | None = None
    try:
        yield
    except GeneratorExit:  # the loop is gone
        raise
    except BaseException as early:  # it was cancelled in its first segment
        error = early
    rest, carrier.rest = carrier.rest, None
    waits_for, carrier.waits_for = carrier.waits_for, None
    del carrier  # see _carry
    if error is not None and waits_for is not None and waits_for.cancel():
        error = None  # it comes from there, as in any task
    while waits_for is not None or error is not None:
        if error is not None:
            try:
                if rest is None:  # that segment was its last
                    raise error
                waits_for = rest.throw(error)
            except StopIteration:
                return
            finally:
                # Its traceback has this frame, and what has raised it may hold it:
                # neither is to be held by the frame in turn.
                error = None
        try:
            yield waits_for
            break
        except BaseException as late:
            error = late
            waits_for = None
    waits_for = None
    if rest is not None:
        # That sends it None, as the task has done.
        yield from rest
