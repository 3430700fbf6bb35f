"""StrictClient: reads answers by their framing alone, and forgives nothing."""

import re
import socket
from dataclasses import dataclass

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([2-9][0-9]{2}) ([^\r\n\0]*)")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\0]*)")
_SIZE = re.compile(rb"[1-9a-f][0-9a-f]{0,7}|0")


@dataclass
class StrictAnswer:
    status: int
    reason: str
    fields: list[tuple[str, str]]  # names as sent, values without space around
    body: bytes = b""
    is_last: bool = False  # the server said that it closes, or framed it by closing

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name]


class StrictClient:
    """A connection to `port` that takes `piece` bytes at a time.

    An answer that is cut off is EOFError, one that is wrong AssertionError.
    """

    def __init__(self, port: int, piece: int = 65536, buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(5)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect(("127.0.0.1", port))
        self._piece = piece
        self._held = bytearray()

    def __enter__(self) -> "StrictClient":
        return self

    def __exit__(self, *details: object) -> None:
        self.socket.close()

    def ask(
        self,
        method: str,
        target: str,
        *lines: str,
        body: bytes = b"",
        version: str = "1.1",
    ) -> None:
        head = [f"{method} {target} HTTP/{version}", "Host: a", *lines]
        if body:
            head.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join((*head, "", "")).encode("latin-1") + body)

    def read(self, method: str = "GET", *, is_old: bool = False) -> StrictAnswer:
        first, *lines = self._until(b"\r\n\r\n").split(b"\r\n")
        found = _STATUS_LINE.fullmatch(first)
        assert found, first
        answer = StrictAnswer(int(found[1]), found[2].decode("latin-1"), [])
        for line in lines:
            field = _FIELD_LINE.fullmatch(line)
            assert field, line
            value = field[2].decode("latin-1").strip(" \t")
            answer.fields.append((field[1].decode(), value))
        self._read_body(answer, method, is_old)
        return answer

    def _read_body(self, answer: StrictAnswer, method: str, is_old: bool) -> None:
        lengths = answer.all("content-length")
        codings = answer.all("transfer-encoding")
        connection = answer.all("connection")
        assert connection in ([], ["close"], ["keep-alive"])
        assert codings in ([], ["chunked"])
        assert len(lengths) <= 1 and not (lengths and codings)
        answer.is_last = connection == ["close"]
        has_none = answer.status in (204, 304)
        if has_none:
            assert not lengths and not codings
        if has_none or method == "HEAD":
            return
        if lengths:
            assert lengths[0].isascii() and lengths[0].isdigit()
            answer.body = self._exactly(int(lengths[0]))
        elif codings:
            assert not is_old
            answer.body = self._chunks()
        else:  # RFC 9112 6.3: the body ends with the connection
            assert answer.is_last
            answer.body = self._rest()

    def _chunks(self) -> bytes:
        body = bytearray()
        while True:
            line = self._until(b"\r\n")
            assert _SIZE.fullmatch(line), line
            size = int(line, 16)
            body += self._exactly(size)
            assert self._exactly(2) == b"\r\n"
            if size == 0:
                return bytes(body)

    def is_at_end(self) -> bool:
        """Wait for the end of the input; False when something else comes."""
        return not self._held and not self._receive()

    def _until(self, end: bytes) -> bytes:
        searched = 0
        while (place := self._held.find(end, searched)) < 0:
            searched = max(len(self._held) - len(end), 0)
            self._more()
        data = bytes(self._held[:place])
        del self._held[: place + len(end)]
        return data

    def _exactly(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        data = bytes(self._held[:count])
        del self._held[:count]
        return data

    def _rest(self) -> bytes:
        while self._receive():
            pass
        data = bytes(self._held)
        self._held.clear()
        return data

    def _more(self) -> None:
        if not self._receive():
            raise EOFError(f"the server closed behind {bytes(self._held[-200:])!r}")

    def _receive(self) -> bool:
        data = self.socket.recv(self._piece)
        self._held += data
        return bool(data)
