"""A test of faults that fails says how to see the same fault again."""

from __future__ import annotations

import os

import pytest
from seeds import FIRST, VARIABLE


@pytest.fixture(autouse=True)
def _replay(request: pytest.FixtureRequest) -> None:
    # shown by pytest with a failure only
    print(f"again: {replay(request.node)}")


def replay(test: pytest.Item) -> str:
    """The command that runs this test alone, with the same seeds."""
    seeded = f"{VARIABLE}={FIRST} " if FIRST else ""
    server = "bash tests/postgres.sh " if "ARCHSEARCH_TEST_POSTGRES" in os.environ else ""
    marks = [mark for mark in ("faults", "soak") if test.get_closest_marker(mark)]
    marked = f"-m {marks[0]} " if marks else ""
    return f"{seeded}{server}python -m pytest {marked}'{test.nodeid}'"
