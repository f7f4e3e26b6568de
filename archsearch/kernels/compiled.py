"""Turns Python loops over arrays into machine code, once per machine."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import Any, TypeAlias

import numba
import numpy as np

Loop: TypeAlias = Callable[..., None]
# what the processor can do in one instruction it may, rounding once
CONTRACTED = {"contract"}


def compiled(function: Loop, *, contracted: bool = False) -> Loop:
    """``function`` of arrays as machine code, compiled when first called with a type of number.

    All arrays are contiguous and of one type. Nothing is reordered, and unless ``contracted`` a
    product and the sum after it are rounded each, so that every machine rounds alike. The code is
    kept in :func:`folder`; of several processes that need it first, one compiles and the others
    read.
    """
    options = {
        "nogil": True,
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
            with _alone(f"{function.__module__}.{function.__qualname__}"):
                machine.compile(tuple(numba.typeof(array) for array in arrays))
            known.add(kind)
        machine(*arrays)

    call.machine = machine  # type: ignore[attr-defined]
    return call


@cache
def folder() -> Path:
    """Where machine code is kept: NUMBA_CACHE_DIR, the user's cache, or a temporary folder.

    What is in it is executed, so it belongs to the user and nobody else can write there.
    """
    if numba.config.CACHE_DIR:
        return Path(numba.config.CACHE_DIR)
    name = f"archsearch-{os.getuid()}"
    for place in (_user_cache, lambda: Path(tempfile.gettempdir()) / name):
        try:
            return _private(place() / "kernels")
        except (OSError, RuntimeError):
            continue
    return Path(tempfile.mkdtemp(prefix="archsearch-"))


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
    with tempfile.TemporaryFile(dir=path):
        return path


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One process at a time compiles a loop: two that add to the same index would mix it up."""
    folder().mkdir(parents=True, exist_ok=True)
    with (folder() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
