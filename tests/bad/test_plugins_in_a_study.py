"""Cells that fail in every way while they are trained; the driver, its trials and its database do
not care."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import psutil
import pytest
from misbehaving import CELL, FORWARD, HANG, SEGFAULT, Plugin, cell

from archsearch.spec.trial import State, Trial
from archsearch.store.store import open_store

BREED = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(3600)\n"
GREEDY = "torch.zeros(1 << 34)"

# what the module of the cell is, and the states in which its trial may end
CELLS: dict[str, tuple[str, set[State]]] = {
    "sound": (CELL, {State.COMPLETE}),
    "exits": ("import sys\nsys.exit(3)\n", {State.CRASHED, State.INVALID}),
    "leaves": ("import os\nos._exit(0)\n", {State.CRASHED}),
    "hangs": (HANG, {State.TIMEOUT}),
    "crashes": (SEGFAULT, {State.CRASHED}),
    "plain": ("class Cell:\n    pass\n", {State.INVALID, State.CRASHED}),
    "poor": (CELL.replace(", decay=0.9", "").replace("decay)", "0.9)"), {State.INVALID}),
    "narrow": (cell(FORWARD.format("y[..., :-1]")), {State.INVALID, State.CRASHED}),
    "nan": (cell(FORWARD.format("y / 0 * 0")), {State.DIVERGED}),
    "greedy": (cell(FORWARD.format(f"y + {GREEDY}.sum()")), {State.OOM}),
    "loops": (cell(FORWARD.format("next(y for turn in iter(int, 1) if turn)")), {State.TIMEOUT}),
    "closes": (f"import os\nos.closerange(3, 256)\n{CELL}", {State.CRASHED}),
    "shouts": (f"print('x' * (1 << 24))\n{CELL}", {State.COMPLETE}),
    "breeds": (f"{BREED}{CELL}", {State.COMPLETE}),
}
SPACE = """\
archsearch: 1
task: {name: parity, length: 4, validation_size: 8, test_size: 8}
space:
  width: 8
  stages: [{blocks: [{cell: {choice: [gru, NAMES]}}]}]
  training: {steps: 3, batch: 4}
search: {sampler: random, trials: 60}
confirm: none
execution: {workers: 2, timeout: 3s, memory: 1GB}
"""


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trial]:
    """The trial of each cell, after a study in which all of them took part."""
    folder = tmp_path_factory.mktemp("study")
    for name, (source, _) in CELLS.items():
        Plugin(name, cell=source, distribution=f"archsearch-{name}").install(folder / "site")
    (folder / "space.yaml").write_text(SPACE.replace("NAMES", ", ".join(CELLS)))
    environment = os.environ | {"PYTHONPATH": str(folder / "site"), "STUDY_OF": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "archsearch", "run", "space.yaml", "--quiet"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with open_store(f"sqlite:///{folder}/archsearch.db", read_only=True) as store:
        study = store.find_study("space")
        assert study is not None
        found = {
            trial.architecture.stages[0].blocks[0].cell.name: trial
            for trial in store.history(study.id)
        }
    with sqlite3.connect(folder / "archsearch.db") as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    raw.close()
    left = [
        process
        for process in psutil.process_iter()
        if _environment(process).get("STUDY_OF") == str(folder)
    ]
    assert left == []
    return found


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_every_cell_had_its_trial(trials: dict[str, Trial]) -> None:
    assert set(trials) == {"gru", *CELLS}
    assert trials["gru"].state is State.COMPLETE


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_fails_alone(trials: dict[str, Trial], name: str) -> None:
    trial = trials[name]
    assert trial.state in CELLS[name][1], trial.outcome.message
    assert "\n" not in trial.outcome.message
    assert (trial.state is State.COMPLETE) == (trial.outcome.message == "")
