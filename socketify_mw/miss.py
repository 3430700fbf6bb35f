"""Miss: the answer to a request that no route matches."""

from ._binding import METHODS, W_ALLOW
from .request import Request
from .response import Response


def answer_miss(res: Response, req: Request) -> None:
    """Answer 404, 405 or OPTIONS (RFC 9110 9.3.7, 15.5.5, 15.5.6)."""
    method = req.get_method()
    if method == "CONNECT":
        res.write_status(501).end("Not Implemented")
        return
    allowed = _allowed(req)
    if not allowed:
        res.write_status(404).end("Not Found")
        return
    res.write_header("Allow", ", ".join(allowed))
    if method == "OPTIONS":
        res.write_status(204).end()
    else:
        res.write_status(405).end("Method Not Allowed")


def _allowed(req: Request) -> list[str]:
    """Return the methods that routes for the request's path have."""
    if req.get_url() == "*":  # OPTIONS about the server as a whole
        known = req.app._methods
        found = [name for name in METHODS if name in known or "ANY" in known]
    else:
        allow = req._view.words[req._base + W_ALLOW]
        found = [name for i, name in enumerate(METHODS) if allow >> i & 1]
    if "GET" in found and "HEAD" not in found:
        found.append("HEAD")
    if found and "OPTIONS" not in found:
        found.append("OPTIONS")
    return found
