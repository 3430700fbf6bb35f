"""Tasks: what an app starts beside its handlers, and what becomes of what raises."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from .claim import Claim
from .errors import ClientGone, ConfigError, SocketifyError
from .follow import leave_open
from .functions import called, name_of, place_of, takes
from .loop import Loop
from .request import Request
from .response import Response

ErrorHandler = Callable[[BaseException, Response | None, Request | None], object]

logger = logging.getLogger("socketify_mw")


class Tasks:
    """The part of an `App` that knows its tasks and its error handler."""

    _loop: Loop

    def __init__(self) -> None:
        self._error_handler: ErrorHandler | None = None
        self._tasks: set[asyncio.Task[Any]] = set()  # of run_async
        self._handlers: dict[int, asyncio.Task[Any]] = {}  # by exchange

    def on_error(self, handler: ErrorHandler) -> ErrorHandler:
        """Call `handler(error, res, req)` when a handler raises; a decorator.

        It may answer; else the answer is 500. `req` is None for an error outside of
        any request.
        """
        self.set_error_handler(called(handler, "on_error"))
        return handler

    def set_error_handler(self, handler: ErrorHandler | None) -> None:
        """Set the handler of `on_error`, or take it away."""
        if handler is not None and not takes(called(handler, "set_error_handler"), 3):
            raise ConfigError(
                f"{name_of(handler)} ({place_of(handler)}) cannot be called with "
                "(error, res, req), as an error handler is"
            )
        self._error_handler = handler

    def _fail(
        self,
        error: BaseException,
        response: Response | None,
        request: Request | None,
        by: Claim | None = None,
    ) -> None:
        """Let the error handler answer, or answer 500.

        by: whose handler or task it was, if it was one.
        """
        where: object = self if response is None else response._route
        has_ended = response is not None and response.has_responded()
        is_left = has_ended or (response is not None and response.aborted)
        if is_left and isinstance(error, ClientGone):
            logger.debug("the client of %s left: %s", where, error)
            return
        if has_ended:
            logger.error("%s raised after it had answered", where, exc_info=error)
            return
        claim = response._find_claim() if response is not None else None
        if response is not None and claim is not None and claim.is_of_error_handler:
            # Not to that handler again: it might raise for ever.
            logger.error("%s raised behind an error", where, exc_info=error)
            if claim is by:
                response._unclaim()
                response._fail(_status_of(error))
            return
        if response is not None:
            response._unclaim()  # what it was waiting for does not count any more
        if self._error_handler is None:
            if _status_of(error) < 500:
                logger.info("%s: %s", where, error)
            else:
                logger.error("%s raised", where, exc_info=error)
        else:
            try:
                result = copy_context().run(
                    self._error_handler, error, response, request
                )
            except Exception as second:
                logger.error("%s: its error handler raised", where, exc_info=second)
            else:
                if inspect.iscoroutine(result):
                    self._await_error_handler(result, error, response, request)
                elif response is not None and response._is_left():
                    _tell_of_silence(where, error)
        if response is None:
            return
        claim = response._find_claim()
        if claim is not None:
            claim.is_of_error_handler = True
        if response._is_left():
            response._fail(_status_of(error))
        elif request is not None and claim is not None:
            leave_open(response, request)

    def _await_error_handler(
        self,
        coroutine: Coroutine[Any, Any, Any],
        error: BaseException,
        response: Response | None,
        request: Request | None,
    ) -> None:
        """Let an error handler that waits answer; whatever it does not is 500."""

        def finished(done: "asyncio.Task[Any]") -> None:
            self._tasks.discard(done)
            second = None if done.cancelled() else done.exception()
            if second is not None:
                logger.error("an error handler raised", exc_info=second)
            if response is not None and not response.has_responded():
                if second is None and not response.aborted:
                    _tell_of_silence(response._route, error)
                response._fail(_status_of(error))

        if request is not None:
            request.preserve()  # there may be no claim that would keep it
        if response is not None and not response.has_responded():
            response._claim(is_kept=True)
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(finished)

    def run_async(
        self,
        coroutine: Coroutine[Any, Any, Any],
        response: Response | None = None,
        *,
        context: Context | None = None,
    ) -> "asyncio.Task[Any]":
        """Start a coroutine. What it raises goes to the error handler.

        response: keep it open; the coroutine may answer.
        context: to run in; None for a copy of the current one.
        """
        claim = None
        if response is not None and not response._is_committed():
            claim = response._claim()
        task = self._loop.create_task(coroutine, context=context)
        if claim is not None:
            claim.running += 1
        self._tasks.add(task)  # or it might be collected before its end
        task.add_done_callback(lambda done: self._finished(done, response, claim))
        return task

    def _finished(
        self,
        task: "asyncio.Task[Any]",
        response: Response | None,
        claim: Claim | None,
    ) -> None:
        self._tasks.discard(task)
        if claim is not None:
            claim.running -= 1
            if claim.task is task:
                claim.task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            request = claim.request if claim is not None else None
            self._fail(error, response, request, claim)
        elif claim is None or response is None or not claim.has_returned:
            return
        elif response._is_left():
            response._tell_unanswered(claim.request)


def _tell_of_silence(where: object, error: BaseException) -> None:
    """Log an error that the error handler has left unanswered."""
    if _status_of(error) < 500:
        logger.info("%s: %s", where, error)
    else:
        text = "%s raised, and its error handler has not answered"
        logger.error(text, where, exc_info=error)


def _status_of(error: BaseException) -> int:
    """Return the status that an error is answered with."""
    return error.status if isinstance(error, SocketifyError) else 500
