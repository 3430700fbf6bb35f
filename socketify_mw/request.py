"""Request: a view of what a client sent, readable in the turn that brought it.

The bytes stay where C read them. Each reader checks that the turn is still the same;
`preserve()` copies them out, once, for whoever needs them later.
"""

from array import array
from collections.abc import AsyncIterator, Callable
from contextvars import Context
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, quote, unquote, unquote_plus

from ._binding import (
    FIELD_WORDS,
    MAX_PARAMS,
    METHODS,
    W_COUNT,
    W_FIELDS,
    W_HEAD,
    W_HEAD_END,
    W_METHOD,
    W_METHOD_END,
    W_MINOR,
    W_ODD,
    W_PARAM,
    W_PARAMS,
    W_PATH,
    W_PATH_END,
    W_QUERY,
    W_QUERY_END,
    W_TARGET_END,
)
from .errors import ContentTooLarge, RequestExpired
from .inputs import inputs_of, is_readable, media_type
from .words import RequestWords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .app import App
    from .response import Response
    from .route import Route
    from .session import Session


# Methods whose content is not read for inputs.
WITHOUT_INPUTS = frozenset(("GET", "HEAD", "OPTIONS"))

# Where the words of a route parameter begin, by its position.
_PARAM_WORDS: dict[int | str, int] = {i: W_PARAM + 2 * i for i in range(MAX_PARAMS)}


class _Bytes(Protocol):
    def __getitem__(self, part: slice) -> bytes: ...


class View(Protocol):
    """Where a request's bytes are: the batch, or a copy made by `preserve()`."""

    @property
    def turn(self) -> int: ...
    @property
    def arena(self) -> _Bytes: ...
    @property
    def words(self) -> "Sequence[int]": ...


class _Copy:
    """A request's own bytes, under the places that they had in the arena."""

    __slots__ = ("_bytes", "_start")

    _bytes: bytes
    _start: int

    def __getitem__(self, part: slice) -> bytes:
        start = self._start
        return self._bytes[part.start - start : part.stop - start]


class _Preserved:
    """The view of one request that was preserved; its words begin at 0."""

    __slots__ = ("arena", "turn", "words")

    arena: "_Bytes"
    turn: int
    words: "Sequence[int]"


class Headers(dict[str, str]):
    """Header fields by lower-case name; the values of a repeated one are joined."""

    __slots__ = ("lines",)

    lines: list[tuple[str, str]]
    """Each field line, in the client's order."""

    def __init__(self, lines: list[tuple[str, str]]) -> None:
        super().__init__()
        self.lines = lines
        for name, value in lines:
            self[name] = f"{self[name]}{_joint(name)}{value}" if name in self else value

    def get_all(self, name: str) -> list[str]:
        """Return the values of a field, one for each line."""
        lower = name.lower()
        return [value for key, value in self.lines if key == lower]


