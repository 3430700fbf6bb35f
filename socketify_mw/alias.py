"""Alias: the names by which routes call for middleware, and their parameters.

`"throttle:2,100"` is the alias `throttle` with the parameters "2" and "100".
`"permission:@user_id"` hands on the route's parameter, percent-decoded; `@@` begins a
parameter that really begins with `@`. All of it is read when a route is registered.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from .errors import RouteError
from .functions import name_of, place_of, takes
from .layer import layer_of

# Of numbers, not all that Python takes: "１", " 1 ", "1_000", "+1" and "nan" would be
# several spellings of one thing, or none that a program reckons with.
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


def _int(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _float(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return float(text)


_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: _int,
    float: _float,
    bytes: str.encode,
}
_MANY = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class Aliases:
    """A kernel's names for middleware, looked up for one route after the other."""

    def __init__(self, targets: Mapping[str, Any]) -> None:
        self._targets = targets

    @property
    def names(self) -> list[str]:
        """All names."""
        return list(self._targets)

    def has(self, name: str) -> bool:
        """Whether there is a name."""
        return name in self._targets

    def members_of(
        self, spec: Any, url_parameters: Collection[str], where: str
    ) -> list[Any]:
        """Return the chain members that a name with parameters stands for.

        spec: such a name, or a class or a function itself.
        url_parameters: names of those that the route's URL has.
        """
        if not isinstance(spec, str):
            return [_member(spec, [], url_parameters, where, is_group=False)]
        return self._expand(spec, url_parameters, where, ())

    def _expand(
        self,
        spec: str,
        url_parameters: Collection[str],
        where: str,
        outer: tuple[str, ...],
    ) -> list[Any]:
        name, values = parse(spec)
        if name in outer:
            chain = " -> ".join((*outer, name))
            raise RouteError(f"{where}: the middleware {chain} names itself")
        if name not in self._targets and (found := _import(name)) is not None:
            return [_member(found, values, url_parameters, where, is_group=False)]
        if name not in self._targets:
            hint = nearest(name, self._targets)
            raise RouteError(f"{where}: there is no middleware {name!r}{hint}")
        target = self._targets[name]
        if isinstance(target, str) and "." not in target:
            target = [target]
        if not isinstance(target, (list, tuple)):
            target = _loaded(target, where)
            return [_member(target, values, url_parameters, where, is_group=False)]
        members: list[Any] = []
        for it in target:
            if isinstance(it, str) and ("." not in it or it in self._targets):
                members += self._expand(it, url_parameters, where, (*outer, name))
            else:
                it = _loaded(it, where)
                members.append(
                    _member(it, values, url_parameters, where, is_group=True)
                )
        return members


def parse(spec: str) -> tuple[str, list[str]]:
    """Split `name:a,b` into the name and the parameters, without blanks around them."""
    name, colon, rest = spec.partition(":")
    return name.strip(), [it.strip() for it in rest.split(",")] if colon else []


def nearest(name: str, known: Collection[str]) -> str:
    """Return what to say of the known name that looks most like this one."""
    from difflib import get_close_matches

    found = get_close_matches(name, list(known), 1, 0.5)
    if found:
        return f"; did you mean {found[0]!r}?"
    return f"; there are {', '.join(map(repr, known))}" if known else ""


def _import(name: str) -> Any:
    """Return what a dotted name stands for, or None."""
    module_name, _, attribute = name.rpartition(".")
    if not module_name:
        return None
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not module_name.startswith(error.name or "?"):
            raise
        return None
    return getattr(module, attribute, None)


def _loaded(target: Any, where: str) -> Any:
    if not isinstance(target, str):
        return target
    found = _import(target.replace(":", "."))
    if found is None:
        raise RouteError(f"{where}: {target!r} cannot be imported")
    return found


# ---- values ----


def _member(
    target: Any,
    values: list[str],
    url_parameters: Collection[str],
    where: str,
    *,
    is_group: bool,
) -> Any:
    """Return a chain member; of a group's only those get values that take them."""
    if not inspect.isclass(target):
        if values and not is_group:
            raise RouteError(
                f"{where}: {name_of(target)} is a function: parameters are for classes"
            )
        return target
    if values and is_group and not _takes(target, len(values)):
        values = []
    layer = layer_of(target, where, len(values))
    if not values:
        return layer
    converters = _converters_of(target, len(values))
    readers = [
        _reader(value, converter, url_parameters, target, where)
        for value, converter in zip(values, converters, strict=True)
    ]
    layer.spec = f"{target.__qualname__}:{','.join(values)}"
    if not any(callable(reader) for reader in readers):
        layer.values = tuple(it[0] for it in readers)
        return layer

    def values_of(req: Any) -> tuple[Any, ...] | None:
        try:
            return tuple(it(req) if callable(it) else it[0] for it in readers)
        except ValueError:  # the URL has something else than what is meant there
            return None

    layer.values_of = values_of
    return layer


def _takes(cls: type[Any], count: int) -> bool:
    phases = (getattr(cls, it, None) for it in ("before", "after"))
    return all(it is not None and takes(it, 3 + count) for it in phases)


def _reader(
    value: str,
    converter: Callable[[str], Any],
    url_parameters: Collection[str],
    cls: type[Any],
    where: str,
) -> Any:
    """Return what reads a value from a request, or the value in a tuple."""
    if value.startswith("@") and not value.startswith("@@"):
        name = value[1:]
        if name not in url_parameters:
            hint = nearest(name, url_parameters)
            raise RouteError(f"{where}: the URL has no parameter {name!r}{hint}")
        return lambda req: converter(req.get_parameter(name))
    text = value[1:] if value.startswith("@@") else value
    try:
        return (converter(text),)
    except ValueError:
        raise RouteError(
            f"{where}: {cls.__qualname__} ({place_of(cls.before)}) takes no {text!r}: "
            f"it is not of the type {_name_of_type(converter)}"
        ) from None


def _converters_of(cls: type[Any], count: int) -> list[Callable[[str], Any]]:
    """Return what turns each value into what `before` is annotated with."""
    function = cls.before
    try:
        hints = get_type_hints(function)
    except (NameError, TypeError):  # of something that is not imported
        hints = {}
    parameters = list(inspect.signature(function).parameters.values())
    is_static = isinstance(inspect.getattr_static(cls, "before"), staticmethod)
    named = [it for it in parameters if it.kind not in _MANY][2 if is_static else 3 :]
    many = [it for it in parameters if it.kind is it.VAR_POSITIONAL]
    names = [it.name for it in (named + many * count)[:count]]
    return [converter_of(hints.get(name)) for name in names]


def converter_of(annotation: Any) -> Callable[[str], Any]:
    """Return what turns text into a type; text stays as it is for unknown ones."""
    if get_origin(annotation) in (Union, UnionType):
        options = [it for it in get_args(annotation) if it is not type(None)]
        annotation = options[0] if len(options) == 1 else None
    if annotation is bool:
        return _truth
    return _CONVERTERS.get(annotation, str)


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


_TYPES: dict[Any, Any] = {_int: int, _float: float, _truth: bool}


def _name_of_type(converter: Callable[[str], Any]) -> str:
    return name_of(_TYPES.get(converter, converter))
