"""Load inputs: what lets plain controllers read forms with `request.input`."""

from typing import TYPE_CHECKING, Any

from .layer import Middleware

if TYPE_CHECKING:
    from .request import Request
    from .response import Response


class LoadInputs(Middleware):
    """Waits for a form or a JSON body, as routes of a kernel do for all methods but
    GET, HEAD and OPTIONS.
    """

    def before(self, request: "Request", response: "Response", *values: Any) -> Any:
        """Go on at once if there is no such body."""
        return request._load(response) if request._awaits_inputs() else request
