"""Clients of the fuzz test: many plans at once, in one thread, on plain sockets.

Each byte that comes is checked against the plan; see fuzz_plan.py.
"""

import heapq
import itertools
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator

from fuzz_plan import Exchange, Plan

PATIENCE = 30.0  # seconds for a plan: what is not over then hangs

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Wrong(Exception):
    """The server has said what it should not, or nothing."""


class Answers:
    """Reads answers from bytes as they come, and compares them with the plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.count = 0  # of complete answers
        self._held = bytearray()
        self._fields: dict[str, str] | None = None  # of the answer that comes
        self._body = bytearray()
        self._left = 0  # of the body, or of a chunk with the line's end behind it
        self._is_chunked = False
        self._is_refused = False  # a request without its end

    @property
    def is_last(self) -> bool:
        """Whether nothing more may come."""
        exchanges = self.plan.exchanges
        return (
            self.count == len(exchanges)
            or self._is_refused
            or (self.count > 0 and exchanges[self.count - 1].ending == "closed")
        )

    def feed(self, data: bytes) -> None:
        self._held += data
        while self._held:
            if self.is_last:
                raise Wrong(f"surplus bytes: {bytes(self._held[:200])!r}")
            if self._fields is None and not self._read_head():
                break
            if not (self._read_chunks() if self._is_chunked else self._read_body()):
                break
            if self._is_refused:
                self._check_refusal()
                continue
            self._check(self.plan.exchanges[self.count])
            self._fields = None
            self._body.clear()
            self.count += 1

    def end(self) -> None:
        """Check what has come of an answer that will not be complete."""
        if self._fields is None and not self._held:
            return
        if self._fields is None:
            if not b"HTTP/1.1 ".startswith(self._held[:9]):
                raise Wrong(f"no part of an answer: {bytes(self._held[:200])!r}")
            return
        it = self.plan.exchanges[self.count]
        self._check_fields(it)
        if not self._is_chunked:
            self._body += self._held
        if not it.answer.startswith(self._body):
            raise Wrong(f"part of a wrong body for {it.token}: {self._show(it)}")

    def _read_head(self) -> bool:
        head, end, rest = self._held.partition(b"\r\n\r\n")
        if not end:
            return False
        self._held = rest
        first, *lines = head.decode("latin-1").split("\r\n")
        if first == "HTTP/1.1 100 Continue":
            return self._read_head()
        version, status, _ = first.split(" ", 2)
        it = self.plan.exchanges[self.count]
        is_cut_short = status == "400" and self.plan.is_cut_short(self.count)
        if version != "HTTP/1.1" or int(status) != it.status and not is_cut_short:
            raise Wrong(f"{first!r} for {it.token}, which is to be {it.status}")
        self._is_refused = is_cut_short
        self._fields = {}
        for line in lines:
            name, _, value = line.partition(": ")
            name = name.lower()
            is_twice = name in self._fields and name != "x-more"
            is_foreign = name == "x-more" and value != it.token
            if is_twice or is_foreign or name not in _FIELDS:
                raise Wrong(f"the field {line!r} for {it.token}")
            self._fields[name] = value
        self._is_chunked = "transfer-encoding" in self._fields
        length = self._fields.get("content-length")
        has_length = length is not None or self._is_chunked
        if not has_length and it.method != "HEAD":
            raise Wrong(f"an answer without length for {it.token}")
        self._left = int(length or 0)
        if it.method == "HEAD":
            self._is_chunked, self._left = False, 0
        return True

    def _read_body(self) -> bool:
        if len(self._held) < self._left:
            return False
        self._body += self._held[: self._left]
        del self._held[: self._left]
        return True

    def _read_chunks(self) -> bool:
        """Take what is there; return whether the last chunk was."""
        while True:
            if self._left:  # of a chunk and its line's end
                taken = self._held[: self._left]
                del self._held[: self._left]
                self._left -= len(taken)
                self._body += taken
                if self._left:
                    return False
                if self._body[-2:] != b"\r\n":
                    raise Wrong("a chunk without its end")
                del self._body[-2:]
            line, end, rest = self._held.partition(b"\r\n")
            if not end:
                return False
            size = int(line, 16)
            if size == 0:
                if len(rest) < 2:
                    return False
                if rest[:2] != b"\r\n":
                    raise Wrong("bytes behind the last chunk")
                self._held = rest[2:]
                return True
            self._held = rest
            self._left = size + 2

    def _check(self, it: Exchange) -> None:
        self._check_fields(it)
        if it.ending == "cut":
            raise Wrong(f"a complete answer to {it.token}, which is to be cut off")
        if self._body != it.shown:
            raise Wrong(f"a wrong body for {it.token}: {self._show(it)}")
        is_told = self._fields is not None and "connection" in self._fields
        if it.ending == "closed" and not is_told:
            raise Wrong(f"{it.token} does not say that the connection will be closed")

    def _check_refusal(self) -> None:
        if self._body not in (b"", b"Bad Request"):
            raise Wrong(f"a refusal that says {bytes(self._body)!r}")
        self._fields = None

    def _check_fields(self, it: Exchange) -> None:
        assert self._fields is not None
        token = self._fields.get("x-token")
        if token != (it.token if it.says_token else None):
            raise Wrong(f"the token {token!r} for {it.token}")

    def _show(self, it: Exchange) -> str:
        body, wanted = self._body, it.shown
        pairs = enumerate(zip(body, wanted, strict=False))
        place = next((i for i, (a, b) in pairs if a != b), min(len(body), len(wanted)))
        there = slice(max(place - 20, 0), place + 40)
        return (
            f"{len(body)} bytes, {bytes(body[there])!r} at {place}; "
            f"not {len(wanted)} bytes, {wanted[there]!r}"
        )


_FIELDS = {
    "date",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "x-token",
    "x-more",
}


class Conversation:
    """One connection that follows its plan."""

    def __init__(self, plan: Plan, address: tuple[str, int], fleet: "Fleet") -> None:
        self.plan = plan
        self.fleet = fleet
        self.answers = Answers(plan)
        self.began = time.monotonic()
        self.is_over = False
        self._sent = 0
        self._stops = [*plan.cuts, (len(plan.wire), 0.0)]
        if plan.end in ("close", "reset", "half"):
            stops = [stop for stop in plan.cuts if stop[0] < plan.end_at]
            self._stops = [*stops, (plan.end_at, 0.0)]
        self._stop = 0  # which comes next
        self._is_waiting = False
        self._was_reset = False
        self._is_reading = not plan.starts_reading
        self._mask = 0
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if plan.buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, plan.buffer)
        self.socket.connect(address)  # loopback: it is there at once
        self.socket.setblocking(False)
        if not self._is_reading:
            fleet.call_later(plan.starts_reading, self._start_reading)

    def __repr__(self) -> str:
        held = bytes(self.answers._held[:200])
        return f"sent {self._sent} of {len(self.plan.wire)} bytes, has {held!r}"

    @property
    def _is_sending(self) -> bool:
        return self._stop < len(self._stops)

    def _start_reading(self) -> None:
        self._is_reading = True
        self.watch()

    def _go_on(self) -> None:
        self._is_waiting = False
        self.send()

    def watch(self) -> None:
        """Wait for what comes next."""
        if self.is_over:
            return
        mask = selectors.EVENT_READ if self._is_reading else 0
        if self._is_sending and not self._is_waiting:
            mask |= selectors.EVENT_WRITE
        self.fleet.watch(self, self._mask, mask)
        self._mask = mask

    def send(self) -> None:
        while self._is_sending and not self.is_over:
            place, pause = self._stops[self._stop]
            if self._sent < place:
                try:
                    self._sent += self.socket.send(self.plan.wire[self._sent : place])
                except BlockingIOError:
                    break
                except ConnectionError:  # read what was said before
                    self._was_reset = True
                    self._stop = len(self._stops)
                    self._is_reading = True
                    break
                if self._sent < place:
                    break
            self._stop += 1
            if not self._is_sending:
                self._end_sending()
            elif pause:
                self._is_waiting = True
                self.fleet.call_later(pause, self._go_on)
                break
        self.watch()

    def _end_sending(self) -> None:
        if self.plan.end in ("close", "reset"):
            self.close(self.plan.end == "reset")
        elif self.plan.end == "half":
            try:
                self.socket.shutdown(socket.SHUT_WR)
            except OSError:  # the server was faster
                return

    def receive(self) -> None:
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return
        except ConnectionError:
            self._was_reset = True
            data = b""
        plan = self.plan
        if not data:
            self._judge_end()
            self.close()
            return
        self.answers.feed(data)
        if plan.end == "leave" and self.answers.count >= plan.end_at:
            self.close(plan.seed % 2 == 0)
        elif self.answers.count == len(plan.exchanges) and (
            plan.exchanges[-1].ending != "closed"
        ):
            self.close()

    def _judge_end(self) -> None:
        """The server has ended the connection: had it to?"""
        answers, plan = self.answers, self.plan
        answers.end()
        if not plan.is_whole and plan.end != "leave":
            return
        done = plan.exchanges[: answers.count]
        if done and done[-1].ending in ("closed", "maybe"):
            return
        # A reset overtakes the answers that stand before what is cut off.
        behind = plan.exchanges[answers.count :]
        ends = [it.ending for it in (behind if self._was_reset else behind[:1])]
        if "cut" not in ends:
            raise Wrong(f"the server closed after {answers.count} answers")

    def close(self, is_reset: bool = False) -> None:
        if self.is_over:
            return
        self.is_over = True
        self.fleet.watch(self, self._mask, 0)
        if is_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.socket.close()


class Fleet:
    """Runs the conversations of many plans, some at a time.

    after: called now and then with the number of plans that are over.
    """

    def __init__(
        self,
        ports: list[int],
        at_once: int = 48,
        after: Callable[[int], object] = lambda count: None,
    ) -> None:
        self._addresses = [("127.0.0.1", port) for port in ports]
        self._at_once = at_once
        self._after = after
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._open: dict[int, Conversation] = {}
        self.count = 0
        self.answers = 0

    @property
    def names(self) -> list[str]:
        """Of the plans under way."""
        return [it.plan.name for it in self._open.values()]

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        entry = time.monotonic() + seconds, next(self._numbers), function
        heapq.heappush(self._timers, entry)

    def watch(self, it: Conversation, before: int, mask: int) -> None:
        if mask == before:
            return
        if not before:
            self._selector.register(it.socket, mask, it)
        elif mask:
            self._selector.modify(it.socket, mask, it)
        else:
            self._selector.unregister(it.socket)

    def run(self, plans: Iterable[Plan]) -> None:
        """Follow all plans; raises Wrong when a server does not."""
        waiting = iter(plans)
        try:
            self._fill(waiting)
            while self._open:
                self._turn()
                self._fill(waiting)
        finally:
            self._selector.close()
            for it in self._open.values():
                it.socket.close()

    def _fill(self, plans: Iterator[Plan]) -> None:
        """Let connections that are over make room for others."""
        for key in [key for key, it in self._open.items() if it.is_over]:
            self.answers += self._open.pop(key).answers.count
            self.count += 1
            if self.count % 1000 == 0:
                self._after(self.count)
        while len(self._open) < self._at_once:
            plan = next(plans, None)
            if plan is None:
                return
            it = Conversation(plan, self._addresses[plan.app], self)
            self._open[id(it)] = it
            self._guard(it, it.send)

    def _turn(self) -> None:
        now = time.monotonic()
        timeout = 0.5
        if self._timers:
            timeout = max(min(timeout, self._timers[0][0] - now), 0)
        events = self._selector.select(timeout)
        for key, mask in events:
            it = key.data
            if mask & selectors.EVENT_READ and not it.is_over:
                self._guard(it, it.receive)
            if mask & selectors.EVENT_WRITE and not it.is_over:
                self._guard(it, it.send)
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
        if not events:
            for it in self._open.values():
                if now - it.began > PATIENCE and not it.is_over:
                    count = it.answers.count
                    raise Wrong(f"{it.plan.name} hangs after {count} answers: {it}")

    def _guard(self, it: Conversation, function: Callable[[], None]) -> None:
        """Name the plan in whatever goes wrong."""
        try:
            function()
        except Exception as error:
            raise Wrong(f"{it.plan.name}: {error!r}") from error
