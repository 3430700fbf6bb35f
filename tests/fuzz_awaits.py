"""Random reads, awaits, aborts and answers over real sockets: `make fuzz-python`.

A sequence is one connection that follows its plan (fuzz_plan.py): a few pipelined
requests in pieces, whose handlers (fuzz_site.py) read, wait, answer and fail at random,
and a client (fuzz_client.py) that may go at any byte. No byte may be wrong, nothing may
hang, and nothing may be left behind.

The server is a process of its own, so that it alone need run with AddressSanitizer:

    python tests/fuzz_awaits.py --sequences 1000 --seed 7
    python tests/fuzz_awaits.py --replay 7000123          # one plan, many times
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from fuzz_client import Fleet, Wrong
from fuzz_plan import Plan, make_plan

SEEDS = 10_000_000  # of plans, to each seed of a run
LAPS = 500  # of a plan that is replayed
SETTLING = 30.0  # seconds until nothing may be left behind


def serve() -> None:
    """Serve until SIGTERM; says the ports as a line of JSON."""
    from fuzz_site import LIMITS, Site

    from socketify_mw import App, _native

    app = App(limits=LIMITS)
    site = Site(app)
    print(json.dumps({"ports": site.ports, "native": _native.__file__}), flush=True)
    with site.watched_logs():
        app.run(grace=0)


class ServerProcess:
    """A server that is watched from outside."""

    def __init__(self, preload: str | None, package: str | None) -> None:
        environment = dict(os.environ)
        if preload:
            environment["LD_PRELOAD"] = preload
            environment["PYTHONMALLOC"] = "malloc"  # each object between red zones
        if package:
            environment["PYTHONPATH"] = package
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the server did not start")
        hello = json.loads(line)
        self.ports: list[int] = hello["ports"]
        self.native: str = hello["native"]

    def report(self) -> dict[str, object]:
        url = f"http://127.0.0.1:{self.ports[0]}/report"
        with urllib.request.urlopen(url, timeout=SETTLING) as answer:
            report: dict[str, object] = json.load(answer)
        return report

    def check(self, count: int = 0) -> None:
        """Raise Wrong if the handlers have found anything."""
        failures = self.report()["failures"]
        if failures:
            raise Wrong(f"in the server: {failures}")

    def last_words(self) -> str:
        """Return what the handlers have found, if the server lives."""
        try:
            self.check()
        except (Wrong, OSError) as error:
            return str(error)
        return f"in the server: {self.report()}"

    def stop(self) -> int:
        """End the server; returns its status, which a sanitizer makes no zero."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def is_settled(report: dict[str, object]) -> bool:
    """Whether nothing is left, but the connection of who asks."""
    left = (report[name] for name in ("claims", "bodies", "tasks", "later"))
    return not any(left) and report["connections"] in ([0, 0], [1, 0])


def settle(server: ServerProcess) -> None:
    deadline = time.monotonic() + SETTLING
    while not is_settled(report := server.report()):
        if time.monotonic() > deadline:
            raise Wrong(f"left behind: {report}")
        time.sleep(0.05)
    server.check()


def plans(arguments: argparse.Namespace) -> Iterator[Plan]:
    if arguments.replay is not None:
        for lap in range(LAPS):
            yield make_plan(arguments.replay, lap)
        return
    first = arguments.seed * SEEDS
    for seed in range(first, first + arguments.sequences):
        yield make_plan(seed)


def run(arguments: argparse.Namespace) -> int:
    server = ServerProcess(arguments.preload, arguments.package)
    print(f"seed {arguments.seed}, with {server.native}", flush=True)
    started = time.monotonic()

    def show(count: int) -> None:
        server.check()
        if count % 10_000 == 0:
            print(f"{count} in {time.monotonic() - started:.0f} s", flush=True)

    fleet = Fleet(server.ports, arguments.at_once, show)
    failure = ""
    try:
        fleet.run(plans(arguments))
        settle(server)
    except (Wrong, OSError) as error:
        failure = f"{error}\nunder way: {' '.join(fleet.names)}\n{server.last_words()}"
    status = server.stop()
    if status and not failure:
        failure = "its output is above"
    seconds = time.monotonic() - started
    print(f"{fleet.count} sequences, {fleet.answers} answers in {seconds:.1f} s")
    if failure:
        print(f"FAILED with seed {arguments.seed}: server's status {status}: {failure}")
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one")
    parser.add_argument("--replay", type=int, metavar="PLAN", help="run one plan")
    parser.add_argument("--at-once", type=int, default=48)
    parser.add_argument("--preload", help="a sanitizer's library, for the server")
    parser.add_argument("--package", help="the folder of another socketify_mw")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return 0
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1_000_000)
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
