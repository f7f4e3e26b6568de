"""One torch thread in every test: two only wait for each other on small networks.

Fresh memory holds huge numbers, so that what is read before it was written shows.
"""

from __future__ import annotations

import ctypes
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

M_PERTURB = -6  # of malloc.h; other C libraries than GNU's have no mallopt
if hasattr(ctypes.CDLL(None), "mallopt"):
    ctypes.CDLL(None).mallopt(M_PERTURB, 1)
