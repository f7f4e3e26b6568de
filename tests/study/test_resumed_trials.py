"""A trial that lost its worker or its driver goes on from its checkpoint, to the same outcome."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from long_study import only_trial, run, undisturbed
from torch import nn

from archsearch.errors import InputError, TryAgainError
from archsearch.execute.backend import Backend
from archsearch.execute.inline import InlineBackend
from archsearch.execute.job import Job
from archsearch.execute.weights import keep_weights
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import open_store
from archsearch.study.folder import VARIABLE, Folder

HERE = Path(__file__).parent
STEPS = 800


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    trial = undisturbed(tmp_path_factory.mktemp("undisturbed"))
    assert trial.state is State.COMPLETE
    return trial


def driver(folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(HERE / "long_study.py"), str(folder), str(seconds)]
    return subprocess.Popen(command)


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "runs" / "checkpoints" / "search").glob("*/*.json"))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def worker_of(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    """The one process that the supervisor of a driver has started."""
    try:
        for supervisor in psutil.Process(process.pid).children():
            for worker in supervisor.children():
                return worker
    except psutil.NoSuchProcess:
        pass
    return None


def same_outcome(found: Trial, like: Trial) -> bool:
    one, other = found.outcome, like.outcome
    return (one.state, one.metrics, one.curve) == (other.state, other.metrics, other.curve)


def continued_after(trial: Trial) -> int:
    """The step from which the last attempt went on, so that it trained only those after it."""
    match = re.fullmatch(r"continued after step (\d+)", trial.outcome.message)
    assert match is not None, trial.outcome.message
    return int(match.group(1))


def test_a_killed_worker_is_followed_by_one_that_goes_on(reference: Trial, tmp_path: Path) -> None:
    with driver(tmp_path, seconds=0.05) as process:
        wait_for(lambda: bool(checkpoints(tmp_path)), process)
        worker = worker_of(process)
        assert worker is not None
        worker.kill()
        assert process.wait(timeout=60) == 0
    found = only_trial(tmp_path)
    assert same_outcome(found, reference)
    assert 0 < continued_after(found) < STEPS
    # the checkpoints of a trial that is stored are gone
    assert not checkpoints(tmp_path)


def test_a_killed_driver_is_followed_by_one_that_goes_on(reference: Trial, tmp_path: Path) -> None:
    with driver(tmp_path, seconds=0.05) as process:
        wait_for(lambda: bool(checkpoints(tmp_path)), process)
        worker = worker_of(process)
        process.kill()
        process.wait()
    assert only_trial(tmp_path).state is State.RUNNING
    assert worker is not None
    psutil.wait_procs([worker], timeout=10)
    # the next one need not be of the same kind
    run(tmp_path, InlineBackend())
    found = only_trial(tmp_path)
    assert same_outcome(found, reference)
    assert 0 < continued_after(found) < STEPS


def test_a_polite_stop_loses_no_step(reference: Trial, tmp_path: Path) -> None:
    """SIGTERM to the driver: the worker writes where it is, and all is over in seconds."""
    with driver(tmp_path, seconds=3600) as process:
        wait_for(lambda: (worker := worker_of(process)) is not None and busy(worker), process)
        assert not checkpoints(tmp_path)
        began = time.monotonic()
        process.terminate()
        assert process.wait(timeout=30) == 75
        assert time.monotonic() - began < 15
    (manifest,) = checkpoints(tmp_path)
    epoch, step = map(int, manifest.stem.split("-"))
    assert epoch == 1
    assert 0 < step < STEPS
    run(tmp_path, InlineBackend())
    found = only_trial(tmp_path)
    assert same_outcome(found, reference)
    assert continued_after(found) == step


def busy(worker: psutil.Process) -> bool:
    """Whether it has trained for a while: more than it takes to build a model and measure it."""
    return worker.cpu_times().user > 0.7


def test_garbage_of_an_unknown_job_is_collected(tmp_path: Path) -> None:
    place = tmp_path / "runs" / "checkpoints" / "search" / ("0" * 16)
    place.mkdir(parents=True)
    (place / "1-2.json").write_text("{}")

    class Done(Backend):
        workers = 1

        def submit(self, job: Job) -> None:
            assert not place.exists()
            assert job.checkpoints == str(place.parent)
            self.job = job

        def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
            return [(self.job, Outcome(State.DIVERGED))]

        def close(self) -> None:
            pass

    run(tmp_path, Done())
    assert only_trial(tmp_path).state is State.DIVERGED


# --- room on the disk

Disk = namedtuple("Disk", "total used free")
GIB = 1 << 30


def test_a_full_disk_begins_no_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(100 * GIB, 99 * GIB, GIB))
    with pytest.raises(TryAgainError, match=r"1024 MiB are free on its disk, .* need 5120 MiB"):
        run(tmp_path, InlineBackend())
    assert TryAgainError.exit_code == 75


def test_a_disk_that_fills_stops_the_claims(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs is finished and stored; with room again the study goes on and ends."""
    monkeypatch.setattr("long_study.SPACE", space_of(5))
    free = [10 * GIB]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(100 * GIB, 0, free[0]))

    class Filling(Backend):
        workers = 2

        def __init__(self) -> None:
            self.jobs: list[Job] = []
            self.done = 0

        def submit(self, job: Job) -> None:
            self.jobs.append(job)

        def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
            free[0] = GIB if free[0] < 10 * GIB or self.done else free[0]
            self.done += 1
            free[0] = GIB
            return [(self.jobs.pop(0), Outcome(State.COMPLETE, (("accuracy", 0.5),)))]

        def close(self) -> None:
            pass

    with pytest.raises(TryAgainError, match="make room, and the same command continues"):
        run(tmp_path, Filling())
    assert stored(tmp_path) == [State.COMPLETE] * 2
    free[0] = 10 * GIB

    class Roomy(Filling):
        def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
            found = super().collect(timeout)
            free[0] = 10 * GIB
            return found

    run(tmp_path, Roomy())
    assert stored(tmp_path) == [State.COMPLETE] * 5


