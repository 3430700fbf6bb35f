"""Router: decorators that register routes under a common prefix."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from .chain import Member, flat
from .errors import RouteError
from .route import MaxBody
from .verbs import AnyHandler, Verbs

if TYPE_CHECKING:
    from .app import App

_H = TypeVar("_H", bound=AnyHandler)


class Router:
    """Decorators for an app's routes; see `App.router`. Each returns the handler.

    Example::

        api = app.router("/api")

        @api.get("/users/:id")
        def user(res, req):
            res.end(req.get_parameter("id"))
    """

    def __init__(self, app: "App", prefix: str, middlewares: Sequence[Member]) -> None:
        if not isinstance(prefix, str):
            raise RouteError(
                f"router({prefix!r}): the prefix is a str; middlewares come behind it"
            )
        self._app = app
        self._prefix = prefix.rstrip("/")
        self._middlewares = flat(middlewares, f"router({prefix!r})")

    def router(self, prefix: str = "", *middlewares: Member) -> "Router":
        """Return a router under this one, with its middlewares and more."""
        return Router(self._app, self._join(prefix), (*self._middlewares, *middlewares))

    def get(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for GET, and for HEAD (whose body is not sent)."""
        return self._decorator("GET", path, middlewares, max_body)

    def post(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for POST."""
        return self._decorator("POST", path, middlewares, max_body)

    def options(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for OPTIONS."""
        return self._decorator("OPTIONS", path, middlewares, max_body)

    def delete(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for DELETE."""
        return self._decorator("DELETE", path, middlewares, max_body)

    def patch(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for PATCH."""
        return self._decorator("PATCH", path, middlewares, max_body)

    def put(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for PUT."""
        return self._decorator("PUT", path, middlewares, max_body)

    def head(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for HEAD, in place of the GET route's."""
        return self._decorator("HEAD", path, middlewares, max_body)

    def connect(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for CONNECT."""
        return self._decorator("CONNECT", path, middlewares, max_body)

    def trace(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for TRACE."""
        return self._decorator("TRACE", path, middlewares, max_body)

    def any(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for every method without a route of its own."""
        return self._decorator("ANY", path, middlewares, max_body)

    def _join(self, path: str) -> str:
        """Put a path behind the prefix, with one slash between them."""
        if not isinstance(path, str):
            raise RouteError(
                f"{path!r} is not a str: the decorators take a path, as in "
                '@router.get("/")'
            )
        if not path:
            return self._prefix
        return f"{self._prefix}/{path.lstrip('/')}"

    def _decorator(
        self, method: str, path: str, middlewares: Sequence[Member], max_body: MaxBody
    ) -> Callable[[_H], _H]:
        pattern = self._join(path)

        def register(handler: _H) -> _H:
            both = (*self._middlewares, *middlewares)
            self._app._route(method, pattern, handler, both, max_body)
            return handler

        return register


class MiddlewareRouter(Verbs):
    """Registers an app's routes behind middlewares: `router.get(path, handler)`."""

    def __init__(self, app: "App", *middlewares: Member) -> None:
        self._app = app
        self._middlewares = flat(middlewares, "MiddlewareRouter()")

    def _route(
        self,
        method: str,
        path: str,
        handler: AnyHandler,
        middlewares: Sequence[Member],
        max_body: MaxBody,
    ) -> Self:
        both = (*self._middlewares, *middlewares)
        self._app._route(method, path, handler, both, max_body)
        return self
