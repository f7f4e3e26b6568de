"""The same space file is the same set of trials: any number of workers, any crash of the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from archsearch.cli.results import read_result
from archsearch.errors import ArchsearchError
from archsearch.store.store import open_store

SPACE = """
archsearch: 1
task: {name: parity, length: 12, validation_size: 64, test_size: 64}
space:
  width: {choice: [8, 16]}
  stages:
    - repeat: {int: [1, 2]}
      blocks:
        - cell: {choice: [gru, rnn, {name: lru, state: {choice: [8, 16]}}]}
          gate: {choice: [additive, highway]}
  training: {lr: {float: [1.0e-3, 3.0e-2], log: true}, steps: 12, batch: 16}
search: {trials: 14, seed: 3, lag: 4, sampler: {name: tpe, startup: 4}, stopping: median}
confirm: {finalists: 1, seeds: 2, baselines: [gru]}
"""


def command(folder: Path, *options: str) -> list[str]:
    return [
        sys.executable, "-m", "archsearch", "run", str(folder / "same.yaml"),
        "--storage", storage(folder), *options,
    ]  # fmt: skip


def storage(folder: Path) -> str:
    return f"sqlite:///{folder}/same.db"


def prepare(folder: Path) -> Path:
    folder.mkdir()
    (folder / "same.yaml").write_text(SPACE)
    return folder


def finish(folder: Path, workers: int) -> None:
    done = subprocess.run(
        command(folder, "--workers", str(workers)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def record(folder: Path) -> dict[str, list[Any]]:
    """Everything of every trial that must not depend on how the study was run."""
    with open_store(storage(folder)) as store:
        result = read_result(store, "same")
    return {
        phase: [
            (t.index, t.digest, t.seed, t.point, t.state, t.outcome.metrics, t.outcome.curve)
            for t in trials
        ]
        for phase, trials in (("search", result.searched), ("confirm", result.confirmed))
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    folder = prepare(tmp_path_factory.mktemp("same") / "one")
    finish(folder, workers=1)
    found = record(folder)
    assert len(found["search"]) == 14
    assert len(found["confirm"]) == 4
    return found


# two workers go on below, where their driver was killed
@pytest.mark.sampled(every=2)
@pytest.mark.parametrize("workers", [4, 2])
def test_any_number_of_workers(
    workers: int, reference: dict[str, list[Any]], tmp_path: Path
) -> None:
    folder = prepare(tmp_path / "many")
    finish(folder, workers)
    assert record(folder) == reference


def test_killed_driver_continues(reference: dict[str, list[Any]], tmp_path: Path) -> None:
    folder = prepare(tmp_path / "killed")
    for moment in (1, 6, 11):
        driver = subprocess.Popen(
            command(folder, "--workers", "2"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for_trials(folder, moment, driver)
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        assert no_process_left(driver.pid)
    assert 0 < finished(folder) < 18
    finish(folder, workers=2)
    assert record(folder) == reference


def finished(folder: Path) -> int:
    try:
        with open_store(storage(folder), read_only=True) as store:
            result = read_result(store, "same")
    except ArchsearchError:
        return 0
    return sum(trial.state.final for trial in result.searched + result.confirmed)


def wait_for_trials(folder: Path, count: int, driver: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while finished(folder) < count:
        assert driver.poll() is None, "the driver ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def no_process_left(group: int) -> bool:
    """Whether the workers of a killed driver are gone within a few seconds."""
    import psutil

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        left = [p for p in psutil.process_iter(["pid", "cmdline"]) if belongs(p, group)]
        if not left:
            return True
        time.sleep(0.1)
    return False


def belongs(process: Any, group: int) -> bool:
    try:
        return os.getsid(process.pid) == group
    except ProcessLookupError:
        return False
