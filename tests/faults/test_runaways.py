"""A trial that hangs or eats memory ends alone and in time, and leaves a slot and no process."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from killing import left_behind
from runaways import BLOWS, HANGS, HIDDEN, LEFTOVERS

from archsearch.execute import cgroup
from archsearch.execute.death import last_words
from archsearch.execute.local import LocalBackend
from archsearch.spec.trial import Outcome, State
from archsearch.testing.backends import everything
from archsearch.testing.faults import fault_job

MARK = "ARCHSEARCH_TEST_RUNAWAYS"
TIMEOUT = 2.0
MEMORY = 128 << 20
# what is promised beyond the limit
GRACE = 5.0


@dataclass
class Ran:
    """What came of jobs that ran side by side, and of good ones after them."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    after: list[Outcome] = field(default_factory=list)
    seconds: float = 0.0
    supervisor: int = 0
    alive: list[int] = field(default_factory=list)
    closing: float = 0.0
    left: list[str] = field(default_factory=list)


def ran(names: list[str], *, timeout: float, memory: int | None, slots: int) -> Ran:
    """Run the jobs, then as many good ones in the same slots, and close."""
    found = Ran()
    mark = uuid.uuid4().hex
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent))
        patch.setenv(MARK, mark)
        with LocalBackend(slots, "runaways:run") as backend:
            # torch is imported before the clock runs
            warm = everything(backend, [fault_job(k, "exit_handler_left") for k in range(slots)])
            assert {outcome.state for outcome in warm.values()} == {State.COMPLETE}
            jobs = [
                fault_job(k, name, timeout=timeout, memory=memory) for k, name in enumerate(names)
            ]
            began = time.monotonic()
            outcomes = everything(backend, jobs)
            found.seconds = time.monotonic() - began
            found.outcomes = {name: outcomes[k] for k, name in enumerate(names)}
            good = [fault_job(k, "exit_handler_left", timeout=30) for k in range(2 * slots)]
            found.after = list(everything(backend, good).values())
            supervisor = psutil.Process(backend._supervisor.pid)
            found.supervisor = supervisor.pid
            found.alive = [child.pid for child in supervisor.children(recursive=True)]
            began = time.monotonic()
        found.closing = time.monotonic() - began
        found.left = left_behind((MARK, mark), patience=2.0)
    return found


def held(found: Ran, slots: int) -> None:
    """What every runaway owes to the rest of the study."""
    assert [outcome.state for outcome in found.after] == [State.COMPLETE] * (2 * slots)
    assert len(found.alive) <= slots
    assert found.closing < GRACE
    assert found.left == []


SLOTS = 6


@pytest.fixture(scope="module")
def hangs() -> Ran:
    return ran(list(HANGS), timeout=TIMEOUT, memory=None, slots=SLOTS)


@pytest.mark.parametrize("name", HANGS)
def test_what_hangs_is_timed_out(name: str, hangs: Ran) -> None:
    outcome = hangs.outcomes[name]
    assert outcome.state is State.TIMEOUT, outcome.message
    assert "limit of 2 s" in outcome.message
    assert not outcome.lost
    assert TIMEOUT <= dict(outcome.timings)["seconds"] < TIMEOUT + GRACE


@pytest.mark.parametrize("name", ["loop_in_c", "deadlock", "all_signals_blocked"])
def test_it_is_told_where_it_hung(name: str, hangs: Ran) -> None:
    """Also when no code of Python's may run any more."""
    assert f"in {name}" in hangs.outcomes[name].message


def test_of_several_threads_the_main_one_is_told() -> None:
    said = b"""epoch 3
        Timeout (0:00:02)!
        Thread 0x01 (most recent call first):
          File "a.py", line 1 in aside
        Thread 0x02 (most recent call first):
          File "a.py", line 2 in inner
          File "a.py", line 3 in outer
        """
    told = 'epoch 3 | File "a.py", line 2 in inner | File "a.py", line 3 in outer'
    assert last_words(said) == f"; its last words: {told}"


def test_what_hangs_leaves_slots_and_no_process(hangs: Ran) -> None:
    assert len(HANGS) == 12
    # two rounds in six slots
    assert hangs.seconds < 2 * (TIMEOUT + GRACE)
    held(hangs, SLOTS)


def test_what_good_jobs_leave_behind_ends_with_the_backend() -> None:
    found = ran(list(LEFTOVERS), timeout=30.0, memory=MEMORY, slots=4)
    assert {outcome.state for outcome in found.outcomes.values()} == {State.COMPLETE}
    assert found.closing < GRACE
    assert found.left == []


@pytest.fixture(scope="module")
def blows() -> Ran:
    return ran(list(BLOWS), timeout=20.0, memory=MEMORY, slots=3)


@pytest.mark.parametrize("name", [name for name in BLOWS if name != "stacks"])
def test_too_much_memory(name: str, blows: Ran) -> None:
    outcome = blows.outcomes[name]
    assert outcome.state is State.OOM, outcome.message
    assert "memory" in outcome.message
    assert dict(outcome.timings)["peak_rss_mb"] > 1


def test_stacks_of_threads(blows: Ran) -> None:
    """No thread can be begun, which has many reasons: the error itself is what is told."""
    outcome = blows.outcomes["stacks"]
    assert outcome.state is State.CRASHED
    assert outcome.message.startswith("RuntimeError: can't start new thread")
    assert not outcome.lost


def test_too_much_memory_leaves_slots_and_no_process(blows: Ran) -> None:
    held(blows, 3)
    assert psutil.Process(os.getpid()).is_running()


def groups(supervisor: int) -> list[Path]:
    place = cgroup._own()
    return [] if place is None else list(place[0].glob(f"{cgroup.NAME}-{supervisor}-*"))


def allowed() -> str:
    """Why no control group can be made here, if so."""
    child = subprocess.Popen(["sleep", "60"])
    try:
        group = cgroup.open_group(child.pid)
    finally:
        child.kill()
        child.wait()
    if group is None:
        return "the system lets us make no control group for memory"
    group.remove()
    return ""


def test_memory_that_only_the_kernel_sees() -> None:
    if reason := allowed():
        pytest.skip(reason)
    found = ran(list(HIDDEN), timeout=25.0, memory=MEMORY, slots=2)
    for name in HIDDEN:
        outcome = found.outcomes[name]
        assert outcome.state is State.OOM, (name, outcome)
        assert "128 MB" in outcome.message
    held(found, 2)
    assert groups(found.supervisor) == []


def test_a_group_ends_what_is_left_in_it() -> None:
    if reason := allowed():
        pytest.skip(reason)
    left = subprocess.Popen(["sleep", "60"])
    group = cgroup.open_group(left.pid)
    assert group is not None
    group.remove()
    assert left.wait(timeout=5) == -signal.SIGKILL
    assert not group.path.exists()


def test_groups_of_dead_supervisors_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    if reason := allowed():
        pytest.skip(reason)
    place = cgroup._own()
    assert place is not None
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = place[0] / f"{cgroup.NAME}-{dead.pid}-1"
    left.mkdir()
    monkeypatch.setattr(cgroup, "_own", cgroup._own.__wrapped__)
    cgroup._own()
    assert not left.exists()
