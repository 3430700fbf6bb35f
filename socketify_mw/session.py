"""Session: what is kept for one client between its requests."""

import hashlib
import json
import secrets
import time
from collections.abc import Collection, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import StoreError

if TYPE_CHECKING:
    from .stores import Store

_T = TypeVar("_T")

# Of 256 random bits in base64: what a client sends otherwise is no id.
_ID_LENGTH = 43

# How often a save is tried again that met another one's.
_MOST_TRIES = 64

# What stands under an id that was given up for another one, and for how many seconds:
# those that are in flight are to know that it was not ended.
_MOVED = b"null"
_MOVED_TTL = 60.0

# Lists and objects within each other. JSON of more is read by some Pythons, and not by
# others.
_MOST_DEPTH = 64

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds: without a request that touches it, and in all."""

    idle: float
    absolute: float


class Session:
    """Values by name, loaded when first touched and saved once, before the answer.

    Values are whatever JSON has. What is changed within a value is noticed. When two
    requests change one session at the same time, each one's names are kept.
    """

    def __init__(
        self, store: "Store", lifetimes: Lifetimes, cookie: str | None
    ) -> None:
        self._store = store
        self._lifetimes = lifetimes
        is_id = cookie is not None and len(cookie) == _ID_LENGTH and cookie.isascii()
        self._cookie = cookie  # as the client has sent it
        self._id = cookie if is_id else None  # that may be the store's
        self._raw: bytes | None = None  # as it is stored
        self._stored: dict[str, Any] | None = None  # what that means
        self._data: dict[str, Any] = {}
        self._flashed: dict[str, Any] = {}  # for this request alone
        self._flashes: dict[str, Any] = {}  # for the next one
        self._secret: str | None = None
        self._created = self._saved_at = 0.0
        self._is_loaded = False
        self._is_saved = False
        self._is_new_id_wanted = False
        self._is_flushed = False

    # ---- loading ----

    async def load(self) -> "Session":
        """Load it, if that was not done. Raises StoreError when its store is away."""
        if not self._is_loaded:
            raw = await self._store.get(_key(self._id)) if self._id else None
            if not self._is_loaded:  # meanwhile
                self._take(raw)
        return self

    @property
    def is_loaded(self) -> bool:
        """Whether it can be read without waiting."""
        return self._is_loaded or self._store.is_immediate

    def _touch(self) -> None:
        if self._is_loaded:
            return
        if not self._store.is_immediate:
            # For clients without a session, too: a mistake is to show at the first
            # request, and not when somebody comes back.
            raise RuntimeError(
                "the session was not loaded: `await request.session.load()` before, or "
                "set `preload = True` on SessionMiddleware"
            )
        run_now(self.load())

    def _take(self, raw: bytes | None) -> None:
        """Have what a store has returned, unless its time is over."""
        now = time.time()
        stored = _decode(raw)
        if stored is not None and stored["created"] + self._lifetimes.absolute <= now:
            stored = None
        if stored is None:
            # Not the id of a client that has made it up, or had it from somebody else.
            self._id = None
            self._created = now
            self._is_loaded = True
            return
        self._raw, self._stored = raw, stored
        # Anew, for a program may change what is in it.
        self._data = json.loads(raw or b"")["data"]
        self._flashed = dict(stored["flash"])
        self._secret = stored["secret"]
        self._created, self._saved_at = stored["created"], stored["saved"]
        self._is_loaded = True  # at last: a half of it is not to be saved

    # ---- values ----

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, one that was flashed too."""
        self._touch()
        for values in (self._flashes, self._data, self._flashed):
            if name in values:
                return values[name]
        return default

    def has(self, name: str) -> bool:
        """Whether there is a value."""
        return self.get(name, _MISSING) is not _MISSING

    def all(self) -> dict[str, Any]:
        """Return all values by name, those that were flashed too."""
        self._touch()
        return self._flashed | self._data | self._flashes

    def put(self, name: str, value: Any) -> None:
        """Keep a value. Raises TypeError for what JSON does not have."""
        self._change()
        _check(name, value)
        self._data[name] = value

    set = put

    def pull(self, name: str, default: Any = None) -> Any:
        """Return a value, and forget it."""
        value = self.get(name, default)
        self.forget(name)
        return value

    def flash(self, name: str, value: Any) -> None:
        """Keep a value until the next request that touches the session is answered."""
        self._change()
        _check(name, value)
        self._flashes[name] = value

    def forget(self, *names: str) -> None:
        """Forget values, if they are there."""
        self._change()
        for name in names:
            for values in (self._data, self._flashed, self._flashes):
                values.pop(name, None)

    delete = forget

    def flush(self) -> None:
        """End the session: forget all values. What is put then begins another one."""
        self._change()
        self._data, self._flashed, self._flashes = {}, {}, {}
        self._secret = None
        self._is_flushed = True
        self._created = time.time()

    def regenerate(self) -> None:
        """Give the session another id, at log-in and whenever rights change.

        Who has got the id that it had before has nothing by it. The CSRF token changes.
        """
        self._change()
        self._is_new_id_wanted = True
        self._secret = None

    def secret(self) -> str:
        """Return what CSRF tokens are made of: 256 random bits, in base64."""
        self._touch()
        if self._secret is None:
            self._change()
            self._secret = secrets.token_urlsafe(32)
        return self._secret

    def known_secret(self) -> str | None:
        """Return that if there is one."""
        self._touch()
        return self._secret

    def _change(self) -> None:
        if self._is_saved:
            raise RuntimeError(
                "the session was saved already, before the head of the answer: change "
                "it before that is sent"
            )
        self._touch()

    # ---- saving ----

    async def save(self) -> str | None:
        """Save it if it was changed, or is to be kept for longer.

        Returns what the client's cookie is to be: None if it stays as it is, "" if it
        is to be forgotten. Raises StoreError. What is changed from now on is an error.
        """
        is_over = self._is_saved or not self._is_loaded
        self._is_saved = True
        return None if is_over else await self._save()

    async def _save(self) -> str | None:
        if self._is_flushed and self._id:
            await self._store.delete(_key(self._id))
            self._id = self._raw = None
        is_empty = not (self._data or self._flashes or self._secret)
        if self._id is None:
            if is_empty:
                # Not for an id that is not known alone: a request beside this one may
                # have given the client another cookie, which this would take away.
                return "" if self._is_flushed and self._cookie is not None else None
            return await self._save_new()
        if self._is_new_id_wanted:
            return await self._move()
        if self._is_changed() or self._is_due():
            await self._merge(_key(self._id))
        return None

    async def _save_new(self) -> str:
        id = secrets.token_urlsafe(32)
        if self._secret is None:
            # From the first: of requests that make one at the same time, each would
            # have given its page a token, and but one of those would be good.
            self._secret = secrets.token_urlsafe(32)
        if not await self._store.replace(_key(id), None, self._encode(), self._ttl()):
            raise StoreError("a new session's id was there already")
        return id

    async def _move(self) -> str | None:
        """Save under another id, with what others have saved under this one."""
        assert self._id is not None
        old, id = _key(self._id), await self._save_new()
        for _ in range(_MOST_TRIES):
            if await self._store.replace(old, self._raw, _MOVED, _MOVED_TTL):
                return id
            raw = await self._store.get(old)
            if raw == _MOVED:
                return id  # so there are two: the client keeps one of them
            if raw is None:  # somebody has ended it: it does not come back
                await self._store.delete(_key(id))
                return None
            self._rebase(raw)
            await self._store.set(_key(id), self._encode(), self._ttl())
        raise StoreError("others have changed the session again and again")

    async def _merge(self, key: str) -> None:
        """Save, with what others have saved since it was loaded."""
        for _ in range(_MOST_TRIES):
            new = self._encode()
            if await self._store.replace(key, self._raw, new, self._ttl()):
                return
            raw = await self._store.get(key)
            if raw is None or raw == _MOVED:
                # Somebody has ended it, and it does not come back. The cookie stays:
                # the client may have been given another one.
                return
            self._rebase(raw)
        raise StoreError("others have changed the session again and again")

    def _rebase(self, raw: bytes) -> None:
        """Do to what is stored now what was done to what was loaded."""
        stored = _decode(raw)
        if stored is None or self._stored is None or raw == self._raw:
            return
        was = self._stored["data"]
        data = json.loads(raw)["data"]
        for name in was.keys() - self._data.keys():
            data.pop(name, None)
        for name, value in self._data.items():
            if name not in was or _differs(was[name], value):
                data[name] = value
        self._flashes = stored["flash"] | self._flashes
        if not self._is_new_id_wanted:
            self._secret = stored["secret"] or self._secret
        self._raw, self._stored, self._data = raw, stored, data

    def _is_changed(self) -> bool:
        stored = self._stored
        return stored is None or (
            _differs(self._data, stored["data"])
            or _differs(self._flashes, stored["flash"])
            or self._secret != stored["secret"]
        )

    def _is_due(self) -> bool:
        return time.time() - self._saved_at > self._lifetimes.idle / 4

    def _ttl(self) -> float:
        left = self._created + self._lifetimes.absolute - time.time()
        return max(min(self._lifetimes.idle, left), 1.0)

    def _encode(self) -> bytes:
        for name, value in (*self._data.items(), *self._flashes.items()):
            _check_depth(name, value)  # it may have grown since it was put
        stored = {
            "data": self._data,
            "flash": self._flashes,
            "secret": self._secret,
            "created": self._created,
            "saved": time.time(),
        }
        return json.dumps(stored, separators=(",", ":")).encode()


