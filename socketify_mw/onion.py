"""Onion: what runs a chain with class middleware, down and up again.

A class's `before(request, response, ...)` runs on the way down, its `after` on the way
up, when the answer is made. Going on means to return the request. Functions stand in
the same chain, and are called as in any other; see `chain`.
"""

import logging
from asyncio import CancelledError
from collections.abc import Callable, Generator, Sequence
from contextvars import Context, copy_context
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .answer import answer_with, is_answer
from .draft import Draft
from .eager import has_changed
from .exchange import _DONE, _FAILED, _GONE, _LATER, _OPEN
from .follow import leave_open
from .functions import PLAIN, awaited, is_awaitable, name_of, place_of
from .layer import Layer
from .response import Response

if TYPE_CHECKING:
    from .request import Request

logger = logging.getLogger("socketify_mw")


def has_after(steps: Sequence[Any]) -> bool:
    """Whether a chain has a class with an `after` of its own."""
    return any(type(it) is Layer and it.has_after for it in steps)


def runner_of(steps: Sequence[Any], *, is_route: bool) -> Callable[..., Any]:
    """Return what runs a chain: run(steps, res, req, data).

    It returns the last value, or a coroutine that goes on.
    is_route: the chain is a route's, and is not called by another one's member.
    """
    if not has_after(steps):
        return _run_down
    return _run_route if is_route else _run


def _run_route(steps: Sequence[Any], res: Response, req: "Request", data: Any) -> Any:
    return _begin(_descend(steps, res, req, data, tells=True))


def _run(steps: Sequence[Any], res: Response, req: "Request", data: Any) -> Any:
    return _begin(_descend(steps, res, req, data, tells=False))


def _run_down(steps: Sequence[Any], res: Response, req: "Request", data: Any) -> Any:
    """Run a chain without an `after`: as `_enter` does, but without a generator."""
    step: Any = None
    for count, step in enumerate(steps):
        if type(step) is Layer:
            values = step.values
            if step.values_of is not None:
                found = step.values_of(req)
                if found is None:
                    return _miss(res, req)
                values = found
            middleware = step.cls()
            was_answered = res._head is not None and _is_answered(res._head)
            # Most have none: an unpacked call costs twice as much.
            if values:
                result = middleware.before(req, res, *values)
            else:
                result = middleware.before(req, res)
            if result is req:
                # Nothing was said, in most cases.
                if res._head is None or was_answered or not _tells(res, step):
                    continue
                data = None
                break
            if type(result) not in PLAIN and is_awaitable(result):
                return _go_on_down(steps, count, result, res, req, data, was_answered)
            data = None
            _stop(res, result)
            break
        data = step(res, req, data)
        if type(data) not in PLAIN and is_awaitable(data):
            return _go_on_down(steps, count, data, res, req, data, False)
        if not data:
            break
    if res._head is not _DONE:
        req._last = step.cls.before if type(step) is Layer else step
    return data


async def _go_on_down(
    steps: Sequence[Any],
    count: int,
    awaitable: Any,
    res: Response,
    req: "Request",
    data: Any,
    was_answered: bool,
) -> Any:
    """Await what a chain's member has returned, and run those behind it.

    was_answered: before that was called.
    """
    step = steps[count]
    result = await awaitable
    if type(step) is Layer:
        goes_on = result is req
        if not goes_on:
            data = None
            _stop(res, result)
        elif not was_answered and _tells(res, step):
            data, goes_on = None, False
    else:
        data = result
        goes_on = bool(data)
    if goes_on and count + 1 < len(steps):
        result = _run_down(steps[count + 1 :], res, req, data)
        return await result if type(result) is CoroutineType else result
    if res._head is not _DONE:
        req._last = step.cls.before if type(step) is Layer else step
    return data


def _begin(steps: Generator[Any, Any, Any]) -> Any:
    try:
        awaitable = steps.send(None)
    except StopIteration as stop:
        return stop.value
    return _go_on(steps, awaitable)


async def _begin_later(steps: Generator[Any, Any, Any]) -> Any:
    coroutine = _begin(steps)
    return coroutine if coroutine is None else await coroutine


