"""The folder of a study: the checkpoints of what runs, and whether its disk has room for more."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from archsearch.errors import MAKE_ROOM, InputError
from archsearch.execute.checkpoints import collect_garbage, discard
from archsearch.execute.job import Job

# between two checkpoints of a training
CHECKPOINT_SECONDS = 30.0
# PHASE-TRIAL-ATTEMPT.txt, each what an attempt printed
LOGS = "logs"

MEBIBYTE = 1 << 20
LEAST = 500 * MEBIBYTE
SHARE = 0.05
# on a large disk five per cent would be more than any study needs
MOST = 5 << 30
VARIABLE = "ARCHSEARCH_LEAST_FREE_MIB"


@dataclass(frozen=True)
class Folder:
    """``path`` is the study's own, ``database`` the one that its database lies in; None is none.

    Without a path no checkpoints are written, and a trial that was lost begins anew.
    """

    path: Path | None
    database: Path | None

    def furnished(self, job: Job, phase: str) -> Job:
        """The job with a place for its checkpoints and for what it prints."""
        if self.path is None:
            return job
        place = str(self._checkpoints(self.path, phase))
        log = self.path / LOGS / f"{phase}-{job.trial}-{job.epoch}.txt"
        return replace(job, checkpoints=place, checkpoint_seconds=CHECKPOINT_SECONDS, log=str(log))

    def forget(self, job: Job, phase: str) -> None:
        """Remove the checkpoints of a job whose outcome is stored."""
        if self.path is not None:
            discard(self._checkpoints(self.path, phase), job.key)

    def tidy(self, phase: str, awaited: Collection[str]) -> None:
        """Remove the checkpoints of all jobs of a phase but those with these keys; none may run."""
        if self.path is not None:
            collect_garbage(self._checkpoints(self.path, phase), awaited)

    def refuse_closed(self) -> None:
        """Raise InputError if the weights of finalists could not be written to the folder."""
        if self.path is not None and not os.access(_there(self.path), os.W_OK | os.X_OK):
            raise InputError(
                f"{self.path}: cannot be written, but is where weights of finalists go; run this in"
                " a folder that is yours, or with 'confirm: none'"
            )

    @property
    def shortage(self) -> str | None:
        """Why there is no room for another trial, in one line; None while there is.

        Kept free are 500 MiB and five per cent of each disk, but no more than 5 GiB, or what the
        environment variable ``ARCHSEARCH_LEAST_FREE_MIB`` says.
        """
        asked = _asked()
        for folder in (self.path, self.database):
            if folder is None:
                continue
            disk = shutil.disk_usage(_there(folder))
            needed = max(LEAST, min(int(SHARE * disk.total), MOST)) if asked is None else asked
            if disk.free < needed:
                return (
                    f"{folder}: {disk.free // MEBIBYTE} MiB are free on its disk, new trials need "
                    f"{needed // MEBIBYTE} MiB; {MAKE_ROOM}"
                )
        return None

    def _checkpoints(self, path: Path, phase: str) -> Path:
        return path / "checkpoints" / phase


def logs_of(path: Path, phase: str, trial: int) -> list[Path]:
    """What the attempts at a trial printed, as far as they printed anything, in their order."""
    found = (path / LOGS).glob(f"{phase}-{trial}-*.txt")
    return sorted(found, key=lambda log: int(log.stem.rpartition("-")[2]))


def _there(folder: Path) -> Path:
    """The folder, or that part of its path which is there already."""
    return next(part for part in (folder, *folder.parents) if part.exists())


def _asked() -> int | None:
    text = os.environ.get(VARIABLE)
    if text is None:
        return None
    if not text.isdecimal():
        raise InputError(f"{VARIABLE}: expected a whole number of MiB, got '{text[:20]}'")
    return int(text) * MEBIBYTE
