"""A job on the node that runs it: its data, its files and its plugins as they are there."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from archsearch.errors import SpaceError, StateError
from archsearch.execute.checkpoints import discard
from archsearch.execute.files import written_whole
from archsearch.execute.job import Job
from archsearch.installed import installed
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.archives import official_test

Fetch = Callable[[str], bytes]
Files = Mapping[str, Sequence[tuple[str, str]]]
PLACES = ("data", "test")


@dataclass(frozen=True)
class PlacedJob:
    """A job whose files lie on this node; ``scratch`` is where those go that the driver gets."""

    job: Job
    scratch: Path

    def take(self, name: str) -> bytes:
        """A file that the job wrote for the driver; empty when it wrote none."""
        try:
            return (self.scratch / name).read_bytes()
        except OSError:
            return b""

    def forget(self, final: bool) -> None:
        """Remove what only the job needed; its checkpoints too if it is not to go on."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        if final and self.job.checkpoints is not None:
            discard(Path(self.job.checkpoints), self.job.key)


def place(job: Job, data: Files, fetch: Fetch) -> PlacedJob:
    """The job with every path one of this node.

    ``data`` maps the options of the task that name files to the (name, SHA-256) of the driver's
    file and of those beside it; ``fetch`` gives the bytes of one. Files that lie here under the
    same path are used as they are, others are written once per node. Checkpoints stay where the
    driver wants them if that folder is here too, as it is on a shared disk.
    """
    options = dict(job.task.layer.options)
    for option, files in data.items():
        options[option] = str(_local(Path(str(options[option])), files, fetch))
    layer = Layer(job.task.layer.name, tuple(options.items()))
    # whoever writes there makes it
    scratch = folder() / "running" / uuid.uuid4().hex
    checkpoints = job.checkpoints
    if checkpoints is not None and not Path(checkpoints).is_dir():
        checkpoints = str(folder() / "checkpoints")
    here = replace(
        job,
        task=replace(job.task, layer=layer),
        checkpoints=checkpoints,
        keep=None if job.keep is None else str(scratch / "keep"),
        log=str(scratch / "log"),
    )
    return PlacedJob(here, scratch)


def folder() -> Path:
    """Where this user's files lie on this node; nobody else can read or replace it."""
    path = Path(tempfile.gettempdir()) / f"archsearch-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise StateError(f"{path}: belongs to somebody else")
    if stat.S_IMODE(found.st_mode) != 0o700:
        path.chmod(0o700)
    return path


def foreign_code(job: Job) -> str | None:
    """The first plugin of the job that is not here what it is where the study began."""
    for name, sha256 in job.plugins:
        try:
            found = _code(name)
        except SpaceError as error:
            return f"plugin {error}"
        if found != sha256:
            return (
                f"plugin {name} is other code here ({found[:12]}) than where the study was begun"
                f" ({sha256[:12]}); install the same on every node"
            )
    return None


def files_of(task: TaskSpec) -> dict[str, list[Path]]:
    """The options of a task that name files: each with its file and what is read beside it."""
    options = dict(task.layer.options)
    named = {option: Path(str(options[option])) for option in PLACES if options.get(option)}
    return {
        option: [path, *filter(None, [official_test(path)])]
        for option, path in named.items()
        if path.is_file()
    }


def named(files: Mapping[str, Sequence[Path]]) -> dict[str, list[tuple[str, str]]]:
    """What :func:`place` is told of such files: the name and the SHA-256 of each."""
    return {
        option: [(path.name, digest(path)) for path in paths] for option, paths in files.items()
    }


def digest(path: Path) -> str:
    """The SHA-256 of a file, read anew when it has changed."""
    found = path.stat()
    return _digest(path, (found.st_mtime_ns, found.st_size))


@cache
def _digest(path: Path, _stamp: tuple[int, int]) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def _code(name: str) -> str:
    # read once: what is imported stays so while this process lives
    return installed(name).sha256


def _local(path: Path, files: Sequence[tuple[str, str]], fetch: Fetch) -> Path:
    """The place of the first file, with the others beside it."""
    with suppress(OSError):
        if all(digest(path.with_name(name)) == sha256 for name, sha256 in files):
            return path
    own = folder() / "data" / hashlib.sha256(repr(files).encode()).hexdigest()[:32]
    for name, sha256 in files:
        if not (own / name).is_file() or digest(own / name) != sha256:
            with written_whole(own / name) as stream:
                stream.write(fetch(sha256))
    return own / path.name
