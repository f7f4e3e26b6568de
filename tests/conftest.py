"""One torch thread in every test: two only wait for each other on small networks.

Fresh memory holds huge numbers, so that what is read before it was written shows. What collecting
the tests left in memory is looked through for garbage once.

What is checked of every cell, sparsity or kernel in yet another surrounding is ``sampled``: every
so many cases belong to the suite, evenly spread or ``by`` a parameter, and the others are run with
``-m sweep``.

Several processes take files in turn: those of each folder are spread over the run, so that what
waits for processes and clocks runs beside what computes, and nothing long is begun at the end.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

M_PERTURB = -6  # of malloc.h; other C libraries than GNU's have no mallopt
WAITING = ("cli", "execute", "faults", "store", "study")


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    yield
    sampled = metafunc.definition.get_closest_marker("sampled")
    if sampled is None:
        return
    every, by = sampled.kwargs["every"], sampled.kwargs.get("by")
    calls, suite = metafunc._calls, []
    for place, call in enumerate(calls):
        if call.indices.get(by, place) % every:
            call.marks.append(pytest.mark.sweep.mark)
        else:
            suite.append(call)
    # a quarter of all cases: to make them and leave them out takes seconds in every process
    if "not sweep" in metafunc.config.option.markexpr:
        calls[:] = suite


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not hasattr(config, "workerinput"):
        return
    sizes = Counter(item.path for item in items)
    folders: dict[Path, list[Path]] = {}
    for path in sizes:
        folders.setdefault(path.parent, []).append(path)
    places: dict[Path, float] = {}
    for folder, paths in folders.items():
        # tests that wait are long where they are few
        paths.sort(key=lambda path: sizes[path], reverse=folder.name not in WAITING)
        places |= {path: place / len(paths) for place, path in enumerate(paths)}
    items.sort(key=lambda item: places[item.path])


# a million objects, most of a second each time that Python looks at all of them
def pytest_collectstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
    if hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(M_PERTURB, 1)
    # libraries complain of what is left at the very end
    atexit.register(gc.unfreeze)
