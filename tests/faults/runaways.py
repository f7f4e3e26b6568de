"""Jobs that never end or take ever more memory, one for each way there is to do so.

``run`` does what the first word of a job's title says. Nothing here ends by itself.
"""

from __future__ import annotations

import atexit
import collections
import itertools
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome, State

MEGABYTE = 1 << 20
# memory of a forked process is shared until it is written to
PIECE = bytes(range(256)) * 4096
SHARED = Path("/dev/shm")


def run(job: Job) -> Outcome:
    name = job.title.split()[0]
    ({**HANGS, **BLOWS, **LEFTOVERS, **HIDDEN}[name])()
    return Outcome(State.COMPLETE)


def for_ever() -> NoReturn:
    while True:
        time.sleep(3600)


# --- hanging


def loop_in_python() -> None:
    while True:
        pass


def loop_in_c() -> None:
    """Never lets go of the interpreter, so that no Python code of the process runs any more."""
    collections.deque(itertools.repeat(None), maxlen=0)


def deaf_to_termination() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    for_ever()


def all_signals_blocked() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    for_ever()


def blocked_read() -> None:
    reading, _ = os.pipe()
    os.read(reading, 1)


def deadlock() -> None:
    lock = threading.Lock()
    with lock, lock:
        pass


class Endless(Dataset[int]):
    """Data that never come."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        for_ever()


def data_loader() -> None:
    for _ in DataLoader(Endless(), num_workers=1):
        pass


def own_session() -> None:
    """The grandchild leads a session of its own and its parent is gone."""
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.setsid()
            for_ever()
        os._exit(0)
    os.waitpid(child, 0)


def own_session_awaited() -> None:
    own_session()
    for_ever()


def brood() -> None:
    """Three children, each with three of its own."""
    for _ in range(2):
        for _ in range(3):
            if os.fork() == 0:
                break
        else:
            break
    for_ever()


def stopped() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)
    for_ever()


def last_rites() -> None:
    """Asked to leave, it never gets to the end of its finally clause."""
    atexit.register(for_ever)
    try:
        raise SystemExit
    finally:
        for_ever()


def awaited_thread() -> None:
    thread = threading.Thread(target=for_ever)
    thread.start()
    thread.join()


HANGS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        loop_in_python, loop_in_c, deaf_to_termination, all_signals_blocked, blocked_read, deadlock,
        data_loader, own_session_awaited, brood, stopped, last_rites, awaited_thread,
    )
}  # fmt: skip


# --- coming back, and leaving something behind


def thread_left() -> None:
    threading.Thread(target=for_ever).start()


def exit_handler_left() -> None:
    atexit.register(for_ever)


def modest_children() -> None:
    """They have all of their parent's memory, and none of it again."""
    children: list[int] = []
    while len(children) < 3 and 0 not in children:
        children.append(os.fork())
    if 0 in children:
        kept = bytearray(PIECE)
        time.sleep(1.5)
        os._exit(len(kept) > MEGABYTE)
    for child in children:
        os.waitpid(child, 0)


LEFTOVERS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (own_session, thread_left, exit_handler_left, modest_children)
}


# --- taking memory where only the kernel sees it


def shared_file_unmapped() -> None:
    """In a file in memory that is open and nothing else."""
    path = SHARED / f"archsearch-test-{os.getpid()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    path.unlink()
    while True:
        os.write(descriptor, PIECE)


def grandchildren() -> None:
    """In processes that left their parent, none of which has too much for itself."""
    child = os.fork()
    if child == 0:
        for _ in range(4):
            if os.fork() == 0:
                os.setsid()
                kept = [bytearray(PIECE) for _ in range(80)]
                time.sleep(3600)
                os._exit(len(kept))
        os._exit(0)
    os.waitpid(child, 0)
    for_ever()


HIDDEN: dict[str, Callable[[], None]] = {
    function.__name__: function for function in (shared_file_unmapped, grandchildren)
}


# --- taking memory


def torch_at_once() -> None:
    torch.ones(1 << 34)


def list_grows() -> None:
    kept: list[list[int]] = []
    while True:
        kept.append(list(range(1 << 14)))


def numpy_grows() -> None:
    kept: list[np.ndarray] = []
    while True:
        kept.append(np.ones(MEGABYTE))


def mapped_privately() -> None:
    kept: list[mmap.mmap] = []
    while True:
        kept.append(mmap.mmap(-1, MEGABYTE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        kept[-1].write(PIECE)


def mapped_shared() -> None:
    """Counts for no limit of a process; written slowly, as by a training."""
    kept: list[mmap.mmap] = []
    while len(kept) < 2000:
        kept.append(mmap.mmap(-1, MEGABYTE))
        kept[-1].write(PIECE)
        time.sleep(0.001)


def child_grows() -> None:
    """The limit of the process is that of each of its children; here there are three."""
    for _ in range(3):
        if os.fork() == 0:
            kept: list[bytearray] = []
            while len(kept) < 60:
                kept.append(bytearray(PIECE))
            for_ever()
    for_ever()


def bytes_grow() -> None:
    kept = bytearray()
    while True:
        kept += PIECE


def shared_file() -> None:
    """A file in memory that is mapped, as tensors on their way between processes are."""
    path = SHARED / f"archsearch-test-{os.getpid()}"
    with path.open("w+b") as file:
        path.unlink()
        size = 2000 * MEGABYTE
        file.truncate(size)
        mapped = mmap.mmap(file.fileno(), size)
        for _ in range(size // len(PIECE)):
            mapped.write(PIECE)
            time.sleep(0.001)


def stacks() -> None:
    """Reserved and never touched, they take address space alone."""
    threading.stack_size(64 * MEGABYTE)
    for _ in range(64):
        threading.Thread(target=for_ever, daemon=True).start()


BLOWS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (
        torch_at_once, list_grows, numpy_grows, mapped_privately, mapped_shared, child_grows,
        bytes_grow, shared_file, stacks,
    )
}  # fmt: skip