async def _go_on(steps: Generator[Any, Any, Any], awaitable: Any) -> Any:
    try:
        while True:
            try:
                value = await awaitable
            except (Exception, CancelledError) as error:
                awaitable = steps.throw(error)
            else:
                awaitable = steps.send(value)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def _enter(
    steps: Sequence[Any],
    res: Response,
    req: "Request",
    data: Any,
    draft: Draft,
) -> Generator[Any, Any, Any]:
    """Run a chain's members in order; yield what is to be awaited."""
    step: Any = None
    for step in steps:
        if type(step) is Layer:
            values = step.values
            if step.values_of is not None:
                found = step.values_of(req)
                if found is None:
                    data = None
                    missing = _miss(res, req)
                    if missing is not None:
                        yield missing
                    break
                values = found
            middleware = step.cls()
            was_answered = draft.is_made
            if values:
                result = middleware.before(req, res, *values)
            else:
                result = middleware.before(req, res)
            if type(result) not in PLAIN and is_awaitable(result):
                result = yield result
            if result is not req:
                data = None
                _stop(res, result)
                break
            if step.has_after:
                draft.entered.append((middleware, values))
            if not was_answered and _tells(res, step):
                data = None
                break
        else:
            data = step(res, req, data)
            if type(data) not in PLAIN and is_awaitable(data):
                data = yield data
            if not data:
                break
    if res._head is not _DONE:
        req._last = step.cls.before if type(step) is Layer else step
    return data


def _is_answered(head: object) -> bool:
    return head is _DONE or (type(head) is Draft and head.is_made)


def _tells(res: Response, step: Layer) -> bool:
    """Whether a class has let a request through that it has answered; the log tells.

    A guard may have forgotten to stop what it has redirected: nobody else gets it.
    """
    if not _is_answered(res._head):
        return False
    logger.warning(
        "%s: %s (%s) has answered, and returned the request: nobody behind it runs. "
        "Return the response to stop",
        res._route,
        name_of(step),
        place_of(step),
    )
    return True


def _stop(res: Response, result: object) -> None:
    """End a chain with what a `before` has returned."""
    if is_answer(result):
        answer_with(res, result)


def _miss(res: Response, req: "Request") -> Any:
    """End a chain whose URL is for no middleware of it; None or something to await."""
    result = req.app._answer_not_found(res, req)
    return awaited(result) if is_awaitable(result) else None


def _descend(
    steps: Sequence[Any], res: Response, req: "Request", data: Any, tells: bool
) -> Generator[Any, Any, Any]:
    """Run a chain, and each `after` if the answer was made.

    tells: say so if nobody is left who may answer; not within another chain.
    """
    head = res._head
    is_nested = type(head) is Draft and not head.waits
    draft = head if type(head) is Draft else _draft_of(res, req)
    draft.waits = False
    try:
        try:
            data = yield from _enter(steps, res, req, data, draft)
        except Exception as error:
            if is_nested:
                raise
            data = None
            draft.parts = None  # of a stream whose head is still here
            cause = error.__cause__  # a generator may not raise StopIteration (PEP 479)
            is_stop = type(error) is RuntimeError and isinstance(cause, StopIteration)
            res.app._fail(cause if is_stop and cause else error, res, req)
        except CancelledError:
            if not is_nested:
                res._fail()
                yield from _ascend(draft, res, req)
                yield from _close(draft, res)  # if an error handler takes its time
            raise
        if not is_nested:
            if tells and _is_unanswered(draft, res, req):
                res._tell_unanswered(req)
            if draft.is_made or res._head is _GONE:
                yield from _ascend(draft, res, req)
            else:
                # Not later: a context without anything may be another request's then.
                draft.context = _context_of(res, req) or copy_context()
                draft.waits = True
    except BaseException:
        # The loop ends, or the task was cancelled: whoever settles that answers.
        if not is_nested:
            _let_go(draft, res)
        raise
    return data


def _is_unanswered(draft: Draft, res: Response, req: "Request") -> bool:
    """Whether there is no answer, and nobody left to give it."""
    if res._head is not draft or draft.is_made or draft.parts is not None:
        return False
    if req.get_yield() and req._route is not req.app._miss_route:
        return False
    claim = res._find_claim()
    if claim is None:
        return True
    task, claim.task = claim.task, None  # it is what runs this
    is_awaited = claim.can_answer
    claim.task = task
    return not is_awaited


def _draft_of(res: Response, req: "Request") -> Draft:
    """Have what is said from now on kept in a draft."""
    head = res._head
    draft = res._draft = Draft(req, _finish)
    if head is None or head is _LATER:
        res._head = draft
    elif head not in (_DONE, _FAILED, _GONE, _OPEN):
        draft.take(head)
        res._head = draft
    return draft


def _finish(res: Response, draft: Draft) -> None:
    """Run each `after` and commit, for an answer that nobody else waits for."""
    request = draft.request
    context = draft.context if draft.waits else _context_of(res, request)
    ascending = _ascend(draft, res, request)
    coroutine = None
    if draft.waits and context is not None:
        try:
            coroutine = context.run(_begin, ascending)
        except RuntimeError:  # it is entered already: its task is at work
            draft.waits = False
            coroutine = _begin_later(ascending)
    else:
        coroutine = _begin(ascending)
    if coroutine is None:
        return
    task = res.app.run_async(coroutine, res, context=context)
    claim = res._find_claim()
    if claim is not None:
        if claim.task is None:
            claim.task = task
        leave_open(res, request)


