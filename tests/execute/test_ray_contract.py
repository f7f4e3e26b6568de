"""The backends of a Ray cluster keep the contract of all backends, on two nodes."""

from __future__ import annotations

import time
from dataclasses import replace

import psutil
import pytest
from ray_nodes import RayNodes

from archsearch.execute.backend import Backend
from archsearch.execute.cluster.backends import RayBackend, TuneBackend
from archsearch.spec.trial import State
from archsearch.testing import backends
from archsearch.testing.backends import ProcessBackendContract, everything, gone
from archsearch.testing.faults import BEHAVE, fault_job

pytestmark = pytest.mark.faults


class ClusterContract(ProcessBackendContract):
    """Besides, where workers need a while to come."""

    kind: type[RayBackend]
    slack = 15.0

    @pytest.fixture(autouse=True)
    def _cluster(self, nodes: RayNodes, monkeypatch: pytest.MonkeyPatch) -> None:
        # actors that import torch one after the other on two busy cores
        monkeypatch.setattr(backends, "PATIENCE", 240.0)
        self.nodes = nodes

    def open(self, run: str, workers: int) -> Backend:
        return self.kind(self.nodes.address, workers, run)

    def warm(self, backend: Backend) -> None:
        for _ in range(20):
            began = time.monotonic()
            count = range(backend.workers)
            everything(backend, [fault_job(k, "hang", timeout=1.5) for k in count])
            if time.monotonic() - began < 2.9:
                return
        pytest.fail("the workers never ran side by side")

    def test_a_thousand_jobs(self) -> None:
        with self.open(BEHAVE, 2) as backend:
            for first in range(0, 1000, 200):
                jobs = [fault_job(k, "complete") for k in range(first, first + 200)]
                outcomes = everything(backend, jobs)
                assert {outcome.metric("seed") for outcome in outcomes.values()} == {
                    float(job.seed) for job in jobs
                }

    def test_what_is_cancelled_is_lost_or_silent(self) -> None:
        known = {child.pid for child in psutil.Process().children(recursive=True)}
        with self.open(BEHAVE, 2) as backend:
            self.warm(backend)
            for k in range(3):
                backend.submit(fault_job(k, "hang"))
            assert backend.collect(timeout=0.5) == []
            began = time.monotonic()
            stopped = backend.stop(5.0)
        assert time.monotonic() - began < 15
        assert all(outcome.lost for _, outcome in stopped)
        started = {child.pid for child in psutil.Process().children(recursive=True)} - known
        assert gone(started)

    def test_a_training_gets_no_token(self) -> None:
        with self.open(BEHAVE, 1) as backend:
            found = everything(backend, [fault_job(0, "environment")])[0].message.split(",")
        assert "PATH" in found
        assert [name for name in found if "AUTH" in name or "TOKEN" in name] == []

    def test_jobs_of_several_sizes(self) -> None:
        """Each waits for a place of its own size, and small ones make way for a large one."""
        with self.open(BEHAVE, 2) as backend:
            sizes = [0.25, 1.0, 0.25, 0.5, 1.0, 0.5]
            jobs = [replace(fault_job(k, "complete"), cpus=cpus) for k, cpus in enumerate(sizes)]
            outcomes = everything(backend, jobs)
        assert {outcome.state for outcome in outcomes.values()} == {State.COMPLETE}


class TestRay(ClusterContract):
    kind = RayBackend


class TestTune(ClusterContract):
    kind = TuneBackend
