"""One torch thread in every test: two only wait for each other on small networks."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
