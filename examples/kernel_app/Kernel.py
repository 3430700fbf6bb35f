"""Which middleware there is, and what names routes have for it."""

from middlewares.authenticate import Authenticate
from middlewares.permission import Permission
from middlewares.timing import Timing


class Kernel:
    # Around every request, whether or not a route was found.
    http_middleware = [Timing]

    # By name; "web" runs in front of all routes of web.py.
    route_middleware = {
        "web": [],
        "auth": Authenticate,
        "permission": Permission,
        "members": ["auth", "permission:@user_id"],
    }
