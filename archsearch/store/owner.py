"""Who drives a study: names a process so that others can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import psutil


def this_process() -> str:
    """``pid@host``, and behind a slash what tells this process from others with that number."""
    pid = os.getpid()
    return f"{pid}@{socket.gethostname()}/{_place()}/{_birth(pid)}"


def label(owner: str) -> str:
    """What a person reads: ``pid@host``."""
    return owner.split("/")[0]


def is_dead(owner: str) -> bool:
    """Whether the process is known to be gone; False whenever that cannot be told from here.

    It can be told for a process of this host: one that another process space (a container) or
    another boot numbered is left to its lease.
    """
    name, _, rest = owner.partition("/")
    place, _, birth = rest.partition("/")
    pid, _, host = name.partition("@")
    if host != socket.gethostname() or not pid.isdecimal():
        return False
    if place and place != _place():
        return False
    if not psutil.pid_exists(int(pid)):
        return True
    now = _birth(int(pid))
    return now == "ended" or bool(birth and now and birth != now)


def _place() -> str:
    """Names this boot and this process space; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return ""


def _birth(pid: int) -> str:
    """When the process began, in ticks of a clock that nobody sets; ``ended`` for a zombie."""
    try:
        # the name of the program, in brackets, may hold spaces and brackets itself
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "ended" if fields[0] in "ZX" else fields[19]
