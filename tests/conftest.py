"""One torch thread in every test: two only wait for each other on small networks.

Fresh memory holds huge numbers, so that what is read before it was written shows. What collecting
the tests left in memory is looked through for garbage once.

What is checked of every cell, sparsity or kernel in yet another surrounding is ``sampled``: every
so many cases belong to the suite, evenly spread or ``by`` a parameter, and the others are run with
``-m sweep``.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
from collections import Counter

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

M_PERTURB = -6  # of malloc.h; other C libraries than GNU's have no mallopt
if hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(M_PERTURB, 1)

CASES: Counter[str] = Counter()


def pytest_itemcollected(item: pytest.Item) -> None:
    sampled = item.get_closest_marker("sampled")
    if sampled is None:
        return
    test = item.nodeid.partition("[")[0]
    case = getattr(item, "callspec", None)
    places = case.indices if case else {}
    if places.get(sampled.kwargs.get("by"), CASES[test]) % sampled.kwargs["every"]:
        item.add_marker(pytest.mark.sweep)
    CASES[test] += 1


# a million objects, most of a second each time that Python looks at all of them
def pytest_collectstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
    # libraries complain of what is left at the very end
    atexit.register(gc.unfreeze)
