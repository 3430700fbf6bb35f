"""Route: what a request's token stands for, checked when it is registered."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, unquote

from .chain import Chain, Member, bare_member, flat, handler_of
from .errors import RouteError
from .functions import check_order, has_yield, name_of, place_of, takes
from .layer import Layer

if TYPE_CHECKING:
    from .app import App
    from .request import Request
    from .response import Response

Handler = Callable[["Response", "Request"], object]
Wrapper = Callable[[Handler], Handler]

# Whether a route is for a request whose path matches; else the next one gets it.
Guard = Callable[["Request"], bool]

logger = logging.getLogger("socketify_mw")

# Of a route: bytes, None for any number, or the app's own limit.
MaxBody = int | Literal["default"] | None

# `@name` and `@name:type`, as the routes of a kernel have them, and `:name:type`, which
# nobody has.
_OF_KERNELS = r"([@:])([A-Za-z_]\w*)(?::(\w+))?"

PATTERN_RULES = (
    "A pattern begins with '/', and has neither query nor fragment; a segment may be "
    "':name', ':name<int>' or ':name<uuid>', the last one may be '*'; at most 16 "
    "parameters, each name once; the same method and pattern once"
)

_MOST_PARAMETERS = 16

# What may stand in a pattern as it is. The rest is percent-encoded, as clients do.
_PLAIN = "".join(map(chr, range(0x21, 0x7F)))


class Route:
    """A chain of members, mostly one, with the method and the pattern it is for."""

    __slots__ = (
        "_bare",
        "app",
        "guard",
        "handler",
        "members",
        "method",
        "others",
        "parameters",
        "pattern",
        "scope",
    )

    def __init__(
        self,
        app: "App",
        method: str,
        pattern: str,
        handler: Callable[..., object],
        middlewares: Sequence[Member] = (),
    ) -> None:
        if not isinstance(pattern, str):
            raise RouteError(f"{method}: the pattern {pattern!r} is not a str")
        self.app = app
        self.method = method
        self.pattern = quote(pattern, safe=_PLAIN)
        segments = self.pattern.split("/")
        self.scope = f"{method} {self.pattern}"  # what is counted for it, by name
        self.parameters = [
            part[1:].partition("<")[0] for part in segments if part.startswith(":")
        ]
        self.guard: Guard | None = None
        # With the same pattern: the guard tells which of them gets a request.
        self.others: list[Route] = []
        self.members: tuple[Member, ...] = ()
        self._bare: Handler | None = None  # the handler, if nothing is in front of it
        self.handler: Handler = handler  # what the loop calls; see `compose`
        self.set_handler(handler, middlewares)
        self._check_pattern(segments)

    def set_handler(
        self, handler: Callable[..., object], middlewares: Sequence[Member] = ()
    ) -> None:
        """Let a handler run behind middlewares."""
        self._bare = None
        where = f"{self.method} {self.pattern}"
        if middlewares or isinstance(handler, Chain):
            self.members = flat((*middlewares, handler), where)
            return
        if not callable(handler):
            raise RouteError(f"{where}: {handler!r} is not callable")
        if has_yield(handler):
            raise RouteError(
                f"{where}: {name_of(handler)} ({place_of(handler)}) has a `yield`: a "
                "handler says res.write(part) for each part, and res.end()"
            )
        check_order(handler, where)
        takes_data = takes(handler, 3)
        if takes(handler, 2):
            self._bare = handler
        elif not (takes_data and self.app._used):
            raise RouteError(
                f"{where}: {name_of(handler)} ({place_of(handler)}) cannot be called "
                "with (res, req), as a handler without middlewares is"
            )
        self.members = (handler if takes_data else bare_member(handler),)

    def compose(self, used: Sequence[Member], wrappers: "Sequence[Wrapper]") -> None:
        """Build what the loop calls: all members, in the app's wrappers."""
        members = (*used, *self.members)
        for member in members:
            if isinstance(member, Layer):
                where = "use()" if member in used else self
                self.app._services.check(member, where)
        explanation = self.app._explanation
        if explanation is not None:
            members = explanation.traced(members)
        elif self._bare is not None and not used:
            self.handler = self._bare
        if explanation is not None or self._bare is None or used:
            self.handler = handler_of(members, self.app._loop.turns)
        for wrap in wrappers:
            self.handler = wrap(self.handler)
        if self.guard is not None:
            self.handler = _guarded(self.handler, self.guard, self.others)

    @property
    def shape(self) -> tuple[str, str]:
        """What no two routes may have in common, unless guards tell them apart."""
        return self.method, re.sub(r":[^/<]*", ":", self.pattern)

    def check_twins(self, twins: "Iterable[Route]") -> None:
        """Refuse to be one more of a shape, unless guards tell them apart.

        twins: those that are there.
        """
        for other in twins:
            if other.guard is None:
                hint = "; list this one first" if self.guard is not None else ""
                raise RouteError(
                    f"{self} ({self.place}): this method and pattern are taken, by "
                    f"{other} ({other.place}){hint}"
                )

    @property
    def place(self) -> str:
        """File and line of the handler."""
        return place_of(self.members[-1])

    def __str__(self) -> str:
        last = f" ({name_of(self.members[-1])})" if self.members else ""
        return f"{self.method} {self.pattern}{last}"

    def _check_pattern(self, segments: list[str]) -> None:
        has_stray_star = any("*" in part and part != "*" for part in segments)
        has_twin = len(set(self.parameters)) < len(self.parameters)
        has_many = len(self.parameters) > _MOST_PARAMETERS
        for part in segments:
            text = unquote(part)
            if text[:1] + text[-1:] in ("{}", "<>"):
                name = text[1:-1].rpartition(":")[2]
                raise RouteError(f"{self}: {text!r} is no parameter, ':{name}' is one")
            if found := re.fullmatch(_OF_KERNELS, text):
                mark, name, kind = found.groups()
                here = f":{name}<{kind}>" if kind else f":{name}"
                if mark == ":" and kind:
                    raise RouteError(f"{self}: {text!r} is written {here!r}")
                if mark == ":":
                    continue
                logger.warning(
                    "%s: %r is taken as it stands; a parameter is written %r here, and "
                    "%r in the routes of a kernel",
                    *(self, text, here, text),
                )
        has_other = any(mark in self.pattern for mark in "?#")
        if has_other or has_stray_star or has_twin or has_many:
            raise RouteError(f"{self}: it can never match. {PATTERN_RULES}")


def _guarded(handler: Handler, guard: Guard, others: list[Route]) -> Handler:
    def guarded(res: "Response", req: "Request") -> object:
        if guard(req):
            return handler(res, req)
        for route in others:
            if route.guard is None or route.guard(req):
                res._route = req._route = route
                return route.handler(res, req)
        req.set_yield(True)
        return None

    return guarded


def check_max_body(route: Route, max_body: object) -> None:
    """Refuse a limit that cannot be meant."""
    if type(max_body) is not int or not 0 <= max_body < 2**63:
        raise RouteError(
            f"{route}: max_body is a number of bytes, None for any number, or "
            f'"default", not {max_body!r}'
        )
