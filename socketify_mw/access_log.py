"""Access log: a line for each answer."""

from collections.abc import Callable
from time import perf_counter

from .head import Head
from .request import Request
from .response import Response
from .route import Handler


def logged_by(log: Callable[[str], object]) -> Callable[[Handler], Handler]:
    """Return a wrapper for handlers that has `log` called; see `App.access_log`."""

    def logged(handler: Handler) -> Handler:
        def around(res: Response, req: Request) -> object:
            if req._was_handed_on():
                return handler(res, req)  # the first route's hook is there
            started = perf_counter()
            method, url = req.get_method(), req.get_full_url()

            def tell(head: Head, body: bytes | None) -> bytes | None:
                size = "-" if body is None else len(body)
                spent = (perf_counter() - started) * 1000
                address = res.get_remote_address() or "-"
                log(f"{address} {method} {url} {head.status} {size} {spent:.1f}")
                return body

            res._on_commit(tell)
            return handler(res, req)

        return around

    return logged
