"""The cases of wire_cases.py over real sockets: whole, and cut into pieces."""

import asyncio
import re
import socket
from collections import Counter
from dataclasses import dataclass

import pytest
from wire_cases import CASES, post

AT_ONCE = 96  # of which each has two ends, both in this process
PATIENCE = 10.0  # seconds without what is waited for: it does not come
ENDS = 100  # bytes at each end of a long case that are cut into pieces

PROBE = post(b"still here?")
STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [\t -~]*")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~]*)")


class Wrong(Exception):
    """The server does not do what its case expects."""


def check(claim, otherwise):
    if not claim:
        raise Wrong(otherwise)


@dataclass
class Answer:
    status: int
    fields: dict[bytes, bytes]
    body: bytes

    @property
    def closes(self):
        return self.fields.get(b"connection") == b"close"


def has_content(status, method):
    if method == "CONNECT" and status < 300:
        return False
    return method != "HEAD" and status >= 200 and status not in (204, 304)


def content_length(status, fields, method):
    """Check what frames the answer (RFC 9112 6.3), and give the length of its body."""
    check(b"transfer-encoding" not in fields, "all answers here have a known length")
    given = fields.get(b"content-length")
    if not has_content(status, method) and method != "HEAD":
        check(given is None, f"{status} to {method} must not have a length")
        return 0
    check(given is not None and given.isdigit(), f"{given} is not a length")
    return 0 if method == "HEAD" else int(given)


def take_answer(received, method):
    """Take one answer from the front; None until it is whole."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(received[:end]).split(b"\r\n")
    line = STATUS_LINE.fullmatch(first)
    check(line, f"{first!r} is not a status line")
    found = [FIELD.fullmatch(line) for line in lines]
    check(all(found), f"one of {lines} is not a field")
    fields = {match[1].lower(): match[2] for match in found}
    check(len(fields) == len(lines), f"one of {lines} comes twice")
    status = int(line[1])
    check(status < 200 or b"date" in fields, f"{status} has no Date")
    end += 4
    whole = end + content_length(status, fields, method)
    if len(received) < whole:
        return None
    answer = Answer(status, fields, bytes(received[end:whole]))
    del received[:whole]
    return answer


class Connection(asyncio.Protocol):
    """Collects what the server sends; waits until something is true of that."""

    def __init__(self):
        self.received = bytearray()
        self.unread = bytearray()
        self.has_ended = False
        self.error = None
        self._news = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(
            socket.IPPROTO_TCP, socket.TCP_NODELAY, 1
        )

    def data_received(self, data):
        self.received += data
        self.unread += data
        self._news.set()

    def eof_received(self):
        self.has_ended = True
        self._news.set()
        return True  # our side stays open

    def connection_lost(self, error):
        self.error = error
        self.has_ended = True
        self._news.set()

    async def until(self, get):
        """Wait until `get` gives something; None when the server ended before."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not (result := get()) and not self.has_ended:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            self.transport.abort()
            raise Wrong("nothing more comes") from None
        return result

    async def answer(self, method="GET"):
        answer = await self.until(lambda: take_answer(self.unread, method))
        check(answer, f"no answer, but {self.error or 'the end'}")
        return answer

    async def probe(self):
        self.transport.write(PROBE)
        answer = await self.answer()
        check(answer.body == b"still here?", f"{answer.body!r} to a further request")


async def connect(port):
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


class Pulse:
    """Round trips on a connection of their own, shared by all who wait for one.

    The server reads ready connections in the order in which they became ready. So
    what was sent before a round trip began has been read, by itself, and has been
    answered if it asked for that, when the round trip is over: no pause is needed.
    """

    def __init__(self, connection):
        self._connection = connection
        self._lock = asyncio.Lock()
        self._next = None

    async def beat(self):
        """Wait for a round trip that begins after this call."""
        if self._next is None:
            self._next = asyncio.create_task(self._go_round())
        await self._next

    async def _go_round(self):
        async with self._lock:
            self._next = None
            await self._connection.probe()


def cut(data, size):
    """Cut into pieces, but the middle of what is long."""
    if size is None:
        return [data] if data else []
    ends = [(0, data)]
    middle = []
    if len(data) > 4 * ENDS:
        ends = [(0, data[:ENDS]), (len(data) - ENDS, data[-ENDS:])]
        middle = [(ENDS, data[ENDS:-ENDS])]
    pieces = [
        (start + at, part[at : at + size])
        for start, part in ends
        for at in range(0, len(part), size)
    ]
    return [piece for _, piece in sorted(pieces + middle)]


