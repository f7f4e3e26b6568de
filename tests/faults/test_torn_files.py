"""A damaged file of a run costs time or stops the study; it never costs a trial."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from history import stored, violations
from journal import Journal, JournaledBackend, JournaledStore, read
from seeds import seeds
from tiers import tiered
from torn import Damage, chosen, seals, untouched
from toy_study import results, toy_plan, undisturbed
from tracing import refusal, traced, waiting

from archsearch import failpoints
from archsearch.errors import ArchsearchError, LockedError, StateError
from archsearch.execute.inline import InlineBackend
from archsearch.store.database import Database
from archsearch.store.store import open_store
from archsearch.study.study import run_study

PLAN = ("toy", 8, "random", 0)
RUN = "saved_steps:work_and_save"
LEASE = 30.0
FEW, SOME, OFFSETS = 20, 18, 100
# a write to the database, or a call for its journal, at which the driver is killed
BASES = (
    "pwrite64:46",
    "fdatasync:13",
    "pwrite64:27",
    "pwrite64:62",
    "pwrite64:80",
    "unlink:8",
)


@pytest.fixture(autouse=True)
def _traceable(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := refusal():
        pytest.skip(reason)
    # the fork server, its drivers and their workers find the modules of this folder
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder that a driver killed at a call leaves, in the midst of a commit."""

    @functools.cache
    def found(when: str) -> Path:
        folder = tmp_path_factory.mktemp("left")
        call, nth = when.split(":")
        path = folder / ("studies.db" if call == "pwrite64" else "studies.db-journal")
        fault = f"inject={call}:signal=SIGKILL:when={nth}"
        given = (f"sqlite:///{folder}/studies.db", PLAN, str(folder / "journal"), 1, LEASE, RUN)
        with waiting(*given) as driver:
            assert driver.process.pid is not None
            options = ("-P", str(path), "-e", f"trace={call}", "-e", fault)
            with traced(driver.process.pid, folder / "trace", *options):
                driver.go()
                assert driver.join() == -signal.SIGKILL
        there = seals(folder)
        assert {Path(name).suffix for name in there} == {
            ".db",
            ".db-journal",
            ".json",
            ".safetensors",
        }
        return folder

    return found


@functools.cache
def wanted() -> list[tuple[object, ...]]:
    return undisturbed(PLAN)


def resume(folder: Path) -> ArchsearchError | None:
    """Continue the study to its end; or say why that is refused."""
    notes = Journal(folder / "journal")
    try:
        with (
            JournaledStore(Database(f"sqlite:///{folder}/studies.db"), notes) as store,
            InlineBackend(RUN) as backend,
        ):
            handed_out = JournaledBackend(backend, notes)
            run_study(toy_plan(*PLAN), store, handed_out, lambda _: None, folder / "run")
    except (StateError, LockedError) as error:
        return error
    return None


def withstands(left: Path, folder: Path, seed: int) -> str:
    """One damage and what is made of it: ``refused`` or ``continued``."""
    place, rng = folder / "torn", random.Random(seed)
    shutil.copytree(left, place)
    damage = chosen(place, rng)
    damage.do(place)
    print(f"seed {seed}: {damage}")
    before = untouched(place, folder / "untouched")
    refusal = resume(place)
    if refusal is not None:
        # a driver of another name is left to its lease
        assert isinstance(refusal, LockedError) or f"{place}/studies.db" in str(refusal)
        assert "\n" not in str(refusal)
        assert seals(place) in before, refusal
        return "refused"
    with open_store(f"sqlite:///{place}/studies.db", read_only=True) as store:
        study = store.find_study(PLAN[0])
        assert study is not None
        assert results(store, study.id) == wanted()
        assert violations(read(place / "journal"), stored(store, study.id)) == []
    assert list((place / "run").rglob("*.*")) == []
    return "continued"


@pytest.mark.parametrize("seed", seeds(FEW))
def test_a_few_damaged_files(left: Callable[[str], Path], tmp_path: Path, seed: int) -> None:
    withstands(left(BASES[0]), tmp_path, seed)


