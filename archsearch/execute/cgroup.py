"""A control group per worker, where Linux lets us make one: the kernel's own bound on memory.

It sees what no look from outside does: memory of processes that left their parent, and files in
memory that nobody has mapped.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import cache
from pathlib import Path

import psutil

ROOT = Path("/sys/fs/cgroup")
NAME = "archsearch"
# of files read and of the kernel itself, which count here and nowhere else
SLACK = 64 << 20
REMOVALS = 50
PAUSE = 0.02
NO_LIMIT = {"memory.max": "max", "memory.limit_in_bytes": "-1"}
USED = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}
KILLS = {"memory.max": "memory.events", "memory.limit_in_bytes": "memory.oom_control"}


class MemoryGroup:
    """The memory of one process and of all that come from it; see :func:`open_group`."""

    def __init__(self, path: Path, file: str) -> None:
        self.path, self._file = path, file
        self._killed_before = self._kills()

    def limit(self, size: int | None) -> None:
        """Allow ``size`` bytes beyond what is used now; None lifts the bound."""
        self._killed_before = self._kills()
        bound = NO_LIMIT[self._file]
        if size is not None:
            bound = str(_number(self.path / USED[self._file]) + size + SLACK)
        with contextlib.suppress(OSError):
            (self.path / self._file).write_text(bound)

    @property
    def overrun(self) -> bool:
        """Whether the kernel has killed a process for its memory since the bound was set."""
        return self._kills() > self._killed_before

    def remove(self) -> None:
        """End what is left in the group and give it back."""
        for _ in range(REMOVALS):
            try:
                self.path.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                # the kernel counts a process as here until it has buried it
                self._kill()
                time.sleep(PAUSE)

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            for pid in (self.path / "cgroup.procs").read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def _kills(self) -> int:
        with contextlib.suppress(OSError):
            for line in (self.path / KILLS[self._file]).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0


def open_group(pid: int) -> MemoryGroup | None:
    """A group of its own for the process; None where the system does not allow it."""
    place = _own()
    if place is None:
        return None
    path = place[0] / f"{NAME}-{os.getpid()}-{pid}"
    try:
        path.mkdir()
        (path / "cgroup.procs").write_text(str(pid))
        (path / place[1]).write_text(NO_LIMIT[place[1]])
    except OSError:
        with contextlib.suppress(OSError):
            path.rmdir()
        return None
    return MemoryGroup(path, place[1])


@cache
def _own() -> tuple[Path, str] | None:
    """The group that this process is in, and the file of a bound; what the dead left is removed."""
    for path, file in _candidates():
        if not (path / "cgroup.procs").is_file():
            continue
        for left in path.glob(f"{NAME}-*-*"):
            owner = left.name.split("-")[1]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                with contextlib.suppress(OSError):
                    left.rmdir()
        return path, file
    return None


def _candidates() -> list[tuple[Path, str]]:
    """Version 1 has a hierarchy for memory, version 2 one for everything."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        found = [line.split(":", 2) for line in lines]
        first = [ROOT / "memory" / p.lstrip("/") for _, kinds, p in found if kinds == "memory"]
        second = [
            ROOT / p.lstrip("/") for number, kinds, p in found if (number, kinds) == ("0", "")
        ]
        places = [(path, "memory.limit_in_bytes") for path in first]
        return places + [(path, "memory.max") for path in second]
    return []


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
