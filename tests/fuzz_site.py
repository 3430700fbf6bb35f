"""The server of the fuzz test: handlers that do what the plan of their request says.

Whatever differs from the plan is a failure: another byte in a request, an error that
was not planned, a call out of order, a context that belongs to another request.
"""

import asyncio
import contextlib
import gc
import logging
import sys
from collections.abc import Iterator
from contextvars import ContextVar
from functools import partial

from fuzz_plan import Exchange, Plan, Step, fill, make_plan

from socketify_mw import App, ClientGone, Limits, RequestExpired

_token: ContextVar[str | None] = ContextVar("token", default=None)


class Planned(Exception):
    """What handlers raise because the plan says so."""


class Mismatch(Exception):
    """Something is not as planned; it is in the failures already."""


class _Watcher(logging.Handler):
    """Makes failures of what is logged with an error that nobody has planned."""

    def __init__(self, site: "Site") -> None:
        super().__init__()
        self._site = site

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        is_asyncio = record.name.startswith("asyncio")
        if isinstance(error, Planned | Mismatch) or (error is None and not is_asyncio):
            return
        self._site.failures.append(logging.Formatter().format(record))


class Site:
    """Two apps on one loop, and what they have found.

    The second one is made with half_close, cancel_abandoned and an error handler.
    """

    def __init__(self, app: App) -> None:
        self.loop = app.loop
        self.failures: list[str] = []
        self.calls: dict[str, int] = {}  # of handlers, by plan
        self._waiting: list[asyncio.Future[None]] = []  # for others, who `fire`
        self._later: set[asyncio.Task[None]] = set()
        self.apps = app, App(limits=LIMITS, half_close=True, cancel_abandoned=True)
        self.ports: list[int] = []
        for it in self.apps:
            self._add_routes(it)
            it.listen(
                0, lambda config: self.ports.append(config.port), host="127.0.0.1"
            )
        app.get("/report", lambda res, req: res.end(self.report()))
        self.apps[1].on_error(self.answer_error)

    def _add_routes(self, app: App) -> None:
        handlers = {
            "sync": self.handle_sync,
            "coro": self.handle_coro,
            "task": self.handle_task,
            "future": self.handle_future,
        }
        for kind, handler in handlers.items():
            app.any(f"/{kind}/:plan/:index/:word", handler)
            app.any(f"/then-{kind}/:plan/:index/:word", self.hand_on)
            app.any(f"/then-{kind}/*", handler)
            app.any(f"/athen-{kind}/:plan/:index/:word", self.hand_on_later)
            app.any(f"/athen-{kind}/*", handler)

    @contextlib.contextmanager
    def watched_logs(self) -> Iterator[None]:
        """Let errors in the log be failures, and nothing else be in it."""
        watcher = _Watcher(self)
        loggers = [logging.getLogger(name) for name in ("socketify_mw", "asyncio")]
        hook = sys.unraisablehook
        sys.unraisablehook = lambda it: self.failures.append(f"unraisable: {it}")
        for logger in loggers:
            logger.addHandler(watcher)
            logger.propagate = False
        try:
            yield
        finally:
            sys.unraisablehook = hook
            for logger in loggers:
                logger.removeHandler(watcher)
                logger.propagate = True

    def report(self) -> dict[str, object]:
        """Return what is left behind, and the failures."""
        gc.collect()  # a future whose error nobody has taken says so when it goes
        for future in self._waiting:
            _fire(future)
        self._waiting.clear()
        turns = self.loop.turns
        # One of the connections is that of who asks; it has no claim and no task.
        return {
            "claims": [
                claim.response._route.pattern for claim in turns.claims.values()
            ],
            "bodies": len(turns.bodies),
            "tasks": [str(task) for app in self.apps for task in app._tasks],
            "later": len(self._later),
            "connections": [app._server.connections() for app in self.apps],
            "calls": sum(self.calls.values()),
            "failures": self.failures[:20],
        }

    # ---- handlers ----

    def handle_sync(self, res, req):
        plan, it = self.find(req)
        self.begin(plan, it, req)
        for step in it.before:
            self.do(step, plan, it, res, req)
        return self.finish(plan, it, res, req)

    async def handle_coro(self, res, req):
        plan, it = self.find(req)
        self.begin(plan, it, req)
        await self.follow(plan, it, res, req)

    def handle_task(self, res, req):
        plan, it = self.find(req)
        self.begin(plan, it, req)
        return res.run_async(self.follow(plan, it, res, req))

    def handle_future(self, res, req):
        plan, it = self.find(req)
        self.begin(plan, it, req)
        return self.loop.create_task(self.follow(plan, it, res, req))

    def hand_on(self, res, req):
        plan, it = self.find(req)
        self.hold(it.hand == "then", plan, it, "the wrong route")
        for step in it.before:
            if step[0] in ("read", "later", "preserve"):
                self.do(step, plan, it, res, req)
        req.set_yield(True)

    async def hand_on_later(self, res, req):
        plan, it = self.find(req)
        self.hold(it.hand == "athen", plan, it, "the wrong route")
        self.enter(plan, it)
        for step in it.before:
            if step[0] in ("read", "later", "sleep", "meet"):
                await self.wait_or_do(step, plan, it, res, req)
        req.set_yield(True)

    def answer_error(self, error, res, req):
        if isinstance(error, Planned) and res is not None and req is not None:
            plan, it = self.find(req)
            self.hold(str(error) == it.token, plan, it, f"got the error {error!r}")
            if it.ending == "cut":
                return None
            if plan.seed % 2:
                return self.answer_error_later(plan, it, res, req)
            res.write_status(500).end(f"error {it.token}")
        elif not isinstance(error, ClientGone | Mismatch):
            self.failures.append(f"on_error: {error!r}, {res}, {req}")
        return None

    async def answer_error_later(self, plan, it, res, req):
        await asyncio.sleep(0)
        self.hold(req.get_header("x-token") == it.token, plan, it, "another request")
        res.write_status(500).end(f"error {it.token}")

    # ---- checks ----

    def find(self, req) -> tuple[Plan, Exchange]:
        """Return the plan of a request, which its path names."""
        path = req.get_url()
        try:
            _, _, name, index, _ = path.split("/")
            seed, lap = name.split(".")
            plan = make_plan(int(seed), int(lap))
            it = plan.exchanges[int(index)]
        except (ValueError, IndexError):
            self.failures.append(f"nobody has sent the path {path!r}")
            raise Mismatch from None
        self.hold(path == it.path, plan, it, f"the path is {path!r}, not {it.path!r}")
        return plan, it

    def begin(self, plan: Plan, it: Exchange, req) -> None:
        """Check that each request of a connection comes once, in order."""
        count = self.calls.get(plan.name, 0)
        self.hold(count == it.index, plan, it, f"is called as number {count}")
        self.calls[plan.name] = it.index + 1
        before = plan.exchanges[: it.index]
        is_late = any(each.ending == "closed" for each in before)
        self.hold(not is_late, plan, it, "is called behind the last answer")
        kind = req.get_url().split("/")[1].rpartition("-")[2]
        self.hold(kind == it.kind, plan, it, f"came to the route of {kind}")

    def enter(self, plan: Plan, it: Exchange) -> None:
        """Check that no other request has left anything in this one's context."""
        token = _token.get()
        self.hold(token in (None, it.token), plan, it, f"has the context of {token}")
        _token.set(it.token)

    def hold(self, claim: bool, plan: Plan, it: Exchange, otherwise: str) -> None:
        if not claim:
            failure = f"plan {plan.name}, {it.token}, {it.finish[0]}: {otherwise}"
            self.failures.append(failure)
            raise Mismatch(failure)

    def read(self, plan: Plan, it: Exchange, req, what: str) -> None:
        """Read one thing of a request, which is to be as it was sent."""
        got, wanted = READERS[what](req, it)
        self.hold(got == wanted, plan, it, f"{what} is {got!r}, not {wanted!r}")

    def compare(self, plan: Plan, it: Exchange, body: bytes, is_end: bool) -> None:
        wanted = it.body if is_end else it.body[: len(body)]
        if body != wanted:
            ends = body[:60], body[-60:]
            self.hold(False, plan, it, f"a wrong body: {len(body)} bytes, {ends!r}")

    # ---- steps ----

    async def follow(self, plan: Plan, it: Exchange, res, req) -> None:
        """Do what the plan has for a coroutine."""
        self.enter(plan, it)
        task = asyncio.current_task()
        try:
            for step in it.before:
                await self.wait_or_do(step, plan, it, res, req)
                self.hold(_token.get() == it.token, plan, it, "lost its context")
                self.hold(asyncio.current_task() is task, plan, it, "lost its task")
            name = f"finish_{it.finish[0]}"
            if (finish := getattr(self, name, None)) is not None:
                await finish(plan, it, res, req)
            else:
                self.finish(plan, it, res, req)
            for step in it.after:
                await self.wait_or_do(step, plan, it, res, req)
                self.hold(asyncio.current_task() is task, plan, it, "lost its task")
        except ClientGone:
            self.hold(not self.is_calm(plan, it), plan, it, "its client has gone")
            raise
        except asyncio.CancelledError:
            is_planned = it.finish[0] == "cancelled"
            may_be = is_planned or not self.is_calm(plan, it)
            self.hold(may_be, plan, it, "was cancelled")
            raise

    def is_calm(self, plan: Plan, it: Exchange) -> bool:
        # A stream for HEAD is complete for the client before its handler ends it.
        is_early = it.method == "HEAD" and it.finish[0] == "stream"
        return plan.is_calm(it.index) and it.ending != "cut" and not is_early

    async def wait_or_do(self, step: Step, plan, it, res, req) -> None:
        function = getattr(self, f"wait_{step[0]}", None)
        if function is None:
            self.do(step, plan, it, res, req)
        else:
            await function(step, plan, it, res, req)

    def do(self, step: Step, plan: Plan, it: Exchange, res, req) -> None:
        name = step[0]
        if name == "read":
            self.read(plan, it, req, step[1])
        elif name == "preserve":
            self.hold(req.preserve() is req, plan, it, "preserve returned another")
        elif name == "fire":
            if self._waiting:
                _fire(self._waiting.pop(len(self._waiting) // 2))
        elif name == "later":
            # A plain handler's request has an end that a coroutine's has not.
            is_kept = it.kind in ("coro", "future") or it.hand != ""
            self.spawn(self.read_later(step, plan, it, req, is_kept))
        elif name == "field":
            if not res.has_responded():
                res.write_header("X-More", it.token)
        elif name == "peer":
            address = res.get_remote_address()
            self.hold(address in ("127.0.0.1", ""), plan, it, f"came from {address!r}")
        elif name == "fail":
            raise Planned(it.token)

    def spawn(self, coroutine) -> asyncio.Task:
        task = self.loop.create_task(coroutine)
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return task

    async def read_later(self, step, plan, it, req, is_kept) -> None:
        _, what, rounds = step
        for _ in range(rounds):
            await asyncio.sleep(0)
        if it.hand and what in ("parameter", "parameters"):  # they are the next route's
            what = "url"
        try:
            with contextlib.suppress(Mismatch):
                self.read(plan, it, req, what)
        except RequestExpired:
            if is_kept:
                self.failures.append(f"plan {plan.name}, {it.token}: {what} expired")

    def wait_for_others(self) -> asyncio.Future[None]:
        """Return a future that another handler sets, or a timer if none comes."""
        future = self.loop.create_future()
        if not self._waiting:
            self.loop.call_later(0.005, self._fire_all)
        self._waiting.append(future)
        return future

    def _fire_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            _fire(future)

    async def wait(self, how: str, res) -> None:
        if how == "sleep":
            await asyncio.sleep(0)
        elif how == "nap":
            await asyncio.sleep(0.001)
        elif how == "meet":
            await self.wait_for_others()
        elif how == "drain":
            await res.drain()

    async def wait_sleep(self, step, plan, it, res, req):
        await self.wait("sleep", res)

    async def wait_nap(self, step, plan, it, res, req):
        await self.wait("nap", res)

    async def wait_meet(self, step, plan, it, res, req):
        await self.wait("meet", res)

    async def wait_timeout(self, step, plan, it, res, req):
        try:
            async with asyncio.timeout(0.001):
                await self.loop.create_future()
        except TimeoutError:
            return

    async def wait_interrupt(self, step, plan, it, res, req):
        task = asyncio.current_task()
        task.cancel()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            task.uncancel()

    async def wait_context(self, step, plan, it, res, req):
        self.hold(_token.get() == it.token, plan, it, f"has {_token.get()}'s context")

    async def wait_task(self, step, plan, it, res, req):
        task = self.spawn(self.read_later(("later", "token", 1), plan, it, req, True))
        await task

    # ---- the request's body ----

    async def wait_data(self, step, plan, it, res, req):
        self.compare(plan, it, (await res.get_data()).read(), True)

    async def wait_text(self, step, plan, it, res, req):
        self.compare(plan, it, (await res.get_text()).encode(), True)

    async def wait_twice(self, step, plan, it, res, req):
        for _ in range(2):
            self.compare(plan, it, (await res.get_data()).read(), True)

    async def wait_gather(self, step, plan, it, res, req):
        for data in await asyncio.gather(res.get_data(), res.get_data()):
            self.compare(plan, it, data.read(), True)

    async def wait_stream(self, step, plan, it, res, req):
        body = bytearray()
        async for chunk in req.stream():
            body += chunk
            self.compare(plan, it, bytes(body), False)
            if len(body) % 3 == 0:
                await self.wait("sleep", res)
        self.compare(plan, it, bytes(body), True)

    async def wait_stream_some(self, step, plan, it, res, req):
        async with contextlib.aclosing(req.stream()) as chunks:
            async for chunk in chunks:
                self.compare(plan, it, chunk, False)
                break

    async def wait_orphan(self, step, plan, it, res, req):
        """Let the answer end before whoever reads the body."""
        self.spawn(self.read_orphan(plan, it, res))
        await self.wait("sleep", res)

    async def read_orphan(self, plan, it, res):
        try:
            body = (await res.get_data()).read()
        except (ClientGone, RuntimeError):
            return
        with contextlib.suppress(Mismatch):
            self.compare(plan, it, body, True)

    # ---- answers ----

    def open_head(self, it: Exchange, res) -> None:
        if it.says_token:
            res.write_header("X-Token", it.token)

    def finish(self, plan: Plan, it: Exchange, res, req) -> object:
        """Answer as a plain function can."""
        name = it.finish[0]
        self.open_head(it, res)
        if name == "end":
            return res.end(it.answer.decode() if it.finish[1] else it.answer)
        if name == "send":
            return res.send(it.answer, "text/plain", 201)
        if name == "json":
            return res.end({"token": it.token, "list": [1, None, "ä"]})
        if name == "stream":
            for part in _parts(it):
                res.write(part)
            return res.end()
        if name == "try_end":
            return self.begin_body(it, res)
        if name == "on_data":
            return self.collect(plan, it, res)
        if name == "late":
            return self.answer_late(plan, it, res)
        if name == "tail":
            return res.run_async(self.finish_tail_later(plan, it, res))
        if name == "fail":
            raise Planned(it.token)
        if name == "cut":
            res.write(it.answer[:100])
            raise Planned(it.token)
        if name == "close":
            return res.close()
        if name == "end_close":
            return res.end(it.answer).close()
        if name == "last":
            return res.end(it.answer, end_connection=True)
        if name == "last_field":
            return res.write_header("Connection", "close").end(it.answer)
        return None

    def begin_body(self, it, res) -> None:
        total = len(it.answer)
        _, is_done = res.try_end(it.answer, total)
        if not is_done:
            res.on_writable(lambda res, offset: res.try_end(it.answer[offset:], total))

    def collect(self, plan, it, res) -> None:
        """Answer when the whole body has come, with pauses in between."""
        body = bytearray()
        has_pauses = it.finish[1]

        def take(res, chunk, is_end):
            body.extend(chunk)
            self.compare(plan, it, bytes(body), is_end)
            if is_end:
                res.end(it.answer)
            elif has_pauses:
                res.pause()
                self.loop.call_later(0.001, lambda: res.aborted or res.resume())

        res.on_data(take)

    def answer_late(self, plan, it, res) -> None:
        _, when, is_told = it.finish
        gone = []

        def tell(res):
            self.hold(not self.is_calm(plan, it), plan, it, "was aborted")
            gone.append(res)

        def answer(_=None):
            if is_told and bool(gone) != res.aborted:
                self.failures.append(f"plan {plan.name}, {it.token}: aborted, {gone}")
            res.end(it.answer)

        is_told = is_told and not res.aborted  # which nobody is told twice
        if is_told:
            res.on_aborted(tell)
        else:
            res.grab_aborted_handler()
        if when == "soon":
            self.loop.call_soon(answer)
        elif when == "later":
            self.loop.call_later(0.001, answer)
        else:
            self.wait_for_others().add_done_callback(answer)

    async def finish_tail_later(self, plan, it, res) -> None:
        _, when, _ = it.finish
        await self.wait({"soon": "sleep", "later": "nap"}.get(when, when), res)
        res.end(it.answer)

    async def finish_stream(self, plan, it, res, req) -> None:
        self.open_head(it, res)
        for part, wait in zip(_parts(it), it.finish[2], strict=True):
            res.write(part)
            await self.wait(wait, res)
        res.end()

    async def finish_chunks(self, plan, it, res, req) -> None:
        self.open_head(it, res)
        is_done = False
        for part, wait in zip(_parts(it), it.finish[2], strict=True):
            is_taken, is_done = await res.send_chunk(part, len(it.answer))
            if is_done:
                if not is_taken and it.method != "HEAD":
                    raise ClientGone
                break
            await self.wait("none" if wait == "drain" else wait, res)
        self.hold(is_done or res.aborted, plan, it, "is not complete")

    async def finish_cut(self, plan, it, res, req) -> None:
        self.open_head(it, res)
        res.write(it.answer[:100])
        await self.wait("sleep", res)
        raise Planned(it.token)

    async def finish_cancelled(self, plan, it, res, req) -> None:
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    # ---- what comes too late ----

    async def wait_again(self, step, plan, it, res, req):
        """Call something of a response that was ended: it is refused, or nothing."""
        calls = {
            "end": partial(res.end, b"twice"),
            "write": partial(res.write, b"twice"),
            "drain": res.drain,
            "data": res.get_data,
            "pause": res.pause,
            "on_aborted": partial(res.on_aborted, lambda res: None),
            "on_data": partial(res.on_data, lambda *arguments: None),
            "try_end": partial(res.try_end, fill("twice", 40_000), 40_000),
            "send_chunk": partial(res.send_chunk, b"twice", 5),
        }
        has_gone = res.aborted
        try:
            result = calls[step[1]]()
            if hasattr(result, "__await__"):
                await result
        except ClientGone:
            self.hold(has_gone, plan, it, f"{step[1]} after the answer: ClientGone")
        except RuntimeError:
            return
        else:
            self.hold(has_gone, plan, it, f"{step[1]} after the answer was accepted")


def _fire(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _parts(it: Exchange) -> list[bytes]:
    if it.finish[0] not in ("stream", "chunks"):
        return [it.answer]
    ends = it.finish[1]
    starts = [0, *ends[:-1]]
    return [it.answer[a:b] for a, b in zip(starts, ends, strict=True)]


# What a request is read for: what comes, and what the plan says.
READERS = {
    "url": lambda req, it: (req.get_url(), it.path),
    "full_url": lambda req, it: (
        req.get_full_url(),
        f"{it.path}?{it.query}" if it.query else it.path,
    ),
    "method": lambda req, it: (req.get_method(), it.method),
    "parameter": lambda req, it: (req.get_parameter("word"), _word(req, it)),
    "parameters": lambda req, it: (req.get_parameters()[2:], _words(req, it)),
    "host": lambda req, it: (req.get_header("host"), it.header("host")),
    "agent": lambda req, it: (req.get_header("user-agent"), it.header("user-agent")),
    "token": lambda req, it: (req.get_header("x-token"), it.token),
    "token_upper": lambda req, it: (req.get_header("X-Token"), it.token),
    "odd": lambda req, it: (req.get_header("x-odd"), it.header("x-odd")),
    "twice": lambda req, it: (req.get_header("x-twice"), it.header("x-twice")),
    "absent": lambda req, it: (req.get_header("x-absent"), None),
    "headers": lambda req, it: (
        req.get_headers().lines,
        [(name.lower(), value) for name, value in it.lines],
    ),
    "cookie": lambda req, it: (
        req.get_cookie("c"),
        it.token if it.header("cookie") else None,
    ),
    "query": lambda req, it: (req.get_query("q"), _query(it)),
    "queries": lambda req, it: (
        req.get_queries().get("q"),
        [_query(it)] if it.query else None,
    ),
    "ancient": lambda req, it: (req.is_ancient(), False),
}


def _word(req, it: Exchange) -> str | None:
    return it.word if "word" in req._route.parameters else None


def _words(req, it: Exchange) -> list[str]:
    return [it.word] if "word" in req._route.parameters else []


def _query(it: Exchange) -> str | None:
    if not it.query:
        return None
    return f"{it.token}  x" if it.query.endswith("x") else it.token


LIMITS = Limits(send_timeout=10.0)
