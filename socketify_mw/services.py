"""Services: what an app's middleware classes share between requests.

A class that has `prepare(cls, app)` is prepared once an app, when its first route is
registered: what is wrong is known then. If it has `check(cls, *values)`, that is asked
about the parameters of each route, and `check_url(cls, values, names)` about the names
of its URL's. `check_place(cls, in_front)` is asked when the app begins to listen, for
only then all that stands in front of it is known. Stores are opened when needed.
"""

import inspect
import logging
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from .errors import ConfigError, RouteError, raise_all
from .layer import Layer

if TYPE_CHECKING:
    from .app import App
    from .stores import Store

logger = logging.getLogger("socketify_mw")


class Services:
    """The prepared classes and the stores of an app."""

    def __init__(self, app: "App") -> None:
        self._app = app
        self._prepared: dict[type[Any], Any] = {}
        self._stores: dict[str, Store] = {}
        self.given_store: Any = None  # by a kernel

    def prepare(self, cls: type[Any]) -> Any:
        """Return what a class's `prepare` has returned; None if it has none."""
        try:
            return self._prepared[cls]
        except KeyError:
            pass
        result = cls.prepare(self._app) if _has(cls, "prepare") else None
        self._prepared[cls] = result
        return result

    def check(
        self, layer: "Layer", where: object, names: Collection[str] | None = None
    ) -> None:
        """Prepare a class in a chain, and let it refuse its parameters; RouteError.

        names: of the URL's parameters, those that may be missing too; None: unknown.
        """
        cls = layer.cls
        self.prepare(cls)
        try:
            if layer.values_of is None and _has(cls, "check"):
                cls.check(*layer.values)
            if names is not None and _has(cls, "check_url"):
                if layer.values_of is not None:
                    raise ConfigError(f"{cls.__name__} takes names, not values (@)")
                cls.check_url(layer.values, names)
        except ConfigError as error:
            raise RouteError(f"{where}: {error}") from None

    def check_places(self) -> None:
        """Let classes refuse what is, or is not, in front of them; RouteError."""
        used = self._app._used
        problems: dict[str, None] = {}
        for route in self._app._routes:
            members = (*used, *route.members)
            for i, it in enumerate(members):
                if not isinstance(it, Layer) or not _has(it.cls, "check_place"):
                    continue
                in_front = [
                    one.cls if isinstance(one, Layer) else None for one in members[:i]
                ]
                try:
                    it.cls.check_place(in_front)
                except ConfigError as error:
                    where = "in front of every route" if i < len(used) else route
                    problems[f"{where}: {error}"] = None
        raise_all([*problems])

    def store(self, spec: Any) -> "Store":
        """Return a store, or the one that a URL stands for: one for each URL.

        spec: None for what the kernel says, or else the memory of this process.
        """
        from .stores import open_store

        if spec is None:
            spec = self.given_store or "memory:"
        if not isinstance(spec, str):
            return open_store(spec)
        if spec not in self._stores:
            self._stores[spec] = open_store(spec)
        return self._stores[spec]

    @property
    def has_stores(self) -> bool:
        """Whether any store was opened here."""
        return bool(self._stores)

    async def close(self) -> None:
        """Let all stores go that were opened here."""
        for store in self._stores.values():
            try:
                await store.close()
            except Exception:
                logger.exception("a store could not be closed")


def _has(cls: type[Any], name: str) -> bool:
    """Whether a class has a class method of a name: others are its own business."""
    return isinstance(inspect.getattr_static(cls, name, None), classmethod)


def require(extra: str, load: Callable[[], Any], name: str) -> Any:
    """Return what `load` imports; ConfigError with pip's command when it is missing."""
    try:
        return load()
    except ImportError as error:
        raise ConfigError(
            f"{name} needs a library that is not installed ({error}): "
            f"pip install 'socketify-mw[{extra}]'"
        ) from None