CONFIRMED = "{finalists: 1, seeds: 2, baselines: [gru]}"


def test_weights_without_room_are_no_failure_of_their_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room again they are trained, and judged beside those that found some before."""
    space = space_of(1).replace("steps: 800", "steps: 5")
    monkeypatch.setattr("long_study.SPACE", space.replace("none", CONFIRMED))
    calls = iter(range(100))

    def filling(model: nn.Module, path: Path) -> None:
        if next(calls) > 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        keep_weights(model, path)

    full = r"\.safetensors cannot be written: No space left on device; make room, and the same"
    with monkeypatch.context() as patch:
        patch.setattr("archsearch.execute.run_job.keep_weights", filling)
        for _ in range(3):
            with pytest.raises(TryAgainError, match=full):
                run(tmp_path, InlineBackend())
    assert stored(tmp_path, "confirm") == [State.COMPLETE, State.RUNNING]
    run(tmp_path, InlineBackend())
    assert set(stored(tmp_path, "confirm")) == {State.COMPLETE}
    assert len(list((tmp_path / "runs").glob("*.safetensors"))) == 4


def test_a_closed_folder_is_refused_before_finalists_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **how: path != tmp_path and allowed(path, mode, **how)
    )
    monkeypatch.setattr("long_study.SPACE", space_of(1).replace("none", CONFIRMED))
    with pytest.raises(InputError, match="is where weights of finalists go"):
        run(tmp_path, InlineBackend())
    with open_store(f"sqlite:///{tmp_path}/long.db", read_only=True) as store:
        assert store.studies() == []


def space_of(trials: int) -> str:
    import long_study

    return long_study.SPACE.replace("trials: 1", f"trials: {trials}")


def stored(folder: Path, phase: str = "search") -> list[State]:
    with open_store(f"sqlite:///{folder}/long.db", read_only=True) as store:
        study = store.find_study("long")
        assert study is not None
        return [trial.state for trial in store.history(study.id, phase)]


@pytest.mark.parametrize(
    ("total", "free", "short"),
    [
        (4 * GIB, 499 << 20, True),
        (4 * GIB, 501 << 20, False),
        (40 * GIB, 2 * GIB - 1, True),
        (40 * GIB, 2 * GIB, False),
        (4000 * GIB, 5 * GIB - 1, True),
        (4000 * GIB, 5 * GIB, False),
    ],
)
@pytest.mark.parametrize("which", ["path", "database"])
def test_how_much_is_kept_free(
    which: str,
    total: int,
    free: int,
    short: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda place: Disk(total, 0, free) if place == small else Disk(GIB << 10, 0, GIB << 9),
    )
    # a folder that is still to be made lies on the disk of the one above it
    inner = small / "to" / "come"
    folder = Folder(inner, large) if which == "path" else Folder(large, inner)
    assert (folder.shortage is not None) == short
    assert Folder(None, None).shortage is None


def test_the_environment_says_how_much_is_kept_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(4 * GIB, 0, 100 << 20))
    monkeypatch.setenv(VARIABLE, "100")
    assert Folder(tmp_path, None).shortage is None
    monkeypatch.setenv(VARIABLE, "101")
    assert Folder(tmp_path, None).shortage is not None
    monkeypatch.setenv(VARIABLE, "1 GB")
    with pytest.raises(InputError, match="expected a whole number of MiB, got '1 GB'"):
        _ = Folder(tmp_path, None).shortage