def _context_of(res: Response, req: "Request") -> Context | None:
    """Return the context of a request's chain, if something was set in it."""
    context: Context | None = getattr(req, "_context", None)
    values = res._outbox.values
    return context if context and has_changed(context, values) else None


def _ascend(draft: Draft, res: Response, req: "Request") -> Generator[Any, Any, None]:
    """Run each `after`, the last one's first or in order, and let the answer go."""
    if draft.is_finishing:
        return  # it waits for one of them
    draft.is_finishing = True
    draft.waits = False
    try:
        while draft.entered:
            middleware, values = draft.entered.pop(res.app._next_after)
            makes = draft.makes
            try:
                draft.runs_after = True
                result = middleware.after(req, res, *values)
                draft.runs_after = False
                if result is req:
                    continue
                if type(result) not in PLAIN and is_awaitable(result):
                    result = yield result
                if result is not req:
                    has_answered = result is res and draft.makes > makes
                    if result is not False and not has_answered:
                        _take_result(draft, res, middleware, result)
                    draft.entered.clear()  # no other one runs
            except Exception as error:
                draft.runs_after = False
                if not _answer_anew(draft, res, req, error):
                    return
        while draft.closers:
            try:
                result = draft.closers.pop()()
                if result is not None:
                    yield result
            except Exception as error:
                if not _answer_anew(draft, res, req, error):
                    return
    except CancelledError:
        yield from _close(draft, res)
        _let_go(draft, res)
        res._fail()
        raise
    except BaseException:
        _let_go(draft, res)
        raise
    draft.is_finishing = False
    if res._head is draft:
        if not (draft.is_made or draft.parts is not None or draft.is_opening):
            draft.waits = True
            return
        _commit(draft, res, req)
    # Or request, response and draft would hold each other.
    if getattr(res, "_draft", None) is draft:
        del res._draft


def _close(draft: Draft, res: Response) -> Generator[Any, Any, None]:
    """Do what must not be skipped, such as to save a session, when all else is."""
    cancelled: CancelledError | None = None
    while draft.closers:
        try:
            result = draft.closers.pop()()
            if result is not None:
                yield result
        except CancelledError as error:
            cancelled = error
        except Exception:
            logger.exception("%s: what was to be done before the answer", res._route)
    if cancelled is not None:
        raise cancelled


def _answer_anew(draft: Draft, res: Response, req: "Request", error: Exception) -> bool:
    """Let the error handler answer for what an `after` has raised.

    Returns whether it has: else it takes its time, and the others run behind it.
    """
    claim = res._find_claim()
    is_again = claim is not None and claim.is_of_error_handler
    must_be_now = draft.parts is not None  # or whoever streams would go on meanwhile
    draft.clear()
    draft.is_finishing = False
    res.app._fail(error, res, req)
    if res._head is draft and not draft.is_made and (is_again or must_be_now):
        res._fail()
    draft.waits = res._head is draft and not draft.is_made
    draft.is_finishing = not draft.waits
    return not draft.waits


def _take_result(draft: Draft, res: Response, middleware: Any, result: object) -> None:
    """Take what an `after` has returned for the answer, if it is one."""
    if not is_answer(result):
        after = type(middleware).after
        logger.warning(
            "%s: %s (%s) returned %s: no other `after` runs. Return the request to go "
            "on, or an answer",
            res._route,
            name_of(after),
            place_of(after),
            "the response" if result is res else repr(result)[:100],
        )
    elif draft.parts is not None:
        logger.warning(
            "%s: a stream has begun, and what %s has returned is not sent",
            res._route,
            name_of(type(middleware).after),
        )
    else:
        answer_with(res, result)


def _commit(draft: Draft, res: Response, req: "Request") -> None:
    """Let the answer go, or the head of a stream and what waits behind it."""
    draft.settle_type()
    try:
        if draft.parts is not None or not draft.is_made:
            res._head = draft.plain()
            _send_parts(draft, res)
            return
        body = draft.body
        if draft.hooks:
            body = res._run_hooks(draft, body) or b""
        res._commit(draft, body)
    except Exception as error:
        # What was said cannot be sent, or a hook has raised.
        if res._head is draft:
            draft.clear()
            res._head = draft.plain()
        # If an error handler has answered so, it is not asked again.
        res.app._fail(error, res, req, res._find_claim())


def _send_parts(draft: Draft, res: Response) -> None:
    parts = draft.parts or []
    for part in parts[:-1] if draft.is_made else parts:
        res.write(part)
    if draft.is_made:
        res.end(parts[-1])


def _let_go(draft: Draft, res: Response) -> None:
    if res._head is draft:
        res._head = draft.plain()
