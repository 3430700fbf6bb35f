"""Route: what a request's token stands for, checked when it is registered."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from .errors import RouteError

if TYPE_CHECKING:
    from .app import App
    from .request import Request
    from .response import Response

Handler = Callable[["Response", "Request"], object]

# Of a route: bytes, None for any number, or the app's own limit.
MaxBody = int | Literal["default"] | None

PATTERN_RULES = (
    "A pattern begins with '/', and has neither query nor fragment; a segment may be "
    "':name', the last one may be '*'; at most 16 parameters, each name once; the same "
    "method and pattern once"
)

# What may stand in a pattern as it is. The rest is percent-encoded, as clients do.
_PLAIN = "".join(map(chr, range(0x21, 0x7F)))


class Route:
    """A handler with the method and the pattern that it was registered for."""

    __slots__ = ("app", "function", "handler", "method", "parameters", "pattern")

    def __init__(self, app: "App", method: str, pattern: str, handler: Handler) -> None:
        if not isinstance(pattern, str):
            raise RouteError(f"{method}: the pattern {pattern!r} is not a str")
        self.app = app
        self.method = method
        self.pattern = quote(pattern, safe=_PLAIN)
        self.function = handler
        self.handler = handler  # what the loop calls: the function, and what is around
        segments = self.pattern.split("/")
        self.parameters = [part[1:] for part in segments if part.startswith(":")]
        self._check_pattern(segments)
        self._check_handler()

    def __str__(self) -> str:
        function = getattr(self.function, "__qualname__", repr(self.function))
        return f"{self.method} {self.pattern} ({function})"

    def _check_pattern(self, segments: list[str]) -> None:
        has_stray_star = any("*" in part and part != "*" for part in segments)
        has_twin = len(set(self.parameters)) < len(self.parameters)
        if "?" in self.pattern or "#" in self.pattern or has_stray_star or has_twin:
            raise RouteError(f"{self}: it can never match. {PATTERN_RULES}")

    def _check_handler(self) -> None:
        handler = self.handler
        if not callable(handler):
            raise RouteError(f"{self}: {handler!r} is not callable")
        try:
            inspect.signature(handler).bind(None, None)
        except ValueError:  # a builtin that does not tell its parameters
            pass
        except TypeError as error:
            raise RouteError(
                f"{self}: {error}: a handler is called with (res, req)"
            ) from None


def check_max_body(route: Route, max_body: object) -> None:
    """Refuse a limit that cannot be meant."""
    if type(max_body) is not int or not 0 <= max_body < 2**63:
        raise RouteError(
            f"{route}: max_body is a number of bytes, None for any number, or "
            f'"default", not {max_body!r}'
        )
