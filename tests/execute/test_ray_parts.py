"""What the Ray backends are made of, as far as it needs no cluster."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from checkpointed import long_job

from archsearch.errors import InputError
from archsearch.execute.cluster import placed
from archsearch.execute.cluster.backends import RayBackend
from archsearch.execute.cluster.exchange import Counter, NobodyThere, NoMore
from archsearch.execute.cluster.legs import OUTCOME, Legs
from archsearch.execute.cluster.placed import digest, files_of, foreign_code, named, place
from archsearch.execute.cluster.slots import IDLE_MEMORY, Shape, room
from archsearch.execute.cluster.token import make_safe
from archsearch.execute.job import Job
from archsearch.execute.local import LocalBackend
from archsearch.execute.plain import outcome_from_plain, outcome_to_plain
from archsearch.execute.run_job import run_job
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import ExecutionSettings, Needs, TaskSpec
from archsearch.spec.trial import Outcome, State
from archsearch.study.folder import logs_of
from archsearch.testing.backends import everything
from archsearch.testing.faults import BEHAVE, fault_job


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_answer_without_room_where_the_study_lies_is_no_failure_of_its_trial(
    tmp_path: Path,
) -> None:
    pytest.importorskip("ray")
    from archsearch.execute.cluster.worker import packed, write_down

    (tmp_path / "file").touch()
    keep, log = str(tmp_path / "file" / "keep"), str(tmp_path / "file" / "log")
    job = replace(fault_job(0, "fine"), keep=keep, log=log)
    done = Outcome(State.COMPLETE, weights=keep)
    answer = packed({"outcome": outcome_to_plain(done), "place": "node a"}, b"said", b"weights")
    outcome = write_down(answer, job)
    assert outcome.state is State.RUNNING
    assert outcome.message == f"{keep} cannot be written: File exists"
    # what it printed is worth less than what came of it
    unkept = packed(
        {"outcome": outcome_to_plain(replace(done, weights=None)), "place": "a"}, b"", b""
    )
    assert write_down(unkept, job).state is State.COMPLETE


def test_who_waits_for_a_node_is_told_once_and_in_the_end_refused() -> None:
    pytest.importorskip("ray")
    from archsearch.execute.cluster.pool import Pool, Unusable
    from archsearch.execute.cluster.slots import Slot

    told: list[dict[str, str]] = []
    shape = Shape(cpus=8.0, memory=2 << 30)
    pool = Pool.__new__(Pool)
    pool.slots, pool.told = [Slot(None, shape, "1")], set()
    pool.control = SimpleNamespace(send=told.append)  # type: ignore[assignment]
    for seconds in (3, 11, 12):
        pool.slots[0].since = time.monotonic() - seconds
        pool.make_room(shape)
    line = "no node of the Ray cluster has room for a trial (8 CPU, 2.5 GiB of memory); waiting for"
    assert told == [{"news": f"{line} one, for 15 minutes"}]
    pool.slots[0].since = time.monotonic() - 901
    with pytest.raises(Unusable, match=r"has had room for a trial \(8 CPU, 2.5 GiB of memory\)"):
        pool.make_room(shape)


def test_a_token_is_made_for_our_eyes_only(tmp_path: Path) -> None:
    path = tmp_path / "own" / "token"
    before = os.umask(0o000)
    try:
        make_safe({"RAY_AUTH_TOKEN_PATH": str(path)}, create=True)
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    first = path.read_text()
    assert len(first) == 64
    make_safe({"RAY_AUTH_TOKEN_PATH": str(path)}, create=True)
    assert path.read_text() == first


def test_a_token_that_others_can_read_is_hidden(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o644)
    make_safe({"RAY_AUTH_TOKEN_PATH": str(path)}, create=False)
    assert mode(path) == 0o600


def test_no_token_is_told_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"copy the head node's ~/.ray/auth_token"):
        make_safe({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}, create=False)
    make_safe({"RAY_AUTH_TOKEN": "x"}, create=False)


def without_ray(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A driver that cannot import Ray, as where it is not installed, and a study of one trial."""
    (folder / "driver.py").write_text(
        "import sys\nsys.modules['ray'] = None\nfrom archsearch.cli.main import main\nmain()\n"
    )
    (folder / "space.yaml").write_text(
        "archsearch: 1\ntask: {name: parity, length: 6}\n"
        "space: {width: 4, stages: [{blocks: [{cell: gru}]}], training: {steps: 2}}\n"
        "search: {trials: 1}\nconfirm: none\n"
    )
    command = [sys.executable, "driver.py", "run", "space.yaml", "--quiet", *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize("backend", ["ray", "tune"])
def test_without_ray_there_is_one_line(backend: str, tmp_path: Path) -> None:
    done = without_ray(tmp_path, "--backend", backend)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install archsearch[ray]" in done.stderr


def test_without_ray_local_goes_on(tmp_path: Path) -> None:
    assert without_ray(tmp_path, "--backend", "ray").returncode == 2
    done = without_ray(tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_backend_that_is_not_begun_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsearch.execute.cluster.backends.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs Ray"):
        RayBackend()


def test_room_is_what_the_scarcest_resource_allows() -> None:
    def node(cpu: float, gpu: float, gigabytes: float, alive: bool = True) -> dict[str, object]:
        has = {"CPU": cpu, "GPU": gpu, "memory": gigabytes * 2**30}
        return {"Alive": alive, "Resources": has}

    nodes = [node(8, 1, 16), node(4, 0, 64), node(64, 8, 512, alive=False)]
    assert room(nodes, Shape()) == 12
    assert room(nodes, Shape(cpus=2.0)) == 6
    assert room(nodes, Shape(cpus=0.1)) == 120
    assert room(nodes, Shape(gpus=0.25)) == 4
    assert room(nodes, Shape(memory=4 * 2**30 - IDLE_MEMORY)) == 4 + 4
    assert room([], Shape()) == 0


def test_needs_are_the_most_of_any_cell() -> None:
    settings = ExecutionSettings(
        gpus=0.25,
        memory=4,
        cells=(("attention", Needs(gpus=1.0)), ("gru", Needs(memory=2, cpus=2.0))),
    )
    assert settings.needs({"lru"}) == {"cpus": 1.0, "gpus": 0.25, "memory": 4}
    assert settings.needs({"attention"}) == {"cpus": 1.0, "gpus": 1.0, "memory": 4}
    assert settings.needs({"attention", "gru"}) == {"cpus": 2.0, "gpus": 1.0, "memory": 4}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's own folder."""
    monkeypatch.setattr(placed.tempfile, "gettempdir", lambda: str(tmp_path))
    return tmp_path / f"archsearch-{os.getuid()}"


def data_job(path: Path) -> Job:
    task = TaskSpec("data", Layer.of("classification", data=str(path)))
    return replace(fault_job(0, "complete"), task=task)


def test_data_that_is_not_on_a_node_is_fetched_once(elsewhere: Path, tmp_path: Path) -> None:
    driver = tmp_path / "driver"
    driver.mkdir()
    train, test = driver / "Gun_TRAIN.ts", driver / "Gun_TEST.ts"
    train.write_text("train")
    test.write_text("test")
    job = data_job(train)
    files = named(files_of(job.task))
    assert [name for name, _ in files["data"]] == [train.name, test.name]
    held = {digest(train): b"train", digest(test): b"test"}
    fetched: list[str] = []

    def fetch(sha256: str) -> bytes:
        fetched.append(sha256)
        return held[sha256]

    here = place(job, files, fetch)
    assert dict(here.job.task.layer.options)["data"] == str(train)
    assert fetched == []
    train.unlink()
    for _ in range(2):
        there = place(job, files, fetch)
        path = Path(str(dict(there.job.task.layer.options)["data"]))
        assert path.is_relative_to(elsewhere)
        assert (path.read_text(), path.with_name(test.name).read_text()) == ("train", "test")
    assert len(fetched) == 2
    # other content under the old path is not taken for it
    train.write_text("other")
    assert dict(place(job, files, fetch).job.task.layer.options)["data"] == str(path)
    assert mode(elsewhere) == 0o700


def test_what_a_job_leaves_for_the_driver_is_taken_and_removed(
    elsewhere: Path, tmp_path: Path
) -> None:
    job = replace(fault_job(0, "complete"), keep="/nowhere/weights", checkpoints="/nowhere/here")
    there = place(job, {}, lambda sha256: b"")
    there.scratch.mkdir(parents=True)
    Path(str(there.job.keep)).write_bytes(b"weights")
    assert there.take("keep") == b"weights"
    assert there.take("log") == b""
    assert Path(str(there.job.checkpoints)).is_relative_to(elsewhere)
    there.forget(final=True)
    assert not there.scratch.exists()
    shared = place(replace(job, checkpoints=str(tmp_path)), {}, lambda sha256: b"")
    assert shared.job.checkpoints == str(tmp_path)


def test_other_code_of_a_plugin_is_refused() -> None:
    job = replace(fault_job(0, "complete"), plugins=(("psutil", "0" * 64),))
    assert "plugin psutil is other code here" in str(foreign_code(job))
    missing = replace(job, plugins=(("no-such-plugin", "0" * 64),))
    assert "no-such-plugin is not installed" in str(foreign_code(missing))
    assert foreign_code(fault_job(0, "complete")) is None


def test_legs_compute_what_one_run_does(elsewhere: Path, tmp_path: Path) -> None:
    elsewhere.mkdir()
    job = replace(long_job(tmp_path), steered="somebody", keep=None, checkpoints=None)
    whole = run_job(job)
    legs = Legs(job, dict(job.architecture.training.options))
    results = []
    while not results or not results[-1]["done"]:
        results.append(legs.told(run_job(legs.next)))
    assert len(results) == len(whole.curve) > 2
    assert [result["step"] for result in results] == [step for step, _ in whole.curve]
    found = outcome_from_plain(json.loads(results[-1][OUTCOME]))
    assert (found.state, found.metrics, found.curve) == (whole.state, whole.metrics, whole.curve)
    assert found.message == ""
    early = outcome_from_plain(json.loads(results[0][OUTCOME]))
    assert (early.state, early.curve) == (State.STOPPED, whole.curve[:1])
    legs.forget()


def test_another_training_goes_on_from_a_checkpoint(elsewhere: Path, tmp_path: Path) -> None:
    """As population based training has it: the weights of one, the learning rate of another."""
    elsewhere.mkdir()
    job = replace(long_job(tmp_path), steered="somebody", keep=None, checkpoints=None)
    options = dict(job.architecture.training.options)
    giver, taker = Legs(job, options), Legs(job, options | {"lr": 0.5})
    given = giver.told(run_job(giver.next))
    place_ = tmp_path / "checkpoint"
    place_.mkdir()
    giver.save(place_)
    taker.load(place_)
    taken = taker.told(run_job(taker.next))
    followed = giver.told(run_job(giver.next))
    assert taken["step"] == followed["step"] > given["step"]
    assert taken["train_loss"] != followed["train_loss"]
    outcome = outcome_from_plain(json.loads(taken[OUTCOME]))
    assert outcome.curve[0] == outcome_from_plain(json.loads(given[OUTCOME])).curve[0]
    assert "trained with lr 0.5" in outcome.message


def test_a_steered_job_is_another_computation() -> None:
    job = fault_job(0, "complete")
    assert replace(job, steered="a").key != job.key
    assert replace(job, steered="a").key != replace(job, steered="b").key
    assert replace(job, cpus=2.0, log="x", pause=3).key == job.key
    assert replace(job, gpus=1.0).key == replace(job, gpus=0.5).key != job.key


def test_jobs_and_outcomes_cross_the_counter() -> None:
    counter = Counter(2)
    assert counter.take(0.0) is None
    job = fault_job(3, "complete")
    counter.submit(job)
    assert counter.collect(timeout=0.01) == []
    found = counter.take(0.0)
    assert found is not None
    outcome = Outcome(State.COMPLETE)
    counter.give(found[0], outcome)
    assert counter.collect() == [(job, outcome)]
    counter.submit(job)
    counter.close()
    with pytest.raises(NoMore):
        counter.take(1.0)
    with pytest.raises(NobodyThere):
        counter.collect()


def test_what_a_job_prints_is_in_its_log(tmp_path: Path) -> None:
    job = replace(fault_job(0, "exit"), log=str(tmp_path / "logs" / "search-0-1.txt"))
    silent = replace(fault_job(1, "complete"), log=str(tmp_path / "logs" / "search-1-1.txt"))
    with LocalBackend(1, BEHAVE) as backend:
        everything(backend, [job, silent])
    assert "about to leave" in Path(str(job.log)).read_text()
    assert not Path(str(silent.log)).exists()


def test_the_logs_of_a_trial_are_found_in_the_order_of_its_attempts(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("search-1-1", "search-1-2", "search-1-10", "search-11-1", "confirm-1-1"):
        (tmp_path / "logs" / f"{name}.txt").touch()
    found = [path.stem for path in logs_of(tmp_path, "search", 1)]
    assert found == ["search-1-1", "search-1-2", "search-1-10"]
    assert logs_of(tmp_path / "none", "search", 1) == []
