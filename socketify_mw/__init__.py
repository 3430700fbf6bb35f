"""A Python web server for people who live in middleware, on a native HTTP core."""

from importlib import import_module
from typing import TYPE_CHECKING

from .app import App
from .chain import middleware
from .errors import (
    BadRequest,
    ClientGone,
    ConfigError,
    ContentTooLarge,
    NativeError,
    RequestExpired,
    RouteError,
    SocketifyError,
    StoreBusy,
    StoreError,
)
from .layer import Middleware
from .lifecycle import SWITCH_INTERVAL
from .loop import Loop
from .request import Request
from .response import Response

if TYPE_CHECKING:
    from .bare_loop import BareLoop
    from .limits import Limits
    from .listen import ListenConfig
    from .listing import MemberInfo, RouteInfo, RouteMatch
    from .options import AppListenOptions, AppOptions
    from .router import MiddlewareRouter, Router
    from .routes import AnyMethod as Any
    from .routes import (
        Delete,
        Get,
        Match,
        Options,
        Patch,
        Post,
        Put,
        Redirect,
        Route,
        RouteGroup,
    )

__all__ = [
    "SWITCH_INTERVAL",
    "Any",
    "App",
    "AppListenOptions",
    "AppOptions",
    "BadRequest",
    "BareLoop",
    "ClientGone",
    "ConfigError",
    "ContentTooLarge",
    "Delete",
    "Get",
    "Limits",
    "ListenConfig",
    "Loop",
    "Match",
    "MemberInfo",
    "Middleware",
    "MiddlewareRouter",
    "NativeError",
    "Options",
    "Patch",
    "Post",
    "Put",
    "Redirect",
    "Request",
    "RequestExpired",
    "Response",
    "Route",
    "RouteError",
    "RouteGroup",
    "RouteInfo",
    "RouteMatch",
    "Router",
    "SocketifyError",
    "StoreBusy",
    "StoreError",
    "middleware",
]

__version__ = "0.1.0"

# Imported when they are asked for: most programs need few of them, and each costs time
# at every start.
_LATER = {
    "bare_loop": ("BareLoop",),
    "limits": ("Limits",),
    "listen": ("ListenConfig",),
    "listing": ("MemberInfo", "RouteInfo", "RouteMatch"),
    "options": ("AppListenOptions", "AppOptions"),
    "router": ("MiddlewareRouter", "Router"),
    "routes": (
        *("Any", "Delete", "Get", "Match", "Options", "Patch", "Post", "Put"),
        *("Redirect", "Route", "RouteGroup"),
    ),
}
_MODULES = {name: module for module, names in _LATER.items() for name in names}


# Of socketify, so that a program which has them is told more than that.
_NOT_YET = {
    **dict.fromkeys(("WebSocket", "OpCode", "SendStatus"), "there are no websockets"),
    **dict.fromkeys(("CompressOptions", "sendfile"), "let a proxy do it"),
    **dict.fromkeys(("ASGI", "WSGI", "SSGI"), "it serves programs of its own alone"),
    "AppExtension": "App.register calls a function with what it may extend",
}


def __getattr__(name: str) -> object:
    if name in _NOT_YET:
        text = f"{__name__}.{name} is not there yet: {_NOT_YET[name]}"
        raise ImportError(text) from None
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f".{_MODULES[name]}", __name__)
    value = getattr(module, "AnyMethod" if name == "Any" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
