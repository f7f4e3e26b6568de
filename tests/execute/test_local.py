"""The local backend against the death of everyone: driver, supervisor, workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from archsearch.errors import ArchsearchError
from archsearch.execute.local import LocalBackend
from archsearch.spec.trial import State
from archsearch.testing.backends import everything, gone
from archsearch.testing.faults import BEHAVE, fault_job


def script(text: str) -> subprocess.Popen[str]:
    """A driver in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text)], stdout=subprocess.PIPE, text=True
    )


def descendants(pid: int) -> set[int]:
    return {child.pid for child in psutil.Process(pid).children(recursive=True)}


def supervisor_of(backend: LocalBackend) -> psutil.Process:
    return psutil.Process(backend._supervisor.pid)


@pytest.mark.parametrize("title", ["hang", "spin", "brood", "daemon"])
def test_a_killed_driver_leaves_no_process(title: str, tmp_path: Path) -> None:
    driver = script(
        f"""
        import time
        from archsearch.execute.local import LocalBackend
        from archsearch.testing.faults import BEHAVE, fault_job

        backend = LocalBackend(2, BEHAVE)
        backend.submit(fault_job(0, "complete"))
        backend.collect()
        backend.submit(fault_job(1, {title!r}, keep={str(tmp_path / "pids")!r}))
        time.sleep(0.5)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "ready\n"
    started = descendants(driver.pid)
    assert len(started) >= 2
    driver.kill()
    driver.wait()
    driver.stdout.close()
    assert gone(started)


def test_a_driver_killed_before_the_workers_are_ready_leaves_no_process() -> None:
    driver = script(
        """
        import time
        from archsearch.execute.local import LocalBackend

        backend = LocalBackend(2)
        print("ready", flush=True)
        time.sleep(60)
        """
    )
    assert driver.stdout is not None
    assert driver.stdout.readline() == "ready\n"
    started = descendants(driver.pid)
    assert started
    driver.kill()
    driver.wait()
    driver.stdout.close()
    # torch is being imported, and that goes on for seconds
    assert gone(started, within=30)


def test_a_killed_supervisor_loses_its_jobs_and_is_replaced() -> None:
    with LocalBackend(2, BEHAVE) as backend:
        everything(backend, [fault_job(0, "complete")])
        backend.submit(fault_job(1, "hang"))
        backend.submit(fault_job(2, "hang"))
        time.sleep(0.2)
        supervisor = supervisor_of(backend)
        workers = descendants(supervisor.pid)
        supervisor.kill()
        found = {job.trial: outcome for job, outcome in backend.collect(timeout=5)}
        assert set(found) == {1, 2}
        assert all(o.state is State.CRASHED and o.lost for o in found.values())
        assert gone(workers)
        assert everything(backend, [fault_job(3, "complete")])[3].state is State.COMPLETE


def test_time_in_which_all_was_stopped_is_not_counted() -> None:
    with LocalBackend(1, BEHAVE) as backend:
        everything(backend, [fault_job(0, "complete")])
        backend.submit(fault_job(1, "hang", timeout=1.2))
        time.sleep(0.2)
        supervisor = supervisor_of(backend)
        stopped = [*supervisor.children(), supervisor]
        for each in stopped:
            each.suspend()
        time.sleep(2.0)
        for each in stopped:
            each.resume()
        assert backend.collect(timeout=0.3) == []
        ((_, outcome),) = backend.collect(timeout=10)
        assert outcome.state is State.TIMEOUT


def test_a_worker_killed_from_outside_is_replaced() -> None:
    with LocalBackend(1, BEHAVE) as backend:
        everything(backend, [fault_job(0, "complete")])
        (worker,) = descendants(supervisor_of(backend).pid)
        os.kill(worker, signal.SIGKILL)
        assert gone([worker])
        outcome = everything(backend, [fault_job(1, "complete")])[1]
        assert outcome.state is State.COMPLETE or outcome.lost
        assert everything(backend, [fault_job(2, "complete")])[2].state is State.COMPLETE


def test_the_driver_imports_no_torch() -> None:
    driver = script(
        """
        import sys
        from archsearch.execute.job import Job
        from archsearch.execute.open import open_backend
        from archsearch.spec.architecture import Architecture, Block, Layer, Stage
        from archsearch.spec.settings import ExecutionSettings, TaskSpec
        from archsearch.tasks.open import open_task

        task = TaskSpec("parity", Layer.of("parity", length=6))
        architecture = Architecture(
            4, (Stage((Block(Layer("gru")),)),), training=Layer.of("adamw", steps=2, batch=2)
        )
        job = Job(0, "one", task, open_task(task).fingerprint, architecture, 1)
        with open_backend(ExecutionSettings("local", workers=1)) as backend:
            backend.submit(job)
            ((_, outcome),) = backend.collect(timeout=60)
        print(outcome.state, outcome.message, "torch" in sys.modules)
        """
    )
    assert driver.communicate()[0] == "complete  False\n"


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    path = tmp_path / "unguarded.py"
    path.write_text(
        textwrap.dedent(
            """
            from archsearch.execute.local import LocalBackend
            from archsearch.testing.faults import BEHAVE, fault_job

            print("once")
            with LocalBackend(1, BEHAVE) as backend:
                backend.submit(fault_job(0, "complete"))
                print(backend.collect(timeout=30)[0][1].state)
            """
        )
    )
    told = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert told.stdout.splitlines() == ["once", "complete"]


def test_workers_that_cannot_start_say_why() -> None:
    with LocalBackend(1, "archsearch.no_such_module:run") as backend:
        backend.submit(fault_job(0, "complete"))
        with pytest.raises(ArchsearchError, match=r"workers cannot start: .*no_such_module"):
            backend.collect(timeout=30)


def test_a_thousand_jobs_and_forty_deaths_leave_nothing_behind() -> None:
    """Neither memory in the driver nor descriptors in either process (G12)."""
    with LocalBackend(2, BEHAVE) as backend:
        everything(backend, [fault_job(k, "exit" if k % 2 else "complete") for k in range(10)])
        processes = (psutil.Process(), supervisor_of(backend))
        memory = processes[0].memory_info().rss
        files = [process.num_fds() for process in processes]
        titles = ["exit" if k % 25 == 0 else "complete" for k in range(1000)]
        everything(backend, [fault_job(k, title) for k, title in enumerate(titles)])
        # both workers alive again, as before
        everything(backend, [fault_job(k, "hang", timeout=0.1) for k in range(2)])
        everything(backend, [fault_job(k, "complete") for k in range(10)])
        assert processes[0].memory_info().rss - memory < 50 << 20
        after = [process.num_fds() for process in processes]
        assert after[0] <= files[0]
        assert after[1] <= files[1] + 4


def test_an_interrupt_from_the_keyboard_reaches_no_worker() -> None:
    """Ctrl-C goes to the driver's group; it alone decides what becomes of the trials."""
    with LocalBackend(1, BEHAVE) as backend:
        everything(backend, [fault_job(0, "complete")])
        supervisor = supervisor_of(backend)
        groups = {os.getpgid(pid) for pid in (supervisor.pid, *descendants(supervisor.pid))}
        assert len(groups) == 2
        assert os.getpgid(0) not in groups


def test_torch_in_a_worker_ends_at_the_memory_cap() -> None:
    run = "archsearch.testing.faults:allocate_tensors"
    with LocalBackend(1, run) as backend:
        outcome = everything(backend, [fault_job(0, "hog", memory=256 << 20)])[0]
    assert outcome.state is State.OOM
    assert "allocate memory" in outcome.message
