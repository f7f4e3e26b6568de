"""Once installed, the leaky cell is listed, searched beside the built-in ones, and predicts."""

import json
import subprocess
import sys

SPACE = """
archsearch: 1
task: {name: parity, length: 8, validation_size: 32, test_size: 32}
space:
  width: 8
  stages:
    - blocks:
        - cell: {choice: [gru, {name: leaky, options: search}, {name: leaky, slowest: 4.0}]}
  training: {steps: 10, batch: 8}
search: {trials: 5, sampler: random}
confirm: {finalists: 1, seeds: 1, baselines: [gru]}
execution: {backend: local, workers: 1}
"""


def archsearch(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "archsearch", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_listed_with_its_distribution(tmp_path):
    listed = json.loads(archsearch(tmp_path, "cells", "leaky", "--json"))
    assert listed[0]["distribution"] == "archsearch-leaky"
    assert "slowest" in listed[0]["options"]


def test_searched_and_recorded(tmp_path):
    (tmp_path / "leaky.yaml").write_text(SPACE)
    archsearch(tmp_path, "run", "leaky.yaml", "--quiet")
    board = json.loads(archsearch(tmp_path, "leaderboard", "leaky", "--json"))
    assert len(board) == 5
    assert {row["state"] for row in board} == {"complete"}
    assert any("leaky" in row["architecture"] for row in board)
