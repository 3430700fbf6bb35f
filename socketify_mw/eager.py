"""Eager: run a coroutine's first segment at once, within a real asyncio.Task.

From 3.12 on asyncio does it (`eager_start`). On 3.11 a Task that ends at once costs
1.6 us, most of it for a Handle and for the registers of all tasks. So there a *spare*
Task, made before it is needed, is the current task while the first segment runs by
hand; only a coroutine that suspends takes it over.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from contextvars import copy_context
from typing import Any
from weakref import getweakrefcount

# What asyncio has for those who make tasks of their own ("Extending").
from asyncio.tasks import (  # isort: skip
    _enter_task,
    _leave_task,
    _register_task,
    _unregister_task,
)

Start = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any] | None"]
"""Run a coroutine to its first suspension; the Task that goes on, or None at its end.

The loop runs, and no task of it is current. KeyboardInterrupt and SystemExit pass; the
coroutine is to catch everything else.
"""


def eager_starter(loop: asyncio.AbstractEventLoop) -> Start:
    """Return what starts coroutines on a loop."""
    if sys.version_info >= (3, 12):

        def start(coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
            task = asyncio.Task(coroutine, loop=loop, eager_start=True)
            if not task.done():
                return task
            if not task.cancelled():
                task.exception()  # so that nobody is told that it was never asked for
            return None

        return start
    return _SpareTasks(loop).start


# Where the interpreter does not count references, no spare is used twice.
_count_references: Callable[[object], int] | None = getattr(sys, "getrefcount", None)


class _SpareTasks:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._task: asyncio.Task[Any] | None = None

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any] | None":
        """Run the coroutine's first segment; see `Start`."""
        task = self._task or self._renew()
        loop = self._loop
        has_ended = True
        _enter_task(loop, task)
        try:
            waits_for = self._context.run(coroutine.send, None)
            has_ended = False
        except StopIteration:
            pass
        finally:
            _leave_task(loop, task)
            if has_ended and self._has_traces(task):
                self._end(task)
        if has_ended:
            return None
        self._task = None
        _register_task(task)
        task._log_destroy_pending = True  # type: ignore[attr-defined]
        self._rest.take(coroutine, waits_for)
        self._first_step._run()
        return task

    def _renew(self) -> "asyncio.Task[Any]":
        self._context = copy_context()
        self._pristine = self._context.copy()
        self._rest = _Rest()
        task = asyncio.Task(self._rest, loop=self._loop, context=self._context)
        self._first_step = self._loop._ready.pop()  # type: ignore[attr-defined]
        # Until it has something to do, nobody may wait for it, or miss it.
        _unregister_task(task)
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        self._task = task
        self._references = 0
        if _count_references is not None:
            self._has_traces(task)  # which counts
            self._references = self._counted
        return task

    def _has_traces(self, task: "asyncio.Task[Any]") -> bool:
        """Whether the segment that has ended has left something with the task."""
        if _count_references is None:
            return True
        self._counted = _count_references(task)
        return (
            self._counted != self._references
            or getweakrefcount(task) != 0
            or task._must_cancel  # type: ignore[attr-defined]
            or bool(task._callbacks)
            or self._context != self._pristine
        )

    def _end(self, task: "asyncio.Task[Any]") -> None:
        """Let the task be done, as its coroutine is."""
        self._task = None
        _register_task(task)
        self._first_step._run()


class _Rest(Coroutine[Any, Any, None]):
    """What a spare Task runs: the rest of a coroutine, or nothing."""

    _coroutine: Coroutine[Any, Any, Any] | None = None
    _waits_for: Any = None
    _is_first = True

    def take(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        """Go on with a coroutine, which has yielded a future, or None."""
        self._coroutine = coroutine
        self._waits_for = waits_for

    def send(self, value: Any) -> Any:
        if self._coroutine is None:
            raise StopIteration
        if self._is_first:
            self._is_first = False
            waits_for, self._waits_for = self._waits_for, None
            return waits_for
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        if self._coroutine is None:
            raise error[0]
        if self._is_first:
            # It was cancelled in its first segment: so is what it waits for.
            self._is_first = False
            waits_for, self._waits_for = self._waits_for, None
            if waits_for is not None and waits_for.cancel():
                return waits_for
        return self._coroutine.throw(*error)

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        """Find what tools look for in a coroutine: its name, code and frame."""
        return getattr(self._coroutine, name)

    def __await__(self) -> Generator[Any, Any, None]:
        raise RuntimeError("it belongs to its task")
