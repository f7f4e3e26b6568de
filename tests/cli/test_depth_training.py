"""A space file with all that prepares a network to be cut short, from end to end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import SPACE, Command, run_in, write_starts

STAGES = """  stages:
    choice:
      - - {repeat: 3, blocks: [{cell: gru}]}
      - - {loops: 3, halting: {name: varied, options: search}, blocks: [{cell: gru}]}
"""
TRAINING = """  training:
    lr: 0.02
    steps: 40
    batch: 16
    exits: {choice: [none, equal, linear]}
    exit_share: {choice: [0.3, 0.8]}
    drop: {choice: [0.0, 0.5]}
"""


@pytest.fixture(scope="module")
def studied(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Command]:
    folder = tmp_path_factory.mktemp("along-depth")
    write_starts(folder)
    before, _, rest = SPACE.partition("  stages:")
    space = before + STAGES + TRAINING + rest[rest.index("search:") :]
    space = space.replace(
        "sampler: random}", "objectives: {accuracy: max, depth_auc: max}, stopping: median}"
    )
    space = space.replace("seeds: 2, baselines: [lstm]", "seeds: 1, baselines: [gru]")
    (folder / "starts.yaml").write_text(space + "depth: {policy: gap, moves: skip}\n")
    command = run_in(folder)
    command("run", "starts.yaml", "--quiet", "--export", "out")
    return folder, command


def test_every_trial_has_it_and_the_tables_show_it(studied: tuple[Path, Command]) -> None:
    folder, command = studied
    board = command("leaderboard", "starts").stdout
    shown = command("show", "starts").stdout
    assert "depth_auc" in board
    plain = json.loads(command("show", "starts", "--json").stdout)
    assert plain["objectives"] == {"accuracy": "max", "depth_auc": "max"}
    assert all(0 <= trial["metrics"]["depth_auc"] <= 1 for trial in plain["best"])
    assert "depth by 'gap'" in shown
    assert (folder / "out").is_dir()


SHORT = ("search.trials=2", "confirm=none", "depth=none")


def again(command: Command, name: str, *changes: str) -> str:
    """What is shown of a shorter study of the same file."""
    sets = [part for each in (*SHORT, *changes) for part in ("--set", each)]
    command("run", "starts.yaml", "--quiet", "--name", name, *sets)
    return command("show", name).stdout


def test_it_may_be_the_only_objective(studied: tuple[Path, Command]) -> None:
    shown = again(studied[1], "alone", "search.objectives={depth_auc: max}")
    assert "curve: depth_auc on validation" in shown


def test_it_may_be_bounded_alone(studied: tuple[Path, Command]) -> None:
    bound = "search.constraints={depth_auc: '>= 2'}"
    shown = again(studied[1], "bounded", "search.objectives={accuracy: max}", bound)
    assert "no trial completed within the constraints" in shown
    board = studied[1]("leaderboard", "bounded").stdout
    assert "no value of" not in board


def test_a_word_too_few_is_found_before_anything_runs(studied: tuple[Path, Command]) -> None:
    _, command = studied
    refused = command(
        "validate", "starts.yaml", "--set", "search.objectives={depth_auk: max}", code=2
    )
    assert "did you mean 'depth_auc'" in refused.stderr
