"""Words: what Masonite users call the parts of requests and responses.

Each does what a method of the same object does under socketify's name.
"""

import re
import socket
from typing import TYPE_CHECKING, Any, Self, cast

from .inputs import find

if TYPE_CHECKING:
    from .request import Request
    from .response import Response

# Host and path of a URL. A path that begins with "//" would name another host.
_PAGE = r"(?i:https?)://([^/?#]*)(/(?!/)[^#]*)"


def address_text(address: bytes) -> str:
    """Return an address of 4 or 16 bytes as text; "" for none, as of unix sockets."""
    if not address:
        return ""
    family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, address)


class RequestWords:
    """Readers of a request, by other names."""

    __slots__ = ()

    def param(self, name: str) -> str | None:
        """Return a parameter of the URL, percent-decoded, or None."""
        return cast("Request", self).get_parameter(name)

    def header(self, name: str) -> str | None:
        """Return the value of a header field, or None; see `get_header`."""
        return cast("Request", self).get_header(name)

    def cookie(self, name: str) -> str | None:
        """Return the value of a cookie, or None; see `get_cookie`."""
        return cast("Request", self).get_cookie(name)

    def all(self) -> dict[str, Any]:
        """Return what the query and a form or JSON body have, by name.

        A name with one value has that as text, with several a list; JSON has its own
        types. What the body has counts. Raises RuntimeError for a body that was not
        read: routes of a kernel have read it, others `await request.load()`.
        """
        return dict(cast("Request", self)._all_inputs())

    def input(self, name: str, default: Any = None) -> Any:
        """Return one of `all()`; `user.name` is found within `user`, too."""
        return find(cast("Request", self)._all_inputs(), name, default)

    def only(self, *names: str) -> dict[str, Any]:
        """Return those of `all()` that have one of the names."""
        inputs = cast("Request", self)._all_inputs()
        return {name: inputs[name] for name in names if name in inputs}

    def get_path(self) -> str:
        """Return the path without the query, as the client wrote it."""
        return cast("Request", self).get_url()

    def get_request_method(self) -> str:
        """Return the method, such as "GET"."""
        return cast("Request", self).get_method()

    def ip(self) -> str:
        """Return the client's address; "" for a unix socket, and when the client has
        gone or its answer has left.

        Behind a proxy it is the proxy's: no header is believed.
        """
        request = cast("Request", self)
        return address_text(request.app.loop.turns.peer(request._exchange)[0])

    def is_ajax(self) -> bool:
        """Whether a script says that it has sent this (`X-Requested-With`)."""
        return self.header("x-requested-with") == "XMLHttpRequest"

    def accepts_json(self) -> bool:
        """Whether the client names JSON among what it accepts (RFC 9110 12.5.1)."""
        kinds = (self.header("accept") or "").lower().split(",")
        pairs = (it.partition(";")[::2] for it in kinds)
        return any(
            kind.strip().endswith(("/json", "+json")) and quality.strip() != "q=0"
            for kind, quality in pairs
        )

    def user(self) -> Any:
        """Return what a middleware has given to `set_user`, or None."""
        return getattr(cast("Request", self).state, "user", None)

    def set_user(self, user: Any) -> Self:
        """Keep who has sent this: `user()`, and `state.user`."""
        cast("Request", self).state.user = user
        return self


class ResponseWords:
    """What is said about an answer, by other names."""

    __slots__ = ()

    def json(self, data: Any, status: int = 200) -> Self:
        """Answer with JSON, of text and None, too."""
        response = cast("Response", self)
        body = response.app._json.dumps(data)
        response.write_status(status).write_header("Content-Type", "application/json")
        response.end(body.encode() if isinstance(body, str) else body)
        return self

    def status(self, status: int | str) -> Self:
        """Set the status; see `write_status`."""
        cast("Response", self).write_status(status)
        return self

    def back(self, request: "Request | None" = None, default: str = "/") -> Self:
        """Send the client to the page of this site that it comes from (`Referer`).

        request: needed outside of chains with an `after`.
        default: where to, if that is not known or another site.
        """
        response = cast("Response", self)
        request = request or response._find_request()
        if request is None:
            raise RuntimeError("which page? response.back(request) tells")
        here = (request.get_header("host") or "").lower()
        page = re.match(_PAGE, request.get_header("referer") or "")
        is_here = page is not None and page[1].lower() == here
        response.redirect(page[2] if page and is_here else default)
        return self

    def header(self, name: str, value: object) -> Self:
        """Add a header field, as it is written; see `write_header`."""
        cast("Response", self).write_header(name, value)
        return self

    def cookie(self, name: str, value: object, **options: Any) -> Self:
        """Add a cookie; for the options see `set_cookie`."""
        cast("Response", self).set_cookie(name, value, options)
        return self

    def delete_cookie(self, name: str, path: str = "/") -> Self:
        """Let the client forget a cookie that was set for a path."""
        return self.cookie(name, "", path=path, max_age=0)

    def view(self, template: str, data: dict[str, Any] | None = None) -> Self:
        """Answer with what the template engine makes of a template; see `render`."""
        cast("Response", self).render(template, **(data or {}))
        return self
