"""Eager: run a coroutine's first segment at once, within a real asyncio.Task.

From 3.12 on asyncio does it (`eager_start`). On 3.11 a Task that ends at once costs
1.6 us, most of it for a Handle and for the registers of all tasks. So there a *spare*
Task, made before it is needed, is the current task while the first segment runs by
hand; only a coroutine that suspends takes it over.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from operator import is_not
from types import coroutine
from typing import Any, Protocol
from weakref import getweakrefcount

# What asyncio has for those who make tasks of their own ("Extending").
from asyncio.tasks import _enter_task, _leave_task  # isort: skip

# Where the interpreter does not count references, no spare is used twice.
_count_references: Callable[[object], int] | None = getattr(sys, "getrefcount", None)


class Starter(Protocol):
    """Starts coroutines, each in a context that no other one has seen.

    What runs in `context` before a coroutine is started shares it with that one. If
    none is started, `renew_if_changed` is to be called.
    """

    context: Context

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
        """Run a coroutine to its first suspension, in `context`.

        Returns the Task that goes on, or None if it has ended. The loop runs, and no
        task of it is current. What the coroutine raises passes, but for
        CancelledError, which ends it and nothing else.
        """

    def renew_if_changed(self) -> None:
        """Have a fresh context if something was set in the one that there is."""


def starter_of(loop: asyncio.AbstractEventLoop) -> Starter:
    """Return what starts coroutines on a loop."""
    return _EagerTasks(loop) if sys.version_info >= (3, 12) else _SpareTasks(loop)


def _has_changed(context: Context, before: tuple[Any, ...]) -> bool:
    """Whether a variable was set, even to a value that equals the one before."""
    return len(context) != len(before) or (
        before != () and any(map(is_not, context.values(), before))
    )


class _EagerTasks:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._renew()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
        task = asyncio.Task(  # type: ignore[call-arg, unused-ignore]
            coroutine, loop=self._loop, context=self.context, eager_start=True
        )
        if not task.done():
            self._renew()
            return task
        self.renew_if_changed()
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error
        return None

    def renew_if_changed(self) -> None:
        if _has_changed(self.context, self._values):
            self._renew()

    def _renew(self) -> None:
        self.context = copy_context()
        self._values = tuple(self.context.values())


class _SpareTask(asyncio.Task[None]):
    """A task that nobody can see, or miss, before its coroutine has begun."""

    __slots__ = ("is_idle",)

    is_idle: bool

    def done(self) -> bool:
        return self.is_idle or super().done()


class _SpareTasks:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._renew()
        self._references = 0  # to a spare, as `start` counts them
        task = self._task
        if _count_references is not None:
            self._references = _count_references(task)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
        task = self._task
        loop = self._loop
        has_ended = True
        task.is_idle = False
        _enter_task(loop, task)
        try:
            waits_for = self.context.run(coroutine.send, None)
            has_ended = False
        except StopIteration:
            pass
        except asyncio.CancelledError:
            task.cancel()  # a trace: it ends, cancelled
        finally:
            _leave_task(loop, task)
            if has_ended:
                if (
                    _count_references is None
                    or _count_references(task) != self._references
                    or self._has_traces(task)
                ):
                    self._take_over(task)
                else:
                    task.is_idle = True
        if has_ended:
            return None
        self._rest += (coroutine, waits_for)
        self._take_over(task)
        # One that was cancelled in its first segment goes on here, to its end perhaps.
        return None if task.done() else task

    def renew_if_changed(self) -> None:
        if _has_changed(self.context, self._values):
            self._renew()

    def _renew(self) -> None:
        """Make a spare. It has one step to make, which is kept back."""
        self.context = context = copy_context()
        self._values = tuple(context.values()) if context else ()
        # What the task is to go on with: a coroutine, and what that waits for.
        self._rest: list[Any] = []
        run = _run_rest(self._rest)
        run.send(None)  # or an error thrown into it could not be caught there
        task = _SpareTask(run, loop=self._loop, context=context)
        task.is_idle = True
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._first_step = _take_step_of(task, self._loop)
        self._task = task
        self._name = task.get_name()

    def _has_traces(self, task: _SpareTask) -> bool:
        """Whether the segment that has ended has left something with the task."""
        return (
            getweakrefcount(task) != 1  # of asyncio.all_tasks
            or task._must_cancel  # type: ignore[attr-defined]
            or bool(task._callbacks)
            or task.get_name() != self._name
            or _has_changed(self.context, self._values)
        )

    def _take_over(self, task: _SpareTask) -> None:
        """Let the task go on with its rest, or be done if there is none."""
        task._log_destroy_pending = True  # type: ignore[attr-defined]
        first_step = self._first_step
        self._renew()
        first_step._run()


def _take_step_of(task: _SpareTask, loop: asyncio.AbstractEventLoop) -> asyncio.Handle:
    """Take the handle for a new task's first step out of the ready queue.

    It is the last one, unless another thread has just added its own behind it.
    """
    ready: deque[asyncio.Handle] = loop._ready  # type: ignore[attr-defined]
    others: list[asyncio.Handle] = []
    while True:
        handle = ready.pop()
        callback = handle._callback  # type: ignore[attr-defined]
        if getattr(callback, "__self__", None) is task:
            break
        others.append(handle)
    ready.extend(reversed(others))
    return handle


@coroutine
def _run_rest(rest: list[Any]) -> Generator[Any, Any, None]:
    error: BaseException | None = None
    try:
        yield
    except BaseException as early:  # it was cancelled in its first segment
        error = early
    if not rest:
        if error is not None:
            try:
                raise error
            finally:
                error = None
        return
    coroutine, waits_for = rest
    rest.clear()
    if error is not None and waits_for is not None and waits_for.cancel():
        error = None  # it comes from there, as in any task
    while True:
        if error is not None:
            try:
                waits_for = coroutine.throw(error)
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
    # That sends it None, as the task has done.
    yield from coroutine
