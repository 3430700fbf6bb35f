"""Listing: an app's routes as data, and what runs for a method and a path."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from ._binding import METHODS
from .functions import name_of, source_of
from .layer import Layer

if TYPE_CHECKING:
    from ._binding import NativeServer
    from .route import Route

# What clients leave as it is in a path (RFC 3986 3.3), and "%", which begins an escape.
_PATH_SAFE = "/%:@!$&'()*+,;=-._~"


_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 5.6.2


@dataclass(frozen=True)
class MemberInfo:
    """A function or class of a route's chain, or its handler."""

    name: str
    """Of a class with its parameters, as in `Throttle:2,100`."""
    file: str
    """"" if it is not written in Python."""
    line: int
    is_async: bool
    """Whether it is a coroutine function, or has such methods; a function that
    returns something to await looks like any other.
    """


@dataclass(frozen=True)
class RouteInfo:
    """A route, with everything that runs for it, in order."""

    method: str
    """One of the verbs, "ANY", or "" for what answers when no route matches."""
    pattern: str
    members: tuple[MemberInfo, ...]


@dataclass(frozen=True)
class RouteMatch:
    """What runs for a method and a path."""

    method: str
    path: str
    routes: tuple[RouteInfo, ...]
    """In order: each other one runs if the one before hands the request on. The last
    one answers when there is none left.
    """
    parameters: dict[str, str]
    """Of the first route, by name."""
    allowed: tuple[str, ...]
    """Methods of the routes for this path, if there is none for this method: the answer
    is 405 then, or for OPTIONS 204, but for what `not_found` says.
    """

    @property
    def is_miss(self) -> bool:
        """Whether no route matches."""
        return len(self.routes) == 1


def info_of(route: "Route") -> RouteInfo:
    """Tell what a route is."""
    members = (*route.app._used, *route.members)
    is_miss = route is route.app._miss_route
    return RouteInfo(
        method="" if is_miss else route.method,
        pattern="" if is_miss else route.pattern,
        members=tuple(
            _info_of_class(it)
            if isinstance(it, Layer)
            else MemberInfo(name_of(it), *source_of(it), _is_async(it))
            for it in members
        ),
    )


def find(
    server: "NativeServer",
    routes: "Sequence[Route]",
    miss: "Route",
    method: str,
    path: str,
) -> RouteMatch:
    """Return what runs for a request, as the server itself would find it.

    routes: by token.
    """
    if not isinstance(method, str) or not isinstance(path, str):
        raise TypeError(f"method and path are str, not {method!r} and {path!r}")
    method = method.upper()
    if not _METHOD.fullmatch(method):
        raise ValueError(f"{method!r} is not a method, such as GET")
    path = quote(
        path.partition("#")[0].partition("?")[0], safe=_PATH_SAFE, errors="replace"
    )
    if not path.startswith("/"):
        raise ValueError(f"{path!r} is not a path, such as /users/5")
    found: list[Route] = []
    parameters: dict[str, str] = {}
    while True:
        token, places = server.match(method, path, len(found))
        if not token:
            break
        found.append(routes[token])
        if len(found) == 1:
            names = found[0].parameters
            pairs = zip(places[::2], places[1::2], strict=True)
            parameters = {
                name: unquote(path[start:end])
                for name, (start, end) in zip(names, pairs, strict=False)
            }
    allowed = [it for it in METHODS if not found and server.match(it, path, 0)[0]]
    return RouteMatch(
        method,
        path,
        tuple(info_of(it) for it in (*found, miss)),
        parameters,
        tuple(allowed),
    )


def _info_of_class(layer: Layer) -> MemberInfo:
    methods = layer.cls.before, layer.cls.after
    return MemberInfo(layer.spec, *source_of(layer), any(map(_is_async, methods)))


def _is_async(function: Any) -> bool:
    """Whether a function, or one that it was put around, is a coroutine function."""
    while True:
        if inspect.iscoroutinefunction(function):
            return True
        if inspect.iscoroutinefunction(type(function).__call__):
            return True
        inner: Callable[..., Any] | None = (
            function.func
            if isinstance(function, partial)
            else getattr(function, "__wrapped__", None)
        )
        if inner is None:
            return False
        function = inner
