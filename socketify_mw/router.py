"""Router: decorators that register routes under a common prefix."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from .chain import Member, flat
from .route import MaxBody

if TYPE_CHECKING:
    from .app import App

AnyHandler = Callable[..., object]

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
        return self._decorator("get", path, middlewares, max_body)

    def post(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for POST."""
        return self._decorator("post", path, middlewares, max_body)

    def options(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for OPTIONS."""
        return self._decorator("options", path, middlewares, max_body)

    def delete(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for DELETE."""
        return self._decorator("delete", path, middlewares, max_body)

    def patch(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for PATCH."""
        return self._decorator("patch", path, middlewares, max_body)

    def put(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for PUT."""
        return self._decorator("put", path, middlewares, max_body)

    def head(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for HEAD, in place of the GET route's."""
        return self._decorator("head", path, middlewares, max_body)

    def connect(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for CONNECT."""
        return self._decorator("connect", path, middlewares, max_body)

    def trace(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for TRACE."""
        return self._decorator("trace", path, middlewares, max_body)

    def any(
        self,
        path: str,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for every method without a route of its own."""
        return self._decorator("any", path, middlewares, max_body)

    def _join(self, path: str) -> str:
        """Put a path behind the prefix, with one slash between them."""
        if not path:
            return self._prefix
        return f"{self._prefix}/{path.lstrip('/')}"

    def _decorator(
        self, verb: str, path: str, middlewares: Sequence[Member], max_body: MaxBody
    ) -> Callable[[_H], _H]:
        def register(handler: _H) -> _H:
            getattr(self._app, verb)(
                self._join(path),
                handler,
                middlewares=(*self._middlewares, *middlewares),
                max_body=max_body,
            )
            return handler

        return register


class MiddlewareRouter:
    """Registers an app's routes behind middlewares: `router.get(path, handler)`."""

    def __init__(self, app: "App", *middlewares: Member) -> None:
        self._app = app
        self._middlewares = flat(middlewares, "MiddlewareRouter()")

    def get(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for GET, and for HEAD."""
        return self._route("get", path, handler, max_body)

    def post(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for POST."""
        return self._route("post", path, handler, max_body)

    def options(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for OPTIONS."""
        return self._route("options", path, handler, max_body)

    def delete(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for DELETE."""
        return self._route("delete", path, handler, max_body)

    def patch(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for PATCH."""
        return self._route("patch", path, handler, max_body)

    def put(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for PUT."""
        return self._route("put", path, handler, max_body)

    def head(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for HEAD."""
        return self._route("head", path, handler, max_body)

    def connect(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for CONNECT."""
        return self._route("connect", path, handler, max_body)

    def trace(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for TRACE."""
        return self._route("trace", path, handler, max_body)

    def any(
        self, path: str, handler: AnyHandler, *, max_body: MaxBody = "default"
    ) -> Self:
        """Call `handler` behind the middlewares for every other method."""
        return self._route("any", path, handler, max_body)

    def _route(
        self, verb: str, path: str, handler: AnyHandler, max_body: MaxBody
    ) -> Self:
        register = getattr(self._app, verb)
        register(path, handler, middlewares=self._middlewares, max_body=max_body)
        return self
