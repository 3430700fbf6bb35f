"""Extension: methods and properties that an app adds to its requests and responses."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from .words import RequestWords, ResponseWords

_F = TypeVar("_F", bound=Callable[..., Any])


class Extension:
    """What one kind of object gets; `App.register` hands it to the user's function."""

    def __init__(self, members: dict[str, Any] | None = None) -> None:
        self.members: dict[str, Any] = dict(members or {})

    def method(self, function: _F) -> _F:
        """Add a method; a decorator. Its first argument is the object."""
        self.members[function.__name__] = function
        return function

    def property(self, name: str, default_value: Any = None) -> None:
        """Add a property. Each object has a copy of the default of its own."""
        self.members[name] = _Property(name, default_value)

    def apply(self, base: type) -> type:
        """Return a class with the members; objects of `base` may change over to it.

        They may replace Masonite's words, the second names of its own.
        """
        own = [it for it in base.__mro__ if it not in (RequestWords, ResponseWords)]
        for name in self.members:
            if name.startswith("_") or any(name in vars(it) for it in own):
                raise ValueError(f"{base.__name__} has a {name!r} of its own")
        return type(base.__name__, (base,), {"__slots__": (), **self.members})


class _Property:
    """A property whose values lie in the object's slot `_extra`."""

    def __init__(self, name: str, default: Any) -> None:
        self._name = name
        self._default = default

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self
        values = _values(instance)
        if self._name not in values:
            values[self._name] = copy.deepcopy(self._default)
        return values[self._name]

    def __set__(self, instance: Any, value: Any) -> None:
        _values(instance)[self._name] = value


def _values(instance: Any) -> dict[str, Any]:
    try:
        values: dict[str, Any] = instance._extra
    except AttributeError:
        values = instance._extra = {}
    return values
