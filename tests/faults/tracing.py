"""A driver under strace, which kills, stops or fails it at the nth of its system calls."""

from __future__ import annotations

import functools
import multiprocessing
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import psutil
from toy_study import drive

# everything by which a file is made to last or to appear or vanish; not every processor has all
LASTING = "fsync,fdatasync,?rename,?renameat,?renameat2,?unlink,unlinkat"
PATIENCE = 60.0


@functools.cache
def refusal() -> str | None:
    """Why no process can be traced here, if so."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    command = ["strace", "-qq", "-e", "inject=fsync:error=ENOSPC", "-o", "/dev/null", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"strace cannot trace: {tried.stderr.strip()[-200:]}" if tried.returncode else None


@dataclass
class Driver:
    """A driver that was started and waits until it is let go."""

    process: ForkServerProcess
    gate: Connection

    def go(self) -> None:
        self.gate.send(True)

    def join(self) -> int:
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, "the driver does not end"
        return self.process.exitcode

    def supervisor(self) -> int:
        """The number of the process that starts its workers, once it is there."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.is_alive():
            for child in psutil.Process(self.process.pid).children():
                return child.pid
            time.sleep(0.001)
        raise AssertionError("the driver starts no workers")


def drive_when_told(gate: Connection, arguments: tuple[Any, ...]) -> None:
    gate.recv()
    drive(*arguments)


@contextmanager
def waiting(*arguments: Any) -> Iterator[Driver]:
    """A driver with the arguments of :func:`toy_study.drive`; dead afterwards."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["toy_study", "tracing", "optuna.samplers"])
    theirs, ours = multiprocessing.Pipe(duplex=False)
    process = processes.Process(target=drive_when_told, args=(theirs, arguments))
    process.start()
    theirs.close()
    try:
        yield Driver(process, ours)
    finally:
        process.kill()
        process.join()
        ours.close()


@contextmanager
def traced(pid: int, trace: Path, *options: str) -> Iterator[None]:
    """The process is traced, from now until it has ended; what it called is in the file."""
    command = ["strace", "-o", str(trace), *options, "-p", str(pid)]
    # in a group of its own, for a terminal's Ctrl-C is not for it
    strace = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, process_group=0)
    assert strace.stderr is not None
    said = strace.stderr.readline()
    try:
        assert "attached" in said, said
        yield
        strace.wait(PATIENCE)
    finally:
        strace.kill()
        strace.communicate()


def calls(trace: Path) -> list[str]:
    """The names of the system calls in a trace, in order."""
    lines = trace.read_text().splitlines()
    found = (re.match(r"(?:\d+ +)?(\w+)\(", line) for line in lines)
    return [match.group(1) for match in found if match]


def wait_until_stopped(trace: Path) -> int:
    """The number of the process that was stopped by what strace injected."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if match := re.search(r"^(\d+) +--- stopped by SIGSTOP", trace.read_text(), re.MULTILINE):
            return int(match.group(1))
        time.sleep(0.001)
    raise AssertionError("the call is never reached")
