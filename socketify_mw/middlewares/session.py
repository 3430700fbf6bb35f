"""SessionMiddleware: `request.session`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..session import Lifetimes, Session, run_now
from ..stores import Store
from .options import Configurable

if TYPE_CHECKING:
    from ..app import App
    from ..request import Request
    from ..response import Response


class SessionMiddleware(Configurable):
    """Gives requests a session, which is saved before the head of the answer goes.

    The session is loaded when it is first touched: a request that does not costs no
    call of the store. Its id is 256 random bits that only the server makes; the cookie
    is `HttpOnly`, `SameSite=Lax`, and `Secure` if the client came by TLS.
    """

    __slots__ = ("session",)

    store: "Store | str | None" = None
    """A store or its URL, such as "redis://127.0.0.1/0". None: `Kernel.store`, or the
    memory of this process."""

    preload: bool = False
    """Load before the handler what comes with a cookie, so that plain functions can
    touch it, too. A store in memory needs that not."""

    idle: float = 2 * 3600
    """Seconds without a request that touches it, after which a session ends."""

    absolute: float = 30 * 86400
    """Seconds after which it ends in any case."""

    cookie: str = "session"
    """The name of the cookie."""

    cookie_options: Mapping[str, Any] = {}
    """For `Response.set_cookie`, such as `domain`; what is given here counts. With
    `max_age` the cookie outlives the browser."""

    @classmethod
    def prepare(cls, app: "App") -> tuple[Store, Lifetimes]:
        """Open the store; ConfigError for options that cannot be meant."""
        if not cls.idle > 0 or not cls.absolute > 0:
            raise ConfigError("idle and absolute are numbers of seconds above zero")
        return app._services.store(cls.store), Lifetimes(cls.idle, cls.absolute)

    def before(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Give the request its session."""
        cls = type(self)
        if hasattr(request, "_session"):
            return request  # it runs twice: once was enough
        store, lifetimes = request.app._services.prepare(cls)
        cookie = request.get_cookie(cls.cookie)
        session = request._session = Session(store, lifetimes, cookie)
        is_secure = request.get_header("x-forwarded-proto") == "https"
        response._draft.closers.append(
            lambda: cls._save(session, response, is_secure=is_secure)
        )
        if cls.preload and not session.is_loaded:
            return _preload(session, request)
        return request

    def after(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Go on: that there is an `after` has the chain wait for the session."""
        return request

    @classmethod
    def _save(cls, session: Session, response: "Response", *, is_secure: bool) -> Any:
        """Save, and wait only for a store that takes its time."""
        if not session._is_loaded:
            return None
        if session._store.is_immediate:
            cls._tell(run_now(session.save()), response, is_secure)
            return None
        return cls._save_later(session, response, is_secure)

    @classmethod
    async def _save_later(
        cls, session: Session, response: "Response", is_secure: bool
    ) -> None:
        cls._tell(await session.save(), response, is_secure)

    @classmethod
    def _tell(cls, id: str | None, response: "Response", is_secure: bool) -> None:
        """Let the client know its session's id; caches are not to mix clients up."""
        if response.aborted:
            return
        response.write_header(b"Vary", b"Cookie")
        if id is None:
            return
        # RFC 9111 7.3: what sets a cookie is for one client.
        response.write_header(b"Cache-Control", b"no-store")
        usual = {"path": "/", "httponly": True, "samesite": "Lax", "secure": is_secure}
        options = {**usual, **cls.cookie_options}
        if not id:
            options |= {"max_age": 0, "expires": None}
        response.set_cookie(cls.cookie, id, options)


async def _preload(session: Session, request: "Request") -> "Request":
    await session.load()
    return request
