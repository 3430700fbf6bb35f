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


# Past the carrier's own method, which is for others.
_set = object.__setattr__


class _State:
    """What a carrier is about; in asyncio's queue of handles it is its next step.

    It does not stand in the carrier itself, whose attributes are its coroutine's.
    """

    __slots__ = (
        "_callback",
        "context",
        "home",
        "is_idle",
        "is_owned",
        "rest",
        "values",
        "waits_for",
    )

    _cancelled = False
    _callback: Callable[[], object] | None
    context: Context
    values: tuple[Any, ...]  # of the context, as it was
    home: "list[Carrier]"  # where the carrier may wait
    is_idle: bool
    is_owned: bool  # something was left with the carrier, for one coroutine alone
    rest: Any  # the coroutine to go on with
    waits_for: Any  # what that has yielded

    def _run(self) -> None:
        # Not kept: it holds the carrier, whose references are counted.
        callback, self._callback = self._callback, None
        assert callback is not None
        self.context.run(callback)


class Carrier(asyncio.Task[None]):
    """A task that nobody can see, or miss, before its coroutine has begun."""

    __slots__ = ("_smw_state",)

    _smw_state: _State

    def __init__(
        self, run: Coroutine[Any, Any, None], state: _State, loop: "Loop"
    ) -> None:
        _set(self, "_smw_state", state)
        super().__init__(run, loop=loop, context=state.context)

    def done(self) -> bool:
        return self._smw_state.is_idle or super().done()

    # Whatever is done here to the task, it is its coroutine's own from then on. What is
    # read is the same for each coroutine, and a new task would have others.

    def cancel(self, msg: Any | None = None) -> bool:
        self._smw_state.is_owned = True
        return super().cancel(msg)

    def set_name(self, value: object, /) -> None:
        self._smw_state.is_owned = True
        super().set_name(value)

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: Context | None = None
    ) -> None:
        self._smw_state.is_owned = True
        super().add_done_callback(fn, context=context)

    def __setattr__(self, name: str, value: object) -> None:
        self._smw_state.is_owned = True  # C tasks have a dict that nobody can ask for
        super().__setattr__(name, value)

    def get_name(self) -> str:
        self._smw_state.is_owned = True
        return super().get_name()

    def get_coro(self) -> Any:
        self._smw_state.is_owned = True
        return super().get_coro()

    def get_context(self) -> Context:  # asyncio's has it from 3.12 on
        self._smw_state.is_owned = True
        return self._smw_state.context


def _has_traces(carrier: Carrier, state: _State) -> bool:
    """Whether the coroutine that has ended has left something with its task.

    But for references, which are counted where it is known how many there are.
    """
    return bool(
        state.is_owned
        or getweakrefcount(carrier) != 1  # of asyncio.all_tasks
        or carrier._asyncio_future_blocking  # by awaiting itself
        or (len(state.context) > 0 and has_changed(state.context, state.values))
    )


