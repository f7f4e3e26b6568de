"""A study of one long trial, driven by a process of its own that may be killed."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

from archsearch.cli.plans import plans_of
from archsearch.execute.backend import Backend
from archsearch.execute.inline import InlineBackend
from archsearch.execute.local import LocalBackend
from archsearch.plugins import load_catalog
from archsearch.spec.spacefile import read_space
from archsearch.spec.trial import Trial
from archsearch.store.store import open_store
from archsearch.study import folder as module
from archsearch.study.study import run_study

SPACE = """
archsearch: 1
task: {name: parity, length: 10, validation_size: 32, test_size: 32}
space:
  width: 8
  stages: [{blocks: [{cell: gru}]}]
  head: {name: linear, dropout: 0.2}
  training: {lr: {float: [1.0e-3, 1.0e-2]}, steps: 800, batch: 8}
search: {trials: 1, seed: 3, sampler: random}
confirm: none
"""


def run(folder: Path, backend: Backend) -> None:
    """Begin or continue the study in ``folder``."""
    file = folder / "long.yaml"
    file.write_text(SPACE)
    catalog = load_catalog()
    (plan,) = plans_of(read_space(str(file), catalog), catalog, None)
    with open_store(f"sqlite:///{folder}/long.db") as store, backend:
        run_study(plan, store, backend, lambda _: None, folder / "runs")


def only_trial(folder: Path) -> Trial:
    with open_store(f"sqlite:///{folder}/long.db", read_only=True) as store:
        study = store.find_study("long")
        assert study is not None
        (trial,) = store.history(study.id, "search")
    return trial


def undisturbed(folder: Path) -> Trial:
    run(folder, InlineBackend())
    return only_trial(folder)


def stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    place, seconds = sys.argv[1:]
    module.CHECKPOINT_SECONDS = float(seconds)
    try:
        run(Path(place), LocalBackend(1))
    except KeyboardInterrupt:
        sys.exit(75)
