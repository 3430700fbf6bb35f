"""Chain: functions that run one after the other in front of, and as, a handler.

Each member is called `member(res, req, data)`: `data` is None for the first one, and
what a member returns is the next one's. A falsy value (False, None, 0, "", an empty
collection) ends the chain. Members may be coroutine functions: what counts is whether
a call returns something to await, not how it was defined.
"""

from asyncio import CancelledError, current_task
from collections.abc import Callable, Sequence
from inspect import isclass
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from . import onion
from .eager import has_changed
from .errors import RouteError
from .exchange import _DONE
from .functions import (
    PLAIN,
    check_order,
    has_yield,
    is_awaitable,
    name_of,
    place_of,
    takes,
)
from .layer import Layer, layer_of

if TYPE_CHECKING:
    from .request import Request
    from .response import Response
    from .turns import TurnSelector

Member = Callable[["Response", "Request", Any], Any]
Bare = Callable[["Response", "Request"], object]


class Chain:
    """What `middleware` returns: a member that runs others in order."""

    __slots__ = ("members",)

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.members = members

    def __call__(self, res: "Response", req: "Request", data: Any = None) -> Any:
        """Run the members; return the last value, or something to await for it."""
        run = runner_of(self.members, is_route=False)
        return run(self.members, res, req, data)

    def __repr__(self) -> str:
        return f"middleware({', '.join(map(name_of, self.members))})"


def middleware(*functions: Callable[..., Any]) -> Chain:
    """Join functions into one handler that runs them in order.

    It may be a route's handler, or stand in another chain, anywhere. It is synchronous
    up to the first member that returns something to await; from there on the rest runs
    as one task. Raises RouteError for what cannot be called with (res, req, data).
    """
    if not functions:
        raise RouteError("middleware() was given no function: give it at least one")
    return Chain(flat(functions, "middleware()"))


def flat(functions: Sequence[Callable[..., Any]], where: object) -> tuple[Member, ...]:
    """Return the members of chains in place of the chains, all of them checked."""
    members: list[Any] = []
    for function in functions:
        if isinstance(function, Chain):
            members += function.members
        elif isinstance(function, Layer):
            members.append(function)
        elif isclass(function):
            members.append(layer_of(function, where))
        else:
            if not callable(function):
                raise RouteError(
                    f"{where}: {function!r} is not callable{_cure(function)}"
                )
            if has_yield(function):
                raise RouteError(
                    f"{where}: {name_of(function)} ({place_of(function)}) has a "
                    "`yield`, but a member of a chain returns its value"
                )
            if not takes(function, 3):
                raise RouteError(
                    f"{where}: {name_of(function)} ({place_of(function)}) cannot be "
                    "called with (res, req, data), as each member of a chain is: give "
                    "it a third parameter, such as `data=None`"
                )
            check_order(function, where)
            members.append(function)
    return tuple(members)


def _cure(given: object) -> str:
    """Return what to say to what was given in place of a function or a class."""
    if isinstance(given, str):
        return "; names of middleware are for the routes of a kernel"
    if hasattr(given, "before") and hasattr(given, "after"):
        return f"; give the class, {type(given).__qualname__}, and not an object of it"
    return ""


def bare_member(function: Bare) -> Member:
    """Let a handler that takes (res, req) stand at the end of a chain."""

    def member(res: "Response", req: "Request", data: Any) -> Any:
        return function(res, req)

    member.__wrapped__ = function  # type: ignore[attr-defined]
    return member


def runner_of(members: tuple[Any, ...], *, is_route: bool) -> Callable[..., Any]:
    """Return what runs members: classes among them need more."""
    if any(isinstance(it, Layer) for it in members):
        return onion.runner_of(members, is_route=is_route)
    return _run


def handler_of(members: tuple[Member, ...], turns: "TurnSelector") -> Bare:
    """Return what runs a route's members for a request.

    They run in a context of their own: what they set in contextvars is seen by those
    behind them, and by nobody else's request.
    """
    starter = turns.starter
    run = runner_of(members, is_route=True)
    keeps_context = onion.has_after(members)  # for one that may run later
    sets_variables = False  # as far as is known

    def handler(res: "Response", req: "Request") -> Any:
        nonlocal sets_variables
        result = None
        if req._view is not turns and current_task() is not None:
            # A coroutine has handed the request on: its task has a context already.
            result = run(members, res, req, None)
            return result if type(result) is CoroutineType else None
        context = starter.context
        is_own = sets_variables
        if turns.context and has_changed(turns.context, turns.values):
            # A plain function has set them, which has handed the request on.
            context = turns.context.copy()
            is_own = True
        elif is_own:
            context = context.copy()
        if keeps_context:
            req._context = context
        try:
            result = context.run(run, members, res, req, None)
        except (Exception, CancelledError) as error:
            # In the context that they have set things in, such as a request's id.
            req.set_yield(False)
            context.run(res.app._fail, error, res, req)
        finally:
            if type(result) is CoroutineType:
                if is_own:
                    starter.adopt(context)
            # Most contexts are empty: that is asked here, without a call.
            elif not is_own and len(context) > 0:
                sets_variables = starter.renew_if_changed()
        return result if type(result) is CoroutineType else None

    return handler


def _run(
    members: tuple[Member, ...], res: "Response", req: "Request", data: Any
) -> Any:
    """Run members; return the last value, or a coroutine that goes on."""
    for count, member in enumerate(members, 1):
        data = member(res, req, data)
        kind = type(data)
        if kind is CoroutineType or kind not in PLAIN and is_awaitable(data):
            return _go_on(members, count, data, res, req)
        if not data:
            break
    if res._head is not _DONE:
        req._last = member
    return data


async def _go_on(
    members: tuple[Member, ...],
    count: int,
    awaitable: Any,
    res: "Response",
    req: "Request",
) -> Any:
    """Await what a member has returned, and run those from `count` on."""
    data = await awaitable
    while data and count < len(members):
        data = members[count](res, req, data)
        count += 1
        kind = type(data)
        if kind is CoroutineType or kind not in PLAIN and is_awaitable(data):
            data = await data
    if res._head is not _DONE:
        req._last = members[count - 1]
    return data
