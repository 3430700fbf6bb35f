"""Controllers: classes whose methods answer routes.

`"DashboardController@show"` is found by name when the route is registered. Its
arguments are given by name: request, response, the URL's parameters, and whatever
`App.bind` has for the type that a parameter is annotated with.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import CoroutineType, ModuleType
from typing import TYPE_CHECKING, Any

from .alias import converter_of, is_within, nearest, without_none
from .answer import answer_with
from .errors import RouteError
from .functions import (
    PLAIN,
    has_yield,
    hints_of,
    is_awaitable,
    name_of,
    place_of,
    takes,
)
from .request import Request
from .response import Response

if TYPE_CHECKING:
    from .app import App

Reader = Callable[[Response, Request], Any]


class _NotFoundError(Exception):
    """The URL has something else than what a controller's parameter is for."""


class Controllers:
    """Where controllers are looked for: a module's name, modules, or classes."""

    def __init__(self, app: "App", places: Any) -> None:
        self._app = app
        if places is None:
            places = []
        elif isinstance(places, (str, ModuleType, type)):
            places = [places]
        self._places = [
            importlib.import_module(it) if isinstance(it, str) else it for it in places
        ]

    def member_of(
        self, spec: Any, url_parameters: Mapping[str, Any], where: str
    ) -> Any:
        """Return a chain member that calls a controller and answers with its result."""
        if isinstance(spec, str):
            name, _, method = spec.partition("@")
            cls = self._find(name, where)
        elif inspect.isclass(spec):
            cls, method = spec, ""
        elif isinstance(spec, tuple):
            cls, method = spec
        elif callable(spec):
            return _member(spec, spec, self._readers(spec, url_parameters, where))
        else:
            raise RouteError(f"{where}: {spec!r} is no controller")
        method = method or "__call__"
        # Not of its metaclass: any class can be called.
        function = next(
            (vars(it)[method] for it in cls.__mro__ if method in vars(it)), None
        )
        if function is None or not callable(getattr(cls, method)):
            known = [
                name
                for name, it in inspect.getmembers_static(cls, inspect.isroutine)
                if not name.startswith("_")
            ]
            hint = nearest(method, known)
            raise RouteError(f"{where}: {name_of(cls)} has no method {method!r}{hint}")
        if not takes(cls, 0):
            raise RouteError(
                f"{where}: {name_of(cls)}() needs arguments, but each request makes "
                "one without any"
            )
        bound = getattr(cls, method)
        skips = not isinstance(function, (staticmethod, classmethod))
        readers = self._readers(bound, url_parameters, where, skips=skips)

        def call(**arguments: Any) -> Any:
            return getattr(cls(), method)(**arguments)

        return _member(bound, call, readers)

    def _find(self, name: str, where: str) -> type[Any]:
        *folders, last = name.split(".")
        known: list[str] = []
        for place in self._places:
            if inspect.isclass(place):
                found: Any = place if place.__name__ == name else None
                known.append(place.__name__)
            else:
                found = _find_in(place, folders, last)
                known += _known_in(place, folders)
            if inspect.isclass(found):
                return found
        hint = nearest(name, known)
        raise RouteError(f"{where}: there is no controller {name!r}{hint}")

    def _readers(
        self,
        function: Callable[..., Any],
        url_parameters: Mapping[str, Any],
        where: str,
        *,
        skips: bool = False,
    ) -> dict[str, Reader]:
        """Return what reads each argument from a request, by name."""
        what = f"{where}: {name_of(function)} ({place_of(function)})"
        if has_yield(function):
            raise RouteError(
                f"{what} has a `yield`, but a controller returns its answer"
            )
        hints = hints_of(function)
        parameters = list(inspect.signature(function).parameters.values())
        readers: dict[str, Reader] = {}
        for parameter in parameters[1 if skips else 0 :]:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            name, hint = parameter.name, without_none(hints.get(parameter.name))
            try:
                reader = self._reader(name, hint, url_parameters)
            except TypeError as error:
                raise RouteError(f"{what}, {name}: {error}") from None
            if reader is not None and parameter.kind is parameter.POSITIONAL_ONLY:
                raise RouteError(
                    f"{what}: {name!r} is positional-only, but arguments are given by "
                    "name"
                )
            if reader is not None:
                readers[name] = reader
            elif parameter.default is parameter.empty:
                known = nearest(name, ["request", "response", *url_parameters])
                if name == "self":
                    known = '; a method is named as "Controller@method"'
                raise RouteError(
                    f"{what} wants {name!r}, which neither the URL nor App.bind has"
                    f"{known}. Inputs of the query and the body are had by "
                    "request.input"
                )
        return readers

    def _reader(
        self, name: str, hint: Any, url_parameters: Mapping[str, Any]
    ) -> Reader | None:
        if name in url_parameters:
            converter = converter_of(url_parameters[name] if hint is None else hint)

            def read(res: Response, req: Request) -> Any:
                value = req.get_parameter(name)
                try:
                    return converter(value) if value is not None else None
                except ValueError:
                    raise _NotFoundError from None

            return read
        if name == "request" or hint is Request:
            return lambda res, req: req
        if name == "response" or hint is Response:
            return lambda res, req: res
        factory = self._app._bindings.get(hint) if hint is not None else None
        return (lambda res, req: factory()) if factory is not None else None


def _find_in(module: ModuleType, folders: list[str], name: str) -> Any:
    """Find a class in a module, or in one below it that has its name."""
    path = ".".join((module.__name__, *folders))
    for module_name in (path, f"{path}.{name}"):
        try:
            found = getattr(importlib.import_module(module_name), name, None)
        except ModuleNotFoundError as error:
            if not is_within(module_name, error.name):
                raise
            continue
        if inspect.isclass(found):
            return found
    return None


def _known_in(module: ModuleType, folders: list[str]) -> list[str]:
    """Return the names of what may be meant: of classes, and of modules with one."""
    with suppress(ModuleNotFoundError):
        module = importlib.import_module(".".join((module.__name__, *folders)))
    names = [it for it, value in vars(module).items() if inspect.isclass(value)]
    names += [it.name for it in pkgutil.iter_modules(getattr(module, "__path__", ()))]
    return [".".join((*folders, name)) for name in names]


def _member(
    function: Any, call: Callable[..., Any], readers: dict[str, Reader]
) -> Callable[..., Any]:
    def member(res: Response, req: Request, data: Any) -> Any:
        try:
            arguments = {name: read(res, req) for name, read in readers.items()}
        except _NotFoundError:
            return req.app._answer_not_found(res, req)
        result = call(**arguments)
        if type(result) is CoroutineType or (
            type(result) not in PLAIN and is_awaitable(result)
        ):
            return _await(result, res)
        return _answer(result, res)

    member.__wrapped__ = function  # type: ignore[attr-defined]
    member.is_controller = True  # type: ignore[attr-defined]
    return member


async def _await(awaitable: Any, res: Response) -> Any:
    return _answer(await awaitable, res)


def _answer(result: Any, res: Response) -> Any:
    if result is not None and not isinstance(result, Response):
        answer_with(res, result)
    return res if res.has_responded() else None
