"""Print the machine, a table for each scenario and the claims."""

import datetime
import json
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from claims import Claim, Outcome
from measure import WARM_UP, Sample
from scenarios import Bench

COLUMNS = [
    *("server", "path", "deep", "conns", "answers/s", "lowest..highest"),
    *(
        "CPU us",
        "user",
        "system",
        "server",
        "wrk",
        "others",
        "thread",
        "p50 ms",
        "p99 ms",
    ),
]

LOADS = ("server_load", "wrk_load", "other_load")
# From this share of a CPU on, other processes make the figures doubtful.
DISTURBED = 0.15


def machine() -> dict[str, str]:
    """Describe the machine and the tools."""
    uname = platform.uname()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "CPU": f"{cpu_model()}, {os.cpu_count()} cores",
        "kernel": f"{uname.system} {uname.release} {uname.machine}",
        "load before": load,
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "wrk": wrk_version(),
    }


def cpu_model() -> str:
    """Return the CPU's name as the kernel knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def wrk_version() -> str:
    """Return the version wrk prints, which it does with a failing exit code."""
    done = subprocess.run(["wrk", "-v"], capture_output=True, text=True)
    text = (done.stdout + done.stderr).partition("Copyright")[0]
    return text.removeprefix("wrk").strip()


def print_header(facts: dict[str, str], bench: Bench, versions: dict[str, str]) -> None:
    """Print what the figures depend on."""
    for name, value in facts.items():
        print(f"{name}: {value}")
    print("servers:", ", ".join(f"{name} {v}" for name, v in versions.items()))
    print(
        f"{bench.rounds} rounds of {bench.seconds} s, each after {WARM_UP} s of warm-up"
    )


def print_table(rows: list[list[str]], words: int) -> None:
    """Print rows in columns: the first ones hold words, the rest numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [text.ljust(width) for text, width in zip(row, widths, strict=True)]
        for index in range(words, len(row)):
            cells[index] = row[index].rjust(widths[index])
        print("  ".join(cells).rstrip())


def print_outcome(outcome: Outcome) -> None:
    """Print one scenario's table and what was missing or wrong."""
    print(f"\n{outcome.name}: {outcome.title}")
    groups: dict[tuple[str, str, int], list[Sample]] = {}
    for sample in outcome.samples:
        key = (sample.server, sample.path, sample.depth)
        groups.setdefault(key, []).append(sample)
    if groups:
        print_table([COLUMNS, *map(table_row, groups.values())], words=2)
    for server, figures in outcome.figures.items():
        print(
            f"{server}: {median(figures):.0f} ({min(figures):.0f}..{max(figures):.0f})"
        )
    for server, reason in outcome.missing.items():
        print(f"missing: {server}: {reason}")
    for server in dict.fromkeys([*outcome.failures, *(key[0] for key in groups)]):
        for fault in outcome.faults(server):
            print(f"wrong: {server}: {fault}")
    if disturbed := disturbed_samples(outcome):
        share = f"{disturbed} of {len(outcome.samples)} measurements"
        print(f"doubtful: others used over {DISTURBED:.0%} of a CPU in {share}")
    if outcome.exact:
        print(f"handler runs counted exactly: {', '.join(outcome.exact)}")


def disturbed_samples(outcome: Outcome) -> int:
    """Count the samples during which other processes were working."""
    return sum(sample.other_load > DISTURBED for sample in outcome.samples)


def table_row(samples: list[Sample]) -> list[str]:
    """Make the row of one server and load: medians over the rounds."""
    clean = [sample for sample in samples if not sample.faults]
    first = samples[0]
    names = [first.server, first.path, str(first.depth), str(first.connections)]
    if not clean:
        return [*names, *["-"] * (len(COLUMNS) - len(names))]
    rates = [sample.rps for sample in clean]
    # wrk times a batch, not a request, so pipelined percentiles are left out.
    timed = first.depth == 1
    thread = first.thread_share is not None
    return [
        *names,
        f"{median(rates):.0f}",
        f"{min(rates):.0f}..{max(rates):.0f}",
        *(f"{middle(clean, name):.2f}" for name in ("cpu_us", "user_us", "system_us")),
        *(f"{middle(clean, name):.0%}" for name in LOADS),
        f"{middle(clean, 'thread_share'):.0%}" if thread else "-",
        *(
            f"{middle(clean, name):.2f}" if timed else "-"
            for name in ("p50_ms", "p99_ms")
        ),
    ]


def middle(samples: list[Sample], metric: str) -> float:
    """Return the median of one figure."""
    figures: list[float] = [getattr(sample, metric) for sample in samples]
    return median(figures)


def print_claims(outcomes: list[Outcome]) -> None:
    """Print every claim with its verdict, figure and bound."""
    print("\nclaims: medians over the rounds (lowest..highest round)")
    rows = [["verdict", "scenario", "claim", "figure", "bound", "note"]]
    for outcome in outcomes:
        rows += [claim_row(outcome.name, claim) for claim in outcome.claims]
    print_table(rows, words=len(rows[0]))
    doubtful = [outcome.name for outcome in outcomes if disturbed_samples(outcome)]
    if doubtful:
        print(f"doubtful, the machine had other work: {', '.join(doubtful)}")


def claim_row(scenario: str, claim: Claim) -> list[str]:
    """Make the row of one claim."""
    words = [claim.verdict, scenario, claim.text, claim.figure, claim.bound]
    return [*words, claim.note]


def write_json(
    path: Path,
    facts: dict[str, str],
    bench: Bench,
    versions: dict[str, str],
    outcomes: list[Outcome],
) -> None:
    """Write all raw data."""
    data: dict[str, Any] = {
        "machine": facts,
        "versions": versions,
        "rounds": bench.rounds,
        "seconds": bench.seconds,
        "scenarios": [asdict(outcome) for outcome in outcomes],
    }
    path.write_text(json.dumps(data, indent=2) + "\n")
