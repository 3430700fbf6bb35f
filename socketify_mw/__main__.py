"""The command line: `python -m socketify_mw --help`."""

import argparse
import importlib
import inspect
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from .app import App
from .errors import RouteError
from .functions import takes
from .keys import new_key
from .listing import MemberInfo, RouteInfo, RouteMatch
from .scaffold import make_middleware

_HEADS = ("METHOD", "PATTERN", "#", "RUNS", "KIND", "WHERE")


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments ask for; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        text: str = options.command(options)
    except (LoadError, RouteError) as error:
        print(error, file=sys.stderr)
        return 2
    try:
        print(text, flush=True)
    except BrokenPipeError:  # such as `| head`: nobody wants the rest
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _routes(options: argparse.Namespace) -> str:
    with _quiet_stdout():
        app = load(options.app)
    app._services.check_places()
    if options.path is None:
        routes = app.routes()
        if options.method is not None:
            routes = [it for it in routes if _serves(it, options.method.upper())]
        data: object = {"routes": [asdict(it) for it in routes]}
        text = _table(routes)
    else:
        try:
            match = app.match(options.method or "GET", options.path)
        except ValueError as error:
            raise LoadError(str(error)) from None
        data = {**asdict(match), "is_miss": match.is_miss}
        text = f"{_verdict(match)}\n\n{_table(match.routes)}"
    return json.dumps(data, indent=2) if options.json else text


def _make_middleware(options: argparse.Namespace) -> str:
    try:
        paths = make_middleware(options.name, options.folder)
    except (ValueError, OSError) as error:
        raise LoadError(str(error)) from None
    return "\n".join(f"wrote {path}" for path in paths)


def _key(options: argparse.Namespace) -> str:
    return new_key()


class LoadError(Exception):
    """What the arguments name is not there, or cannot be made."""


def load(name: str) -> App:
    """Import the app that `module:attribute` names, or the one that a function makes.

    What the module does to serve does nothing: neither `listen` nor `run`.
    """
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise LoadError(f"{name!r} is not of the form module:app, such as shop:app")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    # Most programs are one file that ends with app.run().
    App.listen = lambda self, *_, **__: self  # type: ignore[method-assign]
    App.run = lambda self, **_: None  # type: ignore[method-assign]
    sys.argv = [module_name]
    if not all(part.isidentifier() for part in module_name.split(".")):
        raise LoadError(
            f"{module_name!r} is no name of a module, such as shop or a.shop"
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise LoadError(f"there is no module {error.name!r} here") from None
    for part in path.split("."):
        if not hasattr(found, part):
            raise LoadError(f"{module_name} has no {path}")
        found = getattr(found, part)
    if not isinstance(found, App) and callable(found) and takes(found, 0):
        found = found()
        if inspect.iscoroutine(found):
            found.close()
            raise LoadError(
                f"{name} is a coroutine function: make the app without await"
            )
    if not isinstance(found, App):
        raise LoadError(f"{name} is not an App, but {found!r}")
    return found


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """Send to stderr what a program prints, and what its children do."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m socketify_mw", description="Tools for socketify_mw apps."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    routes = commands.add_parser(
        "routes",
        help="list routes, and what runs for them",
        description="List an app's routes, each with its chain in order. With a path, "
        "tell which route matches, and what runs, also when none does.",
    )
    routes.add_argument("app", help="where the app is: module:app")
    routes.add_argument("--method", help="with a path: GET if it is not given")
    routes.add_argument("--path", help="such as /api/users")
    routes.add_argument("--json", action="store_true", help="for programs")
    routes.set_defaults(command=_routes)
    make = commands.add_parser(
        "make:middleware", help="write a middleware class, and a test for it"
    )
    make.add_argument("name", help="of the class, such as RequestLog")
    make.add_argument("--folder", default="middlewares", help="where its file belongs")
    make.set_defaults(command=_make_middleware)
    key = commands.add_parser("key", help="print a new key of 256 random bits")
    key.set_defaults(command=_key)
    return parser


def _serves(route: RouteInfo, method: str) -> bool:
    also = "GET" if method == "HEAD" else method
    return route.method in (method, also, "ANY", "")


def _verdict(match: RouteMatch) -> str:
    asked = f"{match.method} {match.path}"
    if not match.is_miss:
        first = match.routes[0]
        names = ", ".join(f"{key} = {it!r}" for key, it in match.parameters.items())
        found = f"{asked}: {first.method} {first.pattern}"
        return f"{found}, {names}" if names else found
    if match.allowed:
        return f"{asked}: no route for this method, but for {', '.join(match.allowed)}"
    return f"{asked}: no route"


def _table(routes: Sequence[RouteInfo]) -> str:
    rows = [_HEADS, *(row for route in routes for row in _rows(route))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _rows(route: RouteInfo) -> Iterator[tuple[str, ...]]:
    first = (route.method, route.pattern) if route.method else ("-", "no route left")
    for number, member in enumerate(route.members, 1):
        kind = "async" if member.is_async else "sync"
        start = first if number == 1 else ("", "")
        yield (*start, str(number), member.name, kind, _where(member))


def _where(member: MemberInfo) -> str:
    """Return where a member is, from here if it is below."""
    if not member.file:
        return "no Python code"
    return f"{member.file.removeprefix(os.getcwd() + os.sep)}:{member.line}"


if __name__ == "__main__":
    sys.exit(main())
