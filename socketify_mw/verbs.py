"""Verbs: the ten methods by which apps and routers take handlers."""

from collections.abc import Callable, Sequence
from typing import Self

from .chain import Member
from .route import MaxBody

# Called with (res, req), and behind middlewares with (res, req, data).
AnyHandler = Callable[..., object]


class Verbs:
    """Registers handlers. Each verb returns the object, so that calls can be chained.

    middlewares: run in front of the handler; see `socketify_mw.middleware`.
    max_body: bytes that a body may have (413 beyond), None for any number, "default"
        for the app's own limit.
    """

    def _route(
        self,
        method: str,
        path: str,
        handler: AnyHandler,
        middlewares: Sequence[Member],
        max_body: MaxBody,
    ) -> Self:
        raise NotImplementedError

    def get(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for GET, and for HEAD (whose body is not sent)."""
        return self._route("GET", path, handler, middlewares, max_body)

    def post(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for POST."""
        return self._route("POST", path, handler, middlewares, max_body)

    def options(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for OPTIONS."""
        return self._route("OPTIONS", path, handler, middlewares, max_body)

    def delete(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for DELETE."""
        return self._route("DELETE", path, handler, middlewares, max_body)

    def patch(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for PATCH."""
        return self._route("PATCH", path, handler, middlewares, max_body)

    def put(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for PUT."""
        return self._route("PUT", path, handler, middlewares, max_body)

    def head(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for HEAD, in place of the GET route's."""
        return self._route("HEAD", path, handler, middlewares, max_body)

    def connect(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for CONNECT; the only pattern that matches is `/*`."""
        return self._route("CONNECT", path, handler, middlewares, max_body)

    def trace(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for TRACE."""
        return self._route("TRACE", path, handler, middlewares, max_body)

    def any(
        self,
        path: str,
        handler: AnyHandler,
        *,
        middlewares: Sequence[Member] = (),
        max_body: MaxBody = "default",
    ) -> Self:
        """Call `handler` for every method that the path has no route of its own for."""
        return self._route("ANY", path, handler, middlewares, max_body)
