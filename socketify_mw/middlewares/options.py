"""Options: of the built-in classes, which are attributes of the class."""

from typing import Any, Self

from ..alias import nearest
from ..errors import ConfigError
from ..layer import Middleware


class Configurable(Middleware):
    """A middleware class whose options a subclass, or `using`, sets."""

    __slots__ = ()

    @classmethod
    def options(cls) -> dict[str, Any]:
        """Return each option with its value."""
        known: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            names = getattr(base, "__annotations__", {})
            known |= {
                name: getattr(cls, name)
                for name in names
                if not name.startswith("_") and hasattr(cls, name)
            }
        return known

    @classmethod
    def using(cls, **options: Any) -> type[Self]:
        """Return the class with other options, to be given to a chain."""
        known = cls.options()
        for name in options:
            if name not in known:
                raise ConfigError(
                    f"{cls.__name__} has no option {name!r}{nearest(name, known)}"
                )
        return type(cls.__name__, (cls,), {"__slots__": (), **options})
