"""What is said about an answer is what the client gets; what a client sends is what
the handler reads: for any text, any bytes and any sizes.
"""

import json
from dataclasses import dataclass, field
from types import SimpleNamespace
from urllib.parse import quote, quote_from_bytes, unquote

import pytest
from conftest import examples
from hypothesis import example, given
from hypothesis import strategies as st
from strict_client import StrictClient

from socketify_mw import App

TOKEN = "!#$%&'*+-.^_`|~0123456789ABCXYZabcxyz"
TOKENS = st.text(TOKEN, min_size=1, max_size=8)
# What no field may hold is frequent here.
ANY_TEXT = st.text() | st.text(st.sampled_from('\r\n\0 ,;:=%"\\aä€\ud800\x0b\x85'))
ANY_BYTES = st.binary() | st.text(st.sampled_from("\r\n\0 :a\xff")).map(
    lambda text: text.encode("latin-1")
)
PLAIN_TEXT = st.text(
    st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=20
)


@pytest.fixture(scope="module")
def played(serve_for_module):
    """A server whose handler at /played calls what `handler` is set to."""
    play = SimpleNamespace()
    server = serve_for_module(
        lambda app: app.any("/played", lambda res, req: play.handler(res, req))
    )
    play.port = server.port
    return play


@pytest.fixture(scope="module")
def app():
    app = App()
    yield app
    app.close()


# ---- a model of the response ----

STATUSES = st.integers(200, 999) | st.sampled_from([200, 204, 205, 304, 404, 500])
REASONS = st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=9)
NAMES = TOKENS | st.sampled_from(
    ["Content-Type", "date", "Connection", "Content-Length", "TRANSFER-ENCODING"]
)
VALUES = PLAIN_TEXT | st.just("close")
UNICODE = st.text(st.characters(exclude_categories=["Cs"]))
PARTS = st.binary() | st.integers(0, 100_000).map(lambda size: b"m" * size)
MESSAGES = (
    st.none()
    | UNICODE
    | PARTS
    | st.lists(st.integers())
    | st.dictionaries(st.text("ab"), st.booleans() | st.floats(0, 1))
)
HEAD_STEPS = st.lists(
    st.tuples(st.just("write_status"), STATUSES)
    | st.tuples(st.just("write_status"), st.builds("{} {}".format, STATUSES, REASONS))
    | st.tuples(st.just("write_header"), NAMES, VALUES)
    | st.tuples(st.just("set_cookie"), TOKENS, st.text("ab-1")),
    max_size=6,
)
BODIES = (
    st.tuples(st.just("end"), MESSAGES, st.booleans())
    | st.tuples(st.just("write"), st.lists(PARTS, min_size=1), MESSAGES, st.booleans())
    | st.tuples(st.just("try_end"), PARTS, st.booleans())
    | st.tuples(st.just("send"), MESSAGES, NAMES, VALUES, STATUSES)
    | st.tuples(st.just("redirect"), st.text("/ab?=&"), STATUSES)
    | st.just(("raise",))
)


def say(res, steps, body):
    for name, *arguments in steps:
        getattr(res, name)(*arguments)
    match body:
        case "write", parts, last, closes:
            for part in parts:
                res.write(part)
            res.end(last, closes)
        case "try_end", data, closes:
            res.on_writable(lambda res, offset: res.try_end(data[offset:], len(data)))
            res.try_end(data, len(data), closes)
        case "send", message, name, value, status:
            res.send(message, "text/x", status, {name: value})
        case ("raise",):
            raise ZeroDivisionError
        case name, *arguments:
            getattr(res, name)(*arguments)


