"""Request: a view of what a client sent, readable in the turn that brought it.

The bytes stay where C read them. Each reader checks that the turn is still the same;
`preserve()` copies them out, once, for whoever needs them later.
"""

from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, unquote_plus

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
    W_ODD,
    W_PARAM,
    W_PATH,
    W_PATH_END,
    W_QUERY,
    W_QUERY_END,
)
from .errors import RequestExpired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .app import App
    from .route import Route


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

    def __init__(self, start: int, data: bytes) -> None:
        self._start = start
        self._bytes = data

    def __getitem__(self, part: slice) -> bytes:
        return self._bytes[part.start - self._start : part.stop - self._start]


class _Preserved:
    """The view of one request that was preserved; its words begin at 0."""

    __slots__ = ("arena", "turn", "words")

    def __init__(self, turn: int, arena: _Copy, words: "Sequence[int]") -> None:
        self.turn = turn
        self.arena: _Bytes = arena
        self.words: Sequence[int] = words


class Request:
    """One request. Made by the loop, which sets the slots; see `Loop`."""

    __slots__ = ("_base", "_route", "_turn", "_view")

    _view: View
    _turn: int
    _base: int  # where this request's words begin
    _route: "Route"

    @property
    def app(self) -> "App":
        """The application that the request came to."""
        return self._route.app

    def preserve(self) -> "Request":
        """Copy the request out of the turn's memory, so that it can be read later.

        Returns the request itself. A second call does nothing.
        """
        view = self._live()
        if type(view) is not _Preserved:
            base = self._base
            words = view.words[base : base + W_COUNT]
            start = words[W_HEAD]
            head = _Copy(start, view.arena[start : words[W_HEAD_END]])
            self._view = _Preserved(self._turn, head, words)
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
        if name == key and value.isalnum():
            return value
        for pair in query.split("&"):
            name, _, value = pair.partition("=")
            if name == key or (
                ("%" in name or "+" in name) and unquote_plus(name) == key
            ):
                return unquote_plus(value) if "%" in value or "+" in value else value
        return None

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
        return ("; " if lower == "cookie" else ", ").join(values)


def _expired() -> RequestExpired:
    return RequestExpired(
        "this request was read after the turn that brought it: call req.preserve() "
        "in the handler, before the request is handed to something that runs later"
    )
