"""Turns: asyncio's selector on the native loop. One call into C serves a whole turn.

`TurnSelector.select` is the turn: it hands the outbox to C, gets the batch of
requests back, and runs their handlers right there. asyncio sees only the readiness of
its own descriptors.
"""

import logging
import math
import selectors
import sys
import threading
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Mapping
from contextvars import Context, copy_context
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

from ._binding import (
    EGONE,
    EVENT_DATA,
    EVENT_READY,
    EVENT_WRITABLE,
    FIRST_TOKEN,
    PIECE_END,
    PIECE_LAST,
    READABLE,
    SLOT_MASK,
    WRITABLE,
    Native,
    check,
)
from .claim import Claim
from .eager import Starter, has_changed
from .errors import NativeError
from .exchange import _DONE
from .follow import follow
from .request import Request
from .response import Response

if TYPE_CHECKING:
    from .loop import Loop
    from .route import Route

_T = TypeVar("_T")

logger = logging.getLogger("socketify_mw")

# Answers wait until the batch has been walked, so a batch is to be about a
# millisecond of work. The cost of a request is a peak that decays with each request,
# not a mean: beside one slow route a mean would let fast requests wait behind a slow
# one in the same batch.
_BATCH_SECONDS = 0.001
_MOST_REQUESTS = 256
_CHEAP = _BATCH_SECONDS / _MOST_REQUESTS  # seconds a request that allow full batches
_DECAY = 1 - 1 / 64

# Handlers that keep everybody waiting for longer are named in the log.
_BLOCKING_SECONDS = 0.1

# Bytes that one segment may leave in the outbox before they are sent.
_MOST_WAITING = 256 * 1024

_SCATTERED = 1  # in the shared words
_COUNT = 0


# Where the interpreter does not count references, each request counts as kept.
count_references: Callable[[object], int] = getattr(sys, "getrefcount", lambda _: 99)


def _count_one() -> int:
    it = object()
    return count_references(it)


# Of an object that one local variable has.
_REFERENCES = _count_one()


