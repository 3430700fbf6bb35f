"""Onion: what runs a chain with class middleware, down and up again.

A class's `before(request, response, ...)` runs on the way down, its `after` on the way
up, when the answer is made. Going on means to return the request. Functions stand in
the same chain, and are called as in any other; see `chain`.
"""

import logging
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from .answer import answer_with, is_answer
from .draft import Draft
from .functions import PLAIN, is_awaitable, name_of, place_of
from .layer import Layer
from .response import _DONE, _FAILED, _GONE, _OPEN, Response

if TYPE_CHECKING:
    from .request import Request

logger = logging.getLogger("socketify_mw")


def runner_of(steps: Sequence[Any]) -> Callable[..., Any]:
    """Return what runs a chain: run(steps, res, req, data).

    It returns the last value, or a coroutine that goes on.
    """
    return (
        _run if any(type(it) is Layer and it.has_after for it in steps) else _run_down
    )


def _run(steps: Sequence[Any], res: Response, req: "Request", data: Any) -> Any:
    return _begin(_descend(steps, res, req, data))


def _run_down(steps: Sequence[Any], res: Response, req: "Request", data: Any) -> Any:
    return _begin(_enter(steps, res, req, data, None))


def _begin(steps: Generator[Any, Any, Any]) -> Any:
    try:
        awaitable = steps.send(None)
    except StopIteration as stop:
        return stop.value
    return _go_on(steps, awaitable)


async def _go_on(steps: Generator[Any, Any, Any], awaitable: Any) -> Any:
    try:
        while True:
            try:
                value = await awaitable
            except Exception as error:
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
    entered: list[Any] | None,
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
                    answer_with(res, ("Not Found", 404))
                    break
                values = found
            middleware = step.cls()
            result = middleware.before(req, res, *values)
            if result is req:
                pass
            elif type(result) not in PLAIN and is_awaitable(result):
                result = yield result
            if result is not req:
                data = None
                if is_answer(result):
                    answer_with(res, result)
                break
            if entered is not None and step.has_after:
                entered.append((middleware, values))
        else:
            data = step(res, req, data)
            if type(data) not in PLAIN and is_awaitable(data):
                data = yield data
            if not data:
                break
    if res._head is not _DONE:
        req._last = step.cls.before if type(step) is Layer else step
    return data


def _descend(
    steps: Sequence[Any], res: Response, req: "Request", data: Any
) -> Generator[Any, Any, Any]:
    """Run a chain, and each `after` if the answer was made."""
    head = res._head
    is_nested = False
    if type(head) is Draft:
        draft = head
        is_nested = not draft.waits
        draft.waits = False
    else:
        draft = _draft_of(res, req)
    try:
        try:
            data = yield from _enter(steps, res, req, data, draft.entered)
        except Exception as error:
            if is_nested:
                raise
            data = None
            res.app._fail(error, res, req)
        if not is_nested and _is_over(draft, res, req):
            yield from _ascend(draft, res, req)
    except BaseException:
        # The loop ends, or the task was cancelled: whoever settles that answers.
        _let_go(draft, res)
        raise
    return data


def _draft_of(res: Response, req: "Request") -> Draft:
    head = res._head
    draft = Draft(req, _finish)
    if head is not None:
        draft.hooks = head.hooks
        draft.lines, draft.has_type = head.lines, head.has_type
        draft.status, draft.reason, draft.flags = head.status, head.reason, head.flags
    if head not in (_DONE, _FAILED, _GONE, _OPEN):
        res._head = draft
    return draft


def _is_over(draft: Draft, res: Response, req: "Request") -> bool:
    """Whether the answer is made. If not, somebody else will do it, or it is 500."""
    if res._head is not draft or draft.parts is not None:
        return False  # its client has gone, or it is a stream
    if draft.is_made:
        return True
    claim = res._find_claim()
    is_awaited = False
    if claim is not None:
        task, claim.task = claim.task, None  # it is what runs this
        is_awaited = claim.can_answer
        claim.task = task
    hands_on = req.get_yield() and req._route is not req.app._miss_route
    if not is_awaited and not hands_on:
        res._tell_unanswered(req)
        return draft.is_made
    draft.waits = True
    return False


def _finish(res: Response, draft: Draft) -> None:
    """Run each `after` and commit, for whoever has answered behind the chain."""
    draft.waits = False
    coroutine = _begin(_ascend(draft, res, draft.request))
    if coroutine is not None:
        res._claim(is_kept=True)
        res.app.run_async(coroutine)


def _ascend(draft: Draft, res: Response, req: "Request") -> Generator[Any, Any, None]:
    """Run each `after`, the last one's first, and let the answer go."""
    entered = draft.entered
    draft.may_be_replaced = True
    try:
        while entered:
            middleware, values = entered.pop()
            try:
                result = middleware.after(req, res, *values)
                if result is req:
                    continue
                if type(result) not in PLAIN and is_awaitable(result):
                    result = yield result
            except Exception as error:
                draft.clear()
                draft.parts = None
                res.app._fail(error, res, req)
                if not draft.is_made and res._head is draft:
                    draft.waits = True  # the error handler takes its time
                    return
                continue
            if result is not req:
                _end_phase(draft, res, middleware, result)
                break
    except BaseException:
        _let_go(draft, res)
        raise
    if res._head is draft:
        _commit(draft, res, req)


def _end_phase(draft: Draft, res: Response, middleware: Any, result: object) -> None:
    """No other `after` runs; what this one has returned may be the answer."""
    draft.entered.clear()
    if result is None:
        after = type(middleware).after
        logger.warning(
            "%s: %s (%s) returned None: no other `after` runs. Return the request to "
            "go on, or an answer",
            res._route,
            name_of(after),
            place_of(after),
        )
    elif is_answer(result) and draft.parts is None:
        draft.forget()
        answer_with(res, result)


def _commit(draft: Draft, res: Response, req: "Request") -> None:
    """Let the answer go, or the head of a stream and what waits behind it."""
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
        res.app._fail(error, res, req)


def _send_parts(draft: Draft, res: Response) -> None:
    parts = draft.parts or []
    for part in parts[:-1] if draft.is_made else parts:
        res.write(part)
    if draft.is_made:
        res.end(parts[-1])


def _let_go(draft: Draft, res: Response) -> None:
    if res._head is draft:
        res._head = draft.plain()
