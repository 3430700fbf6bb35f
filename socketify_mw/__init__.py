"""A Python web server for people who live in middleware, on a native HTTP core."""

from .app import SWITCH_INTERVAL, App
from .bare_loop import BareLoop
from .chain import middleware
from .errors import (
    BadRequest,
    ClientGone,
    ConfigError,
    NativeError,
    RequestExpired,
    RouteError,
    SocketifyError,
    StoreError,
)
from .layer import Middleware
from .limits import Limits
from .listen import ListenConfig
from .listing import MemberInfo, RouteInfo, RouteMatch
from .loop import Loop
from .options import AppListenOptions, AppOptions
from .request import Request
from .response import Response
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
    "StoreError",
    "middleware",
]

__version__ = "0.1.0"
