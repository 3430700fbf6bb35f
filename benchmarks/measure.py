"""Load a running server with wrk and turn what happened into figures."""

import json
import os
import resource
import subprocess
import time
from dataclasses import dataclass
from typing import Any

import client
from peers import HERE, last_line
from processes import Cpu, Running, ServerError, cpu_time, machine_seconds, pinned

WARM_UP = 1
ALONE = 0.5


@dataclass(frozen=True)
class Load:
    """Describe what wrk is to send and what has to come back."""

    path: str = "/"
    connections: int = 64
    depth: int = 1
    headers: tuple[tuple[str, str], ...] = ()
    expect: tuple[str, ...] = (client.HELLO.decode(),)
    body: str | None = None  # then it is a POST

    @property
    def in_flight(self) -> int:
        """Return how many requests can be unanswered at a time."""
        return self.connections * self.depth


@dataclass(frozen=True)
class Window:
    """Hold what happened on the machine while wrk ran."""

    elapsed: float
    cpu: Cpu
    wrk_seconds: float
    other_seconds: float
    handler_runs: int | None
    thread_share: float | None
    results: list[dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """Hold the figures of one wrk run against one server."""

    server: str
    round: int
    path: str
    depth: int
    connections: int
    answers: int
    rps: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: float
    user_us: float
    system_us: float
    server_load: float
    wrk_load: float
    other_load: float
    handler_runs: int | None
    thread_share: float | None
    faults: list[str]


def measure(
    live: Running, loads: list[Load], number: int, seconds: int, cpus: set[int]
) -> list[Sample]:
    """Warm up, then measure loads that run at the same time."""
    for load in loads:
        check_answer(live, load)
    turns_alone = idle_turns(live.port) if live.busy else 0.0
    run_wrk(live.port, loads, WARM_UP, cpus)
    window = watch(live, loads, seconds, cpus, turns_alone)
    pairs = zip(loads, window.results, strict=True)
    return [make_sample(live, number, load, one, window) for load, one in pairs]


def check_answer(live: Running, load: Load) -> None:
    """Raise unless the path answers what its handler has to make."""
    sent = None if load.body is None else load.body.encode()
    body = client.get(live.port, load.path, dict(load.headers), sent)
    for part in load.expect:
        if part not in body:
            raise ServerError(f"{load.path} answers {body!r} without {part!r}")


def idle_turns(port: int) -> float:
    """Return the busy thread's speed while nobody asks the server anything."""
    begin = client.busy_turns(port)
    time.sleep(ALONE)
    return client.turns_per_second(begin, client.busy_turns(port))


def watch(
    live: Running,
    loads: list[Load],
    seconds: int,
    cpus: set[int],
    turns_alone: float,
) -> Window:
    """Run wrk and read the counters before and after."""
    counted = live.server.counts_runs and [load.path for load in loads] == ["/"]
    runs_before = client.handler_runs(live.port) if counted else 0
    turns_before = client.busy_turns(live.port) if live.busy else (0.0, 0)
    machine_before = machine_seconds()
    cpu_before = cpu_time(live.process.pid)
    wrk_before = children_seconds()
    began = time.perf_counter()
    results = run_wrk(live.port, loads, seconds, cpus)
    elapsed = time.perf_counter() - began
    cpu = cpu_time(live.process.pid) - cpu_before
    wrk_seconds = children_seconds() - wrk_before
    machine = machine_seconds() - machine_before
    others = max(machine - cpu.total - wrk_seconds, 0.0)
    share = None
    if live.busy:
        turns = client.busy_turns(live.port)
        share = client.turns_per_second(turns_before, turns) / turns_alone
    runs = client.handler_runs(live.port) - runs_before if counted else None
    return Window(elapsed, cpu, wrk_seconds, others, runs, share, results)


def children_seconds() -> float:
    """Return the CPU time of our children that ended, which in a window is wrk."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_wrk(
    port: int, loads: list[Load], seconds: int, cpus: set[int]
) -> list[dict[str, Any]]:
    """Run one wrk for each load at the same time and return their figures."""
    with pinned(cpus):
        processes = [start_wrk(port, load, seconds) for load in loads]
    try:
        return [parse_wrk(process.communicate()[0]) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def start_wrk(port: int, load: Load, seconds: int) -> subprocess.Popen[str]:
    """Start wrk with one thread."""
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s"]
    for name, value in load.headers:
        command += ["-H", f"{name}: {value}"]
    command += ["-s", str(HERE / "load.lua"), f"http://{client.HOST}:{port}{load.path}"]
    return subprocess.Popen(
        command,
        env={**os.environ, "DEPTH": str(load.depth), "BODY": load.body or ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def parse_wrk(output: str) -> dict[str, Any]:
    """Pick the line that load.lua prints out of wrk's output."""
    for line in output.splitlines():
        if line.startswith("RESULT "):
            result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            return result
    raise ServerError(f"wrk: {last_line(output)}")


def make_sample(
    live: Running, number: int, load: Load, result: dict[str, Any], window: Window
) -> Sample:
    """Put the figures of one load together."""
    cpu = window.cpu
    answers = sum(one["answers"] for one in window.results)
    cpu_us = cpu.total / max(answers, 1) * 1e6
    # Ticks are coarse, so they only say how to split the scheduler's total.
    user_share = cpu.user / max(cpu.user + cpu.system, 1e-9)
    return Sample(
        server=live.server.name,
        round=number,
        path=load.path,
        depth=load.depth,
        connections=load.connections,
        answers=result["answers"],
        rps=result["answers"] / result["microseconds"] * 1e6,
        p50_ms=result["p50"] / 1e3,
        p99_ms=result["p99"] / 1e3,
        max_ms=result["max"] / 1e3,
        cpu_us=cpu_us,
        user_us=cpu_us * user_share,
        system_us=cpu_us * (1 - user_share),
        server_load=cpu.total / window.elapsed,
        wrk_load=window.wrk_seconds / window.elapsed,
        other_load=window.other_seconds / window.elapsed,
        handler_runs=window.handler_runs,
        thread_share=window.thread_share,
        faults=faults_of(load, result, window.handler_runs),
    )


def faults_of(load: Load, result: dict[str, Any], runs: int | None) -> list[str]:
    """List why the figures of one wrk run can't count."""
    faults = [f"wrk: {n} {kind} errors" for kind, n in result["errors"].items() if n]
    answers = result["answers"]
    if answers == 0:
        faults.append("wrk got no answer")
    # What is in flight when wrk stops is handled but no longer counted by wrk.
    if runs is not None and not 0 <= runs - answers <= load.in_flight:
        faults.append(f"{answers} answers came from {runs} handler runs")
    return faults
