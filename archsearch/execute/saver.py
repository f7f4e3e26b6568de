"""Puts a training down every now and then, and takes up what was put down before."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import torch

from archsearch.errors import StateError
from archsearch.execute.checkpoints import (
    Generation,
    Manifest,
    damaged,
    generations,
    read_manifest,
    write_manifest,
)
from archsearch.execute.failure import described
from archsearch.execute.files import written_whole
from archsearch.execute.job import Job
from archsearch.execute.numerics import numerics
from archsearch.execute.weights import read_tensors, write_tensors
from archsearch.train.checkpoint import Checkpoint
from archsearch.train.draws import CPU

# saving takes at most one part in so many of the time, however slow the disk
SHARE = 20


PAUSED = "paused after step"


class Paused(Exception):
    """The training was put down where its job wanted a pause, and can be taken up again."""


class Saver:
    """The checkpoints of one job, for :func:`archsearch.train.fit.fit` to save to.

    Used as a block around the training, in which a process that is asked to end (SIGTERM, SIGINT)
    writes a checkpoint after the step it is at, and then does what it would have done; asked
    twice, it does so at once. What goes wrong is told in ``notes`` and never ends the training.
    """

    def __init__(self, job: Job, notes: list[str], device: torch.device = CPU) -> None:
        self.notes = notes
        self._key, self._epoch = job.key, job.epoch
        self._folder = Path(str(job.checkpoints)) / job.key
        self._made = numerics(device)
        self._every = job.checkpoint_seconds
        self._due = time.monotonic() + self._every
        self._pausing: int | None = None
        self._asked: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint that is whole and was computed as here, if there is one."""
        found = generations(self._folder)
        for generation in found:
            name = f"checkpoint {generation.epoch}-{generation.step}"
            try:
                manifest = read_manifest(self._folder, generation)
                if manifest.key != self._key:
                    raise StateError("is of another job")
                if reason := self._foreign(manifest):
                    self.notes.append(f"{name} was made with {reason}")
                    continue
                path = generation.tensors(self._folder)
                tensors = read_tensors(path, manifest.size, manifest.sha256)
            except StateError:
                self.notes.append(f"{name} is damaged")
                damaged(self._folder, generation)
            except OSError as error:
                self.notes.append(f"{name} cannot be read: {error.strerror}")
            else:
                self.notes.append(f"continued after step {generation.step}")
                return Checkpoint(generation.step, tensors, manifest.plain)
        if found:
            self.notes.append("begun anew")
        return None

    def __call__(self, take: Callable[[], Checkpoint]) -> None:
        """Write the checkpoint that ``take`` gives if it is time to."""
        if self._asked is None and self._pausing is None and time.monotonic() < self._due:
            return
        began = time.monotonic()
        try:
            self._write(take())
        except (OSError, ValueError, MemoryError, RuntimeError) as error:
            reason = getattr(error, "strerror", None) or described(error)
            note = f"a checkpoint could not be written: {reason}"
            if note not in self.notes:
                self.notes.append(note)
        now = time.monotonic()
        self._due = now + max(self._every, SHARE * (now - began))
        if self._asked is not None:
            self._leave(self._asked)
        if self._pausing is not None:
            raise Paused(f"{PAUSED} {self._pausing}")

    def pause(self, step: int) -> None:
        """Put the training down after the step that it is at, and raise Paused."""
        self._pausing = step

    def __enter__(self) -> Self:
        # elsewhere Python delivers no signals
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asked = self._asked
        self._stop_listening()
        if asked is not None:
            signal.raise_signal(asked)

    def _write(self, checkpoint: Checkpoint) -> None:
        if any(found.epoch > self._epoch for found in generations(self._folder)):
            raise ValueError("a later attempt at this trial has begun")
        generation = Generation(self._epoch, checkpoint.step)
        with written_whole(generation.tensors(self._folder)) as stream:
            size, sha256 = write_tensors(stream, checkpoint.tensors)
        write_manifest(
            self._folder,
            Manifest(self._key, generation, size, sha256, self._made, checkpoint.plain),
        )

    def _foreign(self, manifest: Manifest) -> str | None:
        """The first thing here that is not as it was where the checkpoint was made."""
        for name in sorted(self._made.keys() | manifest.made.keys()):
            there, here = manifest.made.get(name), self._made.get(name)
            if there != here:
                return f"{name} {there}, here it is {here}"
        return None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked is None:
            self._asked = signal.Signals(number)
        else:
            self._leave(self._asked)

    def _leave(self, asked: signal.Signals) -> None:
        """Do what the signal would have done without us."""
        self._stop_listening()
        signal.raise_signal(asked)

    def _stop_listening(self) -> None:
        self._asked = None
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before.clear()
