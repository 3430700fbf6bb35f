"""What the tests share: an app that serves in a thread, and a raw client."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import hypothesis
import pytest

from socketify_mw import App
from socketify_mw.loop import thread_loop

Setup = Callable[[App], object]

# The same examples in each run; `--hypothesis-profile=search` looks for others, and
# prints what repeats a failure.
hypothesis.settings.register_profile(
    "suite", deadline=None, derandomize=True, max_examples=100
)
hypothesis.settings.register_profile(
    "search", deadline=None, max_examples=1000, print_blob=True
)
hypothesis.settings.load_profile("suite")


def examples(share: float) -> hypothesis.settings:
    """Set how many examples a test tries, as a share of what the profile says."""
    count = round(share * hypothesis.settings().max_examples)
    return hypothesis.settings(max_examples=count)


@dataclass
class Answer:
    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> str | None:
        found = [value for key, value in self.fields if key == name.lower()]
        return found[0] if found else None


class Client:
    """A connection that sends bytes as given and reads answers one by one.

    address: a port, or the path of a unix socket.
    """

    def __init__(self, address: int | str) -> None:
        if isinstance(address, int):
            self.socket = socket.create_connection(("127.0.0.1", address), timeout=10)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(10)
            self.socket.connect(address)
        self._held = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, target: str = "/", method: str = "GET", *lines: str) -> Answer:
        head = "\r\n".join((f"{method} {target} HTTP/1.1", "Host: test", *lines))
        self.send(head.encode("latin-1") + b"\r\n\r\n")
        return self.read(has_body=method != "HEAD")

    def read(self, has_body: bool = True) -> Answer:
        while b"\r\n\r\n" not in self._held:
            self._held += self._more()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, reason = first.split(" ", 2)
        assert version == "HTTP/1.1"
        fields = [
            (k.lower(), v.strip()) for k, _, v in (x.partition(":") for x in lines)
        ]
        answer = Answer(int(status), reason, fields, b"")
        length = int(answer["content-length"] or 0) if has_body else 0
        while len(self._held) < length:
            self._held += self._more()
        answer.body, self._held = self._held[:length], self._held[length:]
        return answer

    def _more(self) -> bytes:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError(f"the server closed after {self._held[-200:]!r}")
        return data

    def is_closed_by_server(self) -> bool:
        """Wait for the end of the input; False when something else comes."""
        return self._held == b"" and self.socket.recv(1) == b""

    def close(self) -> None:
        self.socket.close()


@dataclass
class Server:
    """An app that runs in its own thread."""

    app: App
    port: int
    thread: threading.Thread
    clients: list[Client] = field(default_factory=list)

    def client(self, address: int | str | None = None) -> Client:
        client = Client(self.port if address is None else address)
        self.clients.append(client)
        return client

    def ask(self, *arguments: str) -> Answer:
        return self.client().ask(*arguments)

    def call(self, function: Callable[[], object]) -> object:
        """Run a function in the server's thread, and return what it returns."""
        done = threading.Event()
        result: list[object] = []

        def run() -> None:
            result.append(function())
            done.set()

        self.app._loop.call_soon_threadsafe(run)
        assert done.wait(10), "the server's loop does not answer"
        return result[0]

    def stop(self) -> None:
        for client in self.clients:
            client.close()
        with contextlib.suppress(RuntimeError):  # it is closed already
            self.app.close()
        self.thread.join(10)
        assert not self.thread.is_alive(), "the app does not stop"

    def stats(self) -> dict[str, int]:
        stats = self.call(self.app._loop.turns.native.stats)
        assert isinstance(stats, dict)
        return stats


@pytest.fixture(autouse=True, scope="session")
def close_the_main_threads_loop() -> Iterator[None]:
    yield
    thread_loop().close()


def _serve() -> Iterator[Callable[..., Server]]:
    """Give a function that serves an app, set up by the function it is given."""
    running: list[Server] = []

    def start(setup: Setup, **options: object) -> Server:
        ready = threading.Event()
        made: list[Server] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                app = App(**options)
                setup(app)
                app.listen(0, lambda it: made.append(Server(app, it.port, thread)))
                app._loop.call_soon(ready.set)
                app.run()
            except BaseException as error:
                failure.append(error)
                ready.set()
            finally:
                thread_loop().close()

        thread = threading.Thread(target=run)
        thread.start()
        assert ready.wait(10)
        if failure:
            thread.join()
            raise failure[0]
        running.append(made[0])
        return made[0]

    yield start
    for server in running:
        server.stop()


serve = pytest.fixture(_serve)
serve_for_module = pytest.fixture(_serve, scope="module")
