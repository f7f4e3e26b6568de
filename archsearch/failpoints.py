"""Moments at which a test may kill this process or make it fail; nothing happens unless it asks.

``ARCHSEARCH_FAILPOINT=name:action[:nth]`` acts when the moment ``name`` is reached for the nth
time (the first unless said otherwise) in a process. The actions are ``kill`` (SIGKILL), ``raise``
(RuntimeError) and ``ENOSPC`` (the OSError of a full disk). If ``ARCHSEARCH_FAILPOINT_ONCE`` names a
file, it acts in one process only: the one that makes the file.
"""

from __future__ import annotations

import errno
import os
import signal

VARIABLE = "ARCHSEARCH_FAILPOINT"
ONCE = "ARCHSEARCH_FAILPOINT_ONCE"
ACTIONS = ("kill", "raise", "ENOSPC")


class Failpoint:
    """One fault, to be had at the nth time that its moment is reached."""

    def __init__(self, text: str, once: str | None) -> None:
        self.name, action, nth = [*text.split(":"), "1"][:3]
        if action not in ACTIONS or not nth.isdecimal():
            raise ValueError(f"{VARIABLE}: expected name:{'|'.join(ACTIONS)}[:nth], got '{text}'")
        self._action, self._left, self._once = action, int(nth), once

    def reach(self) -> None:
        self._left -= 1
        if self._left != 0 or not self._first():
            return
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._action == "ENOSPC":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise RuntimeError(f"failpoint {self.name}")

    def _first(self) -> bool:
        if self._once is None:
            return True
        try:
            os.close(os.open(self._once, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True


def _asked() -> Failpoint | None:
    text = os.environ.get(VARIABLE)
    return Failpoint(text, os.environ.get(ONCE)) if text else None


_armed = _asked()


def arm() -> None:
    """Read the environment again, as a new process would."""
    global _armed
    _armed = _asked()


def failpoint(name: str) -> None:
    """The moment ``name`` is reached."""
    if _armed is not None and _armed.name == name:
        _armed.reach()