def run_now(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Return what a coroutine returns that does not wait."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: _T = stop.value
        return value
    coroutine.close()
    raise RuntimeError("a store that says it answers at once has waited")


def _key(id: str) -> str:
    # Who can read the store is not to have the ids.
    return "session:" + hashlib.sha256(id.encode()).hexdigest()


def _decode(raw: bytes | None) -> dict[str, Any] | None:
    if raw is None:
        return None
    stored: dict[str, Any] = json.loads(raw)
    return stored


def _differs(one: Any, other: Any) -> bool:
    # 1, 1.0 and True are equal, and not the same.
    return one != other or json.dumps(one) != json.dumps(other)


def _check(name: str, value: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"a session's names are text, not {name!r}")
    _check_depth(name, value)
    try:
        found = json.loads(json.dumps({name: value}))
    except (TypeError, ValueError) as error:
        raise TypeError(f"the session cannot keep {name!r}: {error}") from None
    if found != {name: value}:
        raise TypeError(f"the session would give {name!r} back as {found[name]!r}")


def _check_depth(name: str, value: Any) -> None:
    """Refuse values that stand too deep within each other; TypeError."""
    layer = [value]
    for _ in range(_MOST_DEPTH):
        inner = (it for outer in layer for it in _within(outer))
        layer = list({id(it): it for it in inner}.values())  # each but once
        if not layer:
            return
    raise TypeError(
        f"the session cannot keep {name!r}: it has more than {_MOST_DEPTH} lists or "
        "objects within each other"
    )


def _within(value: Any) -> Collection[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, (list, tuple)) else ()
