"""Play the scenarios: which servers, which load, and what is claimed of them."""

import http.client
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import linear_regression

import client
import idle as idle_connections
import start as starts
from claims import (
    OURS,
    Bound,
    Outcome,
    add_claim,
    add_runs_claim,
    leader,
    ratios,
)
from measure import Load, Sample, measure
from peers import Server
from processes import Running, ServerError, free_port, running

TOKEN = "Bearer 0123456789abcdef"
HELLO = Load()
PIPELINED = Load(depth=16)
READ = Load(
    path="/read/42?q=abc",
    headers=(("Authorization", TOKEN),),
    expect=("42", "abc", client.HOST, TOKEN),
)
READ_PIPELINED = Load(READ.path, depth=16, headers=READ.headers, expect=READ.expect)
FAST = Load("/fast", connections=62, expect=("fast",))
SLOW = Load("/slow", connections=2, expect=("slow",))
COROUTINE = Load("/coroutine", expect=(client.HELLO.decode(),))
CHAIN = Load("/chain", headers=READ.headers)
SYNC = Load("/sync", headers=READ.headers)
SYNC_PIPELINED = Load("/sync", depth=16, headers=READ.headers)
CLASSES = Load("/classes", headers=READ.headers)
EMPTY = {count: Load(f"/empty/{count}") for count in (0, 1, 5, 10)}
ECHO = Load("/echo", body="x" * 1024, expect=("x" * 1024,))
IDLE_PEERS = ["socketify", "uvicorn", "granian-rsgi", "bjoern", "fastwsgi"]
SYNC_PEERS = ["uvicorn", "granian-asgi", "granian-rsgi", "bjoern", "fastwsgi"]
SYNC_PEERS += ["socketify", "socketify-pypy"]
BUSY_PEERS = ["uvicorn", "granian-asgi", "granian-rsgi", "bjoern", "socketify"]


@dataclass(frozen=True)
class Bench:
    """Hold what all scenarios share."""

    servers: dict[str, Server]
    rounds: int
    seconds: int
    server_cpus: set[int]
    wrk_cpus: set[int]

    @property
    def all_cpus(self) -> set[int]:
        """Return the CPUs of both sides, for scenarios that pin nothing."""
        return self.server_cpus | self.wrk_cpus


@dataclass(frozen=True)
class Plan:
    """Say what one scenario runs; the loads of a group run at the same time."""

    servers: list[str]
    groups: list[list[Load]]
    # Of servers that get others than those.
    own: dict[str, list[list[Load]]] = field(default_factory=dict)
    pinned: bool = True
    busy: bool = False
    exact: int = 5000


def play(bench: Bench, outcome: Outcome, plan: Plan) -> None:
    """Run all rounds, each with every server, so that drift meets all alike."""
    for number in range(bench.rounds):
        # Every second round runs backwards: who goes first must not matter.
        step = -1 if number % 2 else 1
        for name in plan.servers[::step]:
            if name not in outcome.missing:
                play_server(bench, outcome, plan, name, number)


def play_server(
    bench: Bench, outcome: Outcome, plan: Plan, name: str, number: int
) -> None:
    """Measure all loads against a fresh process of one server."""
    server = bench.servers[name]
    if server.unavailable:
        outcome.missing[name] = server.unavailable
        return
    cpus = bench.server_cpus if plan.pinned else bench.all_cpus
    wrk_cpus = bench.wrk_cpus if plan.pinned else bench.all_cpus
    step = -1 if number % 2 else 1
    groups = plan.own.get(name, plan.groups)
    try:
        with running(server, cpus, busy=plan.busy) as live:
            for loads in groups[::step]:
                samples = measure(live, loads, number, bench.seconds, wrk_cpus)
                outcome.samples += samples
                report_progress(outcome, samples)
            first = groups[0][0]
            if number == 0 and server.counts_runs and first.path == "/":
                check_exactly(outcome, live, plan.exact, first.depth)
    except ServerError as error:
        outcome.add_failure(name, str(error))
    except (OSError, http.client.HTTPException, ValueError) as error:
        outcome.add_failure(name, f"{type(error).__name__}: {error}")


