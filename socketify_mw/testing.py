"""TestClient: requests to an app in its own process and thread, without a port."""

import asyncio
import io
import json
import socket
from collections.abc import Coroutine, Iterable, Mapping
from contextlib import suppress
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

from .explain import Explanation

if TYPE_CHECKING:
    from .app import App

_Fields = Mapping[str, str] | Iterable[tuple[str, str]]


class TestResponse:
    """An answer: `status`, `reason`, `headers` (pairs, in order), `body`."""

    __test__ = False  # pytest, this is no test

    def __init__(
        self, answer: HTTPResponse, explanation: Explanation | None = None
    ) -> None:
        self._explanation = explanation
        self.status = answer.status
        self.reason = answer.reason
        self.headers = answer.getheaders()
        self.body = answer.read()

    def __repr__(self) -> str:
        return f"<TestResponse {self.status} with {len(self.body)} bytes>"

    def header(self, name: str) -> str | None:
        """Return the value of the first header field with a name in any case."""
        found = self.all(name)
        return found[0] if found else None

    def all(self, name: str) -> list[str]:
        """Return the values of all header fields with a name in any case."""
        lower = name.lower()
        return [value for key, value in self.headers if key.lower() == lower]

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body, parsed as JSON."""
        return json.loads(self.body)

    def explain(self) -> Explanation:
        """Return the steps that ran for it: in order, who stopped and why, how long.

        As text it is a table. Needs `app.test_client(explain=True)`.
        """
        if self._explanation is None:
            raise RuntimeError("nothing was noted: use app.test_client(explain=True)")
        return self._explanation


class TestClient:
    """Sends requests to an app that does not run, one at a time; see `App.test_client`.

    Cookies that the app sets are sent back, whatever their path and domain. In a `with`
    statement the hooks of `App.on_start` and `App.on_shutdown` run around what it has.
    """

    __test__ = False

    def __init__(self, app: "App", explains: bool = False) -> None:
        self._app = app
        self._explains = explains
        self.cookies: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Run the app's start hooks, as `App.run` does."""
        self._check()
        try:
            self._app._run_start_hooks()
        except BaseException:
            self._app._run_shutdown_hooks()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Run the app's shutdown hooks."""
        self._app._run_shutdown_hooks()

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: _Fields = (),
        body: bytes | str = b"",
        json: Any = None,
        form: Mapping[str, Any] | None = None,
        timeout: float = 10.0,
    ) -> TestResponse:
        """Send a request, run the app's loop until it was answered, and return that.

        url: the path and query. body, json, form: one of them, or none.
        timeout: seconds, then TimeoutError. Raises RuntimeError while the app runs,
        and ConnectionError when it closes without an answer.
        """
        self._check()
        data = self._request(method, url, headers, _body(body, json, form))
        loop = self._app.loop
        ours, theirs = socket.socketpair()
        with ours:
            ours.setblocking(False)
            self._app._server.adopt(theirs.detach())
            explanation = Explanation() if self._explains else None
            if explanation is not None:
                self._app._explain(explanation)
            try:
                received = _run(loop, _exchange(loop, ours, data, timeout))
            except TimeoutError:
                raise TimeoutError(
                    f"{method} {url} was not answered within {timeout:g} s"
                ) from None
            finally:
                if explanation is not None:
                    self._app._explain(None)
        if not received:
            raise ConnectionError("the app closed the connection without an answer")
        answer = HTTPResponse(_Received(received), method=method)  # type: ignore[arg-type]
        answer.begin()
        self._keep_cookies(answer)
        return TestResponse(answer, explanation)

    def _check(self) -> None:
        self._app._check_open()
        if self._app.loop.is_running():
            raise RuntimeError("the app runs: send requests to its port")
        if asyncio._get_running_loop() is not None:
            raise RuntimeError("another event loop runs in this thread")

    def get(self, url: str, **options: Any) -> TestResponse:
        """Send a GET request; for the options see `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str, **options: Any) -> TestResponse:
        """Send a HEAD request; for the options see `request`."""
        return self.request("HEAD", url, **options)

    def post(self, url: str, **options: Any) -> TestResponse:
        """Send a POST request; for the options see `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str, **options: Any) -> TestResponse:
        """Send a PUT request; for the options see `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str, **options: Any) -> TestResponse:
        """Send a PATCH request; for the options see `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str, **options: Any) -> TestResponse:
        """Send a DELETE request; for the options see `request`."""
        return self.request("DELETE", url, **options)

    def options(self, url: str, **options: Any) -> TestResponse:
        """Send an OPTIONS request; for the options see `request`."""
        return self.request("OPTIONS", url, **options)

    def _request(
        self, method: str, url: str, headers: _Fields, body: tuple[str, bytes]
    ) -> bytes:
        pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
        given = {name.lower() for name, _ in pairs}
        kind, content = body
        if "host" not in given:
            pairs.insert(0, ("Host", "test"))
        if content and not given & {"content-length", "transfer-encoding"}:
            pairs.append(("Content-Length", str(len(content))))
        if kind and "content-type" not in given:
            pairs.append(("Content-Type", kind))
        if self.cookies and "cookie" not in given:
            jar = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
            pairs.append(("Cookie", jar))
        pairs.append(("Connection", "close"))
        lines = [f"{method} {url} HTTP/1.1", *(f"{k}: {v}" for k, v in pairs)]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content

    def _keep_cookies(self, answer: HTTPResponse) -> None:
        for line in answer.headers.get_all("Set-Cookie", []):
            # Not by http.cookies, which drops names such as "path" and "$x".
            pair, *attributes = line.split(";")
            name, _, value = pair.partition("=")
            if any(map(_is_over, attributes)):
                self.cookies.pop(name.strip(), None)
            else:
                self.cookies[name.strip()] = value.strip()


def _is_over(attribute: str) -> bool:
    """Return whether an attribute of a cookie says that it is to be forgotten."""
    key, _, value = attribute.partition("=")
    age = value.strip()
    is_number = age.removeprefix("-").isdecimal()
    return key.strip().lower() == "max-age" and is_number and int(age) <= 0


class _Received:
    """What HTTPResponse takes for a socket."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _body(
    body: bytes | str, value: Any, form: Mapping[str, Any] | None
) -> tuple[str, bytes]:
    """Return the type and the bytes of a request's body."""
    if form is not None:
        return "application/x-www-form-urlencoded", urlencode(form, True).encode()
    if value is not None:
        return "application/json", json.dumps(value).encode()
    return "", body.encode() if isinstance(body, str) else body


def _run(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, bytes]) -> bytes:
    """Run a coroutine to its end, also when KeyboardInterrupt ends the loop."""
    task = loop.create_task(work)
    try:
        return loop.run_until_complete(task)
    finally:
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(task)


async def _exchange(
    loop: Any, connection: socket.socket, data: bytes, timeout: float
) -> bytes:
    """Send a request, and return what comes until the connection is closed."""
    received = bytearray()
    async with asyncio.timeout(timeout):
        sending = loop.create_task(loop.sock_sendall(connection, data))
        try:
            while piece := await loop.sock_recv(connection, 65536):
                received += piece
        except ConnectionResetError:
            pass
        finally:
            sending.cancel()  # an answer may come before all was taken
            await asyncio.wait([sending])
    return bytes(received)