class Request(RequestWords):
    """One request. Made by the loop, which sets the slots; see `Loop`."""

    __slots__ = (
        "_base",
        "_context",
        "_cookies",
        "_decoded",
        "_exchange",
        "_extra",
        "_inputs",
        "_last",
        "_response",
        "_route",
        "_session",
        "_skipped",
        "_state",
        "_turn",
        "_view",
        "_yields",
    )

    # These are unset until they are needed.
    _yields: bool
    _skipped: int  # matching routes that handed the request on
    _extra: dict[str, Any]  # of extensions
    _cookies: Callable[[dict[str, str]], dict[str, str]]  # what they really are
    _inputs: dict[str, Any]  # of the query and the body
    _decoded: set[Any]  # hashed ids that numbers stand for now
    _session: "Session"
    _context: Context  # in which a chain with classes runs
    _last: Callable[..., Any]  # member that ran last in a chain, if none answered
    _response: "Response"  # when a coroutine handles it

    _view: View
    _turn: int
    _base: int  # where this request's words begin
    _exchange: int
    _route: "Route"
    _state: SimpleNamespace | None  # None: nothing was kept yet

    @property
    def app(self) -> "App":
        """The application that the request came to."""
        return self._route.app

    @property
    def state(self) -> SimpleNamespace:
        """What middlewares keep for those behind them: `req.state.user = ...`."""
        state = self._state
        if state is None:
            state = self._state = SimpleNamespace()
        return state

    @property
    def session(self) -> "Session":
        """What is kept for the client between requests; see `SessionMiddleware`.

        Raises RuntimeError when that does not run for this route.
        """
        try:
            return self._session
        except AttributeError:
            raise RuntimeError(
                "there is no session: let SessionMiddleware run in front of this"
            ) from None

    def preserve(self) -> "Request":
        """Copy the request out of the turn's memory, so that it can be read later.

        Returns the request itself. A second call does nothing.
        """
        view = self._view
        if view.turn != self._turn:
            raise _expired()
        if type(view) is not _Preserved:
            base = self._base
            words = view.words[base : base + W_COUNT]
            copy = _Copy()
            copy._start = start = words[W_HEAD]
            copy._bytes = view.arena[start : words[W_HEAD_END]]
            kept = _Preserved()
            kept.arena = copy
            kept.turn = self._turn
            kept.words = words
            self._view = kept
            self._base = 0
        return self

    def get_method(self) -> str:
        """Return the method as the client wrote it, such as "GET"."""
        view = self._live()
        number = view.words[self._base + W_METHOD]
        if number < len(METHODS):
            return METHODS[number]
        return self._text(W_HEAD, W_METHOD_END)

    def get_url(self) -> str:
        """Return the path without the query, as the client wrote it (not decoded).

        The request's targets `*` (OPTIONS) and `host:port` (CONNECT) are returned as
        they are.
        """
        self._live()
        return self._text(W_PATH, W_PATH_END) or "/"

    def get_full_url(self) -> str:
        """Return path and query, as the client wrote them (not decoded)."""
        url = self.get_url()
        rest = self._text(W_PATH_END, W_TARGET_END)
        return url + rest

    def get_header(self, lower_case_header: str) -> str | None:
        """Return the value of a header field, or None.

        The name may be in any case. The values of a repeated field are joined with
        ", " (RFC 9110 5.3), those of `cookie` with "; ". Bytes are decoded as latin-1.
        """
        view = self._view
        if view.turn != self._turn:
            raise _expired()
        try:
            place = self._base + FIELD_WORDS[lower_case_header]
        except KeyError:
            return self._find_header(lower_case_header)
        words = view.words
        start = words[place]
        if start > W_ODD:
            return view.arena[start : words[place + 1]].decode()
        return self._search_header(lower_case_header) if start else None

    def get_headers(self) -> Headers:
        """Return all header fields, decoded as latin-1."""
        self._live()
        lines = self._text(W_FIELDS, W_HEAD_END).split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines)
        return Headers([(name, value.strip(" \t")) for name, _, value in pairs])

    def for_each_header(self, handler: Callable[[str, str], object]) -> None:
        """Call `handler(lower_case_name, value)` for each header field line."""
        for name, value in self.get_headers().lines:
            handler(name, value)

    def get_cookie(self, name: str) -> str | None:
        """Return the value of a cookie, percent-decoded, or None.

        Of two with the same name the first one counts, whose path fits better (RFC
        6265 5.4). Bytes that are not UTF-8 become U+FFFD.
        """
        return self.get_cookies().get(name)

    def get_cookies(self) -> dict[str, str]:
        """Return all cookies by name; see `get_cookie`."""
        found: dict[str, str] = {}
        for pair in (self.get_header("cookie") or "").split(";"):
            name, equals, value = pair.partition("=")
            if equals:
                found.setdefault(name.strip(" \t"), unquote_cookie(value.strip(" \t")))
        try:
            opened = self._cookies
        except AttributeError:
            return found
        return opened(found)

    def get_query(self, key: str) -> str | None:
        """Return the first value of a query parameter, percent-decoded, or None.

        "+" is a space. Bytes that are not UTF-8 become U+FFFD.
        """
        view = self._view
        if view.turn != self._turn:
            raise _expired()
        words = view.words
        base = self._base
        start = words[base + W_QUERY]
        if not start:
            return None
        query = view.arena[start : words[base + W_QUERY_END]].decode()  # ASCII
        # One plain pair, as in most queries, needs no more than this.
        name, _, value = query.partition("=")
        if name == key and value.isalnum() and name.isidentifier():
            return value
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if "%" in name or "+" in name:
                name = unquote_plus(name)
            if name == key and pair:
                return unquote_plus(value) if "%" in value or "+" in value else value
        return None

    def get_queries(self) -> dict[str, list[str]]:
        """Return all query parameters, each with its values; see `get_query`."""
        view = self._live()
        if not view.words[self._base + W_QUERY]:
            return {}
        query = self._text(W_QUERY, W_QUERY_END)
        return parse_qs(query, keep_blank_values=True, errors="replace")

    def get_parameters(self) -> list[str]:
        """Return all route parameters, in their order; see `get_parameter`."""
        view = self._live()
        count = view.words[self._base + W_PARAMS]
        return [self.get_parameter(i) or "" for i in range(count)]

    def get_parameter(self, index: int | str) -> str | None:
        """Return a route parameter by position or name, percent-decoded, or None.

        Bytes that are not UTF-8 become U+FFFD.
        """
        view = self._view
        if view.turn != self._turn:
            raise _expired()
        try:
            place = self._base + _PARAM_WORDS[index]
        except KeyError:
            names = self._route.parameters
            return self.get_parameter(names.index(index)) if index in names else None
        words = view.words
        start = words[place]
        if not start:
            return None
        text = view.arena[start : words[place + 1]].decode()  # ASCII
        return unquote(text) if "%" in text else text

    async def load(self) -> "Request":
        """Read the body if it is a form or JSON, for `input`, `all` and `only`.

        That of GET, HEAD and OPTIONS means nothing, and is left. A second call does
        nothing. Raises BadRequest for what cannot be read.
        """
        if self._awaits_inputs():
            try:
                response = self._response
            except AttributeError:
                raise RuntimeError("to load a body is for coroutines") from None
            await self._load(response)
        return self

    async def _load(self, response: "Response") -> "Request":
        query, kind = self.get_queries(), media_type(self.get_header("content-type"))
        most = self.app._max_inputs
        length = self.get_header("content-length")
        if most is not None and length and int(length) > most:
            raise ContentTooLarge(f"a form or JSON of {length} bytes: {most} are read")
        body = await response._body()
        if most is not None and len(body) > most:  # it came in chunks
            raise ContentTooLarge(f"a form or JSON of more than {most} bytes")
        self._inputs = inputs_of(query, kind, body, self.app._json)
        return self

    def _awaits_inputs(self) -> bool:
        """Whether there is a body with inputs that was not read."""
        if hasattr(self, "_inputs"):
            return False
        length = self.get_header("content-length")
        has_body = self.get_header("transfer-encoding") or (length and length != "0")
        if not has_body or not is_readable(media_type(self.get_header("content-type"))):
            return False
        # RFC 9110 9.3.1: content of these means nothing, so no client is to make a page
        # fail with it that asks for an input.
        return self.get_method() not in WITHOUT_INPUTS

    def _all_inputs(self) -> dict[str, Any]:
        if not hasattr(self, "_inputs"):
            if self._awaits_inputs():
                raise RuntimeError(
                    "the body was not read: `await req.load()` in a coroutine before"
                )
            self._inputs = inputs_of(self.get_queries(), "", b"", None)
        return self._inputs

    def stream(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes: `async for chunk in req.stream()`.

        No more is taken from the client than is asked for here, and the limit of
        `max_body` holds (None for a route without one). Raises ClientGone when the
        client has gone, or sent too much.
        """
        try:
            response = self._response
        except AttributeError:
            raise RuntimeError("a request's stream is for coroutines") from None
        return response._stream()

    def set_yield(self, has_yield: bool) -> None:
        """Hand the request on: when the handler returns, the next route that matches
        gets it, with the same response. When there is none it is 404.
        """
        self._yields = bool(has_yield)

    def get_yield(self) -> bool:
        """Return what `set_yield` was given last."""
        return getattr(self, "_yields", False)

    def _set_parameter(self, name: str, text: str) -> None:
        """Have a route parameter stand for another text."""
        self.preserve()
        view = self._view
        assert type(view) is _Preserved and type(view.arena) is _Copy
        data = quote(text, safe="").encode()
        copy = view.arena
        place = W_PARAM + 2 * self._route.parameters.index(name)
        words = array("I", view.words)
        words[place] = copy._start + len(copy._bytes)
        words[place + 1] = words[place] + len(data)
        copy._bytes += data
        view.words = words

    def _was_handed_on(self) -> bool:
        return hasattr(self, "_skipped")

    def _next_route(self, routes: "Sequence[Route]") -> "Route":
        """Go on to the next route that matches, and return it.

        The request is preserved before: parameters of its own need words of its own.
        """
        self.preserve()
        view = self._view
        assert type(view) is _Preserved
        skip = getattr(self, "_skipped", 0) + 1
        self._skipped = skip
        self._yields = False
        if hasattr(self, "_last"):
            del self._last  # it is not to be blamed for what the next route does
        server = self._route.app._server
        path = self.get_url()
        token, places = server.match(self.get_method(), path, skip)
        words = array("I", view.words)
        start = words[W_PATH]
        count = 0
        for i, place in enumerate(places):
            words[W_PARAM + i] = place + start if place else 0
            count += i % 2 == 0 and place > 0
        words[W_PARAMS] = count
        view.words = words
        self._route = routes[token] if token else self._route.app._miss_route
        return self._route

    def is_ancient(self) -> bool:
        """Whether the client speaks HTTP/1.0."""
        view = self._live()
        return view.words[self._base + W_MINOR] == 0

    def _live(self) -> View:
        view = self._view
        if view.turn != self._turn:
            raise _expired()
        return view

    def _text(self, start: int, end: int) -> str:
        """Return what lies between the places that two of the words tell."""
        view = self._view
        words, base = view.words, self._base
        return view.arena[words[base + start] : words[base + end]].decode("latin-1")

    def _find_header(self, name: str) -> str | None:
        """Find a field without a number, or under a name in another case."""
        lower = name.lower()
        if lower in FIELD_WORDS:
            return self.get_header(lower)
        return self._search_header(lower)

    def _search_header(self, lower: str) -> str | None:
        # C has put the names into lower case, and a value cannot hold a line's end.
        lines = "\r\n" + self._text(W_FIELDS, W_HEAD_END)
        values = [
            part.partition("\r\n")[0].strip(" \t")
            for part in lines.split(f"\r\n{lower}:")[1:]
        ]
        if not values:
            return None
        return _joint(lower).join(values)


def _joint(lower_case_name: str) -> str:
    """Return what joins the values of a repeated field (RFC 9110 5.3, 6265 5.4)."""
    return "; " if lower_case_name == "cookie" else ", "


def unquote_cookie(value: str) -> str:
    """Return what the value of a cookie stands for."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    return unquote(value) if "%" in value else value


def _expired() -> RequestExpired:
    return RequestExpired(
        "this request was read after the turn that brought it: call req.preserve() "
        "in the handler, before the request is handed to something that runs later"
    )