class Play:
    """One case on a connection of its own."""

    def __init__(self, case, connection, pulse):
        self.case = case
        self.connection = connection
        self.pulse = pulse
        self.answers = []
        self.last = None  # answer since the client has ended its side, if it has

    async def run(self, size):
        case = self.case
        for sent, answer in ((case.sent, case.answer), case.then or (b"", "")):
            await self.send(sent, size)
            for word in answer.split():
                await self.expect(word)
        self.check_contents()

    async def send(self, data, size):
        for piece in cut(data, size):
            if self.connection.has_ended:
                break
            self.connection.transport.write(piece)
            await self.pulse.beat()

    async def expect(self, word):
        if word == "quiet":
            await self.expect_quiet()
        elif word == "end":
            self.connection.transport.write_eof()
            self.last = None
        elif word == "open":
            self.check_open()
            await self.connection.probe()
        elif word == "closed":
            await self.expect_closed()
        else:
            await self.expect_answer(word)

    async def expect_answer(self, word):
        status, _, method = word.partition("/")
        if status.endswith("?"):
            if not self.connection.unread.startswith(b"HTTP/1.1 1"):
                return
            status = status[:-1]
        self.check_open()
        answer = await self.connection.answer(method or "GET")
        check(answer.status == int(status), f"{answer.status} in place of {status}")
        if answer.status >= 200:
            self.answers.append(answer)
            self.last = answer

    def check_open(self):
        closes = self.last is not None and self.last.closes
        check(not closes, "the answer before said that the connection closes")

    async def expect_quiet(self):
        await self.pulse.beat()
        await self.pulse.beat()
        check(not self.connection.has_ended, "closed while the client waits")
        check(not self.connection.unread, "answered while the client waits")

    async def expect_closed(self):
        connection = self.connection
        await connection.until(lambda: connection.unread)
        check(not connection.unread, f"{bytes(connection.unread)!r} at the end")
        check(connection.error is None, f"ended by {connection.error!r}")
        says_so = self.last is None or self.last.closes
        check(says_so, "the last answer does not say that the connection closes")

    def check_contents(self):
        case, received = self.case, bytes(self.connection.received)
        bodies = tuple(answer.body for answer in self.answers)
        wanted = (case.body,) if isinstance(case.body, bytes) else case.body or ()
        check(bodies[len(bodies) - len(wanted) :] == wanted, f"bodies {bodies}")
        check(case.shows in received, f"{case.shows!r} does not come")
        if case.never is not None:
            check(case.never not in received, f"{case.never!r} comes")


async def fault_of(case, size, port, pulse):
    """Play a case; say what is wrong, or nothing."""
    connection = await connect(port)
    try:
        await Play(case, connection, pulse).run(size)
        return None
    except Wrong as error:
        fault = error
    finally:
        connection.transport.abort()
    return (
        f"{case.name} [RFC {case.section}]: {fault}\n"
        f"    sent {shorten(case.sent)}, then {shorten(case.then)}\n"
        f"    expected {case.answer!r}, body {shorten(case.body)}\n"
        f"    received {shorten(bytes(connection.received))}"
    )


def shorten(data):
    text = repr(data)
    return text if len(text) < 500 else f"{text[:240]} ... {text[-240:]}"


async def faults_of_all(size, port):
    connection = await connect(port)
    pulse = Pulse(connection)
    gate = asyncio.Semaphore(AT_ONCE)

    async def play(case):
        async with gate:
            return await fault_of(case, size, port, pulse)

    faults = await asyncio.gather(*(play(case) for case in CASES))
    await connection.probe()  # after all that, the server still answers
    connection.transport.abort()
    return [fault for fault in faults if fault is not None]


def echo(res, req):
    body = bytearray()

    def on_data(res, chunk, is_end):
        body.extend(chunk)
        if is_end:
            res.end(bytes(body))

    res.on_data(on_data)


@pytest.fixture(scope="module")
def port(serve_for_module):
    def setup(app):
        app.any("/*", echo)
        app.any("/small", echo, max_body=8)

    return serve_for_module(setup).port


@pytest.mark.parametrize("size", [None, 1, 2, 3, 4, 5, 6, 7])
def test_each_case_has_its_answer_in_pieces_of_any_size(port, size, caplog):
    faults = asyncio.run(faults_of_all(size, port))
    assert not faults, f"{len(faults)} of {len(CASES)} cases:\n" + "\n".join(faults)
    assert not [x for x in caplog.records if x.name == "socketify_mw"]


def test_each_case_has_a_name_of_its_own():
    assert [name for name, n in Counter(x.name for x in CASES).items() if n > 1] == []
