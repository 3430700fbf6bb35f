"""Routes: how a program with a kernel lists them.

Example::

    routes = [
        Route.get("/dashboard/@user_id", "DashboardController@show")
        .name("dashboard")
        .middleware("auth", "permission:@user_id"),
        Get("/feeds", "FeedController").middleware("throttle:2,100"),
        Route.group([...], prefix="/admin", middleware=["auth"], name="admin."),
    ]
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from .alias import nearest
from .errors import RouteError

if TYPE_CHECKING:
    from .request import Request
    from .response import Response

logger = logging.getLogger("socketify_mw")

_METHODS = (
    *("get", "post", "put", "patch", "delete", "options", "head", "any"),
    *("connect", "trace"),
)

# `@name`, or `?name` if it may be left out, perhaps with `:type`; each a whole segment.
_MARKS = ("@", "?")
_PARAMETER = re.compile(r"[@?]([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*))?")

# One within a segment.
_INNER = re.compile(r"@[A-Za-z_]")

# Parameters as other frameworks have them.
_FOREIGN = re.compile(r":\w+|\{[^{}]+\}|<[^<>]+>")

# Types that the server tells apart by itself, and how it spells them; those of
# `Route.compile` have numbers.
_NATIVE = {
    "int": "<int>",
    "integer": "<int>",
    "uuid": "<uuid>",
    "string": "",
    "str": "",
}
_compiled: dict[str, tuple[int, re.Pattern[str]]] = {}


class Route:
    """A route to a controller. Its methods return it, so that calls can be chained.

    URLs have parameters as `@name`, or `@name:type` with one of the types int, string,
    uuid, and those of `compile`; `?name` at the end may be left out. `controller` is
    "Name@method", "Name" for one that is called itself, a class, or a function.
    """

    def __init__(self, methods: Sequence[str], url: str, controller: Any) -> None:
        methods = [methods] if isinstance(methods, str) else methods
        self.methods = tuple(method.lower() for method in methods)
        self.url = url if url.startswith("/") else f"/{url}"
        self.controller = controller
        self.own_name = ""
        self.own_domain = ""
        self.middlewares: list[Any] = []
        self.prepended: list[Any] = []
        self.excluded: list[Any] = []
        self.place = _caller()

    # ---- what is said about it ----

    def name(self, name: str) -> Self:
        """Give it a name, by which `App.url` finds it."""
        self.own_name = name
        return self

    def domain(self, host: str) -> Self:
        """Take requests for a host alone (`Host`, without a port, in any case).

        host: a name such as "docs.example.com"; "*.example.com" for each name that
            ends so; "docs" for each whose first part that is; "*" for each that has
            more than one part. Else the next route gets the request.
        """
        self.own_domain = host.lower()
        return self

    def middleware(self, *specs: Any) -> Self:
        """Run middleware in front of the controller: names, or classes themselves."""
        self.middlewares += specs
        return self

    def prepend_middleware(self, *specs: Any) -> Self:
        """Run middleware in front of all others of this route."""
        self.prepended[:0] = specs
        return self

    def exclude_middleware(self, *specs: Any) -> Self:
        """Leave middleware out that a group would run."""
        self.excluded += specs
        return self

    # ---- what makes them ----

    @classmethod
    def get(cls, url: str, controller: Any) -> "Route":
        """Return a route for GET, and HEAD."""
        return cls(["get"], url, controller)

    @classmethod
    def post(cls, url: str, controller: Any) -> "Route":
        """Return a route for POST."""
        return cls(["post"], url, controller)

    @classmethod
    def put(cls, url: str, controller: Any) -> "Route":
        """Return a route for PUT."""
        return cls(["put"], url, controller)

    @classmethod
    def patch(cls, url: str, controller: Any) -> "Route":
        """Return a route for PATCH."""
        return cls(["patch"], url, controller)

    @classmethod
    def delete(cls, url: str, controller: Any) -> "Route":
        """Return a route for DELETE."""
        return cls(["delete"], url, controller)

    @classmethod
    def options(cls, url: str, controller: Any) -> "Route":
        """Return a route for OPTIONS."""
        return cls(["options"], url, controller)

    @classmethod
    def any(cls, url: str, controller: Any) -> "Route":
        """Return a route for every method without a route of its own."""
        return cls(["any"], url, controller)

    @classmethod
    def match(cls, methods: Sequence[str], url: str, controller: Any) -> "Route":
        """Return a route for several methods."""
        return cls(methods, url, controller)

    @classmethod
    def fallback(cls, controller: Any) -> "Route":
        """Return a route for every request that no other one matches."""
        return cls(["any"], "/*", controller)

    @classmethod
    def compile(cls, name: str, expression: str) -> None:
        """Make a type of parameters: `@name:type` takes what the whole of a regular
        expression matches, percent-decoded. Else the next route gets the request.
        """
        if not name.isidentifier() or name in _NATIVE:
            raise RouteError(f"{name!r} is no name for a type of parameters")
        number = _compiled[name][0] if name in _compiled else len(_compiled)
        try:
            _compiled[name] = number, re.compile(expression)
        except re.error as error:
            raise RouteError(f"{expression!r} is no expression: {error}") from None

    @classmethod
    def redirect(cls, url: str, to: str, status: int = 302) -> "Route":
        """Return a route that sends clients to another address."""

        def redirect(request: "Request", response: "Response") -> "Response":
            return response.redirect(to, status)

        return cls(["get"], url, redirect)

    @classmethod
    def permanent_redirect(cls, url: str, to: str) -> "Route":
        """Return a route that tells clients to go elsewhere from now on (301)."""
        return cls.redirect(url, to, 301)

    @classmethod
    def view(
        cls, url: str, template: str, data: dict[str, Any] | None = None
    ) -> "Route":
        """Return a route that renders a template; see `App.template`."""

        def view(request: "Request", response: "Response") -> "Response":
            return response.render(template, **(data or {}))

        return cls(["get"], url, view)

    @classmethod
    def resource(cls, name: str, controller: Any) -> "list[Route]":
        """Return the seven routes of a resource, with forms: index, create, store,
        show, edit, update, destroy.

        controller: a name or a class.
        """

        def route(methods: str, url: str, action: str) -> "Route":
            is_name = isinstance(controller, str)
            spec = f"{controller}@{action}" if is_name else (controller, action)
            made = cls(methods.split(), f"/{name.strip('/')}{url}", spec)
            return made.name(f"{name}.{action}")

        return [
            route("get", "", "index"),
            route("get", "/create", "create"),
            route("post", "", "store"),
            route("get", "/@id", "show"),
            route("get", "/@id/edit", "edit"),
            route("put patch", "/@id", "update"),
            route("delete", "/@id", "destroy"),
        ]

    @classmethod
    def api(cls, name: str, controller: Any) -> "list[Route]":
        """Return the five routes of a resource that has no forms."""
        found = cls.resource(name, controller)
        return [it for it in found if not it.own_name.endswith((".create", ".edit"))]

    @classmethod
    def group(
        cls,
        *routes: Any,
        prefix: str = "",
        middleware: Any = (),
        name: str = "",
        domain: str = "",
    ) -> "list[Route]":
        """Return routes under a prefix, behind middleware, with a name before theirs.

        routes: routes, and lists of them, such as other groups.
        middleware: a list of names or classes, or one of them.
        domain: for routes that have none of their own; see `Route.domain`.
        """
        if not isinstance(middleware, (list, tuple)):
            middleware = [middleware]
        found = []
        for route in flat(routes):
            inner = copy(route)
            base = f"/{prefix.strip('/')}".rstrip("/")
            # The page of the group itself has its prefix as it was given.
            inner.url = base if base and route.url == "/" else base + route.url
            inner.own_name = name + route.own_name if route.own_name else ""
            inner.own_domain = route.own_domain or domain.lower()
            inner.middlewares = [*middleware, *route.middlewares]
            inner.prepended = [*route.prepended]
            inner.excluded = [*route.excluded]
            found.append(inner)
        return found

    # ---- what is made of it ----

    def patterns(self) -> list[str]:
        """Return the server's patterns: one more for each that may be left out."""
        for method in self.methods:
            if method not in _METHODS:
                known = [it.upper() for it in _METHODS]
                raise RouteError(
                    f"{self}: there is no method {method.upper()!r}"
                    f"{nearest(method.upper(), known)}"
                )
        segments = self.url.split("/")
        whole = "/".join(map(self._spelled, segments))
        optional = [i for i, it in enumerate(segments) if it.startswith("?")]
        if optional and len(segments) - optional[0] != len(optional):
            raise RouteError(
                f"{self}: {segments[optional[0]]!r} may be left out, but what stands "
                "behind it may not: it belongs at the end"
            )
        spelled = whole.split("/")
        return [*("/".join(spelled[:i]) or "/" for i in optional), whole]

    def _spelled(self, segment: str) -> str:
        if segment[:1] not in _MARKS:
            if _FOREIGN.fullmatch(segment):
                name = re.sub(r"^.*:|[^A-Za-z0-9_]", "", segment)
                raise RouteError(
                    f"{self}: {segment!r} is no parameter, '@{name}' is one"
                )
            if _INNER.search(segment):
                logger.warning(
                    "%s: %r is taken as it stands; a parameter is a whole segment",
                    *(self, segment),
                )
            return segment
        found = _PARAMETER.fullmatch(segment)
        if found is None:
            raise RouteError(
                f"{self}: {segment!r} is no parameter. It is `@name`, or `?name` if it "
                "may be left out, perhaps with a type: `@id:int`"
            )
        name, kind = found.groups()
        if kind is None or kind in _NATIVE:
            return f":{name}{_NATIVE.get(kind or 'str')}"
        if kind not in _compiled:
            raise RouteError(
                f"{self}: there is no type {kind!r} of parameters"
                f"{nearest(kind, [*_NATIVE, *_compiled])}"
            )
        return f":{name}<{_compiled[kind][0]}>"

    def types(self) -> dict[str, Any]:
        """Return the type of each parameter, None for text, by name."""
        found = map(_PARAMETER.fullmatch, self.url.split("/"))
        pairs = (it.groups() for it in found if it is not None)
        return {
            name: int if kind in ("int", "integer") else None for name, kind in pairs
        }

    def guard(self) -> Callable[["Request"], bool] | None:
        """Return what tells whether a request is for this route, which the server's
        pattern does not: by its host, and by parameters of compiled types.
        """
        found = map(_PARAMETER.fullmatch, self.url.split("/"))
        pairs = (it.groups() for it in found if it is not None)
        checks = [(name, _compiled[it][1]) for name, it in pairs if it in _compiled]
        domain = self.own_domain
        if not checks and not domain:
            return None

        def guard(request: "Request") -> bool:
            if domain and not _is_of(domain, request.get_header("host") or ""):
                return False
            for name, expression in checks:
                value = request.get_parameter(name)
                if value is not None and not expression.fullmatch(value):
                    return False
            return True

        return guard

    @property
    def scope(self) -> str:
        """Name it where requests are counted by route."""
        return f"{'/'.join(self.methods).upper()} {self.own_domain}{self.url}"

    def __str__(self) -> str:
        return f"{'/'.join(self.methods).upper()} {self.url} ({self.place})"


