"""SessionMiddleware: `request.session`."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..head import cookie_line, plain_option
from ..session import Lifetimes, Session, run_now
from ..stores import Store
from ..vault import LONGEST
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
    """Load before the handler, so that plain functions can touch the session, too. A
    store in memory needs that not."""

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
        for value in (cls.idle, cls.absolute):
            if not isinstance(value, (int, float)) or not value > 0:
                raise ConfigError("idle and absolute are numbers of seconds above zero")
        if min(cls.idle, cls.absolute) > LONGEST:
            raise ConfigError("idle or absolute is to be less than a hundred years")
        try:
            cookie_line(cls.cookie, "", cls.cookie_options)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the session's cookie cannot be set: {error}") from None
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
        if hasattr(response, "_draft"):
            response._draft.closers.append(
                lambda: cls._save(session, response, is_secure=is_secure)
            )
        else:
            session._is_saved = True  # the head was sent: it can only be read
        if cls.preload and not session.is_loaded:
            return _preload(session, request)
        return request

    def after(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Go on: that there is an `after` has the chain wait for the session."""
        return request

    @classmethod
    def _save(cls, session: Session, response: "Response", *, is_secure: bool) -> Any:
        """Save, and wait only for a store that takes its time."""
        if session._store.is_immediate or not session._is_loaded:
            id = run_now(session.save())
            if session._is_loaded:
                cls._tell(id, response, is_secure)
            return None
        return cls._save_later(session, response, is_secure)

    @classmethod
    async def _save_later(
        cls, session: Session, response: "Response", is_secure: bool
    ) -> None:
        # Not cancelled with who waits for it: a client that leaves does not keep its
        # own log-out from being done.
        tasks = response.app._tasks
        saving = response.app.loop.create_task(session.save())
        tasks.add(saving)
        saving.add_done_callback(tasks.discard)
        cls._tell(await asyncio.shield(saving), response, is_secure)

    @classmethod
    def _tell(cls, id: str | None, response: "Response", is_secure: bool) -> None:
        """Let the client know its session's id; caches are not to mix clients up."""
        if response.aborted:
            return
        lines = [b"Vary: Cookie\r\n"]
        if id is not None:
            # RFC 9111 7.3: what sets a cookie is for one client.
            lines.append(b"Cache-Control: no-store\r\n")
            lines.append(b"Set-Cookie: %b\r\n" % cls._line(id, is_secure))
        # Kept: if the answer cannot be sent, the error's is to have the cookie, for the
        # id before counts no more.
        response._open_head().keep(lines)

    @classmethod
    def _line(cls, id: str, is_secure: bool) -> bytes:
        usual = {"path": "/", "httponly": True, "samesite": "Lax", "secure": is_secure}
        given = {plain_option(it): value for it, value in cls.cookie_options.items()}
        options = usual | given
        if not id:
            options |= {"maxage": 0, "expires": None}
        return cookie_line(cls.cookie, id, options)


async def _preload(session: Session, request: "Request") -> "Request":
    await session.load()
    return request