def check_exactly(outcome: Outcome, live: Running, total: int, depth: int) -> None:
    """Send a known number of requests and compare the handler runs with it."""
    fault = client.exact_fault(live.port, total, depth)
    if fault:
        outcome.add_failure(live.server.name, fault)
    else:
        outcome.exact.append(live.server.name)


def report_progress(outcome: Outcome, samples: list[Sample]) -> None:
    """Show on standard error that the run is alive."""
    for sample in samples:
        print(
            f"{outcome.name} round {sample.round + 1}: {sample.server} {sample.path}"
            f" {sample.rps:.0f} answers/s {'; '.join(sample.faults)}",
            file=sys.stderr,
            flush=True,
        )


def pipelined(bench: Bench) -> Outcome:
    """Compare requests a second when wrk sends 16 requests at once."""
    outcome = Outcome("pipelined", "/ with 64 connections, 16 requests at once")
    servers = [OURS, "socketify", "uvicorn", "ceiling"]
    play(bench, outcome, Plan(servers, [[PIPELINED]]))
    ours = outcome.rounds("rps", OURS, PIPELINED)
    theirs = outcome.rounds("rps", "socketify", PIPELINED)
    text = "requests a second / socketify's"
    add_claim(outcome, text, ratios(ours, theirs), Bound(">=", 3.0), ["socketify"])
    add_runs_claim(outcome)
    return outcome


def plain(bench: Bench) -> Outcome:
    """Compare CPU time a request with the least that C needs."""
    outcome = Outcome("plain", "/ with 64 connections, one request at a time")
    servers = [OURS, "ceiling", "socketify", "uvicorn", "granian-asgi"]
    servers += ["granian-rsgi", "bjoern", "fastwsgi"]
    play(bench, outcome, Plan(servers, [[HELLO]]))
    ours = outcome.rounds("cpu_us", OURS, HELLO)
    theirs = outcome.rounds("cpu_us", "ceiling", HELLO)
    text = "CPU time a request / the C ceiling's"
    add_claim(outcome, text, ratios(ours, theirs), Bound("<=", 1.25), ["ceiling"])
    add_runs_claim(outcome)
    return outcome


def read(bench: Bench) -> Outcome:
    """Compare a handler that reads the request with one that reads nothing."""
    outcome = Outcome("read", "/read/42?q=abc beside / on the same process")
    play(bench, outcome, Plan([OURS], [[HELLO], [READ], [READ_PIPELINED]]))
    reading = outcome.rounds("cpu_us", OURS, READ)
    hello = outcome.rounds("cpu_us", OURS, HELLO)
    text = "CPU time a request / that of /"
    add_claim(outcome, text, ratios(reading, hello), Bound("<=", 1.4), [])
    return outcome


def busy(bench: Bench) -> Outcome:
    """Compare servers that share the interpreter with a busy Python thread."""
    outcome = Outcome("busy", "/ beside a busy Python thread, nothing pinned")
    # Few for the exact check: here a request can wait 5 ms for the interpreter.
    plan = Plan([OURS, *BUSY_PEERS], [[HELLO]], pinned=False, busy=True, exact=200)
    play(bench, outcome, plan)
    latencies = list(outcome.rounds("p99_ms", OURS, HELLO).values())
    add_claim(outcome, "99th percentile in ms", latencies, Bound("<", 10.0), [])
    best = leader(outcome, BUSY_PEERS, HELLO)
    theirs = outcome.rounds("rps", best, HELLO) if best else {}
    figures = ratios(outcome.rounds("rps", OURS, HELLO), theirs)
    text = f"requests a second / the best peer's ({best or 'none'})"
    add_claim(outcome, text, figures, Bound(">=", 5.0), BUSY_PEERS)
    add_runs_claim(outcome)
    return outcome


