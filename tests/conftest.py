"""One torch thread in every test: two only wait for each other on small networks.

Fresh memory holds huge numbers, so that what is read before it was written shows. What collecting
the tests left in memory is looked through for garbage once.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

M_PERTURB = -6  # of malloc.h; other C libraries than GNU's have no mallopt
if hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(M_PERTURB, 1)


# a million objects, most of a second each time that Python looks at all of them
def pytest_collectstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()
    gc.enable()
    # libraries complain of what is left at the very end
    atexit.register(gc.unfreeze)
