"""A short run of the fuzz test; see fuzz_awaits.py, which runs it for long."""

import json
import time

import pytest
from fuzz_awaits import is_settled
from fuzz_client import Fleet
from fuzz_plan import make_plan
from fuzz_site import LIMITS, Site

SEED = 20_250_000  # of the first plan
SEQUENCES = 400


@pytest.fixture
def site(serve):
    sites = []
    server = serve(lambda app: sites.append(Site(app)), limits=LIMITS)
    with sites[0].watched_logs():
        yield sites[0], server


def test_random_reads_awaits_aborts_and_answers_leave_no_trace(site):
    site, server = site
    fleet = Fleet(site.ports)
    fleet.run(make_plan(seed) for seed in range(SEED, SEED + SEQUENCES))
    assert fleet.count == SEQUENCES
    assert fleet.answers > SEQUENCES
    client = server.client()
    deadline = time.monotonic() + 10
    while not is_settled(report := json.loads(client.ask("/report").body)):
        assert time.monotonic() < deadline, report
    assert report["failures"] == []
