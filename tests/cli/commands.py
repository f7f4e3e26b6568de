"""The command line as a user meets it: a process in a folder, with data and a space file."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from forked_commands import forked

SPACE = """
archsearch: 1
task: {name: classification, data: starts.csv, target: outcome}
space:
  width: 8
  stages:
    - repeat: {int: [1, 2]}
      blocks:
        - cell: {choice: [gru, rnn]}
  training: {lr: {choice: [0.01, 0.02]}, steps: 25, batch: 16}
search: {trials: 5, seed: 0, sampler: random}
confirm: {finalists: 1, seeds: 2, baselines: [lstm]}
execution: {backend: inline}
"""

Command = Callable[..., subprocess.CompletedProcess[str]]


def run_in(folder: Path, *, afresh: bool = False) -> Command:
    """``archsearch ARGUMENTS`` in a folder; ``afresh`` by an interpreter that is started for it."""

    def command(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"COLUMNS": "140", "PYTHONWARNINGS": "default"}
        run = started if afresh else forked
        done = run(list(arguments), folder, environment)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    return command


def started(
    arguments: list[str], folder: Path, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "archsearch", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def write_starts(folder: Path) -> None:
    """Sixty labelled sequences of eight steps, and a space file over them."""
    rng = np.random.default_rng(0)
    rows = [
        {f"r{step}": rng.normal() + (start % 2) * step / 4 for step in range(8)}
        | {"outcome": "bad" if start % 2 else "good"}
        for start in range(60)
    ]
    pd.DataFrame(rows).to_csv(folder / "starts.csv", index=False)
    (folder / "starts.yaml").write_text(SPACE)
