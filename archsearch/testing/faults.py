"""Jobs that misbehave on purpose: what a backend is given instead of training, to test it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from archsearch.errors import ArchitectureError
from archsearch.execute.job import Job
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import TaskSpec
from archsearch.spec.trial import Outcome, State

BEHAVE = "archsearch.testing.faults:behave"


def fault_job(
    trial: int,
    title: str,
    *,
    timeout: float | None = None,
    memory: int | None = None,
    keep: str | None = None,
) -> Job:
    """A job for :func:`behave`, which does what its title says."""
    return Job(
        trial=trial,
        title=title,
        task=TaskSpec("nothing", Layer.of("parity", length=4)),
        data="",
        architecture=Architecture(8, (Stage((Block(Layer("gru")),)),)),
        seed=trial,
        timeout=timeout,
        memory=memory,
        keep=keep,
    )


def behave(job: Job) -> Outcome:
    """Do what the first word of the title says; most of it never comes back."""
    match job.title.split()[0]:
        case "complete":
            return Outcome(State.COMPLETE, metrics=(("seed", float(job.seed)), ("third", 1 / 3)))
        case "environment":
            return Outcome(State.COMPLETE, message=",".join(os.environ))
        case "pid":
            return Outcome(State.COMPLETE, metrics=(("pid", float(os.getpid())),))
        case "raise":
            raise ValueError("the width is odd\nand so is this message")
        case "quit":
            sys.exit("leaving early")
        case "refuse":
            raise ArchitectureError("heads do not divide the width")
        case "starve":
            raise MemoryError
        case "exit":
            print("about to leave")
            os._exit(3)
        case "abort":
            os.abort()
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(3600)
        case "spin":
            while True:
                pass
        case "deaf":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(3600)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case "brood":
            _brood(_place(job), own_group=False)
        case "daemon":
            _brood(_place(job), own_group=True)
        case "hog":
            hoard = [bytearray(16 << 20) for _ in range(1 << 10)]
            time.sleep(len(hoard))
        case "creep":
            hoard = []
            while True:
                hoard.append(os.urandom(1 << 20))
                time.sleep(0.005)
        case "shout":
            while True:
                print("shouting" * 1000)
    return Outcome(State.COMPLETE)


def allocate_tensors(job: Job) -> Outcome:
    """Allocate a GiB, as torch does it."""
    import torch

    hoard = [torch.ones(4 << 20) for _ in range(64)]
    return Outcome(State.COMPLETE, metrics=(("tensors", float(len(hoard))),))


def _place(job: Job) -> Path:
    """The file that a title names in its second word; or what would be kept."""
    return Path(job.title.partition(" ")[2] or str(job.keep))


def _brood(pids: Path, own_group: bool) -> None:
    """Start children, write their numbers to a file and wait for ever."""
    sleep = [sys.executable, "-c", "import time; time.sleep(3600)"]
    children = [subprocess.Popen(sleep, start_new_session=own_group) for _ in range(2)]
    pids.write_text(" ".join(str(child.pid) for child in children))
    time.sleep(3600)
