"""No order of faults that a seed can think of breaks a promise of the driver and its store."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from seeds import FIRST, seeds
from simulation import simulate
from tiers import tiered

REPLAY = "python tests/faults/simulation.py"
HISTORIES, SOME, MANY = 150, 1_000, 20_000
FAULTS = ("kill", "pause", "clock", "driver", "lose request", "lose answer", "lose worker")


def broken(seeds: Iterable[int]) -> tuple[list[str], Counter[str]]:
    """How to replay each history that breaks a promise, and the faults there were in all."""
    found, faults = [], Counter[str]()
    for seed in seeds:
        world, wrong = simulate(seed)
        faults += world.done
        if wrong:
            found.append(f"{REPLAY} {seed}: {wrong}")
    return found, faults


def journals(seeds: Iterable[int]) -> str:
    """Names all that was said in these histories."""
    told = repr([simulate(seed)[0].lines for seed in seeds])
    return hashlib.sha256(told.encode()).hexdigest()


def test_histories() -> None:
    found, faults = broken(seeds(HISTORIES))
    assert found == []
    rare = {fault: faults[fault] for fault in FAULTS if faults[fault] < HISTORIES // 10}
    assert rare == {}


def test_a_seed_is_a_history_in_any_process() -> None:
    seeds = range(12)
    script = f"from test_simulation import journals; print(journals({seeds!r}))"
    told = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parent,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == journals(seeds) == journals(seeds)
    assert journals([0]) != journals([1])


@pytest.mark.parametrize("count", tiered((SOME, MANY), (), (SOME,)))
def test_many_histories(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    # what is computed once for all is computed in each process
    size = count // 50
    parts = [range(begin, begin + size) for begin in range(FIRST, FIRST + count, size)]
    with multiprocessing.get_context("spawn").Pool() as pool:
        found = [words for said, _ in pool.imap_unordered(broken, parts) for words in said]
    assert found == []
