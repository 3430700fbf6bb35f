"""Follow: what comes after a handler has returned.

That is its coroutine, if it has returned one, the next route, if it hands the request
on, what it has left behind that may answer, or 500.
"""

from asyncio import Task
from collections.abc import Awaitable
from inspect import isawaitable
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .eager import has_changed
from .exchange import _DONE, _GONE
from .request import Request
from .response import Response

if TYPE_CHECKING:
    from .turns import TurnSelector


def follow(
    turns: "TurnSelector", response: Response, request: Request, result: object
) -> bool:
    """Do what a handler's call, which gave `result`, asks for.

    Returns whether a coroutine was run to its end at once.
    """
    awaitable: Awaitable[Any] | None
    if type(result) is CoroutineType:
        awaitable = result
    else:
        awaitable = _settle(turns, response, request, result)
        if awaitable is None:
            return False
    request._response = response
    if (
        turns.context
        and has_changed(turns.context, turns.values)
        and not turns.starter.has_adopted
    ):
        # What a plain function has set, which has returned this, is the coroutine's.
        turns.starter.adopt(turns.context.copy())
    task = turns.starter.start(_drive(turns, response, request, awaitable))
    if task is None:
        return True
    request.preserve()
    response._route.app._handlers[response._exchange] = task
    if response._head is None:
        response._suspend(request, task)
        return False
    if response._is_committed():
        return False
    claim = response._claim()
    if claim is not None:
        claim.task = task
        leave_open(response, request)
    return False


def _settle(
    turns: "TurnSelector", response: Response, request: Request, result: object
) -> Awaitable[Any] | None:
    """Return what is to be awaited next, or None when nothing is."""
    while True:
        if result is not None and isawaitable(result):
            # What `run_async` has returned it waits for itself.
            if not isinstance(result, Task) or result not in response.app._tasks:
                return result
            result = None
        if response._head is _DONE or response._head is _GONE:
            return None
        route = response._route
        claim = response._find_claim()
        if claim is not None and claim.can_answer:
            leave_open(response, request)
            return None
        if not request.get_yield() or route is route.app._miss_route:
            if not response.has_responded():
                response._tell_unanswered(request)
            return None
        response._route = route = request._next_route(turns.routes)
        result = route.handler(response, request)


def leave_open(response: Response, request: Request) -> None:
    """Let whoever has a claim answer later; what is behind it waits."""
    claim = response._find_claim()
    assert claim is not None
    claim.has_returned = True
    claim.request = request
    request._response = response
    response._outbox.read(claim)
    if not response._is_committed():
        # Who answers later may read it, and so may the error handler.
        request.preserve()
        response._outbox.hold(response._exchange)


async def _drive(
    turns: "TurnSelector",
    response: Response,
    request: Request,
    awaitable: Awaitable[Any] | None,
) -> None:
    """Await what a handler has returned, and what the next routes' handlers do."""
    try:
        while awaitable is not None:
            await awaitable
            if response._head is _DONE:
                break
            # From here on this task alone keeps nothing open.
            claim = response._find_claim()
            task = None
            if claim is not None:
                task, claim.task = claim.task, None
            awaitable = _settle(turns, response, request, None)
            if awaitable is not None and claim is not None:
                claim.task = task
    except Exception as error:
        response.app._fail(error, response, request)
    except GeneratorExit:
        raise
    except BaseException:
        # Cancelled; or, by KeyboardInterrupt and SystemExit, the loop ends.
        response._fail()
        raise
    finally:
        response._route.app._handlers.pop(response._exchange, None)