def slow(bench: Bench) -> Outcome:
    """Measure fast handlers while two connections keep slow ones running."""
    outcome = Outcome("slow", "62 connections on /fast beside 2 on /slow (10 ms)")
    play(bench, outcome, Plan([OURS], [[FAST, SLOW]]))
    latencies = list(outcome.rounds("p99_ms", OURS, FAST).values())
    text = "99th percentile of /fast in ms"
    add_claim(outcome, text, latencies, Bound("<=", 30.0), [])
    return outcome


def idle(bench: Bench) -> Outcome:
    """Measure the memory of connections that were answered and stay open."""
    count = idle_connections.room_for(10_000)
    outcome = Outcome("idle", f"bytes of memory for each of {count} idle connections")
    for number in range(bench.rounds):
        for name in [OURS, *IDLE_PEERS]:
            if reason := bench.servers[name].unavailable:
                outcome.missing[name] = reason
                continue
            try:
                with running(bench.servers[name], bench.server_cpus) as live:
                    figure = idle_connections.bytes_each(live, count)
            except (ServerError, OSError, ValueError) as error:
                outcome.add_failure(name, f"{type(error).__name__}: {error}")
                continue
            outcome.figures.setdefault(name, []).append(figure)
            print(f"idle round {number + 1}: {name} {figure:.0f}", file=sys.stderr)
    text = "bytes for an idle connection"
    add_claim(outcome, text, outcome.figures.get(OURS, []), Bound("<=", 512.0), [])
    return outcome


def start(bench: Bench) -> Outcome:
    """Measure the import of the package, and a program's way to its first answer."""
    outcome = Outcome(
        "start", "ms: imports (CPU time), hello world to its first answer"
    )
    found = outcome.figures
    for _ in range(bench.rounds):
        for module in ("asyncio", "socketify_mw"):
            found.setdefault(f"import {module}", []).append(starts.import_ms(module))
        answer = starts.first_answer_ms(free_port())
        found.setdefault("first answer", []).append(answer)
    both = zip(found["import socketify_mw"], found["import asyncio"], strict=True)
    figures = [own / least for own, least in both]
    text = "CPU time of the import / that of asyncio's, which is a part of it"
    add_claim(outcome, text, figures, Bound("<=", 1.3), [])
    text = "ms from the start of hello world to its first answer"
    add_claim(outcome, text, found["first answer"], Bound("<=", 150.0), [])
    return outcome


def coroutine(bench: Bench) -> Outcome:
    """Compare a coroutine handler that does not wait with a plain one."""
    outcome = Outcome("coroutine", "/coroutine, which never waits, beside /")
    play(bench, outcome, Plan([OURS], [[HELLO], [COROUTINE]]))
    plain = outcome.rounds("cpu_us", OURS, HELLO)
    figures = [
        figure - plain[number]
        for number, figure in outcome.rounds("cpu_us", OURS, COROUTINE).items()
        if number in plain
    ]
    text = "CPU time a request above that of /, in us"
    add_claim(outcome, text, figures, Bound("<=", 1.5), [])
    return outcome


def chain(bench: Bench) -> Outcome:
    """Compare chains of three middlewares of which one waits."""
    outcome = Outcome("chain", "/chain: three middlewares, the last awaits sleep(0)")
    peers = ["uvicorn", "granian-rsgi", "socketify"]
    play(bench, outcome, Plan([OURS, *peers], [[CHAIN]]))
    best = leader(outcome, peers, CHAIN)
    theirs = outcome.rounds("rps", best, CHAIN) if best else {}
    figures = ratios(outcome.rounds("rps", OURS, CHAIN), theirs)
    text = f"requests a second / the best peer's ({best or 'none'})"
    add_claim(outcome, text, figures, Bound(">=", 1.5), peers)
    theirs = outcome.rounds("rps", "socketify", CHAIN)
    figures = ratios(outcome.rounds("rps", OURS, CHAIN), theirs)
    text = "requests a second / socketify's"
    add_claim(outcome, text, figures, Bound(">=", 3.0), ["socketify"])
    return outcome


