"""Kernel: middleware classes by name, and the routes that call for them.

All of it is read, checked and flattened when it is given to the app: a request finds
chains as any other route has.
"""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from .alias import Aliases, nearest, parse
from .chain import flat as flat_members
from .chain import middleware
from .controllers import Controllers
from .errors import ConfigError, RouteError, raise_all
from .keys import give_key
from .layer import Layer
from .load_inputs import LoadInputs
from .request import WITHOUT_INPUTS
from .route import Route as AppRoute
from .routes import Route, build_url, flat

if TYPE_CHECKING:
    from .app import App

# Which `after` of a list of those left is the next one: as an onion has them, or as
# Masonite 4.20 does.
_ORDERS = {"onion": -1, "listed": 0}


def install(app: "App", kernel: Any, routes: Any, controllers: Any, group: str) -> None:
    """Give an app the middleware of a kernel, and routes; see `App.kernel`."""
    kernel = _load(kernel)
    aliases = Aliases(_targets_of(kernel))
    problems: list[str] = _misspelt(kernel, aliases, group)
    http: list[Any] = []
    specs = getattr(kernel, "http_middleware", ())
    if not isinstance(specs, (list, tuple)):
        problems.append(f"{_name(kernel)}.http_middleware is a list, not {specs!r}")
        specs = ()
    for spec in specs:
        try:
            http += aliases.members_of(spec, (), f"{_name(kernel)}.http_middleware")
        except RouteError as error:
            problems.append(str(error))
    order = getattr(kernel, "after_order", "onion")
    if order not in _ORDERS:
        problems.append(
            f"{_name(kernel)}.after_order is {order!r}{nearest(str(order), _ORDERS)}"
        )
    before = [_identity(it) for it in http]
    found = _routes_of(routes)
    plans: list[tuple[Route, str, list[Any], Any]] = []
    finder = Controllers(app, controllers)
    names: dict[str, Route] = {}
    for route in found:
        if route.own_name:
            other = names.setdefault(route.own_name, route)
            if other is not route or route.own_name in app._patterns:
                problems.append(
                    f"{route}: {other} has the name {route.own_name!r}, too"
                )
        try:
            patterns = route.patterns()
        except RouteError as error:
            problems.append(str(error))
            continue
        for pattern in patterns:
            plan = _plan(route, pattern, aliases, finder, group, before, problems)
            if plan is not None:
                plans.append((route, pattern, *plan))
    key = getattr(kernel, "key", None)
    if key is not None:
        try:
            give_key(key)
        except ConfigError as error:
            problems.append(f"{_name(kernel)}.key: {error}")
    app._services.given_store = getattr(kernel, "store", None)
    _check(app, http, f"{_name(kernel)}.http_middleware", None, problems)
    made: list[AppRoute] = []
    twins: dict[tuple[str, str], list[AppRoute]] = {}  # by shape, with those to come
    for route, pattern, members, handler in plans:
        _check(app, members, str(route), route.types(), problems)
        for method in route.methods:
            try:
                it = AppRoute(app, method.upper(), pattern, handler, members)
                it.guard = route.guard()
                it.scope = route.scope  # one, whatever patterns are made of it
                known = twins.setdefault(it.shape, app._twins(it))
                it.check_twins(known)
                known.append(it)
            except RouteError as error:
                problems.append(f"{route}: {error}")
            else:
                made.append(it)
    raise_all(problems)
    app._next_after = _ORDERS[order]
    # Several kernels of an app may have the same in front of all routes.
    used = {_identity(it) for it in app._used}
    app.use(*(it for it in http if _identity(it) not in used))
    for it in made:
        app._register(it, "default")
    app._patterns.update({it.own_name: it.url for it in found if it.own_name})


_ATTRIBUTES = ("http_middleware", "route_middleware", "after_order", "key", "store")


def _misspelt(kernel: Any, aliases: Aliases, group: str) -> list[str]:
    """Return what looks like a slip of the pen: without a word, nothing would run."""
    if isinstance(kernel, (dict, list, tuple)):
        return [f"a kernel is a class with {' and '.join(_ATTRIBUTES[:2])}"]
    found = []
    for name in dir(kernel):
        if not name.startswith("_") and name not in _ATTRIBUTES:
            near = get_close_matches(name, _ATTRIBUTES, 1, 0.8)
            if near:
                found.append(f"{_name(kernel)}.{name}: did you mean {near[0]!r}?")
    if group and not aliases.has(group):
        near = get_close_matches(group, aliases.names, 1, 0.65)
        if near:
            found.append(
                f"{_name(kernel)}.route_middleware has no {group!r}, which is to run "
                f"for each of these routes; did you mean {near[0]!r}? (For none: "
                'group="")'
            )
    return found


