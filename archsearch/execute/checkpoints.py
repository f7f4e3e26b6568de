"""Where the checkpoints of a study's jobs lie, which of them count, and which may go.

``FOLDER/JOB KEY/EPOCH-STEP.safetensors`` and, written after it, ``EPOCH-STEP.json``, its manifest.
A checkpoint counts once its manifest is there and both are what was written. The two newest of a
job stay, so that one is whole whatever happens to the other.

No row of the database names them, for that would add nothing: the manifest names the job and the
SHA-256 of its tensors, and what a job has computed after a step is the same whoever computed it.
The epoch, which is the number of the attempt, keeps late writers from newer work: a worker of an
earlier attempt neither replaces nor removes what a later one wrote, and stops writing when it
sees it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archsearch.errors import StateError
from archsearch.execute.files import written_whole
from archsearch.failpoints import failpoint
from archsearch.spec.untrusted import LARGEST_JSON, parse_json, regular_file

FORMAT = 1
GENERATIONS = 2

_KEY = re.compile(r"[0-9a-f]{16}")
_OURS = re.compile(r"\.?([0-9]{1,9})-([0-9]{1,9})\.(?:json|safetensors)(\.[0-9]+\.[0-9]+\.tmp)?")


@dataclass(frozen=True, order=True)
class Generation:
    """One checkpoint of a job by the attempt that wrote it and the step after which."""

    epoch: int
    step: int

    def tensors(self, folder: Path) -> Path:
        return folder / f"{self.epoch}-{self.step}.safetensors"

    def manifest(self, folder: Path) -> Path:
        return folder / f"{self.epoch}-{self.step}.json"


@dataclass(frozen=True)
class Manifest:
    """What is said of a checkpoint: whose it is, its file of tensors, and its plain data.

    ``made`` names the software and the processor it was computed with.
    """

    key: str
    generation: Generation
    size: int
    sha256: str
    made: Mapping[str, str]
    plain: Mapping[str, Any]

    @property
    def body(self) -> dict[str, Any]:
        """What the seal of the file is of."""
        return {
            "format": FORMAT,
            "key": self.key,
            "epoch": self.generation.epoch,
            "step": self.generation.step,
            "size": self.size,
            "sha256": self.sha256,
            "made": dict(self.made),
            "plain": dict(self.plain),
        }


def generations(folder: Path) -> list[Generation]:
    """The checkpoints of a job that have a manifest, the newest first."""
    found = {
        generation
        for path, generation, unfinished in _ours(folder)
        if path.suffix == ".json" and not unfinished
    }
    return sorted(found, reverse=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Make a checkpoint count whose tensors are written; of those before it only one stays.

    Raises OSError, and ValueError for plain data of more than a MiB.
    """
    own = manifest.generation
    data = json.dumps({"seal": _seal(manifest.body), **manifest.body}).encode()
    if len(data) > LARGEST_JSON:
        raise ValueError(f"a curve of {len(data)} bytes is more than a manifest can hold")
    failpoint("checkpoint.manifest")
    with written_whole(own.manifest(folder)) as stream:
        stream.write(data)
    failpoint("checkpoint.old")
    others = [found for found in generations(folder) if found != own]
    kept = {own, *others[: GENERATIONS - 1]}
    for path, found, unfinished in _ours(folder):
        stale = found.epoch < own.epoch if unfinished else found < own and found not in kept
        if stale:
            _remove(path)


def read_manifest(folder: Path, generation: Generation) -> Manifest:
    """Raises StateError unless it is exactly what was written."""
    path = generation.manifest(folder)
    with regular_file(path) as stream:
        body = parse_json(stream.read(LARGEST_JSON + 1), str(path))
    match body:
        case {
            "seal": str(seal),
            "key": str(key),
            "size": int(size),
            "sha256": str(sha256),
            "made": dict(made),
            "plain": dict(plain),
        }:
            found = Manifest(key, generation, size, sha256, made, plain)
            # which also says that the epoch and the step are those of its name
            if body == {"seal": seal, **found.body} and seal == _seal(found.body):
                return found
    raise StateError(f"{path}: is damaged: it is not what was written")


def damaged(folder: Path, generation: Generation) -> None:
    """Remove a checkpoint that is not what was written, so that it is not kept for a good one."""
    _remove(generation.manifest(folder))
    _remove(generation.tensors(folder))


def discard(folder: Path, key: str) -> None:
    """Remove the checkpoints of a job that has its outcome."""
    for path, _, _ in _ours(folder / key):
        _remove(path)
    # stays when something else lies in it
    with contextlib.suppress(OSError):
        (folder / key).rmdir()


def collect_garbage(folder: Path, awaited: Collection[str]) -> None:
    """Remove what jobs left that nobody waits for, and files half written; no worker may run."""
    for place in _entries(folder):
        if not _KEY.fullmatch(place.name) or place.is_symlink() or not place.is_dir():
            continue
        if place.name not in awaited:
            discard(folder, place.name)
            continue
        whole = set(generations(place)[:GENERATIONS])
        for path, found, unfinished in _ours(place):
            if unfinished or found not in whole:
                _remove(path)


def _ours(folder: Path) -> Iterator[tuple[Path, Generation, bool]]:
    """The files that we write into the folder of a job: whose they are, and whether half written.

    Manifests come first, so that none is left without its tensors when the power goes.
    """
    for path in sorted(_entries(folder), key=lambda path: (path.suffix != ".json", path.name)):
        if match := _OURS.fullmatch(path.name):
            epoch, step, unfinished = match.groups()
            yield path, Generation(int(epoch), int(step)), unfinished is not None


def _entries(folder: Path) -> list[Path]:
    # a folder that is a link is not ours
    if folder.is_symlink():
        return []
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _remove(path: Path) -> None:
    # what cannot be removed is in nobody's way
    with contextlib.suppress(OSError):
        path.unlink()


def _seal(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