@dataclass
class Expected:
    """What the calls must lead to, by the documentation."""

    status: int = 200
    reason: str = ""  # nothing: the usual one
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    is_last: bool = False
    is_stream: bool = False

    def add_steps(self, steps):
        for step in steps:
            match step:
                case "write_status", int(status):
                    self.status, self.reason = status, ""
                case "write_status", text:
                    self.status, self.reason = int(text[:3]), text[4:]
                case "write_header", name, value:
                    self.add_field(name, value)
                case "set_cookie", name, value:
                    self.add_field("Set-Cookie", f"{name}={value}; Path=/")

    def add_field(self, name, value):
        if name.lower() == "connection":
            self.is_last |= value.strip(" \t").lower() == "close"
        elif name.lower() not in ("content-length", "transfer-encoding"):
            self.fields.append((name, value.strip(" \t")))

    def add_message(self, message):
        kind = None
        if isinstance(message, str):
            kind, message = "text/plain; charset=utf-8", message.encode()
        elif message is not None and not isinstance(message, bytes):
            kind, message = "application/json", json.dumps(message).encode()
        if kind and not self.has("content-type") and not self.is_stream:
            self.add_field("Content-Type", kind)
        self.body += message or b""

    def add_body(self, body):
        match body:
            case "end", message, closes:
                self.add_message(message)
                self.is_last |= closes
            case "write", parts, last, closes:
                self.is_stream = True
                self.body = b"".join(parts)
                self.add_message(last)
            case "try_end", data, closes:
                self.body = data
                self.is_last |= closes
            case "send", message, name, value, status:
                self.add_steps(
                    [("write_status", status), ("write_header", name, value)]
                )
                self.add_field("Content-Type", "text/x")
                self.add_message(message)
            case "redirect", location, status:
                self.add_steps([("write_status", status)])
                self.add_field("Location", location)
            case ("raise",):
                self.__init__(500, is_last=False)
                self.add_message("Internal Server Error")

    def has(self, name):
        return any(key.lower() == name for key, _ in self.fields)

    def adjust(self, method, is_old):
        """Take in what the request says about its answer."""
        self.is_last |= is_old
        if method == "HEAD" or self.status in (204, 205, 304):
            self.body = b""


@examples(6)
@given(HEAD_STEPS, BODIES, st.sampled_from(["GET", "HEAD", "POST"]), st.booleans())
def test_what_is_said_is_what_comes(played, steps, body, method, is_old):
    played.handler = lambda res, req: say(res, steps, body)
    expected = Expected()
    expected.add_steps(steps)
    expected.add_body(body)
    expected.adjust(method, is_old)
    with StrictClient(played.port) as client:
        client.ask(method, "/played", version="1.0" if is_old else "1.1")
        answer = client.read(method, is_old=is_old)
        closes = expected.is_last
        if body[0] == "write":  # its end is said behind the head
            closes |= body[3]
        else:
            assert answer.is_last == closes
        if closes:
            assert client.is_at_end()
        else:
            client.ask(method, "/played")
            again = client.read(method)
            # Between the two a second may begin, which Date tells.
            assert without_date(again) == without_date(answer)
    assert answer.status == expected.status
    assert answer.reason == expected.reason or not expected.reason
    own = ["content-length", "transfer-encoding", "connection"]
    if not expected.has("date"):
        own.append("date")
        assert len(answer.all("date")) == 1
    got = [pair for pair in answer.fields if pair[0].lower() not in own]
    assert got == expected.fields
    assert answer.body == expected.body


def without_date(answer):
    fields = [pair for pair in answer.fields if pair[0].lower() != "date"]
    return answer.status, answer.reason, fields, answer.body, answer.is_last


# ---- nothing breaks out of the head ----


def ask(played, handler):
    """Return the answer of a handler, and its ValueError if that was what it raised."""
    errors = []

    def guarded(res, req):
        try:
            handler(res)
        except ValueError as error:
            errors.append(error)
            raise

    played.handler = guarded
    with StrictClient(played.port) as client:
        client.ask("GET", "/played")
        answer = client.read()
        client.ask("GET", "/played")  # behind that answer there is nothing else
        assert client.read().status == answer.status
    if errors:
        assert answer.status == 500 and answer.body == b"Internal Server Error"
        assert [name for name, _ in answer.fields] == [
            *("Content-Type", "Content-Length", "Date")
        ]
    return answer, bool(errors)


