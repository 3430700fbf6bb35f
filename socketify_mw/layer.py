"""Layer: a middleware class in a chain, checked when its route is registered."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .errors import RouteError
from .functions import check_order, name_of, place_of, takes

if TYPE_CHECKING:
    from .request import Request
    from .response import Response

# None: what the URL has cannot be meant, and the answer is 404.
ValuesOf = Callable[["Request"], tuple[Any, ...] | None]


class Middleware:
    """A base for middleware classes: both methods go on.

    `before` runs on the way to the handler, `after` when the answer is made, in the
    reverse order; it may still change status, fields and cookies. Either may be a
    coroutine function. To go on means to return the request. One object serves both
    calls of a request. A class need not inherit from this one.
    """

    # A class may have `prepare(cls, app)`, too, a class method that is called once an
    # app, when its first route is registered; ConfigError says what is missing.

    def before(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Return the request to go on; else the chain ends, with what was returned."""
        return request

    def after(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Return the request to go on; else no other `after` runs."""
        return request


class Layer:
    """A middleware class, with the values that its methods get."""

    __slots__ = ("cls", "has_after", "spec", "values", "values_of")

    def __init__(
        self,
        cls: type[Any],
        values: tuple[Any, ...] = (),
        values_of: ValuesOf | None = None,
    ) -> None:
        self.cls = cls
        self.has_after = cls.after is not Middleware.after
        self.values = values
        self.values_of = values_of  # where they depend on the request
        self.spec = cls.__qualname__  # for people

    @property
    def __wrapped__(self) -> Any:
        """What its place is told by: a method of its own, if there is one."""
        is_own = self.cls.before is not Middleware.before
        return self.cls.before if is_own else self.cls.after


def layer_of(cls: type[Any], where: object, count: int = 0) -> Layer:
    """Return a class as a member of a chain, or raise RouteError.

    count: of the values that its methods get beside request and response.
    """
    for phase in ("before", "after"):
        method = inspect.getattr_static(cls, phase, None)
        if method is None or not callable(getattr(cls, phase)):
            raise RouteError(
                f"{where}: the class {cls.__qualname__} has no method {phase!r}: a "
                "middleware class has `before(self, request, response)` and `after`, "
                "or inherits them from socketify_mw.Middleware"
            )
        function = getattr(cls, phase)
        if not takes(function, count + (3 if _is_plain(method) else 2)):
            values = f" and {count} parameters" if count else ""
            if not count and any(takes(function, 3 + i) for i in range(1, 5)):
                values = "; its parameters stand behind a name, as in 'name:@id'"
            raise RouteError(
                f"{where}: {name_of(function)} ({place_of(function)}) cannot be called "
                f"with (request, response){values}"
            )
        check_order(function, where, is_method=True)
    _check_spelling(cls, where)
    if not takes(cls, 0):
        raise RouteError(
            f"{where}: {cls.__qualname__}() needs arguments, but each request makes "
            "one without any"
        )
    return Layer(cls)


def _check_spelling(cls: type[Any], where: object) -> None:
    """Refuse a class that has inherited both methods, and has one with a like name."""
    if cls is Middleware or cls.before is not Middleware.before:
        return
    if cls.after is not Middleware.after:
        return
    from difflib import get_close_matches

    for name in vars(cls):
        near = get_close_matches(name, ("before", "after"), 1, 0.7)
        if near and callable(getattr(cls, name)):
            raise RouteError(
                f"{where}: {cls.__qualname__} has neither `before` nor `after`, but "
                f"{name!r}; did you mean {near[0]!r}?"
            )


def _is_plain(method: object) -> bool:
    """Whether a class's attribute is a method that gets the object first."""
    is_bound = hasattr(type(method), "__get__")
    return is_bound and not isinstance(method, (staticmethod, classmethod))
