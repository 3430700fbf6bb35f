"""What a client may send, byte by byte, and what the RFCs have a server answer.

A case ends with what becomes of the connection; the words are explained at `Case`.
Where an RFC leaves a choice the table states ours, which is the strict one: whatever
two programs could read in two ways is refused.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """Bytes to send, and the words that tell what comes back, in order:

    200        an answer with this status
    200/HEAD   the same, to a request with this method, which settles its framing
    100?       this interim answer, or nothing in its place
    quiet      nothing, and the connection stays open
    end        not an answer: here the client ends its side
    open       the connection serves a further request, whose answer is next
    closed     the server ends the connection, and has said that it would
    """

    name: str
    section: str  # of the RFC
    sent: bytes
    answer: str
    body: bytes | tuple[bytes, ...] | None = None  # of the last answers
    shows: bytes = b""  # must come
    never: bytes | None = None  # must not come
    then: tuple[bytes, str] | None = None  # sent when `answer` has come; its own answer


# ---- how requests are made ----


def lines(*given: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in given) + b"\r\n"


def first(line: bytes) -> bytes:
    """A request with this request line."""
    return lines(line, b"Host: a")


def get(*fields: bytes) -> bytes:
    return lines(b"GET / HTTP/1.1", b"Host: a", *fields)


def old(*fields: bytes) -> bytes:
    return lines(b"GET / HTTP/1.0", *fields)


def post(body: bytes, *fields: bytes) -> bytes:
    length = b"Content-Length: %d" % len(body)
    return lines(b"POST / HTTP/1.1", b"Host: a", length, *fields) + body


def framed(*fields: bytes) -> bytes:
    """The head of a POST with the fields alone that it is given."""
    return lines(b"POST / HTTP/1.1", b"Host: a", *fields)


CHUNKED = framed(b"Transfer-Encoding: chunked")
HELLO = b"5\r\nhello\r\n0\r\n\r\n"
EVIL = lines(b"POST /evil HTTP/1.1", b"Host: a", b"Content-Length: 4") + b"EVIL"


# ---- how cases are made ----


def case(name: str, section: str, sent: bytes, status: int, body: bytes = b"") -> Case:
    """A request that is served, or refused with whatever stands behind it."""
    if status == 200:
        return Case(name, section, sent, "200 open", body)
    return Case(name, section, sent + EVIL, f"{status} closed", never=b"EVIL")


def method(name: str, text: bytes, status: int) -> Case:
    return case(f"method-{name}", "9110 9.1", first(text + b" / HTTP/1.1"), status)


def line(name: str, text: bytes, status: int) -> Case:
    return case(f"line-{name}", "9112 3", first(text), status)


def version(name: str, text: bytes, status: int) -> Case:
    return case(f"version-{name}", "9112 2.3", first(b"GET / " + text), status)


def target(
    name: str, section: str, text: bytes, status: int, method: bytes = b"GET"
) -> Case:
    sent = first(b"%b %b HTTP/1.1" % (method, text))
    return case(f"target-{name}", section, sent, status)


def connect(name: str, text: bytes, status: int) -> Case:
    sent = first(b"CONNECT %b HTTP/1.1" % text)
    if status != 200:
        return case(f"connect-{name}", "9112 3.2.3", sent, status)
    # What follows belongs to the tunnel, which this server does not open.
    answer = "200/CONNECT closed"
    return Case(f"connect-{name}", "9110 9.3.6", sent + EVIL, answer, b"", b"", b"EVIL")


def host(name: str, value: bytes, status: int, section: str = "9112 3.2") -> Case:
    sent = lines(b"GET / HTTP/1.1", b"Host:" + value)
    return case(f"host-{name}", section, sent, status)


def field(name: str, text: bytes, status: int, section: str = "9112 5") -> Case:
    """A line between two others."""
    return case(f"field-{name}", section, get(b"X: 1", text, b"Y: 2"), status)


def length(name: str, value: bytes, status: int, section: str = "9110 8.6") -> Case:
    sent = framed(b"Content-Length:" + value) + b"hello"
    return case(f"length-{name}", section, sent, status, b"hello")


def coding(name: str, value: bytes, status: int, section: str = "9112 6.1") -> Case:
    sent = framed(b"Transfer-Encoding:" + value) + HELLO
    return case(f"coding-{name}", section, sent, status, b"hello")


def chunks(name: str, text: bytes, status: int, body: bytes = b"hello") -> Case:
    return case(f"chunked-{name}", "9112 7.1", CHUNKED + text, status, body)


def size(name: str, text: bytes, status: int) -> Case:
    """A chunk of five bytes whose size is written like this."""
    return chunks(f"size-{name}", text + b"\r\nhello\r\n0\r\n\r\n", status)


def extension(name: str, text: bytes, status: int) -> Case:
    sent = CHUNKED + b"5%b\r\nhello\r\n0\r\n\r\n" % text
    return case(f"extension-{name}", "9112 7.1.1", sent, status, b"hello")


def trailer(name: str, text: bytes, status: int) -> Case:
    sent = CHUNKED + b"5\r\nhello\r\n0\r\n%b\r\n" % text
    return case(f"trailer-{name}", "9112 7.1.2", sent, status, b"hello")


def persists(name: str, sent: bytes) -> Case:
    return Case(f"persist-{name}", "9112 9.3", sent + get(), "200 200 open")


def closes(name: str, sent: bytes) -> Case:
    # RFC 9112 9.6: what is behind a request that closes is not processed.
    answer = "200 closed"
    return Case(f"close-{name}", "9112 9.6", sent + EVIL, answer, never=b"EVIL")


def expects(name: str, value: bytes, status: int) -> Case:
    """A client that waits for 100 with its body, or is refused."""
    sent = framed(b"Expect:" + value, b"Content-Length: 5")
    if status != 100:
        return case(f"expect-{name}", "9110 10.1.1", sent, status)
    then = (b"hello", "200 open")
    return Case(f"expect-{name}", "9110 10.1.1", sent, "100", b"hello", then=then)


def incomplete(name: str, sent: bytes) -> Case:
    return Case(f"incomplete-{name}", "9112 8", sent, "quiet end closed")


def cut_off(name: str, sent: bytes) -> Case:
    # RFC 9112 8: a server may answer before it closes; ours does in a body.
    return Case(f"cut-off-{name}", "9112 8", sent, "quiet end 400 closed")


# ---- methods: any token names one, and case matters ----

METHODS = [
    *(
        method(text.decode().lower(), text, 200)
        for text in (b"GET", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE")
    ),
    method("lower-case-is-another-one", b"get", 200),
    method("unknown", b"PURGE", 200),
    method("of-one-letter", b"x", 200),
    method("of-all-token-characters", b"!#$%&'*+-.^_`|~09azAZ", 200),
    method("of-100-letters", b"M" * 100, 200),
    method("empty", b"", 400),
    method("with-parenthesis", b"GE(T", 400),
    method("with-colon", b"GET:", 400),
    method("with-at-sign", b"G@T", 400),
    method("with-slash", b"GET/", 400),
    method("with-quotes", b'"GET"', 400),
    method("with-nul", b"GE\0T", 400),
    method("with-delete", b"GET\x7f", 400),
    method("with-obs-text", b"G\xc9T", 400),
    method("with-byte-order-mark", b"\xef\xbb\xbfGET", 400),
]

# ---- the request line: one space between its parts, CRLF at its end ----

REQUEST_LINES = [
    line("with-two-spaces-before-target", b"GET  / HTTP/1.1", 400),
    line("with-two-spaces-before-version", b"GET /  HTTP/1.1", 400),
    line("with-space-in-front", b" GET / HTTP/1.1", 400),
    line("with-space-at-end", b"GET / HTTP/1.1 ", 400),
    line("with-space-in-target", b"GET /a b HTTP/1.1", 400),
    line("with-tab-before-target", b"GET\t/ HTTP/1.1", 400),
    line("with-tab-before-version", b"GET /\tHTTP/1.1", 400),
    line("with-vertical-tab", b"GET\v/ HTTP/1.1", 400),
    line("with-form-feed", b"GET /\fHTTP/1.1", 400),
    line("with-nul-at-end", b"GET / HTTP/1.1\0", 400),
    line("with-bare-cr-before-target", b"GET\r/ HTTP/1.1", 400),
    line("with-bare-cr-at-end", b"GET / HTTP/1.1\r", 400),
    line("with-method-alone", b"GET", 400),
    line("without-target", b"GET HTTP/1.1", 400),
    line("without-version", b"GET /", 400),
    line("with-four-words", b"GET / / HTTP/1.1", 400),
    line("of-white-space", b" \t ", 400),
    line("of-an-answer", b"HTTP/1.1 200 OK", 400),
    # RFC 9112 2.2 lets a recipient take a bare LF for the end; we do not.
    line("ended-by-lf", b"GET / HTTP/1.1\nX: 1", 400),
    line("ended-by-cr", b"GET / HTTP/1.1\rX: 1", 400),
    line("ended-by-lfcr", b"GET / HTTP/1.1\n\rX: 1", 400),
    line("ended-by-crcrlf", b"GET / HTTP/1.1\r\r\nX: 1", 400),
    line("of-8192-bytes", b"GET /%b HTTP/1.1" % (b"a" * 8178), 200),
    line("of-8193-bytes", b"GET /%b HTTP/1.1" % (b"a" * 8179), 414),
    line("with-a-long-query", b"GET /?%b HTTP/1.1" % (b"q" * 8178), 414),
    # RFC 9112 3 has 501 for a long method, but it is the line that is too long.
    line("with-a-long-method", b"M" * 8193 + b" / HTTP/1.1", 414),
    Case("line-without-end", "9112 3", b"GET /" + b"a" * 9000, "414 closed"),
]

# ---- versions ----

VERSIONS = [
    Case("version-1.0", "9112 2.3", first(b"GET / HTTP/1.0"), "200 closed"),
    version("1.1", b"HTTP/1.1", 200),
    # RFC 9110 2.5: a higher minor version is the highest that is known.
    version("1.2", b"HTTP/1.2", 200),
    version("1.9", b"HTTP/1.9", 200),
    version("0.9", b"HTTP/0.9", 505),
    version("2.0", b"HTTP/2.0", 505),
    version("3.1", b"HTTP/3.1", 505),
    version("9.9", b"HTTP/9.9", 505),
    version("without-minor", b"HTTP/1", 400),
    version("of-http-2-without-minor", b"HTTP/2", 400),
    version("without-number", b"HTTP/", 400),
    version("with-two-digit-minor", b"HTTP/1.10", 400),
    version("with-two-digit-major", b"HTTP/01.1", 400),
    version("with-three-parts", b"HTTP/1.1.1", 400),
    version("with-comma", b"HTTP/1,1", 400),
    version("with-letter", b"HTTP/1.x", 400),
    version("with-sign", b"HTTP/+1.1", 400),
    version("with-superscript", b"HTTP/1.\xb9", 400),
    version("with-space", b"HTTP/ 1.1", 400),
    version("in-lower-case", b"http/1.1", 400),
    version("of-another-protocol", b"HTTPS/1.1", 400),
    version("of-the-same-length", b"ICAP/1.1", 400),
]

# ---- targets: origin-form ----

ORIGIN_FORMS = [
    target("root", "9112 3.2.1", b"/", 200),
    target("with-query", "9112 3.2.1", b"/a?b=c&d", 200),
    target("with-empty-query", "3986 3.4", b"/?", 200),
    target("with-question-mark-in-query", "3986 3.4", b"/a?b?c/d", 200),
    target("with-two-slashes", "3986 3.3", b"//a/b", 200),
    target("with-dots", "3986 3.3", b"/a/../../b", 200),
    target("with-all-path-characters", "3986 3.3", b"/-._~!$&'()*+,;=:@az09", 200),
    target("with-percent-encoding", "3986 2.1", b"/%e2%82%AC", 200),
    target("with-encoded-line-ends", "3986 2.1", b"/%0d%0aX:%20y%0d%0a%0d%0a", 200),
    target("with-encoded-nul", "3986 2.1", b"/%00", 200),
    # Not in the grammar, but what browsers send; none of them ends a target.
    target("with-unwise-characters", "3986 3.3", b'/"<>[]\\^`{|}', 200),
    # The core takes no octet for another: decoding is left to the application.
    target("with-half-an-octet", "3986 2.1", b"/%a", 200),
    target("with-wrong-octet", "3986 2.1", b"/%zz", 200),
    target("with-fragment", "9112 3.2", b"/a#b", 400),
    target("with-empty-fragment", "9112 3.2", b"/#", 400),
    target("with-fragment-behind-query", "9112 3.2", b"/?a#b", 400),
    target("with-latin-1", "3986 2", b"/caf\xe9", 400),
    target("with-utf-8", "3986 2", b"/\xe2\x82\xac", 400),
    target("with-byte-ff", "3986 2", b"/\xff", 400),
    target("with-nul", "3986 2", b"/a\0b", 400),
    target("with-tab", "3986 2", b"/a\tb", 400),
    target("with-bare-cr", "9112 2.2", b"/a\rb", 400),
    target("with-escape", "3986 2", b"/\x1b[2J", 400),
    target("with-delete", "3986 2", b"/\x7f", 400),
    target("without-slash", "9112 3.2", b"a", 400),
    target("of-a-query-alone", "9112 3.2", b"?a", 400),
    target("of-a-dot", "9112 3.2", b".", 400),
    target("of-a-backslash", "9112 3.2", b"\\a", 400),
]

# ---- targets: absolute-form ----

ABSOLUTE_FORMS = [
    target("absolute", "9112 3.2.2", b"http://a/b?c", 200),
    target("absolute-with-another-host", "9112 3.2.2", b"http://other.example/", 200),
    target("absolute-without-path", "9112 3.2.2", b"http://a", 200),
    target("absolute-without-path-with-query", "9112 3.2.2", b"http://a?b", 200),
    target("absolute-with-port", "3986 3.2.3", b"http://a:80/", 200),
    target("absolute-with-empty-port", "3986 3.2.3", b"http://a:/", 200),
    target("absolute-with-scheme-in-capitals", "3986 3.1", b"HTTP://A/", 200),
    target("absolute-with-https", "9110 4.2.2", b"https://a/", 200),
    target("absolute-with-ipv4", "3986 3.2.2", b"http://127.0.0.1:8080/", 200),
    target("absolute-with-ipv6", "3986 3.2.2", b"http://[::1]:8080/", 200),
    target("absolute-with-encoded-host", "3986 3.2.2", b"http://%61/", 200),
    target("absolute-in-post", "9112 3.2.2", b"http://a/", 200, b"POST"),
    target("absolute-with-empty-host", "9110 4.2.1", b"http:///a", 400),
    target("absolute-with-port-alone", "9110 4.2.1", b"http://:80/", 400),
    target("absolute-of-scheme-alone", "9110 4.2.1", b"http://", 400),
    target("absolute-with-query-alone", "9110 4.2.1", b"http://?a", 400),
    target("absolute-with-one-slash", "9110 4.2.1", b"http:/a", 400),
    target("absolute-with-user", "9110 4.2.4", b"http://user@a/", 400),
    target("absolute-with-password", "9110 4.2.4", b"http://user:pass@a/", 400),
    target("absolute-with-empty-user", "9110 4.2.4", b"http://@a/", 400),
    target("absolute-with-letters-as-port", "3986 3.2.3", b"http://a:b/", 400),
    target("absolute-with-signed-port", "3986 3.2.3", b"http://a:-80/", 400),
    target("absolute-with-two-ports", "3986 3.2.3", b"http://a:80:80/", 400),
    target("absolute-with-open-bracket", "3986 3.2.2", b"http://[::1/", 400),
    target("absolute-with-name-in-brackets", "3986 3.2.2", b"http://[name]/", 400),
    target("absolute-with-backslash", "3986 3.2.2", b"http://a\\b/", 400),
    target("absolute-with-wrong-octet", "3986 3.2.2", b"http://%6/", 400),
    target("absolute-with-fragment", "9112 3.2", b"http://a/#b", 400),
    # Only the two schemes that this server can be the origin of (RFC 9110 7.4).
    target("absolute-with-ftp", "9110 7.4", b"ftp://a/", 400),
    target("absolute-with-file", "9110 7.4", b"file:///etc/passwd", 400),
    target("absolute-with-javascript", "9110 7.4", b"javascript:alert(1)", 400),
    case("absolute-without-host", "9112 3.2", lines(b"GET http://a/ HTTP/1.1"), 400),
    case(
        "absolute-with-bad-host",
        "9112 3.2",
        lines(b"GET http://a/ HTTP/1.1", b"Host: b c"),
        400,
    ),
]

# ---- targets: authority-form and asterisk-form ----

OTHER_FORMS = [
    connect("to-name-and-port", b"a.example:443", 200),
    connect("to-ipv4", b"127.0.0.1:443", 200),
    connect("to-ipv6", b"[::1]:443", 200),
    connect("to-name-alone", b"a.example", 400),
    connect("to-empty-port", b"a.example:", 400),
    connect("to-port-alone", b":443", 400),
    connect("to-ipv6-without-port", b"[::1]", 400),
    connect("to-ipv6-without-brackets", b"::1:443", 400),
    connect("to-path", b"/", 400),
    connect("to-absolute-form", b"http://a:80/", 400),
    connect("to-asterisk", b"*", 400),
    connect("with-user", b"user@a:443", 400),
    connect("with-path", b"a:443/b", 400),
    connect("with-letters-as-port", b"a:https", 400),
    target("authority-in-get", "9112 3.2.3", b"a.example:80", 400),
    target("asterisk-in-options", "9112 3.2.4", b"*", 200, b"OPTIONS"),
    target("asterisk-in-get", "9112 3.2.4", b"*", 400),
    target("asterisk-in-lower-case-options", "9112 3.2.4", b"*", 400, b"options"),
    target("asterisk-and-more", "9112 3.2.4", b"*/", 400, b"OPTIONS"),
    target("two-asterisks", "9112 3.2.4", b"**", 400, b"OPTIONS"),
    target("path-in-options", "9110 9.3.7", b"/a", 200, b"OPTIONS"),
    target("absolute-in-options", "9112 3.2.4", b"http://a", 200, b"OPTIONS"),
]

# ---- Host: exactly one, and an authority without user ----

HOSTS = [
    host("with-name", b" a.example", 200),
    host("without-space", b"a", 200),
    host("with-much-white-space", b" \t a \t ", 200),
    host("with-port", b" a:8080", 200),
    host("with-empty-port", b" a:", 200, "3986 3.2.3"),
    # The grammar sets ports no bound.
    host("with-high-port", b" a:99999", 200, "3986 3.2.3"),
    host("with-ipv4", b" 192.0.2.1:80", 200),
    host("with-ipv6", b" [2001:db8::1]", 200),
    host("with-ipv6-and-port", b" [::1]:8080", 200),
    host("with-ipv4-in-ipv6", b" [::ffff:192.0.2.1]", 200),
    host("with-future-address", b" [v1.a:b]", 200, "3986 3.2.2"),
    host("with-all-name-characters", b" -._~!$&'()*+,;=az09%2f", 200, "3986 3.2.2"),
    # What a client must send when its target has no authority.
    host("empty", b"", 200),
    host("of-white-space", b" \t", 200),
    host("with-space-inside", b" a b", 400),
    host("with-tab-inside", b" a\tb", 400),
    host("with-path", b" a/b", 400),
    host("with-query", b" a?b", 400),
    host("with-fragment", b" a#b", 400),
    host("with-user", b" user@a", 400),
    host("with-scheme", b" http://a", 400),
    host("with-backslash", b" a\\b", 400),
    host("with-quotes", b' "a"', 400),
    host("with-latin-1", b" caf\xe9", 400),
    host("with-utf-8", b" caf\xc3\xa9", 400),
    host("with-nul", b" a\0b", 400),
    host("with-wrong-octet", b" a%zz", 400, "3986 2.1"),
    host("with-half-an-octet", b" a%4", 400, "3986 2.1"),
    host("with-letters-as-port", b" a:b", 400),
    host("with-signed-port", b" a:+80", 400),
    host("with-two-ports", b" a:80:80", 400),
    host("with-space-before-port", b" a :80", 400),
    host("with-bare-ipv6", b" ::1", 400),
    host("with-empty-brackets", b" []", 400),
    host("with-open-bracket", b" [::1", 400),
    host("with-closing-bracket-alone", b" ::1]", 400),
    host("with-bytes-behind-brackets", b" [::1]a", 400),
    host("with-letters-in-ipv6", b" [::g]", 400),
    # RFC 9110 has no place for the zone of RFC 6874.
    host("with-zone", b" [fe80::1%25eth0]", 400),
    host("twice-the-same", b" a\r\nHost: a", 400),
    host("twice-in-other-case", b" a\r\nhOST: b", 400),
    host("twice-and-empty", b" a\r\nHost:", 400),
    host("behind-other-fields", b" a\r\nX: 1\r\nHost: a", 400),
    case("host-missing", "9112 3.2", lines(b"GET / HTTP/1.1"), 400),
    case("host-missing-in-1.2", "9112 3.2", lines(b"GET / HTTP/1.2"), 400),
    case("host-in-capitals", "9110 5.1", lines(b"GET / HTTP/1.1", b"HOST: a"), 200),
    case("host-last", "9110 5.3", lines(b"GET / HTTP/1.1", b"X: 1", b"Host: a"), 200),
    case("host-folded", "9112 5.2", lines(b"GET / HTTP/1.1", b"Host:", b" a"), 400),
    Case("host-missing-in-1.0", "9112 3.2", old(), "200 closed"),
    case("host-twice-in-1.0", "9112 3.2", old(b"Host: a", b"Host: a"), 400),
    case("host-bad-in-1.0", "9112 3.2", old(b"Host: a b"), 400),
]

# ---- field lines ----

FIELDS = [
    field("without-space-behind-colon", b"A:b", 200),
    field("with-tabs-around-value", b"A:\t\tb\t", 200),
    field("with-empty-value", b"A:", 200),
    field("with-white-space-as-value", b"A: \t ", 200),
    field("with-tab-inside-value", b"A: b\tc", 200, "9110 5.5"),
    field("with-colons-in-value", b"A: b: c:", 200),
    field("with-obs-text", b"A: caf\xe9 \x80\xff", 200, "9110 5.5"),
    field("with-long-name", b"A" * 1000 + b": b", 200),
    field("with-all-token-characters", b"!#$%&'*+-.^_`|~09azAZ: b", 200, "9110 5.1"),
    field("twice", b"A: b\r\nA: c", 200, "9110 5.3"),
    field("with-space-before-colon", b"A : b", 400, "9112 5.1"),
    field("with-tab-before-colon", b"A\t: b", 400, "9112 5.1"),
    field("without-name", b": b", 400),
    field("without-colon", b"A b", 400),
    field("of-a-colon", b":", 400),
    field("of-a-name", b"A", 400),
    field("of-white-space", b" ", 400, "9112 5.2"),
    field("folded-with-space", b"A: b\r\n c", 400, "9112 5.2"),
    field("folded-with-tab", b"A: b\r\n\tc", 400, "9112 5.2"),
    field("folded-before-value", b"A:\r\n b", 400, "9112 5.2"),
    field("with-space-in-name", b"A B: c", 400, "9110 5.1"),
    field("with-brackets-in-name", b"A[0]: b", 400, "9110 5.1"),
    field("with-slash-in-name", b"A/B: c", 400, "9110 5.1"),
    field("with-quotes-in-name", b'"A": b', 400, "9110 5.1"),
    field("with-obs-text-in-name", b"\xc4: b", 400, "9110 5.1"),
    field("with-nul-in-name", b"A\0: b", 400, "9110 5.1"),
    field("with-nul-in-value", b"A: b\0c", 400, "9110 5.5"),
    field("with-nul-far-in-value", b"A: " + b"b" * 37 + b"\0", 400, "9110 5.5"),
    field("with-bell-in-value", b"A: \x07", 400, "9110 5.5"),
    field("with-escape-in-value", b"A: \x1b[2J", 400, "9110 5.5"),
    field("with-vertical-tab-as-value", b"A: \v", 400, "9110 5.5"),
    field("with-delete-in-value", b"A: b\x7f", 400, "9110 5.5"),
    field("with-bare-cr-in-value", b"A: b\rc", 400, "9112 2.2"),
    field("with-bare-cr-as-value", b"A: \r", 400, "9112 2.2"),
    field("with-bare-cr-in-name", b"A\rB: c", 400, "9112 2.2"),
    field("ended-by-lf", b"A: b\nC: d", 400, "9112 2.2"),
    field("ended-by-lfcr", b"A: b\n\rC: d", 400, "9112 2.2"),
    field("ended-by-cr", b"A: b\rC: d", 400, "9112 2.2"),
    case("head-ended-by-lf", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    case("head-ended-by-two-lf", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a\n\n", 400),
    case("head-of-lf-alone", "9112 2.2", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    case("head-ended-by-cr", "9112 2.2", b"GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n", 400),
    case(
        "head-with-space-before-the-first-field",
        "9112 2.2",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        400,
    ),
    case(
        "head-with-white-space-line-first",
        "9112 2.2",
        b"GET / HTTP/1.1\r\n \r\nHost: a\r\n\r\n",
        400,
    ),
]

# ---- limits of the head: 16 KiB with its request line and its end, 100 fields ----


def head_of(size: int) -> bytes:
    rest = size - len(get(b"X: ", b"Y: "))
    return get(b"X: " + b"x" * 8000, b"Y: " + b"y" * (rest - 8000))


LIMITS = [
    case("head-of-16384-bytes", "9110 5.4", head_of(16384), 200),
    case("head-of-16385-bytes", "9110 5.4", head_of(16385), 431),
    Case("head-without-end", "9110 5.4", get(b"X: " + b"x" * 20000)[:-4], "431 closed"),
    case("head-of-one-long-name", "9110 5.4", get(b"x" * 17000), 431),
    case("head-of-100-fields", "9110 5.4", get(*[b"X: 1"] * 99), 200),
    case("head-of-101-fields", "9110 5.4", get(*[b"X: 1"] * 100), 431),
    case("head-of-3000-fields", "9110 5.4", get(*[b"X:"] * 3000), 431),
    case("head-of-100-fields-without-host", "9112 3.2", old(*[b"X:"] * 101), 431),
]

# ---- Content-Length: digits, once ----

LENGTHS = [
    length("plain", b" 5", 200),
    length("without-space", b"5", 200),
    length("with-white-space-around", b" \t5\t ", 200),
    length("with-leading-zeros", b" 0005", 200),
    length("with-40-leading-zeros", b" " + b"0" * 40 + b"5", 200),
    length("empty", b"", 400),
    length("of-white-space", b" \t", 400),
    length("with-plus", b" +5", 400),
    length("with-minus", b" -5", 400),
    length("of-minus-zero", b" -0", 400),
    length("in-hex", b" 0x5", 400),
    length("of-hex-digits", b" 5a", 400),
    length("with-fraction", b" 5.0", 400),
    length("with-exponent", b" 5e0", 400),
    length("with-underscore", b" 0_5", 400),
    length("with-space-inside", b" 0 5", 400),
    length("with-tab-inside", b" 0\t5", 400),
    length("in-quotes", b' "5"', 400),
    length("with-parameter", b" 5;a=b", 400),
    length("with-unit", b" 5 bytes", 400),
    length("of-letters", b" five", 400),
    length("with-nul", b" 5\0", 400),
    length("with-vertical-tab", b" \v5", 400),
    length("with-bare-cr", b" 5\r", 400),
    length("in-arabic-digits", b" \xd9\xa5", 400),
    length("with-superscript", b" 5\xb2", 400),
    length("folded", b"\r\n 5", 400, "9112 5.2"),
    length("with-fold-behind", b" 5\r\n 0", 400, "9112 5.2"),
    # RFC 9110 8.6 allows to take equal values for one; we do not.
    length("list-of-the-same", b" 5, 5", 400, "9112 6.3"),
    length("list-without-space", b" 5,5", 400, "9112 6.3"),
    length("list-of-different", b" 5, 6", 400, "9112 6.3"),
    length("list-of-one", b" 5,", 400, "9112 6.3"),
    length("list-with-empty-first", b" ,5", 400, "9112 6.3"),
    length("twice-the-same", b" 5\r\nContent-Length: 5", 400, "9112 6.3"),
    length("twice-different", b" 5\r\nContent-Length: 0", 400, "9112 6.3"),
    length("twice-in-other-case", b" 0\r\ncontent-length: 5", 400, "9112 6.3"),
    length("twice-first-empty", b"\r\nContent-Length: 5", 400, "9112 6.3"),
    length("twice-equal-numbers", b" 5\r\nContent-Length: 05", 400, "9112 6.3"),
    length("over-16-MiB", b" 16777217", 413),
    length("of-2^31", b" 2147483648", 413),
    length("of-2^32", b" 4294967296", 413),
    length("of-2^32-and-5", b" 4294967301", 413),
    length("of-2^63", b" 9223372036854775808", 413),
    length("of-2^64", b" 18446744073709551616", 413),
    length("of-2^64-and-5", b" 18446744073709551621", 413),
    length("of-40-digits", b" " + b"9" * 40, 413),
    length("of-40-digits-and-a-letter", b" " + b"9" * 40 + b"x", 400),
    case(
        "length-with-space-before-colon",
        "9112 5.1",
        framed(b"Content-Length : 5") + b"hello",
        400,
    ),
    case("length-zero", "9110 8.6", framed(b"Content-Length: 0"), 200, b""),
    case("length-of-many-zeros", "9110 8.6", framed(b"Content-Length: 000"), 200, b""),
    case("length-missing", "9112 6.3", framed(), 200, b""),
    # Another field: without a length of its own this request has no body.
    case("length-with-underscore-in-name", "9110 5.1", get(b"Content_Length: 5"), 200),
    # The limit itself: the server waits for the body.
    Case("length-of-16-MiB", "9110 8.6", framed(b"Content-Length: 16777216"), "quiet"),
]

# ---- Transfer-Encoding: "chunked" ----

CODINGS = [
    coding("chunked", b" chunked", 200),
    coding("chunked-without-space", b"chunked", 200),
    coding("chunked-in-capitals", b" CHUNKED", 200, "9112 7"),
    coding("chunked-in-mixed-case", b" cHuNkEd", 200, "9112 7"),
    coding("chunked-with-white-space-around", b" \t chunked\t ", 200),
    coding("with-empty-element-before", b" , chunked", 200, "9110 5.6.1.2"),
    coding("with-empty-element-behind", b" chunked,", 200, "9110 5.6.1.2"),
    coding("with-many-empty-elements", b",,\t, chunked , ,", 200, "9110 5.6.1.2"),
    # Any other coding under a final chunked, known or not.
    coding("gzip-then-chunked", b" gzip, chunked", 501),
    coding("gzip-then-chunked-without-space", b" gzip,chunked", 501),
    coding("deflate-then-chunked", b" deflate , chunked", 501),
    coding("two-then-chunked", b" compress, gzip, chunked", 501),
    coding("unknown-then-chunked", b" foo, Chunked", 501),
    coding("identity-then-chunked", b" identity, chunked", 501),
    coding("gzip-and-empty-element", b" gzip,, chunked", 501),
    coding("with-parameter-then-chunked", b' a;b="c,d", chunked', 501),
    # A string without its end hides no comma from us: refused in any case.
    coding("with-half-a-string-then-chunked", b' a;b="c, chunked', 501),
    # The end of these messages cannot be told.
    coding("gzip", b" gzip", 400, "9112 6.3"),
    coding("identity", b" identity", 400, "9112 6.3"),
    coding("unknown", b" foo", 400, "9112 6.3"),
    coding("chunked-then-gzip", b" chunked, gzip", 400, "9112 6.3"),
    coding("chunked-then-identity", b" chunked, identity", 400, "9112 6.3"),
    coding("empty", b"", 400, "9112 6.3"),
    coding("of-white-space", b" \t", 400, "9112 6.3"),
    coding("of-empty-elements", b" , ,", 400, "9112 6.3"),
    # RFC 9112 7: chunked has no parameters, and 6.1: it is applied once.
    coding("chunked-twice", b" chunked, chunked", 400),
    coding("chunked-twice-without-space", b" chunked,chunked", 400),
    coding("chunked-twice-in-other-case", b" chunked, , Chunked", 400),
    coding("chunked-around-gzip", b" chunked, gzip, chunked", 400),
    coding("chunked-with-parameter", b" chunked;a=b", 400, "9112 7"),
    coding("chunked-with-semicolon", b" chunked;", 400, "9112 7"),
    coding("chunked-with-weight", b" chunked;q=1.0", 400, "9112 7"),
    # Not a list of codings at all.
    coding("chunked-in-quotes", b' "chunked"', 400, "9112 7"),
    coding("chunked-in-single-quotes", b" 'chunked'", 400),
    coding("with-letter-in-front", b" xchunked", 400),
    coding("with-letter-behind", b" chunkedx", 400),
    coding("with-hyphen-in-front", b" x-chunked", 400),
    coding("two-words", b" gzip chunked", 400, "9112 7"),
    coding("two-words-of-chunked", b" chunked chunked", 400, "9112 7"),
    coding("with-space-inside", b" chun ked", 400),
    coding("with-colon-in-front", b" : chunked", 400),
    coding("chunked-inside-a-string", b' a;b="c, chunked"', 400, "9110 5.6.4"),
    coding("with-vertical-tab", b" \vchunked", 400),
    coding("with-form-feed", b" chunked\f", 400),
    coding("with-nul", b" chunked\0", 400),
    coding("with-bare-cr", b" chunked\r", 400),
    coding("with-no-break-space", b" \xa0chunked", 400),
    coding("folded", b"\r\n chunked", 400, "9112 5.2"),
    coding("with-fold-behind", b" chunked\r\n , gzip", 400, "9112 5.2"),
    coding("on-two-lines", b" chunked\r\nTransfer-Encoding: chunked", 400),
    coding("gzip-on-a-line-before", b" gzip\r\nTransfer-Encoding: chunked", 400),
    coding("identity-on-a-line-behind", b" chunked\r\nTransfer-Encoding: x", 400),
    coding("empty-on-a-line-behind", b" chunked\r\nTransfer-Encoding:", 400),
    # RFC 9112 6.1 lets a server process these; we refuse.
    coding("then-length", b" chunked\r\nContent-Length: 15", 400, "9112 6.3"),
    coding("then-length-zero", b" chunked\r\nContent-Length: 0", 400, "9112 6.3"),
    coding("then-unknown-then-length", b" x\r\nContent-Length: 15", 400, "9112 6.3"),
    case(
        "coding-behind-length",
        "9112 6.3",
        framed(b"Content-Length: 15", b"Transfer-Encoding: chunked") + HELLO,
        400,
    ),
    case(
        "coding-in-1.0",
        "9112 6.1",
        lines(b"POST / HTTP/1.0", b"Host: a", b"Transfer-Encoding: chunked") + HELLO,
        400,
    ),
    case(
        "coding-in-1.0-that-persists",
        "9112 6.1",
        lines(
            b"POST / HTTP/1.0",
            b"Host: a",
            b"Connection: keep-alive",
            b"Transfer-Encoding: chunked",
        )
        + HELLO,
        400,
    ),
    case(
        "coding-in-1.2",
        "9110 2.5",
        lines(b"POST / HTTP/1.2", b"Host: a", b"Transfer-Encoding: chunked") + HELLO,
        200,
        b"hello",
    ),
    case(
        "coding-in-get",
        "9110 9.3.1",
        get(b"Transfer-Encoding: chunked") + HELLO,
        200,
        b"hello",
    ),
    # Fields that are not Transfer-Encoding.
    case("coding-te", "9110 10.1.4", get(b"TE: chunked, trailers"), 200, b""),
    case("coding-te-gzip", "9110 10.1.4", post(b"hi", b"TE: gzip"), 200, b"hi"),
    case(
        "coding-with-underscore",
        "9110 5.1",
        post(b"hi", b"Transfer_Encoding: chunked"),
        200,
        b"hi",
    ),
    case(
        "coding-content",
        "9110 8.4",
        post(b"hi", b"Content-Encoding: chunked"),
        200,
        b"hi",
    ),
]

# ---- the limit of the body: eight bytes at this path, without the chunks' frames ----


def small(name: str, sent: bytes, status: int) -> Case:
    sent = sent.replace(b"/", b"/small", 1)
    return case(f"body-{name}", "9110 15.5.14", sent, status, b"12345678")


BODY_LIMITS = [
    small("of-8-bytes", post(b"12345678"), 200),
    small("of-9-bytes", post(b"123456789"), 413),
    small(
        "of-8-bytes-in-chunks", CHUNKED + b"3\r\n123\r\n5\r\n45678\r\n0\r\n\r\n", 200
    ),
    small("of-9-bytes-in-chunks", CHUNKED + b"8\r\n12345678\r\n1\r\n9\r\n", 413),
    small("of-9-bytes-in-one-chunk", CHUNKED + b"9\r\n123456789\r\n", 413),
    # The server does not wait for a body that is announced and too large.
    small("announced-too-large", framed(b"Content-Length: 9"), 413),
]

# ---- chunks ----

CHUNKS = [
    chunks("one", HELLO, 200),
    chunks("none", b"0\r\n\r\n", 200, b""),
    chunks("two", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", 200),
    chunks("of-one-byte-each", b"1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 200, b"hi"),
    chunks("with-leading-zeros", b"0005\r\nhello\r\n000\r\n\r\n", 200),
    size("32-digits", b"%032x" % 5, 200),
    chunks("in-lower-case", b"a\r\n0123456789\r\n0\r\n\r\n", 200, b"0123456789"),
    chunks("in-upper-case", b"A\r\n0123456789\r\n0\r\n\r\n", 200, b"0123456789"),
    chunks("of-300", b"12c\r\n%b\r\n0\r\n\r\n" % (b"x" * 300), 200, b"x" * 300),
    chunks("of-line-ends", b"4\r\n\r\n\r\n\r\n0\r\n\r\n", 200, b"\r\n\r\n"),
    chunks("of-a-last-chunk", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", 200, b"0\r\n\r\n"),
    chunks("of-any-bytes", b"4\r\n\0\xff\r\n\r\n0\r\n\r\n", 200, b"\0\xff\r\n"),
    Case("chunked-before-get", "9112 7.1", CHUNKED + HELLO + get(), "200 200 open"),
    # Sizes.
    size("33-digits", b"%033x" % 5, 400),
    size("of-2^63", b"8000000000000000", 400),
    size("of-2^64-1", b"ffffffffffffffff", 400),
    size("of-2^64-and-5", b"10000000000000005", 400),
    chunks("with-size-of-2^64", b"10000000000000000\r\n\r\n", 400),
    size("empty", b"", 400),
    size("of-an-extension", b";a=b", 400),
    size("0x", b"0x5", 400),
    size("h", b"5h", 400),
    size("plus", b"+5", 400),
    size("minus", b"-5", 400),
    chunks("with-minus-zero", b"-0\r\n\r\n", 400),
    size("underscore", b"0_5", 400),
    size("comma", b"5,5", 400),
    size("fraction", b"5.0", 400),
    size("letter-g", b"g", 400),
    size("nul", b"5\0", 400),
    size("obs-text", b"5\xa0", 400),
    size("wide-digit", b"\xef\xbc\x95", 400),
    # White space stands before a semicolon or an equals sign, or behind them, alone.
    size("space-in-front", b" 5", 400),
    size("tab-in-front", b"\t5", 400),
    size("space-behind", b"5 ", 400),
    size("tab-behind", b"5\t", 400),
    size("two-sizes", b"5 5", 400),
    chunks("with-space-behind-zero", b"5\r\nhello\r\n0 \r\n\r\n", 400),
    size("vertical-tab", b"5\v", 400),
    # Line ends.
    chunks("size-ended-by-lf", b"5\nhello\r\n0\r\n\r\n", 400),
    chunks("size-ended-by-cr", b"5\rhello\r\n0\r\n\r\n", 400),
    chunks("size-ended-by-crcrlf", b"5\r\r\nhello\r\n0\r\n\r\n", 400),
    chunks("data-ended-by-lf", b"5\r\nhello\n0\r\n\r\n", 400),
    chunks("data-ended-by-cr", b"5\r\nhello\r0\r\n\r\n", 400),
    chunks("data-ended-by-lfcr", b"5\r\nhello\n\r0\r\n\r\n", 400),
    chunks("data-without-end", b"5\r\nhello0\r\n\r\n", 400),
    chunks("data-ended-by-other-bytes", b"5\r\nhelloXX0\r\n\r\n", 400),
    chunks("data-ended-by-spaces", b"5\r\nhello \r\n0\r\n\r\n", 400),
    size("shorter-than-data", b"4", 400),
    size("longer-than-data", b"6", 400),
    chunks("with-empty-line-between", b"5\r\nhello\r\n\r\n0\r\n\r\n", 400),
    chunks("last-ended-by-lf", b"5\r\nhello\r\n0\n\r\n", 400),
    chunks("ended-by-lf", b"5\r\nhello\r\n0\r\n\n", 400),
    chunks("ended-by-two-lf", b"5\r\nhello\r\n0\n\n", 400),
    chunks("ended-by-cr", b"5\r\nhello\r\n0\r\n\rX", 400),
    chunks("absent", b"hello", 400),
]

# ---- chunk extensions: checked and dropped ----

EXTENSIONS = [
    extension("name", b";a", 200),
    extension("value", b";a=b", 200),
    extension("two", b";a=b;c", 200),
    extension("string", b';a="b c"', 200),
    extension("empty-string", b';a=""', 200),
    extension("string-with-marks", b';a="b;c=d,\\"e\\\\"', 200),
    extension("string-with-tab-and-obs-text", b';a="\t\xe9\\\xff"', 200),
    extension("string-then-another", b';a="b";c=d', 200),
    extension("spaces-where-allowed", b' ; a = b\t;\tc="d"', 200),
    extension("of-all-token-characters", b";!#$%&'*+-.^_`|~09=!#$%&'*+-.^_`|~09", 200),
    extension("of-16384-bytes", b";" + b"a" * 16383, 200),
    extension("of-16385-bytes", b";" + b"a" * 16384, 400),
    extension("semicolon-alone", b";", 400),
    extension("two-semicolons", b";;a", 400),
    extension("semicolon-at-end", b";a;", 400),
    extension("without-name", b";=b", 400),
    extension("without-value", b";a=", 400),
    extension("space-as-value", b";a= ", 400),
    extension("space-at-end", b";a=b ", 400),
    extension("space-behind-name", b";a ", 400),
    extension("space-behind-string", b';a="b" ', 400),
    extension("space-inside", b";a b", 400),
    extension("comma", b";a,b", 400),
    extension("two-values", b";a=b=c", 400),
    extension("colon", b";a:b", 400),
    extension("obs-text", b";a=\xe9", 400),
    extension("nul", b";a=\0", 400),
    extension("string-without-end", b';a="b', 400),
    extension("string-without-start", b';a=b"', 400),
    extension("string-for-a-name", b';"a"=b', 400),
    extension("bytes-behind-string", b';a="b"c', 400),
    extension("string-with-nul", b';a="\0"', 400),
    extension("string-with-escaped-nul", b';a="\\\0"', 400),
    extension("string-with-delete", b';a="\x7f"', 400),
    extension("string-with-cr", b';a="\r"', 400),
    extension("string-with-line-end", b';a="\r\n"', 400),
    extension("string-with-escaped-line-end", b';a="\\\r\n"', 400),
    extension("lf", b";a\n", 400),
    extension("cr", b";a\rb", 400),
    chunks("extension-of-the-last-chunk", b'5\r\nhello\r\n0;a="b"\r\n\r\n', 200),
    # 100 bytes of extension in each of 164 chunks.
    chunks("extensions-over-16384-bytes", b"1;%b\r\nx\r\n" % (b"a" * 99) * 164, 400),
]

# ---- trailers: checked like fields of a head, and dropped ----

TRAILERS = [
    trailer("one", b"A: b\r\n", 200),
    trailer("two", b"A: b\r\nC:d\r\n", 200),
    trailer("empty-value", b"A:\r\n", 200),
    trailer("obs-text", b"A: \xe9\t\r\n", 200),
    # RFC 9110 6.5.1: these are ignored there.
    trailer("content-length", b"Content-Length: 99\r\n", 200),
    trailer("transfer-encoding", b"Transfer-Encoding: gzip\r\n", 200),
    trailer("host", b"Host: b\r\nHost: c d\r\n", 200),
    trailer("connection-close", b"Connection: close\r\n", 200),
    trailer("expect", b"Expect: 100-continue\r\n", 200),
    trailer("of-100-lines", b"A: b\r\n" * 100, 200),
    trailer("of-101-lines", b"A: b\r\n" * 101, 431),
    trailer("of-16384-bytes", b"A:%b\r\n" % (b"b" * 16380), 200),
    trailer("of-16385-bytes", b"A:%b\r\n" % (b"b" * 16381), 431),
    trailer("without-colon", b"A\r\n", 400),
    trailer("without-name", b": b\r\n", 400),
    trailer("space-before-colon", b"A : b\r\n", 400),
    trailer("folded", b"A: b\r\n c\r\n", 400),
    trailer("space-in-front", b" A: b\r\n", 400),
    trailer("lf", b"A: b\n", 400),
    trailer("lf-inside", b"A: b\nC: d\r\n", 400),
    trailer("bare-cr", b"A: b\rc\r\n", 400),
    trailer("nul", b"A: \0\r\n", 400),
    trailer("delete", b"A: \x7f\r\n", 400),
    trailer("obs-text-in-name", b"\xc4: b\r\n", 400),
    trailer("a-request-line", b"GET /evil HTTP/1.1\r\n", 400),
    trailer("a-chunk", b"5\r\nhello\r\n", 400),
]

# ---- persistence ----

PERSISTENCE = [
    persists("1.1", get()),
    persists("1.1-keep-alive", get(b"Connection: keep-alive")),
    persists("1.1-empty", get(b"Connection:")),
    persists("1.1-closed-is-not-close", get(b"Connection: closed")),
    persists("1.1-close-in-two-words", get(b"Connection: not close")),
    persists("1.1-close-in-another-field", get(b"Proxy-Connection: close")),
    persists("1.1-close-in-a-named-field", get(b"Connection: X", b"X: close")),
    persists("1.2", first(b"GET / HTTP/1.2")),
    persists("1.0-keep-alive", old(b"Connection: keep-alive")),
    persists("1.0-keep-alive-in-mixed-case", old(b"Connection: Keep-Alive")),
    persists("1.0-keep-alive-in-a-list", old(b"Connection: te, keep-alive")),
    closes("1.1", get(b"Connection: close")),
    closes("1.1-in-capitals", get(b"Connection: CLOSE")),
    closes("1.1-in-a-list", get(b"Connection: te, close")),
    closes("1.1-first-in-a-list", get(b"Connection: close,te")),
    closes("1.1-among-empty-elements", get(b"Connection: ,, \tclose ,")),
    closes("1.1-on-a-second-line", get(b"Connection: a", b"Connection: close")),
    closes("1.1-on-a-first-line", get(b"Connection: close", b"Connection: a")),
    closes("1.1-over-keep-alive", get(b"Connection: keep-alive, close")),
    closes("1.1-with-body", post(b"hello", b"Connection: close")),
    closes("1.1-with-chunks", CHUNKED[:-2] + b"Connection: close\r\n\r\n" + HELLO),
    closes("1.2", lines(b"GET / HTTP/1.2", b"Host: a", b"Connection: close")),
    closes("1.0", old()),
    closes("1.0-over-keep-alive", old(b"Connection: keep-alive, close")),
    closes("1.0-before-keep-alive", old(b"Connection: close, keep-alive")),
    closes("1.0-keep-alive-field-alone", old(b"Keep-Alive: timeout=5")),
    closes("1.0-proxy-keep-alive", old(b"Proxy-Connection: keep-alive")),
    closes("1.0-keepalive-is-not-it", old(b"Connection: keepalive")),
    Case(
        "persist-1.0-is-told",
        "9112 9.3",
        old(b"Connection: keep-alive"),
        "200 open",
        shows=b"\r\nConnection: keep-alive\r\n",
    ),
    Case("persist-1.1-is-not-told", "9112 9.3", get(), "200 open", never=b"Connection"),
    Case("persist-until-the-client-ends", "9112 9.6", get(), "200 quiet end closed"),
]

# ---- pipelining: answers in order, nothing behind an error ----

BODIES = post(b"one") + CHUNKED + HELLO + post(b"") + post(b"three")

PIPELINES = [
    Case("pipeline-of-two", "9112 9.3.2", get() * 2, "200 200 open"),
    Case("pipeline-of-20", "9112 9.3.2", get() * 20, "200 " * 20 + "open"),
    Case("pipeline-of-1000", "9112 9.3.2", get() * 1000, "200 " * 1000 + "open"),
    Case(
        "pipeline-of-bodies",
        "9112 9.3.2",
        BODIES,
        "200 200 200 200 open",
        (b"one", b"hello", b"", b"three"),
    ),
    Case(
        "pipeline-of-body-and-none",
        "9112 9.3.2",
        get() + post(b"one") + get() + post(b"two") + get(),
        "200 200 200 200 200 open",
        (b"", b"one", b"", b"two", b""),
    ),
    Case(
        "pipeline-with-head",
        "9112 9.3.2",
        get() + first(b"HEAD / HTTP/1.1") + post(b"one"),
        "200 200/HEAD 200 open",
        (b"", b"", b"one"),
    ),
    Case(
        "pipeline-of-versions",
        "9112 9.3.2",
        get() + old(b"Connection: keep-alive") + first(b"GET / HTTP/1.2"),
        "200 200 200 open",
    ),
    Case(
        "pipeline-of-forms",
        "9112 3.2",
        first(b"OPTIONS * HTTP/1.1") + first(b"GET http://b/ HTTP/1.1") + get(),
        "200 200 200 open",
    ),
    Case(
        "pipeline-behind-close",
        "9112 9.6",
        get() + get(b"Connection: close") + EVIL,
        "200 200 closed",
        never=b"EVIL",
    ),
    *(
        Case(
            f"pipeline-behind-{name}",
            "9112 9.3.2",
            get() + post(b"one") + sent + EVIL,
            f"200 200 {status} closed",
            never=b"EVIL",
        )
        for name, sent, status in (
            ("garbage", b"\0\1\2\r\n\r\n", 400),
            ("a-bad-line", first(b"GET /"), 400),
            ("a-bad-field", get(b"A : b"), 400),
            ("a-missing-host", lines(b"GET / HTTP/1.1"), 400),
            ("a-bad-length", framed(b"Content-Length: x"), 400),
            ("a-bad-chunk", CHUNKED + b"x\r\n", 400),
            ("a-late-bad-chunk", CHUNKED + b"5\r\nhello\r\nx\r\n", 400),
            ("a-bad-trailer", CHUNKED + b"0\r\nx\r\n", 400),
            ("a-large-body", framed(b"Content-Length: 99999999"), 413),
            ("a-long-line", first(b"GET /%b HTTP/1.1" % (b"a" * 9000)), 414),
            ("an-unknown-expectation", get(b"Expect: x"), 417),
            ("a-large-head", get(b"A: " + b"a" * 17000), 431),
            ("an-unknown-coding", framed(b"Transfer-Encoding: a, chunked"), 501),
            ("an-unknown-version", first(b"GET / HTTP/2.0"), 505),
        )
    ),
]

# ---- empty lines: skipped before a request, and nowhere else ----

EMPTY_LINES = [
    case("empty-line-before", "9112 2.2", b"\r\n" + get(), 200),
    case("empty-lines-before", "9112 2.2", b"\r\n" * 5 + get(), 200),
    case("empty-lines-in-number", "9112 2.2", b"\r\n" * 2000 + get(), 200),
    # They count as part of the head, so that nobody sends them for ever.
    case("empty-lines-without-end", "9112 2.2", b"\r\n" * 9000, 431),
    case("empty-line-of-lf", "9112 2.2", b"\n" + get(), 400),
    case("empty-line-of-cr", "9112 2.2", b"\r" + get(), 400),
    case("empty-line-of-crcrlf", "9112 2.2", b"\r\r\n" + get(), 400),
    case("empty-line-of-lfcr", "9112 2.2", b"\n\r" + get(), 400),
    case("empty-line-of-space", "9112 2.2", b" \r\n" + get(), 400),
    case("empty-line-then-error", "9112 2.2", b"\r\n" + first(b"GET /"), 400),
    Case(
        "empty-lines-between", "9112 2.2", (get() + b"\r\n" * 2) * 3, "200 200 200 open"
    ),
    Case(
        "empty-line-behind-body", "9112 2.2", post(b"one") + b"\r\n", "200 open", b"one"
    ),
    Case(
        "empty-line-behind-chunks",
        "9112 2.2",
        CHUNKED + HELLO + b"\r\n" + get(),
        "200 200 open",
    ),
]

# ---- Expect ----

WAITING = framed(b"Expect: 100-continue", b"Content-Length: 5")
WAITING_CHUNKED = framed(b"Expect: 100-continue", b"Transfer-Encoding: chunked")

EXPECTATIONS = [
    expects("100", b" 100-continue", 100),
    expects("100-in-capitals", b" 100-CONTINUE", 100),
    expects("100-without-space", b"100-continue", 100),
    expects("100-twice", b" 100-continue\r\nExpect: 100-continue", 100),
    expects("unknown", b" 200-ok", 417),
    expects("unknown-behind-100", b" 100-continue, 200-ok", 417),
    expects("unknown-on-a-second-line", b" 100-continue\r\nExpect: x", 417),
    expects("100-with-value", b" 100-continue=yes", 417),
    expects("100-with-parameter", b" 100-continue;a=b", 417),
    expects("100-misspelt", b" 100 continue", 417),
    expects("empty", b"", 417),
    Case(
        "expect-chunked",
        "9110 10.1.1",
        WAITING_CHUNKED,
        "100",
        b"hello",
        then=(HELLO, "200 open"),
    ),
    Case(
        "expect-then-bad-chunk",
        "9110 10.1.1",
        WAITING_CHUNKED,
        "100",
        never=b"EVIL",
        then=(b"x\r\n" + EVIL, "400 closed"),
    ),
    Case(
        "expect-then-body-and-request",
        "9110 10.1.1",
        WAITING,
        "100",
        (b"hello", b""),
        then=(b"hello" + get(), "200 200 open"),
    ),
    Case(
        "expect-in-a-pipeline",
        "9110 10.1.1",
        get() + WAITING,
        "200 100",
        (b"", b"hello"),
        then=(b"hello", "200 open"),
    ),
    Case(
        "expect-then-the-same-again",
        "9110 10.1.1",
        WAITING,
        "100",
        (b"hello", b"hello"),
        then=(b"hello" + WAITING + b"hello", "200 100? 200 open"),
    ),
    # The client did not wait: the server may leave the 100 out.
    Case(
        "expect-with-body", "9110 10.1.1", WAITING + b"hello", "100? 200 open", b"hello"
    ),
    Case("expect-then-end", "9110 10.1.1", WAITING, "100 quiet end 400 closed"),
    case("expect-without-body", "9110 10.1.1", get(b"Expect: 100-continue"), 200),
    case("expect-of-nothing", "9110 10.1.1", post(b"", b"Expect: 100-continue"), 200),
    case(
        "expect-of-too-much",
        "9110 10.1.1",
        framed(b"Expect: 100-continue", b"Content-Length: 99999999"),
        413,
    ),
    # RFC 9110 10.1.1: ignored in HTTP/1.0, which has no interim answers.
    Case(
        "expect-in-1.0",
        "9110 10.1.1",
        lines(b"POST / HTTP/1.0", b"Expect: 100-continue", b"Content-Length: 5"),
        "quiet",
        b"hello",
        then=(b"hello", "200 closed"),
    ),
]

# ---- methods and bodies ----

ANY_BYTES = bytes(range(256))
LARGE = ANY_BYTES * 256

METHODS_WITH_BODIES = [
    *(
        case(
            f"body-of-{name.decode().lower()}",
            "9110 9",
            lines(name + b" / HTTP/1.1", b"Host: a", b"Content-Length: 5") + b"hello",
            200,
            b"hello",
        )
        for name in (b"GET", b"DELETE", b"PUT", b"PATCH", b"OPTIONS", b"PURGE")
    ),
    Case("head", "9110 9.3.2", first(b"HEAD / HTTP/1.1"), "200/HEAD open", b""),
    Case(
        "head-with-body",
        "9110 9.3.2",
        lines(b"HEAD / HTTP/1.1", b"Host: a", b"Content-Length: 5") + b"hello",
        "200/HEAD open",
        b"",
        shows=b"\r\nContent-Length: 5\r\n",
        never=b"hello",
    ),
    Case(
        "head-with-chunks",
        "9110 9.3.2",
        CHUNKED.replace(b"POST", b"HEAD", 1) + HELLO,
        "200/HEAD open",
        b"",
        shows=b"\r\nContent-Length: 5\r\n",
        never=b"hello",
    ),
    Case("head-in-1.0", "9110 9.3.2", lines(b"HEAD / HTTP/1.0"), "200/HEAD closed"),
    Case("head-refused", "9110 9.3.2", lines(b"HEAD / HTTP/1.1"), "400/HEAD closed"),
    Case(
        "connect-with-body",
        "9110 9.3.6",
        lines(b"CONNECT a:443 HTTP/1.1", b"Host: a", b"Content-Length: 5") + b"hello",
        "200/CONNECT closed",
        b"",
        never=b"hello",
    ),
    Case(
        "body-in-1.0",
        "9112 6.3",
        lines(b"POST / HTTP/1.0", b"Content-Length: 5") + b"hello",
        "200 closed",
        b"hello",
    ),
    Case(
        "body-in-1.0-without-length",
        "9112 6.3",
        lines(b"POST / HTTP/1.0") + b"EVIL",
        "200 closed",
        b"",
        never=b"EVIL",
    ),
    case("body-of-any-bytes", "9110 6.4", post(ANY_BYTES), 200, ANY_BYTES),
    case("body-of-64-KiB", "9110 6.4", post(LARGE), 200, LARGE),
    case(
        "body-of-64-KiB-in-chunks",
        "9110 6.4",
        CHUNKED + b"fffe\r\n%b\r\n2\r\n%b\r\n0\r\n\r\n" % (LARGE[:-2], LARGE[-2:]),
        200,
        LARGE,
    ),
]

# ---- smuggling: what one reading makes a body is a request to another ----

LENGTH_OF_EVIL = b"Content-Length: %d" % len(EVIL)
EVIL_CHUNK = b"%x\r\n%b\r\n0\r\n\r\n" % (len(EVIL), EVIL)


def smuggles(name: str, section: str, sent: bytes, status: int = 400) -> Case:
    return case(f"smuggle-{name}", section, sent, status)


def two_ways(name: str, section: str, coding: bytes) -> Case:
    """A body of five bytes by its length, of none when the coding is believed."""
    sent = framed(b"Content-Length: 5", coding) + b"0\r\n\r\n"
    return smuggles(f"coding-{name}", section, sent)


SMUGGLING = [
    smuggles(
        "length-first",
        "9112 6.3",
        framed(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    ),
    smuggles(
        "coding-first",
        "9112 6.3",
        framed(b"Transfer-Encoding: chunked", b"Content-Length: 4") + EVIL_CHUNK,
    ),
    two_ways("hidden-by-space", "9112 5.1", b"Transfer-Encoding : chunked"),
    two_ways("hidden-by-tab", "9112 5.1", b"Transfer-Encoding\t: chunked"),
    two_ways("hidden-by-folding", "9112 5.2", b"X: y\r\n Transfer-Encoding: chunked"),
    two_ways("hidden-by-lf", "9112 2.2", b"X: y\nTransfer-Encoding: chunked"),
    two_ways("hidden-by-cr", "9112 2.2", b"X: y\rTransfer-Encoding: chunked"),
    two_ways("hidden-by-nul", "9110 5.5", b"X: y\0Transfer-Encoding: chunked"),
    two_ways("with-lf-in-its-name", "9112 5", b"Transfer-Encoding\n: chunked"),
    two_ways("with-nul-in-its-name", "9112 5", b"Transfer-Encoding\0: chunked"),
    two_ways("with-quotes-around-name", "9112 5", b'"Transfer-Encoding": chunked'),
    two_ways("with-lf-before-value", "9112 2.2", b"Transfer-Encoding:\n chunked"),
    two_ways("with-vertical-tab", "9110 5.5", b"Transfer-Encoding:\vchunked"),
    two_ways("unknown", "9112 6.3", b"Transfer-Encoding: cow"),
    two_ways("empty", "9112 6.3", b"Transfer-Encoding:"),
    smuggles(
        "coding-and-cow",
        "9112 6.3",
        framed(b"Transfer-Encoding: chunked", b"Transfer-Encoding: cow") + EVIL_CHUNK,
    ),
    smuggles("two-lengths", "9112 6.3", framed(b"Content-Length: 0", LENGTH_OF_EVIL)),
    smuggles(
        "length-and-length-with-plus",
        "9110 8.6",
        framed(b"Content-Length: 0", b"Content-Length: +99"),
    ),
    smuggles(
        "length-with-space-before-colon",
        "9112 5.1",
        framed(b"Content-Length : 0"),
    ),
    smuggles(
        "length-behind-folded-field",
        "9112 5.2",
        framed(b"X: y", b" Content-Length: 0"),
    ),
    smuggles(
        "second-head-behind-lf",
        "9112 2.2",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\n",
    ),
    Case(
        "smuggle-size-that-wraps-32-bits",
        "9112 7.1",
        CHUNKED + b"100000002\r\nxx\r\n0\r\n\r\n" + EVIL,
        "quiet end 400 closed",
        never=b"EVIL",
    ),
    smuggles("size-that-wraps-128-bits", "9112 7.1", CHUNKED + b"1%032x\r\n\r\n" % 0),
    smuggles("size-that-wraps-64-bits", "9112 7.1", CHUNKED + b"10000000000000000\r\n"),
    smuggles("size-with-0x", "9112 7.1", CHUNKED + b"0x2\r\n\r\n"),
    smuggles("size-with-nul", "9112 7.1", CHUNKED + b"0\x002\r\n\r\n"),
    smuggles("extension-ended-by-lf", "9112 7.1.1", CHUNKED + b"2;\nxx\r\n0\r\n\r\n"),
    smuggles("extension-with-cr", "9112 7.1.1", CHUNKED + b"2;a\rb\r\nxx\r\n0\r\n\r\n"),
    smuggles("data-that-overflows", "9112 7.1", CHUNKED + b"2\r\nxxx0\r\n\r\n"),
    smuggles("last-chunk-ended-by-lf", "9112 7.1", CHUNKED + b"0\n\r\n"),
    smuggles("trailer-ended-by-lf", "9112 7.1.2", CHUNKED + b"0\r\nX: y\n\r\n"),
    smuggles("trailer-with-a-request-in-it", "9112 7.1.2", CHUNKED + b"0\r\nX: y\r\n "),
    smuggles("chunks-in-1.0", "9112 6.1", CHUNKED.replace(b"1.1", b"1.0", 1) + HELLO),
    smuggles("line-end-in-target", "9112 3", first(b"GET /\r\nX: y HTTP/1.1")),
    smuggles("version-2", "9112 2.3", first(b"GET / HTTP/2.0"), 505),
    # Here the one right reading makes the request a body: it comes back as content.
    case("smuggle-in-length", "9112 6.3", post(EVIL), 200, EVIL),
    case("smuggle-in-get", "9112 6.3", get(LENGTH_OF_EVIL) + EVIL, 200, EVIL),
    case("smuggle-in-chunk", "9112 7.1", CHUNKED + EVIL_CHUNK, 200, EVIL),
    Case(
        "smuggle-in-head",
        "9112 6.3",
        lines(b"HEAD / HTTP/1.1", b"Host: a", LENGTH_OF_EVIL) + EVIL,
        "200/HEAD open",
        never=b"EVIL",
    ),
    case(
        "smuggle-by-naming-the-length-a-hop",
        "9110 7.6.1",
        post(EVIL, b"Connection: Content-Length"),
        200,
        EVIL,
    ),
    case(
        "smuggle-by-naming-the-coding-a-hop",
        "9110 7.6.1",
        framed(b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked")
        + EVIL_CHUNK,
        200,
        EVIL,
    ),
    Case(
        "smuggle-by-length-in-trailer",
        "9110 6.5.1",
        CHUNKED + b"0\r\nContent-Length: 99\r\n\r\n" + post(b"two"),
        "200 200 open",
        (b"", b"two"),
    ),
    Case(
        "smuggle-by-method-override",
        "9110 9.3.2",
        post(EVIL, b"X-HTTP-Method-Override: HEAD"),
        "200 open",
        EVIL,
    ),
]

# ---- incomplete requests ----


def in_two(name: str, sent: bytes, rest: bytes, body: bytes = b"") -> Case:
    """Nothing is said to the first part, and the whole is answered."""
    then = (rest, "200 open")
    return Case(f"incomplete-{name}", "9112 8", sent, "quiet", body, then=then)


INCOMPLETE = [
    incomplete("nothing", b""),
    incomplete("one-letter", b"G"),
    incomplete("line", b"GET / HTTP/1.1"),
    # A line is judged as a whole, so its verdict does not hang on how it is cut.
    incomplete("bad-line", b"\0 not a request"),
    incomplete("line-with-cr", b"GET / HTTP/1.1\r"),
    incomplete("head", b"GET / HTTP/1.1\r\nHost: a\r\n"),
    incomplete("head-with-cr", b"GET / HTTP/1.1\r\nHost: a\r\n\r"),
    incomplete("empty-lines", b"\r\n\r\n"),
    incomplete("longest-line", b"GET /" + b"a" * 8178 + b" HTTP/1.1\r"),
    incomplete("longest-head", head_of(16384)[:-1]),
    Case("incomplete-behind-get", "9112 8", get() + b"GET", "200 quiet end closed"),
    cut_off("body", framed(b"Content-Length: 5") + b"hell"),
    cut_off("no-body", framed(b"Content-Length: 5")),
    cut_off("chunk", CHUNKED + b"5\r\nhell"),
    cut_off("chunks", CHUNKED + b"5\r\nhello\r\n"),
    cut_off("last-chunk", CHUNKED + HELLO[:-1]),
    cut_off("trailer", CHUNKED + b"0\r\nA: b"),
    cut_off("large-chunk", CHUNKED + b"7fffffffffffffff\r\n"),
    in_two("method-then-rest", b"G", b"ET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    in_two("line-then-fields", b"GET / HTTP/1.1\r\n", b"Host: a\r\n\r\n"),
    in_two("field-then-rest", b"GET / HTTP/1.1\r\nHo", b"st: a\r\n\r\n"),
    in_two("all-but-lf-then-lf", get()[:-1], b"\n"),
    in_two("empty-line-then-rest", b"\r", b"\n" + get()),
    in_two("head-then-body", framed(b"Content-Length: 5"), b"hello", b"hello"),
    in_two("body-then-rest", framed(b"Content-Length: 5") + b"hel", b"lo", b"hello"),
    in_two("head-then-chunks", CHUNKED, HELLO, b"hello"),
    in_two("size-then-rest", CHUNKED + b"0", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    in_two("chunk-then-rest", CHUNKED + b"5\r\nhe", b"llo\r\n0\r\n\r\n", b"hello"),
    in_two(
        "string-then-rest", CHUNKED + b'5;a="', b'b"\r\nhello\r\n0\r\n\r\n', b"hello"
    ),
    in_two("chunks-then-trailer", CHUNKED + HELLO[:-2], b"A: b\r\n\r\n", b"hello"),
]

# ---- other protocols, and fields that ask for them ----

UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")
WEBSOCKET = (
    *UPGRADE,
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAAA")
TLS_HELLO = bytes.fromhex("16030100d4010000d00303") + bytes(range(11, 43)) + bytes(64)

OTHER_PROTOCOLS = [
    # RFC 9110 7.8: a server may ignore Upgrade.
    Case("upgrade-to-websocket", "9110 7.8", get(*WEBSOCKET) + get(), "200 200 open"),
    Case("upgrade-to-h2c", "9110 7.8", get(*H2C) + get(), "200 200 open"),
    Case("upgrade-with-body", "9110 7.8", post(b"one", *UPGRADE), "200 open", b"one"),
    Case(
        "upgrade-then-close",
        "9110 7.8",
        get(b"Connection: upgrade, close", b"Upgrade: websocket") + EVIL,
        "200 closed",
        never=b"EVIL",
    ),
    Case(
        "upgrade-in-1.0",
        "9110 7.8",
        lines(b"GET / HTTP/1.0", *UPGRADE),
        "200 closed",
    ),
    case("http-2-preface", "9113 3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    case("tls-hello", "9112 3", TLS_HELLO + b"\r\n", 400),
    case("tls-hello-with-lf", "9112 3", TLS_HELLO + b"\n" + TLS_HELLO, 400),
    incomplete("tls-hello", TLS_HELLO.replace(b"\n", b"")),
    case("proxy-protocol", "9112 3", b"PROXY TCP4 192.0.2.1 192.0.2.2 1 80\r\n", 400),
    case("smtp", "9112 3", b"EHLO a\r\nMAIL FROM:<a@b>\r\n", 400),
    case("ssh", "9112 3", b"SSH-2.0-OpenSSH_9.9\r\n", 400),
    case("redis", "9112 3", b"*1\r\n$4\r\nPING\r\n", 400),
    case("rtsp", "9112 2.3", first(b"DESCRIBE / RTSP/1.0"), 400),
    case("sip", "9112 2.3", first(b"OPTIONS * SIP/2.0"), 400),
    case("garbage-of-all-bytes", "9112 3", ANY_BYTES + b"\r\n", 400),
    case("garbage-of-high-bytes", "9112 3", bytes(range(255, 127, -1)) + b"\r\n", 400),
    case("garbage-of-nul", "9112 3", bytes(40) + b"\r\n\r\n", 400),
    case("garbage-of-lf", "9112 2.2", b"\n" * 20, 400),
    case("garbage-of-9000-bytes", "9112 3", b"\xaa\x55" * 4500, 414),
]

CASES = [
    *METHODS,
    *REQUEST_LINES,
    *VERSIONS,
    *ORIGIN_FORMS,
    *ABSOLUTE_FORMS,
    *OTHER_FORMS,
    *HOSTS,
    *FIELDS,
    *LIMITS,
    *LENGTHS,
    *CODINGS,
    *BODY_LIMITS,
    *CHUNKS,
    *EXTENSIONS,
    *TRAILERS,
    *PERSISTENCE,
    *PIPELINES,
    *EMPTY_LINES,
    *EXPECTATIONS,
    *METHODS_WITH_BODIES,
    *SMUGGLING,
    *INCOMPLETE,
    *OTHER_PROTOCOLS,
]