def _check(
    app: "App",
    members: list[Any],
    where: str,
    names: Mapping[str, Any] | None,
    problems: list[str],
) -> None:
    """Let each class say what it lacks, or what is wrong with its parameters."""
    for it in members:
        if isinstance(it, Layer):
            problem = ""
            try:
                app._services.check(it, where, names)
            except RouteError as error:
                problem = str(error)
            except ConfigError as error:
                name = _name(it.cls)
                problem = str(error)
                if not problem.startswith(name):
                    problem = f"{name}: {problem}"
            if problem and problem not in problems:  # of many routes
                problems.append(problem)


def url_of(name: str, urls: Mapping[str, str], parameters: dict[str, object]) -> str:
    """Return the URL of a route by its name."""
    if name not in urls:
        raise RouteError(f"no route has the name {name!r}{nearest(name, urls)}")
    return build_url(urls[name], parameters)


def _plan(
    route: Route,
    pattern: str,
    aliases: Aliases,
    finder: Controllers,
    group: str,
    before: list[Any],
    problems: list[str],
) -> tuple[list[Any], Any] | None:
    """Return middlewares and controller of a route, or note what is wrong.

    before: identities of what runs in any case.
    """
    names = [it[1:].partition("<")[0] for it in pattern.split("/") if it[:1] == ":"]
    types = route.types()
    parameters = {name: types[name] for name in names if name in types}
    left_out = [name for name in types if name not in parameters]
    where = str(route)
    if left_out:
        where += f", where {', '.join(map(repr, left_out))} may be left out"
    count = len(problems)
    specs = [*route.prepended, *_group(aliases, group), *route.middlewares]
    members: list[Any] = []
    seen = {*before, *_excluded(route, aliases, problems)}
    for spec in specs:
        try:
            found = aliases.members_of(spec, parameters, where)
            flat_members(found, where)
        except RouteError as error:
            problems.append(str(error))
            continue
        for member in found:
            if _identity(member) not in seen and _kind(member) not in seen:
                seen.add(_identity(member))
                members.append(member)
    if not WITHOUT_INPUTS.issuperset(map(str.upper, route.methods)):
        members.insert(_place_of_inputs(members), Layer(LoadInputs))
    try:
        handler = finder.member_of(route.controller, parameters, where)
    except RouteError as error:
        problems.append(str(error))
    else:
        handler = middleware(handler)
    return (members, handler) if len(problems) == count else None


def _place_of_inputs(members: list[Any]) -> int:
    """Return where a body is to be loaded: in front of all that may ask for an input,
    but behind those in front that may refuse the request, and do not.
    """
    for i, it in enumerate(members):
        if getattr(_kind(it), "reads_inputs", True):
            return i
    return len(members)


def _group(aliases: Aliases, group: str) -> list[str]:
    return [group] if group and aliases.has(group) else []


def _excluded(route: Route, aliases: Aliases, problems: list[str]) -> list[Any]:
    """Return the members that a route leaves out, whatever their parameters are."""
    found = []
    for spec in route.excluded:
        name = parse(spec)[0] if isinstance(spec, str) else spec
        try:
            found += aliases.targets_of(name, str(route))
        except RouteError as error:
            problems.append(str(error))
    return found


def _identity(member: Any) -> Any:
    """Return what tells whether a member is in a chain already."""
    return (member.cls, member.spec) if isinstance(member, Layer) else member


def _kind(member: Any) -> Any:
    return member.cls if isinstance(member, Layer) else member


def _targets_of(kernel: Any) -> Mapping[str, Any]:
    targets = getattr(kernel, "route_middleware", {})
    if not isinstance(targets, Mapping):
        raise RouteError(
            f"{_name(kernel)}.route_middleware is no dict of names, but {targets!r}"
        )
    return targets


def _load(kernel: Any) -> Any:
    if not isinstance(kernel, str):
        return kernel
    module_name, _, attribute = kernel.partition(":")
    return getattr(importlib.import_module(module_name), attribute or "Kernel")


def _name(kernel: Any) -> str:
    return getattr(kernel, "__qualname__", None) or type(kernel).__qualname__


def _routes_of(routes: Any) -> list[Route]:
    if isinstance(routes, str):
        module = importlib.import_module(routes)
        found = [it for it in ("routes", "ROUTES") if hasattr(module, it)]
        if not found:
            hint = nearest("routes", [it for it in vars(module) if it[0] != "_"])
            raise RouteError(f"the module {routes!r} has no list `routes`{hint}")
        routes = getattr(module, found[0])
    return flat(routes)
