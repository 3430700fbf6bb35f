"""Collect a scenario's samples and judge its claims by them."""

from dataclasses import dataclass, field
from statistics import median

from measure import Load, Sample

OURS = "ours"
HOLDS, FAILS, OPEN = "holds", "FAILS", "open"
# One figure of one server for each round that counts.
Rounds = dict[int, float]


@dataclass(frozen=True)
class Bound:
    """Hold the limit of a claim."""

    sign: str
    limit: float

    def allows(self, figure: float) -> bool:
        """Tell whether a figure keeps within the limit."""
        if self.sign == ">=":
            return figure >= self.limit
        if self.sign == "<=":
            return figure <= self.limit
        return figure < self.limit

    def __str__(self) -> str:
        """Return the bound as it is printed."""
        return f"{self.sign} {self.limit:g}"


@dataclass(frozen=True)
class Claim:
    """Hold one judged claim."""

    text: str
    verdict: str
    figure: str
    bound: str
    note: str


@dataclass
class Outcome:
    """Hold everything one scenario found."""

    name: str
    title: str
    samples: list[Sample] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)
    exact: list[str] = field(default_factory=list)
    # Of servers, where a scenario measures something else than samples.
    figures: dict[str, list[float]] = field(default_factory=dict)
    claims: list[Claim] = field(default_factory=list)

    def add_failure(self, server: str, reason: str) -> None:
        """Note what went wrong with a server outside of wrk's run."""
        reasons = self.failures.setdefault(server, [])
        # A server that never starts fails alike in every round.
        if reason not in reasons:
            reasons.append(reason)

    def rounds(self, metric: str, server: str, load: Load) -> Rounds:
        """Return one figure by round, without rounds that had faults."""
        return {
            sample.round: getattr(sample, metric)
            for sample in self.samples
            if sample.server == server
            and (sample.path, sample.depth) == (load.path, load.depth)
            and not sample.faults
        }

    def faults(self, server: str) -> list[str]:
        """List all that went wrong with a server."""
        faults = list(self.failures.get(server, []))
        for sample in self.samples:
            if sample.server == server:
                faults += [f"round {sample.round + 1}: {f}" for f in sample.faults]
        return faults

    def unmeasured(self, server: str) -> str | None:
        """Return why a server can't be compared with, if it can't."""
        if server in self.missing:
            return self.missing[server]
        if server in self.failures:
            return self.failures[server][0]
        samples = [sample for sample in self.samples if sample.server == server]
        if all(sample.faults for sample in samples):
            return "; ".join(self.faults(server)[:1]) or "not measured"
        return None


def ratios(above: Rounds, below: Rounds) -> list[float]:
    """Divide two servers' figures round by round."""
    return [above[number] / below[number] for number in above if number in below]


def add_claim(
    outcome: Outcome, text: str, figures: list[float], bound: Bound, peers: list[str]
) -> None:
    """Judge the median over the rounds and add the claim to the outcome."""
    figure = median(figures) if figures else None
    verdict, note = judge(outcome, figure, bound, peers)
    shown = "-"
    if figure is not None:
        shown = f"{figure:.2f} ({min(figures):.2f}..{max(figures):.2f})"
    claim = Claim(text, verdict, shown, str(bound), note)
    outcome.claims.append(claim)


def judge(
    outcome: Outcome, figure: float | None, bound: Bound, peers: list[str]
) -> tuple[str, str]:
    """Return the verdict and, where it is not plain, its reason."""
    if OURS in outcome.missing:
        return OPEN, outcome.missing[OURS]
    if faults := outcome.faults(OURS):
        return FAILS, faults[0]
    if figure is not None and not bound.allows(figure):
        # Peers that are missing could only have raised the bar.
        return FAILS, ""
    for peer in peers:
        if reason := outcome.unmeasured(peer):
            return OPEN, f"{peer}: {reason}"
    if figure is None:
        return OPEN, "no round in which both sides count"
    return HOLDS, ""


def add_runs_claim(outcome: Outcome) -> None:
    """Claim that every answer wrk counted came from a run of our handler."""
    counted = [
        (sample.answers, sample.handler_runs)
        for sample in outcome.samples
        if sample.server == OURS and sample.handler_runs is not None
    ]
    answers = sum(pair[0] for pair in counted)
    runs = sum(pair[1] for pair in counted)
    verdict, note = HOLDS, "and exactly, when sent by a client that counts"
    if OURS in outcome.missing:
        verdict, note = OPEN, outcome.missing[OURS]
    elif faults := outcome.faults(OURS):
        verdict, note = FAILS, faults[0]
    elif OURS not in outcome.exact:
        verdict, note = FAILS, "the exact check did not run"
    text = "handler runs for wrk's answers"
    bound = "equal but for those in flight"
    figure = f"{runs} for {answers}" if counted else "-"
    outcome.claims.append(Claim(text, verdict, figure, bound, note))


def leader(outcome: Outcome, servers: list[str], load: Load) -> str | None:
    """Return the server with the highest median of answers a second."""
    medians = {
        server: median(figures.values())
        for server in servers
        if (figures := outcome.rounds("rps", server, load))
    }
    return max(medians, key=lambda server: medians[server], default=None)
