"""Workers that are asked to leave: time to write a checkpoint, and no more than that."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from checkpointed import long_job, result, steps_counted, undisturbed

from archsearch.execute.checkpoints import Generation, generations
from archsearch.execute.inline import InlineBackend
from archsearch.execute.local import LocalBackend
from archsearch.execute.run_job import run_job
from archsearch.spec.trial import State
from archsearch.testing.backends import everything, gone
from archsearch.testing.faults import BEHAVE, fault_job

torch.set_num_threads(1)


def ready(backend: LocalBackend) -> set[int]:
    """Workers that have run a job each, and the processes of the backend."""
    everything(backend, [fault_job(k, "complete") for k in range(backend.workers)])
    supervisor = psutil.Process(backend._supervisor.pid)
    return {supervisor.pid, *(child.pid for child in supervisor.children(recursive=True))}


def test_what_listens_to_nothing_is_killed_in_time() -> None:
    backend = LocalBackend(2, BEHAVE)
    pids = ready(backend)
    backend.submit(fault_job(7, "deaf"))
    backend.submit(fault_job(8, "stop"))
    assert backend.collect(timeout=0.3) == []
    began = time.monotonic()
    stopped = backend.stop(1.0)
    assert 0.9 < time.monotonic() - began < 5
    assert all(outcome.lost for _, outcome in stopped)
    assert gone(pids)


def test_what_has_no_checkpoint_to_write_leaves_at_once() -> None:
    backend = LocalBackend(2, BEHAVE)
    pids = ready(backend)
    backend.submit(fault_job(7, "hang"))
    backend.submit(fault_job(8, "spin"))
    backend.submit(fault_job(9, "hang"))
    assert backend.collect(timeout=0.3) == []
    began = time.monotonic()
    stopped = backend.stop(30.0)
    assert time.monotonic() - began < 10
    assert {job.trial for job, _ in stopped} == {7, 8, 9}
    assert all(outcome.lost for _, outcome in stopped)
    assert gone(pids)
    assert backend.stop(30.0) == []


def test_nothing_is_to_be_stopped() -> None:
    began = time.monotonic()
    with LocalBackend(1, BEHAVE) as backend:
        pids = ready(backend)
        assert backend.stop(30.0) == []
        assert gone(pids)
    with LocalBackend(1, BEHAVE) as backend:
        backend.submit(fault_job(1, "hang"))
        assert backend.stop(30.0) == []
    assert time.monotonic() - began < 25


def test_what_ends_meanwhile_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outcome that is on its way when the stop comes is not thrown away."""
    backend = LocalBackend(1, BEHAVE)
    ready(backend)
    backend.submit(fault_job(3, "complete"))
    time.sleep(0.3)
    (told,) = backend.stop(5.0)
    assert (told[0].trial, told[1].state, told[1].lost) == (3, State.COMPLETE, False)


def test_a_worker_told_to_end_writes_where_it_is(tmp_path: Path) -> None:
    """By whomever: systemd and batch systems send SIGTERM to every process of a job."""
    job = long_job(tmp_path, steps=4000, checkpoint_seconds=3600.0)
    folder = tmp_path / "checkpoints" / job.key
    with LocalBackend(1) as backend:
        warm = long_job(tmp_path, steps=2, checkpoints=None)
        everything(backend, [warm])
        supervisor = psutil.Process(backend._supervisor.pid)
        (worker,) = supervisor.children()
        before = worker.cpu_times().user
        backend.submit(job)
        while worker.cpu_times().user < before + 0.4:
            assert backend.collect(timeout=0.02) == []
        supervisor.terminate()
        worker.terminate()
        ((_, outcome),) = backend.collect(timeout=20)
        assert outcome.lost
        assert "SIGTERM" in outcome.message
        (generation,) = generations(folder)
        assert 0 < generation.step < 4000
        # the supervisor has no reason to leave before its driver
        assert everything(backend, [warm])[0].state is State.COMPLETE


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_inline_too(number: signal.Signals, tmp_path: Path) -> None:
    """The driver's own process writes a checkpoint before it does what the signal asks for."""
    heard: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    reference = undisturbed(tmp_path)
    before = {one: signal.signal(one, interrupt) for one in (signal.SIGTERM, signal.SIGINT)}
    backend = InlineBackend()
    backend.submit(long_job(tmp_path, checkpoint_seconds=3600.0))
    try:
        with (
            steps_counted(lambda step: step == 4 and os.kill(os.getpid(), number)) as seen,
            pytest.raises(KeyboardInterrupt),
        ):
            backend.collect()
        # asked for after step 4, it is written after the step that was under way
        assert (heard, seen) == ([number], [1, 2, 3, 4])
        assert {one: signal.getsignal(one) for one in before} == dict.fromkeys(before, interrupt)
    finally:
        for one, former in before.items():
            signal.signal(one, former)
    job = long_job(tmp_path, epoch=2)
    (generation,) = generations(tmp_path / "checkpoints" / job.key)
    assert generation == Generation(1, 5)
    outcome = run_job(job)
    assert result(outcome) == reference
    assert outcome.message == "continued after step 5"


def test_asked_twice_it_leaves_at_once(tmp_path: Path) -> None:
    def twice(step: int) -> None:
        if step == 4:
            # two that the system sends may arrive as one
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    job = long_job(tmp_path, checkpoint_seconds=3600.0)
    with steps_counted(twice) as seen, pytest.raises(KeyboardInterrupt):
        run_job(job)
    assert seen[-1] == 4
    assert generations(tmp_path / "checkpoints" / job.key) == []


def test_what_was_ignored_is_still_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with steps_counted(lambda step: os.kill(os.getpid(), signal.SIGINT)):
            outcome = run_job(long_job(tmp_path, checkpoint_seconds=3600.0))
        assert outcome.state is State.COMPLETE
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_outside_the_main_thread_no_signal_is_listened_to(tmp_path: Path) -> None:
    outcomes = []
    job = long_job(tmp_path)
    thread = threading.Thread(target=lambda: outcomes.append(run_job(job)))
    thread.start()
    thread.join()
    assert outcomes[0].message == ""
    assert result(replace(outcomes[0])) == undisturbed(tmp_path / "again")
