"""A Python web server for people who live in middleware, on a native HTTP core."""

from .app import SWITCH_INTERVAL, App
from .bare_loop import BareLoop
from .chain import middleware
from .errors import (
    ClientGone,
    ConfigError,
    NativeError,
    RequestExpired,
    RouteError,
    SocketifyError,
)
from .layer import Middleware
from .limits import Limits
from .listen import ListenConfig
from .listing import Match, MemberInfo, RouteInfo
from .loop import Loop
from .options import AppListenOptions, AppOptions
from .request import Request
from .response import Response
from .router import MiddlewareRouter, Router
from .routes import Delete, Get, Options, Patch, Post, Put, Redirect, Route, RouteGroup

__all__ = [
    "SWITCH_INTERVAL",
    "App",
    "AppListenOptions",
    "AppOptions",
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
    "Router",
    "SocketifyError",
    "middleware",
]

__version__ = "0.1.0"
