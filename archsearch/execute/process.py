"""What the operating system does for us: bounds on memory, and processes that die together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
from pathlib import Path

import psutil

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def die_with_parent(parent: int) -> None:
    """Be killed when ``parent`` dies (Linux); leave at once if it is dead already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose parent dies, so that none escapes (Linux)."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def kill_group(leader: int) -> None:
    """Kill a process and all of its group at once."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    # a child that has not yet made its own group
    with contextlib.suppress(ProcessLookupError):
        os.kill(leader, signal.SIGKILL)


def private_memory(pid: int, children: bool = False) -> int:
    """Bytes of memory that the process has for itself or shares by will; zero when it is gone.

    With ``children``, what they have written besides: the pages of their parent that a fork left
    them count once. A file in memory that nobody has mapped is nobody's.
    """
    try:
        process = psutil.Process(pid)
        family = process.children(recursive=True) if children else []
        own = _status(pid, "RssAnon") + _status(pid, "RssShmem") or int(process.memory_info().rss)
        return own + sum(_written(child) for child in family)
    except psutil.Error:
        return 0


def _written(process: psutil.Process) -> int:
    """Bytes that only this process has, which it wrote since it was forked."""
    try:
        rollup = f"/proc/{process.pid}/smaps_rollup"
        return _field(rollup, "Private_Dirty") or int(process.memory_info().rss)
    except psutil.Error:
        return 0


def forget_peak() -> None:
    """Let :func:`peak_memory` begin anew (Linux)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """The most bytes of memory this process had since :func:`forget_peak`."""
    if found := _status(os.getpid(), "VmHWM"):
        return found
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def cpu_seconds(pid: int) -> float:
    """Processor time the process has used so far; zero when it is gone."""
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(used.user + used.system)


def data_size() -> int:
    """Bytes of writable private address space of this process, as ``RLIMIT_DATA`` counts."""
    return _status(os.getpid(), "VmData")


def limit_data(size: int | None) -> None:
    """Make allocations beyond ``size`` bytes fail; None lifts the limit again."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = hard if size is None else size
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _status(pid: int, key: str) -> int:
    """A field of ``/proc/PID/status`` in bytes, zero where there is none."""
    return _field(f"/proc/{pid}/status", key)


def _field(path: str, key: str) -> int:
    try:
        with Path(path).open() as lines:
            for line in lines:
                if line.startswith(f"{key}:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
