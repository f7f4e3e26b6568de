"""From which number on the seeds of the faults count; others than usual make fresh histories."""

from __future__ import annotations

import os

VARIABLE = "ARCHSEARCH_FIRST_SEED"
FIRST = int(os.environ.get(VARIABLE, "0"))


def seeds(count: int) -> range:
    return range(FIRST, FIRST + count)
