"""Measure socketify_mw beside its peers and judge the project's claims."""

import argparse
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import report
from claims import FAILS
from peers import all_servers, versions
from scenarios import SCENARIOS, Bench


def positive(text: str) -> int:
    """Parse a whole number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def scenario_names(text: str) -> list[str]:
    """Parse a comma-separated list of scenarios."""
    names = text.split(",")
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return names


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--seconds", type=positive, default=4, help="of each wrk run")
    parser.add_argument(
        "--only",
        type=scenario_names,
        default=list(SCENARIOS),
        metavar="SCENARIO,...",
        help=f"of {', '.join(SCENARIOS)}",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write raw data")
    return parser.parse_args()


def check_machine() -> list[int]:
    """Return the CPUs to use, or end with a message about what is lacking."""
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed; on Debian and Ubuntu: apt install wrk")
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        sys.exit("two CPUs are needed: one for the server and one for wrk")
    return cpus


def main() -> int:
    """Run the scenarios and return 1 when a claim fails."""
    arguments = parse_arguments()
    cpus = check_machine()
    # Leave through the exception path, which stops the servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    facts = report.machine()
    with tempfile.TemporaryDirectory() as build:
        servers = all_servers(Path(build))
        found = versions(servers)
        bench = Bench(
            servers, arguments.rounds, arguments.seconds, {cpus[0]}, {cpus[1]}
        )
        report.print_header(facts, bench, found)
        outcomes = []
        for name in arguments.only:
            outcomes.append(SCENARIOS[name](bench))
            report.print_outcome(outcomes[-1])
    report.print_claims(outcomes)
    if arguments.json:
        report.write_json(arguments.json, facts, bench, found, outcomes)
    claims = [claim for outcome in outcomes for claim in outcome.claims]
    return int(any(claim.verdict == FAILS for claim in claims))


if __name__ == "__main__":
    sys.exit(main())
