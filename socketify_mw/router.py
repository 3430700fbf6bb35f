"""Router: decorators that register routes under a common prefix."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .route import Handler, MaxBody

if TYPE_CHECKING:
    from .app import App

_H = TypeVar("_H", bound=Handler)


class Router:
    """Decorators for an app's routes; see `App.router`. Each returns the handler.

    Example::

        api = app.router("/api")

        @api.get("/users/:id")
        def user(res, req):
            res.end(req.get_parameter("id"))
    """

    def __init__(self, app: "App", prefix: str) -> None:
        self._app = app
        self._prefix = prefix.rstrip("/")

    def router(self, prefix: str = "") -> "Router":
        """Return a router under this one."""
        return Router(self._app, self._join(prefix))

    def get(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for GET, and for HEAD (whose body is not sent)."""
        return self._decorator("get", path, max_body)

    def post(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for POST."""
        return self._decorator("post", path, max_body)

    def options(
        self, path: str, *, max_body: MaxBody = "default"
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for OPTIONS."""
        return self._decorator("options", path, max_body)

    def delete(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for DELETE."""
        return self._decorator("delete", path, max_body)

    def patch(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for PATCH."""
        return self._decorator("patch", path, max_body)

    def put(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for PUT."""
        return self._decorator("put", path, max_body)

    def head(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for HEAD, in place of the GET route's."""
        return self._decorator("head", path, max_body)

    def connect(
        self, path: str, *, max_body: MaxBody = "default"
    ) -> Callable[[_H], _H]:
        """Call the decorated handler for CONNECT."""
        return self._decorator("connect", path, max_body)

    def trace(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for TRACE."""
        return self._decorator("trace", path, max_body)

    def any(self, path: str, *, max_body: MaxBody = "default") -> Callable[[_H], _H]:
        """Call the decorated handler for every method without a route of its own."""
        return self._decorator("any", path, max_body)

    def _join(self, path: str) -> str:
        """Put a path behind the prefix, with one slash between them."""
        if not path:
            return self._prefix
        return f"{self._prefix}/{path.lstrip('/')}"

    def _decorator(self, verb: str, path: str, max_body: MaxBody) -> Callable[[_H], _H]:
        def register(handler: _H) -> _H:
            getattr(self._app, verb)(self._join(path), handler, max_body=max_body)
            return handler

        return register
