"""A Python web server for people who live in middleware, on a native HTTP core."""

from .app import SWITCH_INTERVAL, App, ListenConfig
from .bare_loop import BareLoop
from .errors import NativeError, RequestExpired, RouteError, SocketifyError
from .limits import Limits
from .loop import Loop
from .request import Request
from .response import Response

__all__ = [
    "SWITCH_INTERVAL",
    "App",
    "BareLoop",
    "Limits",
    "ListenConfig",
    "Loop",
    "NativeError",
    "Request",
    "RequestExpired",
    "Response",
    "RouteError",
    "SocketifyError",
]

__version__ = "0.1.0"
