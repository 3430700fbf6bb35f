"""Words: what Masonite users call the parts of requests and responses.

Each does what a method of the same object does under socketify's name.
"""

from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from .request import Request
    from .response import Response


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

    def get_path(self) -> str:
        """Return the path without the query, as the client wrote it."""
        return cast("Request", self).get_url()

    def get_request_method(self) -> str:
        """Return the method, such as "GET"."""
        return cast("Request", self).get_method()

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
