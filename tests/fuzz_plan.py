"""Plans: what one connection of the fuzz test asks, and what the handlers do about it.

A plan follows from its seed alone. Client and server make it each for itself, so that
both know what the other will say: each request and each answer is full of a token of
its own. See fuzz_awaits.py.
"""

import json
import random
from dataclasses import dataclass, field
from functools import lru_cache

Step = tuple  # a name, and what it is done with

# The 64 KiB of an unread body that a server skips, less what chunks take.
MOST_SKIPPED = 60_000
LARGE = 16 * 1024  # bodies above this leave in pieces

KINDS = ("sync", "coro", "task", "future")  # of handlers; see `Site`


def weighted(text: str) -> list[str]:
    """Return names to choose from: "end:3 send" is three times end and once send."""
    pairs = (word.partition(":") for word in text.split())
    return [name for name, _, count in pairs for _ in range(int(count or 1))]


READS = weighted(
    "url full_url method parameter parameters host agent token token_upper odd twice "
    "absent headers cookie query queries ancient"
)
SYNC_STEPS = weighted("read:8 preserve fire later:2 field peer")
ASYNC_STEPS = SYNC_STEPS + weighted("sleep:3 nap meet:2 timeout interrupt context task")
BODY_STEPS = weighted("data:3 text twice gather stream:2 stream_some orphan")
AFTER_STEPS = weighted("read:2 sleep nap meet fire later again:2 fail")
AGAIN = weighted("end write drain data pause on_aborted on_data try_end send_chunk")

SYNC_FINISHES = weighted(
    "end:10 send json stream:2 try_end:2 on_data:3 late:3 fail:2 nothing close cut "
    "last last_field end_close tail"
)
ASYNC_FINISHES = SYNC_FINISHES + weighted("stream:3 chunks:4 fail cancelled tail")
# The answer is surely complete when these are over.
CERTAIN = frozenset(("end", "send", "json", "stream", "last", "last_field"))


@dataclass(slots=True)
class Exchange:
    """A request, what its handler does, and the answer that is to come of it."""

    token: str
    kind: str
    hand: str  # how a route before it hands the request on, or ""
    index: int
    path: str = ""
    word: str = ""  # the route parameter, decoded
    query: str = ""
    method: str = "GET"
    lines: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    wire: bytes = b""
    before: list[Step] = field(default_factory=list)
    finish: Step = ("end",)
    after: list[Step] = field(default_factory=list)
    says_token: bool = False
    status: int = 200
    answer: bytes = b""  # its body
    shown: bytes = b""  # as the client gets it: nothing for HEAD
    # What becomes of the connection behind it: "open", "closed", "maybe", or "cut" in
    # the middle of the answer.
    ending: str = "open"

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.lines if key.lower() == name]
        return ", ".join(values) if values else None


@dataclass(slots=True)
class Plan:
    """A connection: its requests, how their bytes are cut, and how it ends."""

    seed: int
    lap: int
    app: int  # 0: as apps are by default; 1: half_close, cancel_abandoned, on_error
    exchanges: list[Exchange]
    wire: bytes
    cuts: list[tuple[int, float]]  # places in `wire`, and seconds to wait there
    # "finish", or "close", "reset" and "half" at a place; "leave" after some answers.
    end: str
    end_at: int
    starts_reading: float  # seconds after the connection was made
    buffer: int  # of the socket, for what it receives; 0 for the usual

    @property
    def is_whole(self) -> bool:
        """Whether the client stays until it has every answer."""
        is_half = self.end == "half" and self.end_at == len(self.wire)
        return self.end == "finish" or (is_half and self.app == 1)

    def is_calm(self, index: int) -> bool:
        """Whether nothing but its own handler may end this exchange."""
        before = self.exchanges[:index]
        return self.is_whole and all(it.ending == "open" for it in before)

    def is_cut_short(self, index: int) -> bool:
        """Whether the client ends its side within this request, and waits."""
        wire = sum(len(it.wire) for it in self.exchanges[: index + 1])
        return self.end == "half" and self.end_at < wire

    @property
    def name(self) -> str:
        return f"{self.seed}.{self.lap}"


