"""Trials that prove small run more at a time, on a node whose memory is what is scarce."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from ray_nodes import RayNodes

from archsearch.execute.cluster.backends import RayBackend
from archsearch.execute.cluster.packing import ENOUGH
from archsearch.execute.cluster.slots import IDLE_MEMORY
from archsearch.spec.trial import State
from archsearch.testing.backends import everything
from archsearch.testing.faults import BEHAVE, fault_job

pytestmark = pytest.mark.faults

DECLARED, LEAST = 1 << 30, 128 << 20
# room for two that may use a gigabyte; for four that reserve the least
ROOM = 2 * (DECLARED + IDLE_MEMORY)


@pytest.mark.parametrize(("least", "expected"), [(LEAST, 4), (None, 2)])
def test_more_trials_run_at_once_when_they_prove_small(
    least: int | None, expected: int, token: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RayNodes(token, nodes=1, cpus=8, memory=ROOM) as nodes:
        for name, value in nodes.variables.items():
            monkeypatch.setenv(name, value)
        needs = {"memory": DECLARED, "least_memory": least}
        with RayBackend(nodes.address, None, BEHAVE, needs) as backend:
            first = [fault_job(k, "complete", memory=DECLARED) for k in range(ENOUGH)]
            outcomes = everything(backend, first)
            assert backend.workers == 2
            assert all(dict(o.timings)["peak_rss_mb"] < 64 for o in outcomes.values())
            most, trial, deadline = 0, len(first), time.monotonic() + 90
            while time.monotonic() < deadline and (backend.workers < expected or most < expected):
                for _ in range(6):
                    backend.submit(fault_job(trial, "hang", memory=DECLARED, timeout=4.0))
                    trial += 1
                left = 6
                while left:
                    done = backend.collect(timeout=0.2)
                    left -= len(done)
                    assert {outcome.state for _, outcome in done} <= {State.TIMEOUT}
                    most = max(most, nodes.running("hang"))
            assert backend.workers == expected
            assert most == expected
            greedy = everything(backend, [fault_job(999, "hog", memory=DECLARED, timeout=60)])[999]
    # what one may use is what it always was
    assert greedy.state is State.OOM
    assert dict(greedy.timings)["peak_rss_mb"] > DECLARED / 2**20 / 2
