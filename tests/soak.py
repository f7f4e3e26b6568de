"""Repeats every test of faults and of the store, each round with fresh seeds, until time is over.

    bash tests/postgres.sh python tests/soak.py --minutes 60
    python tests/soak.py --first-seed 1234                      # the rounds from that seed on

Time is looked at between two files of tests. The first failure ends it, with the command that
repeats the test with its seeds.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import secrets
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("tests/faults", "tests/store")
SEED = "ARCHSEARCH_FIRST_SEED"
SERVER = "ARCHSEARCH_TEST_POSTGRES"
# more than any test counts through
APART = 1_000_000
PASSED, NOTHING_TO_RUN = 0, 5


def options(first: int) -> list[str]:
    return ["-m", "not slow", f"--hypothesis-seed={first}"]


def tested(file: str, first: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-rfEs", *options(first), file],
        cwd=ROOT,
        env=os.environ | {SEED: str(first)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def again(said: str, file: str, first: int) -> str:
    """The command that repeats the test that failed, or the file if none is named."""
    named = re.search(r"^(?:FAILED|ERROR) (\S.*?)(?: - .*)?$", said, re.MULTILINE)
    server = "bash tests/postgres.sh " if SERVER in os.environ else ""
    marks, seeded = "-m 'not slow'", f"--hypothesis-seed={first}"
    test = named[1] if named else file
    return f"{SEED}={first} {server}python -m pytest {marks} {seeded} '{test}'"


def files(first: int) -> list[str]:
    """In another order each round, so that a short one has other tests than the last."""
    found = sorted(
        str(path.relative_to(ROOT))
        for folder in FOLDERS
        for path in (ROOT / folder).glob("test_*.py")
    )
    random.Random(first).shuffle(found)
    return found


def soaked(first: int, deadline: float) -> int:
    """One round; returns an exit code."""
    for file in files(first):
        if time.monotonic() > deadline:
            break
        began = time.monotonic()
        done = tested(file, first)
        last = done.stdout.strip().splitlines()[-1]
        took = time.monotonic() - began
        print(f"{time.strftime('%H:%M:%S')}  {took:5.0f} s  {file}: {last}", flush=True)
        if done.returncode not in (PASSED, NOTHING_TO_RUN):
            print(done.stdout)
            print(f"again: {again(done.stdout, file, first)}")
            return 1
    return 0


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--minutes", type=float, default=60.0)
    asked.add_argument("--first-seed", type=int, default=None)
    chosen = asked.parse_args()
    if SERVER not in os.environ:
        print("no PostgreSQL: run under tests/postgres.sh to have it tortured too")
    given = chosen.first_seed
    first = secrets.randbelow(10**9) if given is None else given
    deadline = time.monotonic() + 60 * chosen.minutes
    while time.monotonic() < deadline:
        print(f"{time.strftime('%H:%M:%S')}  first seed {first}", flush=True)
        if code := soaked(first, deadline):
            return code
        first += APART
    return 0


if __name__ == "__main__":
    sys.exit(main())