class TurnSelector(selectors.BaseSelector):
    """The selector of a `Loop`: asyncio's descriptors, and all HTTP beside them.

    It is also the view of the requests of its current turn, and the outbox of their
    responses.
    """

    def __init__(self) -> None:
        self.native = Native()
        # As a request sees it:
        self.turn = 0
        self.arena = self.native.arena
        self.words = self.native.words
        # As a response sees it:
        self.thread = threading.get_ident()
        self.parts: list[bytes] = []
        self.bodies: dict[int, bytes] = {}  # that are on their way, by exchange
        # Of responses that come later, by slot: a connection has one open exchange.
        self.claims: dict[int, Claim] = {}
        # Routes by token; those below FIRST_TOKEN are events.
        self.routes: list[Route] = [None] * FIRST_TOKEN  # type: ignore[list-item]
        self.is_walking = False
        self.is_abandoned = False
        # What handlers run in, and its values as they were.
        self.context: Context
        self.values: tuple[Any, ...]
        self.renew_context()
        self._loop: Loop | None = None
        self._outbox = b""  # handed to C, and not known to be taken
        self._waiting = 0  # bytes of parts that were written since the last flush
        self._batch: Iterator[int] | None = None  # what is left of an unfinished walk
        # What an exception has met: exchange, token, and the response if there was one.
        self._interrupted: tuple[int, int, Response | None] | None = None
        # Connections with an answer that is not complete, or closes: what is behind it
        # in this batch is left alone, and comes again later, or never.
        self.held: set[int] = set()
        self._limit = _MOST_REQUESTS
        self._cost = 0.0  # seconds a request, by the slowest of late
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._map = _Map(self._keys)

    def attach(self, loop: "Loop") -> None:
        """Learn whose work may not wait while turns follow each other."""
        self._loop = loop
        self.starter = Starter(loop)

    def renew(self) -> None:
        """Let handlers see the context variables that are set now."""
        self.renew_context()
        self.starter.renew()

    @property
    def is_idle(self) -> bool:
        """Whether no walk is under way, or was cut short."""
        return self._batch is None and self._interrupted is None

    # ---- the turn ----

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        """Serve requests until one of asyncio's descriptors is ready, it has other
        work, or `timeout` seconds are over; `None` means no limit.
        """
        if self.is_walking:
            raise RuntimeError("the loop is running: a handler cannot run it again")
        ready: list[tuple[selectors.SelectorKey, int]] = []
        if self._interrupted is not None:
            self._settle()
        if self._batch is not None or self.native.shared[_COUNT]:
            self._walk(self.native.shared[_COUNT], ready)  # cut short by an exception
            return ready  # `timeout` is older than what these handlers have scheduled
        milliseconds = -1
        if timeout is not None:
            milliseconds = math.ceil(timeout * 1000) if timeout > 0 else 0
        turn = self.native.turn
        deadline = 0.0
        if milliseconds > 0:
            deadline = perf_counter() + milliseconds / 1000
        has_work = self._work_detector()
        while True:
            outbox = self._take_outbox()
            self.turn += 1  # before C reuses what the last requests were read from
            count = check(turn(milliseconds, self._limit, outbox, len(outbox)))
            self._outbox = b""
            if not count:
                return ready
            self._walk(count, ready)
            # As long as asyncio has nothing to do, a turn follows a turn: its own
            # round in between would cost as much as half a request.
            if ready or milliseconds == 0 or has_work():
                return ready
            if milliseconds > 0:
                milliseconds = math.ceil((deadline - perf_counter()) * 1000)
                if milliseconds <= 0:
                    return ready

    def _work_detector(self) -> Callable[[], bool]:
        """Return a function that tells whether asyncio got something to do."""
        loop = self._loop
        assert loop is not None
        # Private, but the same from 3.8 to 3.14; without them each turn would return.
        callbacks = loop._ready  # type: ignore[attr-defined]
        timers = loop._scheduled  # type: ignore[attr-defined]
        timer_count = len(timers)

        def has_work() -> bool:
            return bool(
                callbacks or len(timers) != timer_count or loop._stopping  # type: ignore[attr-defined]
            )

        return has_work

    def _take_outbox(self) -> bytes:
        """Join what waits to be sent. What C has not seen before an exception is
        handed over again; what it has seen is not.
        """
        shared = self.native.shared
        parts = self.parts
        if self._outbox and shared[_SCATTERED]:
            self._outbox = b""
        if parts:
            shared[_SCATTERED] = 0
            self._outbox = b"".join((self._outbox, *parts) if self._outbox else parts)
            parts.clear()
        return self._outbox

    def _walk(self, count: int, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        """Serve a batch, or what is left of one (whose `count` may be 0)."""
        batch = self._batch
        records: list[int] = []
        if batch is None:
            records = self.native.records(count)
            batch = self._batch = iter(records)
            self.held.clear()
        self.native.shared[_COUNT] = 0  # from here on `_batch` knows what is left
        started = perf_counter()
        self.is_walking = True
        try:
            while self.context.run(self._serve, batch, ready):
                self.renew_context()
        finally:
            # Not in `_serve` itself: CPython 3.13 leaves some jumps back to the head of
            # a loop, where it looks for signals, outside of a `try` around the loop.
            self.is_walking = False
        self._batch = None
        spent = perf_counter() - started
        if spent > _BLOCKING_SECONDS and count:
            self._tell_of_blocking(spent, records[1::3])
        if count and (spent > _CHEAP * count or self._limit != _MOST_REQUESTS):
            self._adapt(spent, count)

    def renew_context(self) -> None:
        """Let handlers see the variables of the current context, and no others."""
        self.context = copy_context()
        self.values = tuple(self.context.values())

    def _serve(
        self, batch: Iterator[int], ready: list[tuple[selectors.SelectorKey, int]]
    ) -> bool:
        """Run the handlers of a batch.

        Returns whether there may be more, for which another context is needed: the
        handler of a request has set variables that are none of the next one's business.
        """
        context = self.context
        routes = self.routes
        held = self.held
        turn = self.turn
        exchange = token = 0
        response: Response | None = None
        try:
            for exchange, token, base in zip(batch, batch, batch, strict=True):
                if token < FIRST_TOKEN:
                    self._note(exchange, token, base, ready)
                    if context and has_changed(context, self.values):
                        return True
                    continue
                if held and exchange & SLOT_MASK in held:
                    continue
                response = Response()
                response._exchange = exchange
                response._outbox = self
                response._head = None
                response._route = route = routes[token]
                request = Request()
                request._view = self
                request._turn = turn
                request._base = base
                request._exchange = exchange
                request._route = route
                request._state = None
                try:
                    result = route.handler(response, request)
                    if (
                        response._head is not _DONE
                        or result is not None
                        and result is not response
                    ):
                        was_async = follow(self, response, request, result)
                        # Somebody has kept it: a task, a list, a closure.
                        if was_async and count_references(request) > _REFERENCES:
                            request.preserve()
                except (Exception, CancelledError) as error:
                    response._route.app._fail(error, response, request)
                # Most contexts are empty: that is asked here, without a call.
                if context and has_changed(context, self.values):
                    return True
            return False
        except BaseException:
            # KeyboardInterrupt, SystemExit: the next select answers the request that it
            # met, and goes on with those behind it in `_batch`. Nothing is done here
            # that a second exception could cut short.
            self._interrupted = (exchange, token, response)
            raise

    def _tell_of_blocking(self, seconds: float, tokens: list[int]) -> None:
        routes = {str(self.routes[token]) for token in tokens if token >= FIRST_TOKEN}
        logger.warning(
            "everybody waited %.0f ms for handlers: %s. Work that long belongs into a "
            "thread or a process",
            seconds * 1000,
            "; ".join(sorted(routes)[:3]) or "of requests before",
        )

    def _adapt(self, spent: float, count: int) -> None:
        """Name the size of the next batch after one of `count` records."""
        self._cost = max(spent / count, self._cost * _DECAY**count)
        fitting = int(_BATCH_SECONDS / max(self._cost, _CHEAP))
        self._limit = min(max(fitting, 1), _MOST_REQUESTS)

    def _note(
        self,
        id: int,
        token: int,
        base: int,
        ready: list[tuple[selectors.SelectorKey, int]],
    ) -> None:
        if token == EVENT_READY:
            key = self._keys.get(id)
            if key is not None:
                ready.append((key, base & key.events))
        elif token == EVENT_WRITABLE and id in self.bodies:
            self.send_body(id)
        elif token in (EVENT_DATA, EVENT_WRITABLE):
            claim = self.claims.get(id & SLOT_MASK)
            if claim is None or claim.exchange != id:
                return  # it is about one that was answered
            if token == EVENT_DATA:
                self._give(claim, base)
            else:
                claim.writable()
        else:
            # The connection has gone. `id` is the first exchange that C took for open:
            # its answer may have met the end, and the claim be that of one behind it.
            self.bodies.pop(id, None)
            claim = self.claims.pop(id & SLOT_MASK, None)
            if claim is not None:
                claim.response._leave()
                claim.abort()

    # ---- responses that come later ----

    def read(self, claim: Claim) -> None:
        """Ask for the request's body if somebody is there for it."""
        if claim.is_reading or claim.is_paused or not claim.is_wanted:
            return
        claim.is_reading = True
        piece = self._ask(self.native.read, claim.exchange, True)
        if piece:
            self._give(claim, piece)

    def _give(self, claim: Claim, piece: int) -> None:
        data = self.arena[piece >> 32 : piece & PIECE_END]
        is_last = bool(piece & PIECE_LAST)
        claim.give(data, is_last)
        if not is_last and claim.is_reading and not claim.is_wanted:
            claim.is_reading = False
            self.pause(claim.exchange)

    def pause(self, exchange: int) -> None:
        """Take no more of a request's body for now."""
        self._ask(self.native.read, exchange, False)

    def backlog(self, exchange: int) -> int | None:
        """Return the bytes of an answer that wait here; None when the peer has gone."""
        self.flush()
        return self._ask(self.native.backlog, exchange)

    def send_part(self, exchange: int, data: bytes, left: int) -> int | None:
        """Send a part of an announced body, which begins `left` bytes before its end.

        Returns the bytes of the body that are left, or None when the peer has gone.
        """
        self.flush()
        self._take_back(exchange)
        return self._ask(self.native.send, exchange, data, left)

    def _take_back(self, exchange: int) -> None:
        """Before what may complete an answer: what it has held comes again."""
        if exchange & SLOT_MASK in self.held:
            self._ask(self.native.take_back, exchange)

    def close_connection(self, exchange: int) -> None:
        """Close the connection of an exchange at once; what waits is sent before."""
        self.flush()
        self._ask(self.native.close_connection, exchange)

    def peer(self, exchange: int) -> tuple[bytes, int]:
        """Return the client's address and port; none when it has gone."""
        try:
            return self.native.peer(exchange)
        except (NativeError, OSError):
            return b"", 0

    def add_bytes(self, count: int) -> None:
        """Note bytes in the outbox; a segment that writes much is sent in between."""
        self._waiting += count
        if self._waiting > _MOST_WAITING:
            self.flush()

    def _ask(self, function: Callable[..., _T], *arguments: object) -> _T | None:
        """Call into C about an exchange; None when that has gone."""
        try:
            return function(*arguments)
        except NativeError as error:
            if error.code != EGONE:
                raise
            return None

    def _settle(self) -> None:
        """Leave nothing half done for the record that an exception has met.

        It may be cut short, and done again: C drops what is answered twice.
        """
        assert self._interrupted is not None
        exchange, token, response = self._interrupted
        if token >= FIRST_TOKEN:
            if response is None or response._exchange != exchange:
                response = Response()
                response._exchange = exchange
                response._outbox = self
                response._head = None
            if response._head is not _DONE:
                self.bodies.pop(exchange, None)
                self.release(exchange)
            response._fail()
        elif token in (EVENT_DATA, EVENT_WRITABLE):
            claim = self.claims.get(exchange & SLOT_MASK)
            if claim is not None and claim.exchange == exchange:
                claim.response._fail()
        if exchange in self.bodies:
            self.send_body(exchange)
        self._interrupted = None

    def hold(self, exchange: int) -> None:
        """Leave alone what is behind an exchange of this batch on its connection."""
        self.held.add(exchange & SLOT_MASK)

    def release(self, exchange: int) -> None:
        """Take `hold` back; only before anything behind the exchange was left alone."""
        self.held.discard(exchange & SLOT_MASK)

    # ---- large bodies ----

    def send_body(self, exchange: int) -> None:
        """Go on with a body in `bodies`, whose answer is in the outbox or was sent.

        C takes it in pieces, without a copy of the whole.
        """
        if self.parts or self._outbox:
            self.flush()
        body = self.bodies.get(exchange)
        if body is None:
            return
        self._take_back(exchange)
        try:
            left = self.native.send(exchange, body, len(body))
        except NativeError as error:
            if error.code != EGONE:
                raise
            left = 0
        if left:
            self.hold(exchange)
        else:
            del self.bodies[exchange]

    def flush(self) -> None:
        """Scatter the outbox now."""
        self.native.flush(self._take_outbox())
        self._outbox = b""
        self._waiting = 0

    def finish(self) -> None:
        """Send what an exception has left behind, for nobody may select again."""
        if self.is_abandoned:
            return
        if self._interrupted is not None:
            self._settle()
        self.flush()

    # ---- asyncio's descriptors ----

    def register(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        fd = _fileno(fileobj)
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (FD {fd}) is already registered")
        return self._set(fileobj, fd, events, data)

    def modify(
        self, fileobj: Any, events: int, data: Any = None
    ) -> selectors.SelectorKey:
        return self._set(fileobj, self.get_key(fileobj).fd, events, data)

    def _set(
        self, fileobj: Any, fd: int, events: int, data: Any
    ) -> selectors.SelectorKey:
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        self.native.watch(fd, events)
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        key = self.get_key(fileobj)
        del self._keys[key.fd]
        self.native.watch(key.fd, 0)
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map[fileobj]

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._map

    def abandon(self, *, is_ours: bool) -> None:
        """Serve nothing more in a child of fork: the requests are the parent's."""
        self.is_abandoned = True
        if self._batch is not None:
            for _ in self._batch:  # the walk that is under way ends there
                pass
        self.parts.clear()
        self.bodies.clear()
        self.claims.clear()
        self._keys.clear()
        self.native.abandon(is_ours=is_ours)

    def close(self) -> None:
        if self.is_walking:
            raise RuntimeError("a handler cannot close the loop that runs it")
        self._keys.clear()
        self.bodies.clear()
        self.claims.clear()
        self.native.close()


assert selectors.EVENT_READ == READABLE and selectors.EVENT_WRITE == WRITABLE


class _Map(Mapping[Any, selectors.SelectorKey]):
    """Keys by descriptor, or by an object that has one: `Loop.remove_reader` of 3.13
    looks up here what it was given.
    """

    def __init__(self, keys: dict[int, selectors.SelectorKey]) -> None:
        self._keys = keys

    def __getitem__(self, fileobj: Any) -> selectors.SelectorKey:
        try:
            return self._keys[_fileno(fileobj)]
        except ValueError:  # closed already: find it by itself
            for key in self._keys.values():
                if key.fileobj is fileobj:
                    return key
            raise
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[int]:
        return iter(self._keys)


def _fileno(fileobj: Any) -> int:
    try:
        fd = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"Invalid file object: {fileobj!r}") from None
    if fd < 0:
        raise ValueError(f"Invalid file descriptor: {fd}")
    return fd
