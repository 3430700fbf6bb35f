"""Alias: the names by which routes call for middleware, and their parameters.

`"throttle:2,100"` is the alias `throttle` with the parameters "2" and "100".
`"permission:@user_id"` hands on the route's parameter, percent-decoded; `@@` begins a
parameter that really begins with `@`. All of it is read when a route is registered.
"""

import importlib
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import ModuleType, UnionType
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from .errors import RouteError
from .functions import hints_of, name_of, place_of, takes
from .layer import layer_of

# Of numbers, not all that Python takes: "１", " 1 ", "1_000", "+1" and "nan" would be
# several spellings of one thing, or none that a program reckons with.
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


def _int(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _uuid(text: str) -> UUID:
    # Not all that UUID takes: braces and missing hyphens would be other spellings.
    if not _UUID.fullmatch(text):
        raise ValueError(f"{text!r} is no UUID")
    return UUID(text)


def _float(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f"{text!r} is no number")
    return float(text)


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    str: str,  # and what inherits from it
    int: _int,
    float: _float,
    bool: _truth,
    bytes: str.encode,
    UUID: _uuid,
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
        return [
            _member(it, url_parameters, where) for it in self._found(spec, where, ())
        ]

    def targets_of(self, spec: Any, where: str) -> list[Any]:
        """Return the classes and functions alone that a name stands for."""
        return [it.target for it in self._found(spec, where, ())]

    def _found(self, spec: Any, where: str, outer: tuple[str, ...]) -> list["_Found"]:
        if not isinstance(spec, str):
            return [_Found(spec, [])]
        name, values = parse(spec)
        if name in outer:
            chain = " -> ".join((*outer, name))
            raise RouteError(f"{where}: the middleware {chain} names itself")
        if name not in self._targets:
            # As "a.module:Class", or as "a.module.Class:values".
            if "." in name and (target := _import(spec.replace(":", "."))) is not None:
                return [_Found(target, [])]
            if (target := _import(name)) is not None:
                return [_Found(target, values)]
            if "." in name:
                raise RouteError(f"{where}: {name!r} cannot be imported")
            hint = nearest(name, self._targets)
            raise RouteError(f"{where}: there is no middleware {name!r}{hint}")
        target = self._targets[name]
        is_list = isinstance(target, (list, tuple))
        found = [
            each
            for it in (target if is_list else [target])
            for each in self._found(it, where, (*outer, name))
        ]
        if not values:
            return found
        return _with_values(found, values, is_list or len(found) > 1, name, where)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a name stands for, and the values that it was given."""

    target: Any  # a class or a function
    values: list[str]


def _with_values(
    found: list[_Found], values: list[str], is_list: bool, name: str, where: str
) -> list[_Found]:
    """Hand values to what has none: of a list's members to those that take them."""
    taking = [
        it
        for it in found
        if not it.values and (not is_list or _takes(it.target, len(values)))
    ]
    if not taking:
        raise RouteError(
            f"{where}: {name}:{','.join(values)}: nothing that {name!r} stands for "
            f"takes {len(values)} parameters, or has none of its own"
        )
    return [_Found(it.target, values) if it in taking else it for it in found]


def parse(spec: str) -> tuple[str, list[str]]:
    """Split `name:a,b` into the name and the parameters, without blanks around them."""
    name, colon, rest = spec.partition(":")
    return name.strip(), [it.strip() for it in rest.split(",")] if colon else []


def is_within(module_name: str, name: str | None) -> bool:
    """Whether a module that is missing is another one, or one that it stands in."""
    return name is not None and f"{module_name}.".startswith(f"{name}.")


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
        if not is_within(module_name, error.name):
            raise
        return None
    found = getattr(module, attribute, None)
    return None if isinstance(found, ModuleType) else found


# ---- values ----


def _member(found: _Found, url_parameters: Collection[str], where: str) -> Any:
    """Return a chain member."""
    target, values = found.target, found.values
    if not inspect.isclass(target):
        if values:
            raise RouteError(
                f"{where}: {name_of(target)} is a function: parameters are for classes"
            )
        return target
    layer = layer_of(target, where, len(values))
    if not values:
        return layer
    converters = _converters_of(target, len(values), where)
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


def _takes(cls: Any, count: int) -> bool:
    if not inspect.isclass(cls):
        return False
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
    except ValueError as error:
        raise RouteError(
            f"{where}: {cls.__qualname__} ({place_of(cls.before)}) cannot take its "
            f"parameter: {error}"
        ) from None


def _converters_of(
    cls: type[Any], count: int, where: str
) -> list[Callable[[str], Any]]:
    """Return what turns each value into what `before` is annotated with."""
    function = cls.before
    hints = hints_of(function)
    parameters = list(inspect.signature(function).parameters.values())
    is_static = isinstance(inspect.getattr_static(cls, "before"), staticmethod)
    named = [it for it in parameters if it.kind not in _MANY][2 if is_static else 3 :]
    many = [it for it in parameters if it.kind is it.VAR_POSITIONAL]
    names = [it.name for it in (named + many * count)[:count]]
    found = []
    for name in names:
        try:
            found.append(converter_of(hints.get(name)))
        except TypeError as error:
            raise RouteError(
                f"{where}: {name_of(function)} ({place_of(function)}), {name}: {error}"
            ) from None
    return found


def converter_of(annotation: Any) -> Callable[[str], Any]:
    """Return what turns text into a type, and raises ValueError for other text.

    Text stays as it is for annotations that are no class, such as `Any`. Raises
    TypeError for a class that nothing is known of.
    """
    annotation = _meant(annotation)
    if get_origin(annotation) is Literal:
        return _one_of(get_args(annotation))
    kind = get_origin(annotation) or annotation  # list[int] is no better than list
    if not inspect.isclass(kind) or kind in (Any, object, Union, UnionType):
        return str
    if issubclass(kind, Enum):
        return _one_of([it.value for it in kind], kind)
    if issubclass(kind, str):
        return kind
    if kind not in _CONVERTERS:
        known = ", ".join(it.__name__ for it in _CONVERTERS)
        raise TypeError(
            f"text is not turned into {name_of(kind)}, but into {known}, an Enum "
            "or one of a Literal's values"
        )
    return _CONVERTERS[kind]


def _meant(annotation: Any) -> Any:
    """Return what a NewType, `type X = ...` or `T | None` stands for."""
    while True:
        inner = without_none(annotation)
        for name in ("__supertype__", "__value__"):
            inner = getattr(inner, name, inner)
        if inner is annotation:
            return annotation
        annotation = inner


def without_none(annotation: Any) -> Any:
    """Return T for `T | None`, and anything else as it is."""
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    options = [it for it in get_args(annotation) if it is not type(None)]
    return options[0] if len(options) == 1 else annotation


def _one_of(
    values: Iterable[Any], make: Callable[[Any], Any] | None = None
) -> Callable[[str], Any]:
    """Return what finds the one of some values that is written so."""
    by_text = {str(it): make(it) if make else it for it in values}

    def find(text: str) -> Any:
        try:
            return by_text[text]
        except KeyError:
            raise ValueError(f"{text!r} is none of {', '.join(by_text)}") from None

    return find
