"""A small study by the command line, on whichever backend, and what its store says afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from archsearch.store.store import open_store

NAME = "same"
SPACE = """
archsearch: 1
name: same
task: {name: parity, length: 16}
space:
  width: {choice: [8, 12]}
  stages:
    - repeat: {int: [1, 2]}
      blocks:
        - cell: {choice: [gru, rnn, lstm]}
          gate: {choice: [none, additive]}
  training: {lr: {float: [0.001, 0.02], log: true}, steps: STEPS, batch: 16, evaluations: 3}
search: {trials: TRIALS, seed: 3, sampler: {name: tpe, startup: 3}, lag: 3, stopping: median}
confirm: {finalists: 1, seeds: 2, baselines: [gru]}
"""

Record = tuple[str, int, str, int, str, tuple[tuple[str, str], ...]]


def write_space(folder: Path, trials: int = 8, steps: int = 30, confirm: bool = True) -> Path:
    path = folder / "same.yaml"
    text = SPACE.replace("TRIALS", str(trials)).replace("STEPS", str(steps))
    if not confirm:
        text = text[: text.index("confirm:")] + "confirm: none\n"
    path.write_text(text)
    return path


def begin(
    folder: Path, *options: str, variables: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """``archsearch run`` in a folder; what it says of its trials is on its standard error."""
    return subprocess.Popen(
        [sys.executable, "-m", "archsearch", "run", "same.yaml", *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | dict(variables or {}),
    )


def run(
    folder: Path, *options: str, code: int = 0, variables: Mapping[str, str] | None = None
) -> str:
    process = begin(folder, *options, variables=variables)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == code, said
    return said


def told(folder: Path, storage: str | None = None) -> list[Record]:
    """Every trial: phase, index, digest, seed, state, and its metrics to the last bit.

    What is timed on the machine is left out. The study is in the folder, unless it is elsewhere.
    """
    with open_store(storage or f"sqlite:///{folder}/archsearch.db", read_only=True) as store:
        record = store.find_study(NAME)
        assert record is not None
        trials = [
            t for phase in ("search", "tune", "confirm") for t in store.history(record.id, phase)
        ]
    return [
        (
            trial.phase,
            trial.index,
            trial.digest,
            trial.seed,
            str(trial.state),
            tuple((name, value.hex()) for name, value in trial.outcome.metrics),
        )
        for trial in trials
    ]


def attempts(folder: Path, storage: str | None = None) -> list[tuple[str, int, str | None]]:
    """Phase and index of every attempt, and how it ended."""
    with open_store(storage or f"sqlite:///{folder}/archsearch.db", read_only=True) as store:
        record = store.find_study(NAME)
        assert record is not None
        return [(a.phase, a.index, a.reason) for a in store.attempts(record.id)]
