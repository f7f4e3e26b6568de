"""Turns Python loops over arrays into machine code, once per machine."""

from __future__ import annotations

import fcntl
import gc
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeAlias

import numba
import numpy as np

from archsearch.kernels.inlined import CONTRACTED

Loop: TypeAlias = Callable[..., None]
OUTDATED = 30 * 86400.0  # seconds


def compiled(function: Loop, *, contracted: bool = False) -> Loop:
    """``function`` of arrays as machine code, compiled when first called with a type of number.

    All arrays are contiguous and of one type. Nothing is reordered, and unless ``contracted`` a
    product and the sum after it are rounded each, so that every machine rounds alike. The code is
    kept in :func:`folder`; of several processes that need it first, one compiles and the others
    read. Where nothing can be written, each compiles for itself.
    """
    options = {
        "nogil": True,
        "no_cfunc_wrapper": True,
        "error_model": "numpy",
        "fastmath": CONTRACTED if contracted else False,
    }
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder())
    try:
        machine = numba.njit(cache=True, **options)(function)
    finally:
        numba.config.CACHE_DIR = before
    known: set[np.dtype[Any]] = set()

    @wraps(function)
    def call(*arrays: np.ndarray) -> None:
        kind = arrays[0].dtype
        if kind not in known:
            with _alone(f"{function.__module__}.{function.__qualname__}"), _uncollected():
                _make(machine, tuple(numba.typeof(array) for array in arrays))
            known.add(kind)
        machine(*arrays)

    call.machine = machine  # type: ignore[attr-defined]
    return call


def _make(machine: Any, kinds: tuple[Any, ...]) -> None:
    """Read or compile the code; what was cut short, or cannot be kept, costs a compilation."""
    try:
        machine.compile(kinds)
    except OSError:
        # compiled before it was to be written
        if kinds not in machine.overloads:
            raise
    except Exception:
        # what cannot be read is made anew; a fault of the loop itself shows again
        machine._cache.flush()
        machine.compile(kinds)


@cache
def folder() -> Path:
    """Where machine code is kept: NUMBA_CACHE_DIR, the user's cache, or a temporary folder.

    What is in it is executed, so it belongs to the user and nobody else can write there. It is of
    one state of all sources of the loops: numba looks at that of the loop alone, not at what the
    loop uses.
    """
    name = f"archsearch-{os.getuid()}"
    if numba.config.CACHE_DIR:
        with suppress(OSError):
            return _written(Path(numba.config.CACHE_DIR) / _state())
    for place in (_user_cache, lambda: Path(tempfile.gettempdir()) / name):
        try:
            return _newest(_private(place() / "kernels") / _state())
        except (OSError, RuntimeError):
            continue
    return Path(tempfile.mkdtemp(prefix="archsearch-"))


def _state() -> str:
    """A name for what the sources of the loops say."""
    root, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _newest(path: Path) -> Path:
    """The folder, made if need be; then those of other sources go that nobody wrote to lately."""
    if not path.is_dir():
        path.mkdir(mode=0o700, exist_ok=True)
        for other in path.parent.iterdir():
            if other.is_dir() and other.stat().st_mtime < time.time() - OUTDATED:
                shutil.rmtree(other, ignore_errors=True)
    return path


def _user_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".cache") / "archsearch"


def _private(path: Path) -> Path:
    """The folder, made if need be; OSError where it cannot be written or is another's."""
    path.parent.parent.mkdir(parents=True, exist_ok=True)
    for part in (path.parent, path):
        part.mkdir(mode=0o700, exist_ok=True)
        found = part.lstat()
        if part.is_symlink() or found.st_uid != os.getuid() or found.st_mode & 0o022:
            raise PermissionError(f"{part} is open to others")
    return _written(path)


def _written(path: Path) -> Path:
    """The folder, made if need be; OSError where it cannot be written."""
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        return path


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One process at a time compiles a loop: two that add to the same index would mix it up."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _uncollected() -> Iterator[None]:
    """Garbage is left to later: looking for it is a tenth of what compiling takes."""
    looked = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if looked:
            gc.enable()
