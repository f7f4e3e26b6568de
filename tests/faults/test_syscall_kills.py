"""A driver that dies, or meets a full disk, at any call by which files are made to last."""

from __future__ import annotations

import functools
import hashlib
import signal
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from history import stored, violations
from journal import Journal, JournaledBackend, JournaledStore, read
from killing import left_behind
from tiers import tiered
from toy_study import JOURNAL, results, toy_plan, undisturbed
from tracing import LASTING, calls, refusal, traced, wait_until_stopped, waiting

from archsearch.execute.checkpoints import generations, read_manifest
from archsearch.execute.inline import InlineBackend
from archsearch.store.database import Database
from archsearch.store.store import open_store
from archsearch.study.study import run_study

PLAN = ("toy", 3, "random", 0)
RUN = "work_in_steps"
# no sign of life is due in so short a study: the same calls every time
LEASE = 30.0
POINTS = 60
# what a worker calls in one job: for tensors and manifest of each step, then for those of step 1
JOB = ("fsync", "rename", "fsync") * 6 + ("unlink", "unlink")
CALLS_A_STEP = 6
# where the driver asks for room
FULL = [f"{call}:{nth}" for call in ("fdatasync", "pwrite64") for nth in (1, 2, 5, 9, 14, "20+")]
# each commit makes a journal
FULL += [f"openat:{nth}" for nth in (1, 3, "6+")]


def arguments(folder: Path) -> tuple[object, ...]:
    return (f"sqlite:///{folder}/studies.db", PLAN, str(folder / "journal"), 1, LEASE, RUN)


def driven(folder: Path, *options: str) -> tuple[int, list[str]]:
    """A driver with options of strace: how it left, and the calls that were traced."""
    with waiting(*arguments(folder)) as driver:
        assert driver.process.pid is not None
        with traced(driver.process.pid, folder / "trace", *options):
            driver.go()
            code = driver.join()
    return code, calls(folder / "trace")


def injected(calls: Sequence[str], what: str) -> tuple[str, ...]:
    """The options of strace for a fault at the last of these calls."""
    *_, last = calls
    # strace counts each call by itself
    return ("-e", f"trace={LASTING}", "-e", f"inject={last}:{what}:when={calls.count(last)}")


@pytest.fixture(autouse=True)
def _traceable(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := refusal():
        pytest.skip(reason)
    # the fork server, its drivers and their workers find the modules of this folder
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], list[str]]:
    """What an undisturbed driver calls so that something lasts."""

    @functools.cache
    def found() -> list[str]:
        folder = tmp_path_factory.mktemp("undisturbed")
        code, seen = driven(folder, "-e", f"trace={LASTING}")
        assert code == 0
        assert results_in(folder) == undisturbed(PLAN)
        return seen

    return found


def results_in(folder: Path) -> list[tuple[object, ...]]:
    with open_store(f"sqlite:///{folder}/studies.db", read_only=True) as store:
        study = store.find_study(PLAN[0])
        assert study is not None
        return results(store, study.id)


def broken(folder: Path, *, ended: bool) -> list[str]:
    """The promises that are broken by what lies in the folder."""
    path, lines = folder / "studies.db", list(read(folder / "journal"))
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with open_store(f"sqlite:///{path}") as store:
        study = store.find_study(PLAN[0])
        if study is not None:
            return violations(lines, stored(store, study.id), ended=ended)
    return [f"{line} although there is no study" for line in lines if line["what"] == "did"]


def is_continued(folder: Path) -> None:
    """What a dead driver left keeps what it promised, and comes to what was to come."""
    journal = folder / "journal"
    assert left_behind((JOURNAL, str(journal))) == []
    assert broken(folder, ended=False) == []
    notes = Journal(journal)
    with (
        JournaledStore(Database(f"sqlite:///{folder}/studies.db"), notes) as store,
        InlineBackend(f"toy_study:{RUN}") as backend,
    ):
        # a trial whose checkpoint is no checkpoint crashes, and so is not what it should be
        run_study(
            toy_plan(*PLAN), store, JournaledBackend(backend, notes), lambda _: None, folder / "run"
        )
    assert broken(folder, ended=True) == []
    assert results_in(folder) == undisturbed(PLAN)
    assert [path for path in (folder / "run").rglob("*") if path.is_file()] == []


def kill_driver(folder: Path, lasting: list[str], nth: int) -> None:
    assert len(lasting) >= POINTS, "too few calls: this point is never reached"
    code, seen = driven(folder, *injected(lasting[:nth], "signal=SIGKILL"))
    assert (code, seen) == (-signal.SIGKILL, lasting[:nth]), f"point {nth} was not reached"
    is_continued(folder)


@pytest.mark.parametrize(
    "nth", tiered(range(1, POINTS + 1), (2, 11, 22, 33, 45, 60), range(1, POINTS, 4))
)
def test_a_driver_killed_at_a_call(
    lasting: Callable[[], list[str]], tmp_path: Path, nth: int
) -> None:
    kill_driver(tmp_path, lasting(), nth)


def kill_at_worker(folder: Path, nth: int) -> None:
    """Stop a worker at the nth call of its first job, and kill the driver and so all of it."""
    trace, steps = folder / "trace", folder / "run" / "checkpoints" / "search"
    with waiting(*arguments(folder)) as driver:
        driver.go()
        with traced(driver.supervisor(), trace, "-f", *injected(JOB[:nth], "signal=SIGSTOP")):
            wait_until_stopped(trace)
            driver.process.kill()
            assert driver.join() == -signal.SIGKILL
    assert tuple(calls(trace)) == JOB[:nth]
    (place,) = steps.iterdir()
    whole = generations(place)
    for generation in whole:
        seal = hashlib.sha256(generation.tensors(place).read_bytes()).hexdigest()
        assert read_manifest(place, generation).sha256 == seal
    newest = whole[0].step if whole else 0
    # a checkpoint counts once its manifest has its name, which is the last call but one
    assert newest == min((nth + 1) // CALLS_A_STEP, 3)
    is_continued(folder)


@pytest.mark.parametrize("nth", tiered(range(1, len(JOB) + 1), (4, 11), range(1, len(JOB) + 1, 5)))
def test_a_machine_killed_at_a_call_of_a_worker(tmp_path: Path, nth: int) -> None:
    kill_at_worker(tmp_path, nth)


def fill_disk(folder: Path, when: str) -> None:
    """The disk is full at one call, or from that call on (``+``)."""
    call, nth = when.split(":")
    only = ("-P", f"{folder}/studies.db-journal") if call == "openat" else ()
    code, seen = driven(
        folder, *only, "-e", f"trace={call}", "-e", f"inject={call}:error=ENOSPC:when={nth}"
    )
    assert len(seen) >= int(nth.rstrip("+")), f"{when} is never reached"
    assert code in (0, 75), list(read(folder / "journal"))[-1:]
    is_continued(folder)


@pytest.mark.parametrize("when", tiered(FULL, FULL[4::4], FULL[::2]))
def test_a_full_disk_at_a_call(tmp_path: Path, when: str) -> None:
    fill_disk(tmp_path, when)