def as_latin1(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value


OWN_FIELDS = ("connection", "content-length", "transfer-encoding")


@examples(4)
@given(TOKENS | ANY_TEXT | ANY_BYTES, ANY_TEXT | ANY_BYTES)
@example("X-A", "a\r\n\r\nHTTP/1.1 200 OK\r\n")
def test_a_header_comes_as_it_was_written_or_is_refused(played, name, value):
    answer, is_refused = ask(played, lambda res: res.write_header(name, value).end())
    if not is_refused and as_latin1(name).lower() not in OWN_FIELDS:
        got = answer.fields[0]
        assert got == (as_latin1(name), as_latin1(value).strip(" \t"))


@examples(2)
@given(st.integers(200, 999), ANY_TEXT | ANY_BYTES)
def test_a_reason_comes_as_it_was_written_or_is_refused(played, status, reason):
    text = f"{status} {as_latin1(reason)}"
    answer, is_refused = ask(played, lambda res: res.write_status(text).end())
    if not is_refused:
        assert answer.status == status
        assert answer.reason == text.strip(" \t\v\f\r\n")[4:] or len(text.strip()) == 3


@examples(2)
@given(ANY_TEXT | ANY_BYTES)
def test_any_status_is_three_digits_or_refused(played, text):
    ask(played, lambda res: res.write_status(text).end())


@examples(2)
@given(ANY_TEXT)
def test_a_redirect_leads_to_what_was_given_percent_encoded(played, location):
    answer, is_refused = ask(played, lambda res: res.redirect(location))
    if not is_refused:
        (got,) = answer.all("location")
        assert got.isascii() and " " not in got
        assert unquote(got) == unquote(location)


@examples(3)
@given(
    TOKENS | ANY_TEXT,
    ANY_TEXT,
    st.dictionaries(st.sampled_from(["path", "domain", "expires"]), ANY_TEXT),
)
def test_a_cookie_is_one_line_or_refused(played, name, value, options):
    answer, is_refused = ask(
        played, lambda res: res.set_cookie(name, value, options).end()
    )
    if not is_refused:
        (line,) = answer.all("set-cookie")
        pair, *attributes = line.split("; ")
        key, _, text = pair.partition("=")
        assert (key, unquote(text)) == (name, value)
        said = dict(part.split("=", 1) for part in attributes)
        wanted = {"Path": "/"} | {key.title(): it for key, it in options.items()}
        assert {k: v.strip() for k, v in said.items()} == {
            k: v.strip() for k, v in wanted.items()
        }


# ---- what a client says ----


@pytest.fixture(scope="module")
def shown(app):
    """A test client of an app that keeps what `reader` finds in a request."""
    show = SimpleNamespace()

    def handler(res, req):
        show.found = show.reader(req)
        res.end()

    def bake(res, req):
        for name, value in show.cookies.items():
            res.set_cookie(name, value)
        res.end()

    app.any("/bake", bake)
    app.any("/p/:first/:second", handler).any("/*", handler).any("/", handler)

    def read(reader, url="/", **options):
        show.reader = reader
        show.found = None
        answer = show.client.request("GET", url, **options)
        assert answer.status == 200, answer.reason
        return show.found

    show.read = read
    show.client = app.test_client()
    return show


# Surrogates have no UTF-8.
ENCODABLE = UNICODE | st.text(st.sampled_from("%+&=;?#/ aä€\0\r\n"))


@examples(2)
@given(st.dictionaries(TOKENS, ENCODABLE, max_size=5))
@example({"path": "a", "$x": "b", "Max-Age": "0"})
def test_cookies_come_back_as_they_were_set(shown, cookies):
    shown.client.cookies.clear()
    shown.cookies = cookies
    shown.client.get("/bake")
    assert shown.read(lambda req: req.get_cookies()) == cookies
    for name, value in cookies.items():
        assert shown.read(lambda req, name=name: req.get_cookie(name)) == value


@examples(3)
@given(st.lists(st.tuples(ENCODABLE, ENCODABLE), min_size=1, max_size=5), ENCODABLE)
def test_queries_come_as_they_were_encoded(shown, pairs, other):
    url = "/?" + "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in pairs)
    wanted = {}
    for key, value in pairs:
        wanted.setdefault(key, []).append(value)
    keys = [other, *wanted, *(quote(key) for key in wanted)]
    queries, firsts = shown.read(
        lambda req: (req.get_queries(), [req.get_query(key) for key in keys]), url
    )
    assert queries == wanted
    assert firsts == [wanted.get(key, [None])[0] for key in keys]


@examples(2)
@given(ENCODABLE, ENCODABLE)
def test_parameters_come_as_they_were_encoded(shown, first, second):
    # An empty segment is no parameter, and dots are for the client to resolve.
    texts = [text or "-" for text in (first, second)]
    url = "/p/" + "/".join(quote(text, safe="") for text in texts)
    found = shown.read(
        lambda req: (
            req.get_parameters(),
            [req.get_parameter("first"), req.get_parameter("second")],
            [req.get_parameter(0), req.get_parameter(1)],
        ),
        url,
    )
    assert found == (texts, texts, texts)


# What a target may hold, and what looks like an escape.
TARGETS = st.text(st.characters(min_codepoint=33, max_codepoint=126)) | st.text(
    st.sampled_from("%%%afE9+=&;?/")
)


@examples(3)
@given(TARGETS, st.binary(max_size=9), PLAIN_TEXT)
def test_no_bytes_of_a_client_make_a_reader_raise(played, target, data, value):
    failures = []

    def handler(res, req):
        try:
            read_all(req)
        except Exception as error:
            failures.append(error)
            raise
        res.end("read")

    played.handler = handler
    url = f"/played?{target}&{quote_from_bytes(data)}".replace("#", "")
    with StrictClient(played.port) as client:
        client.ask("GET", url, f"Cookie: a={value}; {value}=1", f"X-A: {value}")
        answer = client.read()
    assert failures == []
    assert answer.body == b"read" or answer.status == 400


def read_all(req):
    queries = req.get_queries()
    for key, values in queries.items():
        assert req.get_query(key) == values[0]
    assert req.get_headers().get_all("x-a") == [req.get_header("x-a")]
    for name, value in req.get_cookies().items():
        assert req.get_cookie(name) == value
    assert req.get_full_url().startswith(req.get_url())
    req.get_parameters()


# ---- bodies in parts ----


SIZES = (
    st.integers(0, 20)
    | st.sampled_from([16_384, 16_385, 65_536])
    | st.integers(300_000, 2_000_000)  # more than goes at once
)
READERS = st.tuples(st.sampled_from([700, 5_000, 65_536]), st.sampled_from([0, 4096]))


def pattern(sizes):
    """Return parts of these sizes, in which every place is told from its neighbours."""
    whole = bytes(i % 251 for i in range(sum(sizes) % 251 + 251)) * (
        sum(sizes) // 251 + 1
    )
    parts, start = [], 0
    for size in sizes:
        parts.append(whole[start : start + size])
        start += size
    return parts


async def send_by_write(res, parts):
    for part in parts:
        res.write(part)
        await res.drain()
    res.end()


async def send_by_chunks(res, parts):
    total = sum(map(len, parts))
    for part in parts:
        _, is_done = await res.send_chunk(part, total)
    assert is_done


async def send_by_try_end(res, parts):
    whole = b"".join(parts)
    offered = iter(parts)
    bound = 0

    def go_on(res, offset):
        nonlocal bound
        is_done = False
        while not is_done:
            if offset == bound:
                bound += len(next(offered, b""))
            has_taken, is_done = res.try_end(whole[offset:bound], len(whole))
            offset = res.get_write_offset() if not is_done else offset
            if not has_taken:
                return

    res.on_writable(go_on)
    go_on(res, 0)


@examples(1)
@given(
    st.sampled_from([send_by_write, send_by_chunks, send_by_try_end]),
    st.lists(SIZES, min_size=1, max_size=6),
    READERS,
)
def test_a_body_in_parts_comes_whole_to_fast_and_slow_readers(
    played, send, sizes, reader
):
    parts = pattern(sizes)
    played.handler = lambda res, req: res.run_async(send(res, parts))
    piece, buffer = reader
    with StrictClient(played.port, piece, buffer) as client:
        for _ in range(2):  # the next answer begins where this one ends
            client.ask("GET", "/played")
            assert client.read().body == b"".join(parts)