def sync(bench: Bench) -> Outcome:
    """Compare chains of three plain middlewares, and ours with a bare route."""
    outcome = Outcome("sync", "/sync: three plain middlewares that read a header")
    own = {
        OURS: [[HELLO], [SYNC], [SYNC_PIPELINED]],
        "socketify": [[SYNC], [SYNC_PIPELINED]],
    }
    play(bench, outcome, Plan([OURS, *SYNC_PEERS], [[SYNC]], own=own))
    ours = outcome.rounds("cpu_us", OURS, SYNC)
    for name in SYNC_PEERS:
        theirs = outcome.rounds("cpu_us", name, SYNC)
        text = f"CPU time a request / {name}'s"
        add_claim(outcome, text, ratios(ours, theirs), Bound("<", 1.0), [name])
    bare = outcome.rounds("cpu_us", OURS, HELLO)
    text = "CPU time a request / that of /"
    add_claim(outcome, text, ratios(ours, bare), Bound("<=", 1.3), [])
    theirs = outcome.rounds("rps", "socketify", SYNC_PIPELINED)
    figures = ratios(outcome.rounds("rps", OURS, SYNC_PIPELINED), theirs)
    text = "pipelined: requests a second / socketify's"
    add_claim(outcome, text, figures, Bound(">=", 4.0), ["socketify"])
    return outcome


def classes(bench: Bench) -> Outcome:
    """Compare three plain middlewares as classes with them as functions."""
    outcome = Outcome("classes", "/classes: those of /sync as classes, beside /sync")
    play(bench, outcome, Plan([OURS], [[SYNC], [CLASSES]]))
    ours = outcome.rounds("cpu_us", OURS, CLASSES)
    functions = outcome.rounds("cpu_us", OURS, SYNC)
    text = "CPU time a request / that of the functions"
    add_claim(outcome, text, ratios(ours, functions), Bound("<=", 1.1), [])
    return outcome


def empty(bench: Bench) -> Outcome:
    """Measure what each further middleware costs that does nothing."""
    outcome = Outcome("empty", "/empty/N: a route behind N middlewares that do nothing")
    play(bench, outcome, Plan([OURS], [[load] for load in EMPTY.values()]))
    by_count = {
        count: outcome.rounds("cpu_us", OURS, load) for count, load in EMPTY.items()
    }
    figures = []
    for number in range(bench.rounds):
        points = {count: it[number] for count, it in by_count.items() if number in it}
        if len(points) == len(EMPTY):
            slope, start = linear_regression(list(points), list(points.values()))
            figures.append(100 * slope / start)
    text = "CPU time of each, in % of a request behind none (fitted line)"
    add_claim(outcome, text, figures, Bound("<=", 3.0), [])
    return outcome


def echo(bench: Bench) -> Outcome:
    """Compare echoes of 1 KiB, ours by `await res.get_data()`."""
    outcome = Outcome("echo", "POST /echo, 1 KiB there and back")
    wsgi = ["bjoern", "fastwsgi"]
    play(bench, outcome, Plan([OURS, "uvicorn", *wsgi], [[ECHO]]))
    figures = ratios(
        outcome.rounds("rps", OURS, ECHO), outcome.rounds("rps", "uvicorn", ECHO)
    )
    text = "requests a second / uvicorn's"
    add_claim(outcome, text, figures, Bound(">=", 1.5), ["uvicorn"])
    ours = outcome.rounds("cpu_us", OURS, ECHO)
    theirs = [outcome.rounds("cpu_us", name, ECHO) for name in wsgi]
    cheaper = {
        number: min(rounds[number] for rounds in theirs if number in rounds)
        for number in ours
        if any(number in rounds for rounds in theirs)
    }
    text = "CPU time a request / the cheaper of bjoern's and fastwsgi's"
    add_claim(outcome, text, ratios(ours, cheaper), Bound("<=", 1.3), wsgi)
    return outcome


SCENARIOS: dict[str, Callable[[Bench], Outcome]] = {
    scenario.__name__: scenario
    for scenario in (
        pipelined,
        plain,
        read,
        sync,
        classes,
        empty,
        coroutine,
        chain,
        echo,
        busy,
        slow,
        idle,
        start,
    )
}
