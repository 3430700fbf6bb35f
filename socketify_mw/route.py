"""Route: what a request's token stands for."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import App
    from .request import Request
    from .response import Response

Handler = Callable[["Response", "Request"], object]


class Route:
    """A handler with the method and the pattern that it was registered for."""

    __slots__ = ("app", "handler", "method", "parameters", "pattern")

    def __init__(self, app: "App", method: str, pattern: str, handler: Handler) -> None:
        self.app = app
        self.method = method
        self.pattern = pattern
        self.handler = handler
        self.parameters = [
            part[1:] for part in pattern.split("/") if part.startswith(":")
        ]

    def __str__(self) -> str:
        function = getattr(self.handler, "__qualname__", repr(self.handler))
        return f"{self.method} {self.pattern} ({function})"
