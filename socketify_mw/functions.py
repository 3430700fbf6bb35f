"""Functions: what they are called, where they stand, and what they take."""

import inspect
from collections.abc import Callable
from typing import Any


def takes(function: Callable[..., Any], count: int) -> bool:
    """Return whether a function can be called with a number of arguments."""
    try:
        inspect.signature(function).bind(*(None,) * count)
    except ValueError:  # a builtin that does not tell its parameters
        return True
    except TypeError:
        return False
    return True


def name_of(function: object) -> str:
    """Return a function's name as its program's reader knows it."""
    inner = inspect.unwrap(function) if callable(function) else function
    name = getattr(inner, "__qualname__", None)
    return name if isinstance(name, str) else repr(function)


def place_of(function: object) -> str:
    """Return file and line of a function, or of the type of a callable object."""
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    inner = inspect.unwrap(function) if callable(function) else function
    if not hasattr(inner, "__code__") and not hasattr(inner, "__func__"):
        inner = type(inner).__call__ if callable(inner) else inner
    code = getattr(inner, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else "no Python code"
