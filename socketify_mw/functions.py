"""Functions: what they are called, where they stand, and what they take."""

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from inspect import Parameter
from types import GeneratorType, SimpleNamespace
from typing import Any, TypeVar, get_type_hints

from .errors import RouteError

# Types of values that cannot be awaited: most programs return few.
PLAIN: set[type] = {type(None), bool, int, str, bytes, dict, list, tuple}
_MOST_PLAIN = 1000


def is_awaitable(data: object) -> bool:
    """Whether something can be awaited; if not, its type is remembered in PLAIN."""
    if inspect.isawaitable(data):
        return True
    kind = type(data)
    if len(PLAIN) < _MOST_PLAIN and kind is not GeneratorType:
        PLAIN.add(kind)
    return False


async def awaited(awaitable: Any) -> None:
    """Make a coroutine of anything that can be awaited, without its value."""
    await awaitable


def takes(function: Callable[..., Any], count: int) -> bool:
    """Return whether a function can be called with a number of arguments.

    A decorated one that takes any number stands for what it was made of.
    """
    arguments = (None,) * count
    try:
        outer = inspect.signature(function, follow_wrapped=False)
        outer.bind(*arguments)
        if _takes_any_number(outer):
            inspect.signature(function).bind(*arguments)
    except ValueError:  # a builtin that does not tell its parameters
        return True
    except TypeError:
        return False
    return True


def _takes_any_number(signature: inspect.Signature) -> bool:
    kinds = (parameter.kind for parameter in signature.parameters.values())
    return Parameter.VAR_POSITIONAL in kinds


def hints_of(function: Any) -> dict[str, Any]:
    """Return the types that parameters are annotated with, by name.

    One that cannot be found, such as what is imported for type checkers alone, is left
    out, and does not take the others away.
    """
    try:
        return get_type_hints(function)
    except Exception:  # whatever an expression may raise
        pass
    inner = _inner(function)
    inner = getattr(inner, "__func__", inner)
    found: dict[str, Any] = {}
    for name, annotation in getattr(inner, "__annotations__", {}).items():
        one = SimpleNamespace(__annotations__={name: annotation})
        with suppress(Exception):
            found |= get_type_hints(one, getattr(inner, "__globals__", {}))
    return found


def has_yield(function: object) -> bool:
    """Whether a call only makes a generator; one of types.coroutine can be awaited."""
    # Not what a decorator has been put around: that may run the generator itself.
    while isinstance(function, partial):
        function = function.func
    code = getattr(function, "__code__", None)
    flags = code.co_flags if code is not None else 0
    if flags & inspect.CO_ITERABLE_COROUTINE:
        return False
    return bool(flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR))


def name_of(function: object) -> str:
    """Return a function's name as its program's reader knows it.

    Of a class in a chain it is what the chain was given.
    """
    spec = getattr(function, "spec", None)
    if isinstance(spec, str):
        return spec
    inner = _inner(function)
    name = getattr(inner, "__qualname__", None)
    return name if isinstance(name, str) else repr(inner)


def place_of(function: object) -> str:
    """Return file and line of a function, as `app.py:12`, for people."""
    file, line = source_of(function)
    return f"{file}:{line}" if file else "no Python code"


def source_of(function: object) -> tuple[str, int]:
    """Return file and line of a function, or of the type of a callable object.

    ("", 0) for what has no Python code.
    """
    inner = _inner(function)
    if not hasattr(inner, "__code__") and callable(inner):
        inner = inspect.unwrap(type(inner).__call__)
    code = getattr(inner, "__code__", None)
    return (code.co_filename, code.co_firstlineno) if code else ("", 0)


def _inner(function: Any) -> Any:
    """Return what partials and decorators were put around."""
    while isinstance(inner := inspect.unwrap(function), partial):
        function = inner.func
    return inner


_SWAPPED = (("req", "request"), ("res", "response"))


def check_order(function: Any, where: object, *, is_method: bool = False) -> None:
    """Refuse names of parameters that mean the other one; RouteError.

    Functions take (res, req), and methods of classes (request, response).
    """
    try:
        names = list(inspect.signature(function, follow_wrapped=False).parameters)
    except (TypeError, ValueError):
        return
    first, second = _SWAPPED[::-1] if is_method else _SWAPPED
    if is_method and names[:1] == ["self"]:
        del names[0]
    if len(names) > 1 and names[0] in first and names[1] in second:
        right = "(request, response)" if is_method else "(res, req)"
        raise RouteError(
            f"{where}: {name_of(function)} ({place_of(function)}) has its parameters "
            f"the other way round: it is called with {right}"
        )


_C = TypeVar("_C", bound=Callable[..., object])


def called(function: _C, name: str) -> _C:
    """Return a function that something is given; TypeError for what is none."""
    if not callable(function):
        raise TypeError(f"{name} was given {function!r}, which is not callable")
    return function