def fill(text: str, size: int) -> bytes:
    """Return `size` bytes of a text, over and over."""
    data = text.encode()
    return (data * (size // len(data) + 1))[:size]


@lru_cache(maxsize=2048)
def make_plan(seed: int, lap: int = 0) -> Plan:
    """Return the plan of a seed. Laps differ in their tokens alone."""
    rng = random.Random(seed)
    app = rng.randrange(2)
    count = rng.choice((1, 1, 2, 2, 3, 4, 5))
    exchanges = [_exchange(rng, seed, lap, index, app) for index in range(count)]
    wire = b"".join(it.wire for it in exchanges)
    places = sorted(_place(rng, wire, exchanges) for _ in range(rng.choice(_CUTS)))
    cuts = [(place, rng.choice(_PAUSES)) for place in places]
    end = rng.choice(_ENDS)
    end_at = len(wire)
    if end == "leave":
        end_at = rng.randint(0, count)
    elif end in ("close", "reset", "half") and rng.random() < 0.7:
        end_at = _place(rng, wire, exchanges)
    reads_late = rng.random() < 0.1
    delay = rng.choice((0.002, 0.01, 0.03)) if reads_late else 0.0
    buffer = 4096 if reads_late and rng.random() < 0.5 else 0
    return Plan(seed, lap, app, exchanges, wire, cuts, end, end_at, delay, buffer)


_CUTS = (0, 0, 0, 1, 1, 2, 3, 5)
_PAUSES = (0.0, 0.0, 0.0, 0.0, 0.001, 0.002, 0.004)
_ENDS = weighted("finish:12 close:2 reset:2 half:2 leave:2")


def _place(rng: random.Random, wire: bytes, exchanges: list[Exchange]) -> int:
    """Return a place in the bytes; bodies are long, so that most are near heads."""
    if rng.random() < 0.3:
        return rng.randint(0, len(wire))
    count = rng.randrange(len(exchanges))
    start = sum(len(it.wire) for it in exchanges[:count])
    return min(len(wire), start + rng.randint(0, 400))


def _exchange(
    rng: random.Random, seed: int, lap: int, index: int, app: int
) -> Exchange:
    token = f"{seed:x}.{lap}-{index}"
    kind = rng.choice(KINDS)
    hand = rng.choice(("", "", "", "", "then", "athen"))
    it = Exchange(token, kind, hand, index)
    _write_request(rng, it, seed, lap)
    is_sync = kind == "sync"
    pool = SYNC_STEPS if is_sync else ASYNC_STEPS
    it.before = [_step(rng, rng.choice(pool)) for _ in range(rng.choice(_STEPS))]
    is_body_read = not it.body
    body_step = ""
    if not is_sync and rng.random() < (0.6 if it.body else 0.1):
        body_step = rng.choice(BODY_STEPS)
        it.before.insert(rng.randint(0, len(it.before)), (body_step,))
        is_body_read = is_body_read or body_step not in ("stream_some", "orphan")
    name = rng.choice(SYNC_FINISHES if is_sync else ASYNC_FINISHES)
    # While somebody waits for the body, he may be the one to answer.
    is_orphaned = body_step == "orphan" and name in ("nothing", "cancelled")
    if is_orphaned or (body_step and name == "on_data"):
        name = "end"
    if name == "cut" and it.method == "HEAD":  # whose head would be all of it
        name = "close"
    _plan_answer(rng, it, name, app)
    is_body_read = is_body_read or name == "on_data"
    if it.ending == "open" and not is_body_read and len(it.wire) > MOST_SKIPPED:
        it.ending = "maybe"
    if not is_sync:
        after = [_step(rng, rng.choice(AFTER_STEPS)) for _ in range(rng.choice(_STEPS))]
        it.after = [
            step for step in after if name in CERTAIN or step[0] not in _CERTAIN_STEPS
        ]
    return it


_STEPS = (0, 0, 1, 2, 3, 5)
_CERTAIN_STEPS = ("again", "fail")


def _step(rng: random.Random, name: str) -> Step:
    if name == "read":
        return name, rng.choice(READS)
    if name == "later":
        return name, rng.choice(READS), rng.randrange(4)
    if name == "again":
        return name, rng.choice(AGAIN)
    return (name,)


def _size(rng: random.Random) -> int:
    dice = rng.random()
    if dice < 0.7:
        return rng.randint(1, 400)
    if dice < 0.9:
        return rng.randint(400, 20_000)
    if dice < 0.98:
        return rng.randint(15_000, 90_000)
    return rng.randint(90_000, 400_000)


def _write_request(rng: random.Random, it: Exchange, seed: int, lap: int) -> None:
    token = it.token
    has_body = rng.random() < 0.45
    methods = (
        "POST PUT PATCH DELETE REPORT" if has_body else "GET GET HEAD OPTIONS LIST"
    )
    it.method = rng.choice(methods.split())
    route = f"{it.hand}-{it.kind}" if it.hand else it.kind
    it.word = word = f"w{token}"
    if rng.random() < 0.3:
        word, it.word = f"%C3%A4{token}", f"ä{token}"
    it.path = f"/{route}/{seed}.{lap}/{it.index}/{word}"
    if rng.random() < 0.5:
        it.query = rng.choice((f"q={token}", f"a=b&q={token}&z", f"q={token}+%20x"))
    it.lines = [("Host", f"h{token}"), ("X-Token", token)]
    extra = [
        ("User-Agent", f"agent/{token}"),
        ("X-Odd", f"\xe4 {token}"),
        ("X-Twice", f"1 {token}"),
        ("X-Twice", f"2 {token}"),
        ("Cookie", f"a=1; c={token}; d=%20"),
        ("X-" + "n" * rng.randint(1, 40), fill(token, rng.randint(1, 900)).decode()),
    ]
    it.lines += [line for line in extra if rng.random() < 0.4]
    rng.shuffle(it.lines)
    if has_body:
        it.body = fill(f"b{token}|", _size(rng))
        if rng.random() < 0.1:
            it.lines.append(("Expect", "100-continue"))
    it.wire = _wire(rng, it)


_WITH_BODY = weighted("POST:2 PUT PATCH DELETE REPORT")
_WITHOUT_BODY = weighted("GET:3 HEAD OPTIONS LIST")


def _wire(rng: random.Random, it: Exchange) -> bytes:
    target = f"{it.path}?{it.query}" if it.query else it.path
    body = it.body
    lines = it.lines
    if body and rng.random() < 0.5:
        lines.append(("Transfer-Encoding", "chunked"))
        places = sorted(rng.randint(1, len(body)) for _ in range(rng.randrange(4)))
        ends = sorted({*places, len(body)})
        starts = [0, *ends[:-1]]
        parts = [body[a:b] for a, b in zip(starts, ends, strict=True)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        body += b"0\r\n\r\n"
    elif body:
        lines.append(("Content-Length", str(len(body))))
    head = [f"{it.method} {target} HTTP/1.1"]
    head += (f"{name}: {value}" for name, value in lines)
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def _plan_answer(rng: random.Random, it: Exchange, name: str, app: int) -> None:
    token = it.token
    it.says_token = rng.random() < 0.4
    it.answer = fill(f"a{token}|", _size(rng))
    it.finish = (name,)
    if name == "end":
        it.finish = name, rng.random() < 0.5
    elif name == "send":
        it.status = 201
    elif name == "json":
        it.answer = json.dumps({"token": token, "list": [1, None, "ä"]}).encode()
    elif name in ("stream", "chunks"):
        count = rng.choice((1, 2, 3, 6))
        places = sorted(rng.randint(0, len(it.answer)) for _ in range(count - 1))
        waits = [rng.choice(_WAITS) for _ in range(count)]
        it.finish = name, [*places, len(it.answer)], waits
    elif name == "on_data":
        it.finish = name, rng.random() < 0.3
    elif name in ("late", "tail"):
        it.finish = name, rng.choice(("soon", "later", "meet")), rng.random() < 0.5
    elif name == "end_close":
        it.answer = it.answer[:LARGE]
        it.ending = "maybe"
    elif name in ("last", "last_field"):
        it.ending = "closed"
    elif name in ("close", "cut"):
        it.ending = "cut"
        if name == "close":
            it.answer = b""
    if name in ("fail", "nothing", "cancelled"):
        it.status = 500
        has_handler = name == "fail" and app == 1
        text = f"error {token}" if has_handler else "Internal Server Error"
        it.answer = text.encode()
        it.says_token = False
    it.shown = b"" if it.method == "HEAD" else it.answer


_WAITS = weighted("none:2 drain sleep nap meet")
