"""A process that dies or fails at any named moment costs time and nothing else."""

from __future__ import annotations

import ast
import multiprocessing
import os
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
from history import stored, violations
from journal import read
from killing import left_behind
from tiers import tiered
from toy_study import JOURNAL, drive, results, undisturbed

from archsearch import failpoints
from archsearch.errors import InputError
from archsearch.serve.folder import write_folder
from archsearch.store.store import open_store

PACKAGE = Path(failpoints.__file__).parent
LEASE = 0.3
PLAN = ("toy", 10, "random", 0)
# name -> at which time it is reached; the later ones are reached with work half done
MOMENTS = {
    "store.migrate": 1,
    "store.create": 1,
    "store.acquire": 1,
    "store.acquire.after": 1,
    "store.commit.before": 7,
    "store.commit.after": 7,
    "store.start": 4,
    "store.finish": 4,
    "store.restart": 1,
    "store.renew": 1,
    "store.ended": 1,
    "store.release": 1,
    "study.propose": 5,
    "study.submit": 5,
    "study.committed": 5,
    "study.again": 1,
    "file.write": 4,
    "file.sync": 4,
    "file.rename": 4,
    "file.sync-folder": 4,
    "checkpoint.manifest": 2,
    "checkpoint.old": 2,
    "worker.job": 2,
    "worker.answer": 2,
    "supervisor.assign": 4,
}
EXPORTS = ("export.check", "export.rename")
FAULTS = [f"{name}:{action}" for name in MOMENTS for action in failpoints.ACTIONS]
FEW = [f"{name}:kill" for name in ("store.finish", "study.again", "file.rename", "worker.answer")]
# the others are handled by the same lines wherever they happen
SOME = [fault for fault in FAULTS if fault.endswith(":kill")] + FAULTS[1::24] + FAULTS[2::24]
# reached only by a driver that continues what another left
LATE = ("store.restart", "study.again")


@pytest.fixture
def launch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., int]]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["toy_study", "optuna.samplers"])
    begun: list[ForkServerProcess] = []

    def started(target: Callable[..., None], *arguments: Any) -> int:
        """Run it in a process of its own; returns how it left."""
        process = processes.Process(target=target, args=arguments)
        begun.append(process)
        process.start()
        process.join(120)
        assert process.exitcode is not None
        return process.exitcode

    yield started
    for process in begun:
        process.kill()


def faulted(folder: Path, name: str, action: str, nth: int) -> dict[str, str]:
    return {
        failpoints.VARIABLE: f"{name}:{action}:{nth}",
        failpoints.ONCE: str(folder / "reached"),
    }


def hold(launch: Callable[..., int], folder: Path, name: str, action: str) -> None:
    url, journal = f"sqlite:///{folder}/studies.db", folder / "journal"
    arguments = (url, PLAN, str(journal), 2, LEASE, "work_in_steps")
    if name in LATE:
        launch(drive, *arguments, faulted(folder, "study.committed", "kill", 4))
        (folder / "reached").unlink()
    code = launch(drive, *arguments, faulted(folder, name, action, MOMENTS[name]))
    assert (folder / "reached").exists(), f"{name} is never reached"
    if code != 0:
        assert launch(drive, *arguments) == 0
    assert left_behind((JOURNAL, str(journal))) == []
    with open_store(url, read_only=True) as store:
        study = store.find_study(PLAN[0])
        assert study is not None
        assert study.driver is None
        assert violations(read(journal), stored(store, study.id)) == []
        assert results(store, study.id) == undisturbed(PLAN)
    assert [path for path in (folder / "run").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("fault", tiered(FAULTS, FEW, SOME))
def test_every_moment(launch: Callable[..., int], tmp_path: Path, fault: str) -> None:
    hold(launch, tmp_path, *fault.split(":"))


def export(folder: str, text: str, fault: dict[str, str]) -> None:
    os.environ.update(fault)
    failpoints.arm()
    files = {"one": text.encode(), "two": text.encode()}
    write_folder(Path(folder), files, lambda _: None, force=True)


@pytest.mark.parametrize("action", failpoints.ACTIONS)
@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_is_whole_or_not_there(
    launch: Callable[..., int], tmp_path: Path, name: str, action: str
) -> None:
    place = tmp_path / "exports" / "mine"
    place.parent.mkdir()
    for text in ("old", "new"):
        before = content(place)
        assert launch(export, str(place), text, faulted(tmp_path, name, action, 1)) != 0
        (tmp_path / "reached").unlink()
        assert content(place) == before
        if action != "kill":
            assert beside(place) == set()
        assert launch(export, str(place), text, {}) == 0
        assert content(place) == {"one": text, "two": text}
        assert beside(place) == set()


def test_an_export_leaves_that_of_a_living_one_alone(tmp_path: Path) -> None:
    place = tmp_path / "mine"

    def other(folder: Path) -> None:
        write_folder(place, {"one": b"other"}, lambda _: None)
        assert content(folder) == {"one": "first"}

    with pytest.raises(InputError, match="cannot be written"):
        write_folder(place, {"one": b"first"}, other)
    assert content(place) == {"one": "other"}
    assert beside(place) == set()


def beside(place: Path) -> set[str]:
    return {entry.name for entry in place.parent.iterdir()} - {place.name, "reached"}


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else {}


def test_every_moment_is_named_once_and_tested() -> None:
    found = [
        node.args[0].value
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "failpoint"
        and isinstance(node.args[0], ast.Constant)
    ]
    assert sorted(found) == sorted([*MOMENTS, *EXPORTS])


def test_nothing_happens_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    failpoints.failpoint("store.finish")
    monkeypatch.setenv(failpoints.VARIABLE, "store.finish:raise:2")
    failpoints.arm()
    failpoints.failpoint("store.finish")
    failpoints.failpoint("store.start")
    with pytest.raises(RuntimeError, match="failpoint"):
        failpoints.failpoint("store.finish")
    failpoints.failpoint("store.finish")
    monkeypatch.setenv(failpoints.VARIABLE, "store.finish:explode")
    with pytest.raises(ValueError, match="expected name"):
        failpoints.arm()
    monkeypatch.delenv(failpoints.VARIABLE)
    failpoints.arm()
