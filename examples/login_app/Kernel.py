from socketify_mw import Middleware
from socketify_mw.middlewares import (
    EncryptCookies,
    SessionMiddleware,
    ThrottleMiddleware,
    VerifyCsrfToken,
)


class Authenticate(Middleware):
    """Lets through who has logged in; the others go to the log-in page."""

    def before(self, request, response):
        name = request.session.get("user")
        if name is None:
            request.session.flash("message", "Log in first.")
            return response.redirect(name="login")
        return request.set_user(name)


class Kernel:
    http_middleware = [EncryptCookies]
    route_middleware = {
        "web": [SessionMiddleware, VerifyCsrfToken],
        "auth": Authenticate,
        "throttle": ThrottleMiddleware,
    }
