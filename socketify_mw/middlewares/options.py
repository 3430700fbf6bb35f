"""Options: of the built-in classes, which are attributes of the class."""

from collections.abc import Collection
from typing import Any, Self

from ..alias import nearest
from ..errors import ConfigError
from ..layer import Middleware


class Configurable(Middleware):
    """A middleware class whose options a subclass, or `using`, sets."""

    __slots__ = ()

    # Not annotated, so it is no option: a kernel's routes load inputs behind these.
    reads_inputs = False

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


def is_list_of_text(value: object) -> bool:
    """Whether an option is a collection of texts, and no text itself."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Collection):
        return False
    return all(isinstance(it, str) for it in value)
