"""A study made ready to be run elsewhere: its space file, its lock and its data in one folder.

Everything lies under the SHA-256 of its content, so that a second package of the same study is the
same files under the same paths: what a study was begun with does not change when it is sent again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archsearch.cli.lock import lock_path, write_lock
from archsearch.errors import InputError
from archsearch.execute.cluster.placed import digest, files_of
from archsearch.installed import Installed, installed
from archsearch.spec.document import parse_file
from archsearch.spec.overrides import override
from archsearch.spec.spacefile import SpaceFile

# Ray's own bound on what comes with a job
MOST_BYTES = 500 << 20
DIGITS = 16


@dataclass(frozen=True)
class Package:
    """``space`` is the path of the space file in the folder; ``assignments`` are for ``--set``.

    ``plugins`` are what has to be installed where it is run.
    """

    space: str
    assignments: tuple[str, ...]
    plugins: tuple[Installed, ...]


def pack(file: SpaceFile, folder: Path, shared: bool = False) -> Package:
    """Copy what a study needs into an empty folder.

    With ``shared`` its data stays where it is, for it is seen there under the same paths. Where the
    space file has no lock it gets one, so that other code of a plugin is refused there.
    """
    plugins = tuple(installed(name) for name in sorted({v[0].distribution for v in file.visitors}))
    own = lock_path(file.path)
    marks = [digest(path) for path in (file.path, own) if path.exists()]
    marks += [plugin.sha256 for plugin in plugins]
    place = folder / "spaces" / _named(marks)
    place.mkdir(parents=True)
    shutil.copyfile(file.path, place / file.path.name)
    if own.exists():
        shutil.copyfile(own, place / own.name)
    elif plugins:
        write_lock(place / own.name, file.path, plugins)
    assignments = [f"{key}={text}" for key, text in file.overrides]
    for key, path, beside in _data(file):
        there = path
        if not shared:
            files = [path, *beside]
            there = folder / "data" / _named([digest(each) for each in files]) / path.name
            there.parent.mkdir(parents=True, exist_ok=True)
            _refuse_large(files)
            for each in files:
                shutil.copyfile(each, there.with_name(each.name))
            there = Path("..", "..", *there.relative_to(folder).parts)
        assignments.append(f"{key}={json.dumps(str(there))}")
    _refuse_large([each for each in folder.rglob("*") if each.is_file()])
    space = str((place / file.path.name).relative_to(folder))
    return Package(space, tuple(assignments), plugins)


def _data(file: SpaceFile) -> Iterator[tuple[str, Path, list[Path]]]:
    """Key, file, and the files read beside it, of all that tasks name."""
    document = override(parse_file(file.path)[1], file.overrides)
    several = document.get("tasks") is not None
    for position, task in enumerate(file.tasks):
        key = f"tasks.{position}" if several else "task"
        for option, (path, *beside) in files_of(task).items():
            yield f"{key}.{option}", path, beside


def _refuse_large(files: list[Path]) -> None:
    size = sum(path.stat().st_size for path in files)
    if size > MOST_BYTES:
        raise InputError(
            f"{files[0]}: {size >> 20} MiB would have to be sent, {MOST_BYTES >> 20} MiB can be;"
            " put the data where the head node sees it under the same path, and give --shared"
        )


def _named(digests: list[str]) -> str:
    return hashlib.sha256("".join(digests).encode()).hexdigest()[:DIGITS]