@pytest.mark.parametrize("seed", tiered(seeds(OFFSETS), (), seeds(SOME)))
def test_a_hundred_damaged_files(left: Callable[[str], Path], tmp_path: Path, seed: int) -> None:
    withstands(left(BASES[seed % len(BASES)]), tmp_path, seed)


def test_an_older_checkpoint_is_taken_up_with_a_warning(
    left: Callable[[str], Path], tmp_path: Path
) -> None:
    place = tmp_path / "torn"
    shutil.copytree(left(BASES[0]), place)
    (newest,) = (place / "run").rglob("1-3.safetensors")
    Damage(str(newest.relative_to(place)), 60, 0).do(place)
    assert resume(place) is None
    with open_store(f"sqlite:///{place}/studies.db", read_only=True) as store:
        study = store.find_study(PLAN[0])
        assert study is not None
        messages = [trial.outcome.message for trial in store.history(study.id)]
    said = "checkpoint 1-3 is damaged; continued after step 2"
    assert [message.startswith(said) for message in messages].count(True) == 1


def test_a_reader_sees_what_was_committed(left: Callable[[str], Path], tmp_path: Path) -> None:
    """Also while there is a journal to be played back first, which nobody has done yet."""
    place = tmp_path / "left"
    shutil.copytree(left(BASES[0]), place)
    assert (place / "studies.db-journal").exists()
    with open_store(f"sqlite:///{place}/studies.db", read_only=True) as store:
        study = store.find_study(PLAN[0])
        assert study is not None
        done = [trial for trial in results(store, study.id) if trial[4] != "running"]
    assert done
    assert done == wanted()[: len(done)]


SPACE = """
archsearch: 1
task: {name: parity, length: 8, validation_size: 32, test_size: 32}
space:
  width: {choice: [8, 12]}
  stages:
    - repeat: {int: [1, 2]}
      blocks: [{cell: {choice: [gru, rnn, lstm]}, channel: {choice: [none, glu]}}]
  training: {lr: {float: [1.0e-3, 1.0e-1], log: true}, steps: 20, batch: 8}
search: {trials: 6, seed: 5}
execution: {backend: local, workers: 1}
"""


def command(folder: Path, fault: str = "") -> subprocess.CompletedProcess[str]:
    """``archsearch run`` in that folder."""
    line = [sys.executable, "-m", "archsearch", "run", "space.yaml"]
    line += ["--storage", f"sqlite:///{folder}/studies.db"]
    known = os.environ | {failpoints.VARIABLE: fault}
    return subprocess.run(
        line, cwd=folder, capture_output=True, text=True, env=known, check=False, timeout=300
    )


@pytest.fixture(scope="module")
def commanded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[object, ...]]]:
    """The folder of a command that was killed, and what it would have come to."""
    killed, whole = tmp_path_factory.mktemp("killed"), tmp_path_factory.mktemp("whole")
    for folder in (killed, whole):
        (folder / "space.yaml").write_text(SPACE)
    assert command(killed, "store.commit.before:kill:8").returncode == -signal.SIGKILL
    assert command(whole).returncode == 0
    return killed, told(whole)


def told(folder: Path) -> list[tuple[object, ...]]:
    with open_store(f"sqlite:///{folder}/studies.db", read_only=True) as store:
        study = store.find_study("space")
        assert study is not None
        return results(store, study.id)


@pytest.mark.parametrize("seed", tiered(seeds(5), (), seeds(1)))
def test_the_command_on_a_damaged_file(
    commanded: tuple[Path, list[tuple[object, ...]]], tmp_path: Path, seed: int
) -> None:
    killed, whole = commanded
    place = tmp_path / "torn"
    shutil.copytree(killed, place)
    damage = chosen(place, random.Random(seed))
    damage.do(place)
    print(f"seed {seed}: {damage}")
    before = untouched(place, tmp_path / "untouched")
    done = command(place)
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        assert told(place) == whole
        return
    assert done.returncode == 3, done.stderr
    assert f"{place}/studies.db" in done.stderr
    assert seals(place) in before