def has_changed(context: Context, values: tuple[Any, ...]) -> bool:
    """Whether a variable was set since there were these, be it to an equal value."""
    return len(context) != len(values) or (
        values != () and any(map(is_not, context.values(), values))
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
        state = carrier._smw_state
        loop = self.loop
        has_ended = True
        state.is_idle = False
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
                if _count_references(carrier) != self._references_first or _has_traces(
                    carrier, state
                ):
                    self._next()
                    state._run()  # with nothing to go on with: it ends
                else:
                    state.is_idle = True
        if has_ended:
            return None
        state.rest = coroutine
        self._next()
        if waits_for is None:
            loop._ready.append(state)  # type: ignore[attr-defined]
            return carrier
        state.waits_for = waits_for
        state._run()
        # One that was cancelled in its first segment goes on here, to its end perhaps.
        return None if carrier.done() else carrier

    def renew(self) -> None:
        """Begin with the context that is the current one now."""
        # A new list: those that are under way were made in the context that was.
        self.idle = []
        if _has_counts and not self.references_later:
            # Its first step measures. No reference to it is held here.
            self._new(copy_context(), ())._smw_state._run()
        self._begin(self._new(copy_context()))

    def renew_if_changed(self) -> bool:
        """Have a fresh context if something was set in the one that there is."""
        state = self._carrier._smw_state
        if not has_changed(state.context, state.values):
            return False
        self._begin(self._new(copy_context()))
        return True

    @property
    def has_adopted(self) -> bool:
        """Whether the next coroutine is to be started in a context of its own."""
        return self._carrier._smw_state.is_owned

    def adopt(self, context: Context) -> None:
        """Start the next coroutine, and no other, in this context."""
        state = self._carrier._smw_state
        if not state.is_owned and not has_changed(state.context, state.values):
            self.idle.append(self._carrier)
        carrier = self._new(context)
        carrier._smw_state.is_owned = True
        self._begin(carrier)

    def _next(self) -> None:
        """Have another carrier, for the one that there is goes its own way."""
        _set(self._carrier, "_log_destroy_pending", True)
        self._begin(self.idle.pop() if self.idle else self._new(copy_context()))

    def _begin(self, carrier: Carrier) -> None:
        self._carrier = carrier
        self.context = carrier._smw_state.context

    def _new(self, context: Context, first: Any = None) -> Carrier:
        """Make a carrier, whose first step is kept back.

        first: something to run, for a carrier that is to measure.
        """
        state = _State()
        state.context = context
        state.values = tuple(context.values()) if context else ()
        state.home = self.idle
        state.is_idle = True
        state.is_owned = False
        state.rest = first
        state.waits_for = None
        run = _carry(self, state, first is not None)
        run.send(None)
        carrier = Carrier(run, state, self.loop)
        _set(carrier, "_log_destroy_pending", False)
        state.is_owned = False
        state._callback = _take_step_of(carrier, self.loop)
        run.send(carrier)
        return carrier

    def park(self, carrier: Carrier, callback: Callable[[], object]) -> bool:
        """Let a carrier wait, if it is who has just asked its loop for this step."""
        if getattr(callback, "__self__", None) is not carrier:
            return False
        self.loop.parking = None
        state = carrier._smw_state
        state._callback = callback
        state.is_idle = True
        _set(carrier, "_log_destroy_pending", False)
        self.idle.append(carrier)
        return True


def _take_step_of(carrier: Carrier, loop: "Loop") -> Callable[[], object]:
    """Take a new task's first step out of the ready queue.

    It is the last one, unless another thread has just added its own behind it.
    """
    ready: deque[asyncio.Handle] = loop._ready  # type: ignore[attr-defined]
    place = len(ready) - 1
    while True:
        # Read in place: threads add at the end alone, so places stay, and their order.
        handle = ready[place]
        callback: Callable[[], object] = handle._callback  # type: ignore[attr-defined]
        if getattr(callback, "__self__", None) is carrier:
            del ready[place]
            return callback
        place -= 1


async def _carry(starter: Starter, state: _State, measures: bool) -> None:
    carrier: Carrier = await _introduced()
    is_parked = True
    while is_parked:
        try:
            await _run_rest(carrier, state)
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
            and not _has_traces(carrier, state)
            and state.home is starter.idle
            and len(starter.idle) < _MOST_IDLE
        )
        if is_parked:
            starter.loop.parking = carrier


@coroutine
def _introduced() -> Generator[None, Carrier, Carrier]:
    return (yield)


@coroutine
def _run_rest(carrier: Carrier, state: _State) -> Generator[Any, Any, None]:
    """Wait for a coroutine, and for what its first segment has yielded, and run it."""
    error: BaseException | None = None
    try:
        yield
    except GeneratorExit:  # the loop is gone
        raise
    except BaseException as early:  # it was cancelled in its first segment
        error = early
    rest, state.rest = state.rest, None
    waits_for, state.waits_for = state.waits_for, None
    if error is not None and waits_for is not None:
        # The task is to meet what was yielded as one that is to be cancelled: it has
        # the checks, and the message. That it is cancelled once more is not counted.
        carrier.cancel(*error.args)
        carrier.uncancel()
        error = None
    del carrier  # see _carry
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