def flat(routes: Iterable[Any]) -> list[Route]:
    """Return the routes of nested lists, in order."""
    found: list[Route] = []
    for it in routes:
        if isinstance(it, Route):
            found.append(it)
        elif isinstance(it, (list, tuple)):
            found += flat(it)
        else:
            raise TypeError(f"{it!r} is neither a Route nor a list of them")
    return found


def build_url(url: str, parameters: dict[str, object]) -> str:
    """Put parameters into a URL; what it has no place for becomes its query."""
    left = dict(parameters)
    segments = []
    for segment in url.split("/"):
        found = _PARAMETER.fullmatch(segment)
        if found is None:
            segments.append(segment)
        elif found[1] in left:
            segments.append(quote(str(left.pop(found[1])), safe=""))
        elif segment.startswith("@"):
            raise ValueError(f"{url} needs the parameter {found[1]!r}")
    query = "&".join(
        f"{quote(key, safe='')}={quote(str(it), safe='')}" for key, it in left.items()
    )
    path = "/".join(segments) or "/"
    return f"{path}?{query}" if query else path


def _is_of(domain: str, host: str) -> bool:
    """Whether a `Host` is of a domain, as `Route.domain` has them."""
    host = re.sub(r":\d*$", "", host.lower())
    if domain.startswith("*."):
        return host.endswith(domain[1:])
    first, dot, _ = host.partition(".")
    if "." in domain:
        return host == domain
    return bool(dot) and (domain == "*" or first == domain)


def _caller() -> str:
    """Return file and line of whoever makes a route, outside of this file."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename == __file__ and frame.f_back is not None:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


Get = Route.get
Post = Route.post
Put = Route.put
Patch = Route.patch
Delete = Route.delete
Options = Route.options
AnyMethod = Route.any
Match = Route.match
Redirect = Route.redirect
RouteGroup = Route.group
