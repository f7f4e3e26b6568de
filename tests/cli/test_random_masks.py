"""A winner that has learned which weights to keep is judged against random masks of its sizes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from commands import Command, run_in, write_starts

from archsearch.cli.results import Result, read_result
from archsearch.select.verdict import verdict
from archsearch.spec.counts import read_counts
from archsearch.spec.trial import Trial
from archsearch.store.store import open_store

SPACE = """
archsearch: 1
name: starts
task: {name: classification, data: starts.csv, target: outcome}
space:
  width: 8
  stages: [{blocks: [{cell: {choice: [gru, rnn]}}]}]
  sparsity: {name: SPARSITY, density: 0.3}
  training: {lr: 0.02, steps: 20, batch: 16}
search: {trials: 2, seed: 0, sampler: random}
confirm: {finalists: 2, seeds: 3, baselines: [lstm], masks: 2}
execution: {backend: inline}
"""


def study(folder: Path, sparsity: str, *more: str) -> tuple[Result, Sequence[Trial], Command]:
    folder.mkdir()
    write_starts(folder)
    (folder / "starts.yaml").write_text(SPACE.replace("SPARSITY", sparsity))
    command = run_in(folder)
    command("run", "starts.yaml", "--storage", "sqlite:///s.db", "--quiet", *more)
    return *stored(folder), command


def stored(folder: Path) -> tuple[Result, Sequence[Trial]]:
    with open_store(f"sqlite:///{folder}/s.db", read_only=True) as store:
        record = store.find_study("starts")
        assert record is not None
        return read_result(store, "starts"), store.history(record.id, "masks")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("masks") / "learned"
    return folder, *study(folder, "magnitude, allocation: global")


def test_each_seed_is_drawn_again_with_its_own_sizes(learned: Any) -> None:
    _, result, masks, _ = learned
    best = result.evidence.best
    assert len(masks) == 6
    for trial in masks:
        (own,) = [t for t in result.role(best) if t.seed == trial.seed]
        sizes = {
            name.removeprefix("kept."): value
            for name, value in own.outcome.metrics
            if name.startswith("kept.")
        }
        assert read_counts(str(trial.architecture.sparsity["counts"])) == sizes
        assert trial.outcome.metric("density") == own.outcome.metric("density")
        assert trial.architecture.stages == own.architecture.stages
        assert trial.architecture.training == own.architecture.training
    # a global threshold leaves other sizes to other seeds
    assert len({trial.architecture.sparsity["counts"] for trial in masks}) > 1
    assert [trial.role for trial in masks[:2]] == [
        f"{best}, random mask 1",
        f"{best}, random mask 2",
    ]
    assert {trial.architecture.sparsity["number"] for trial in masks} == {0, 1}


def test_the_answer_tells_of_them(learned: Any) -> None:
    _, result, masks, command = learned
    places = result.evidence.places
    assert (places.finalist, places.masks) == (result.evidence.best, 2)
    values = {(t.role[-1], t.seed): t.outcome.metric("accuracy") for t in masks}
    seeds = list(dict.fromkeys(t.seed for t in masks))
    assert places.values == tuple(tuple(values[n, seed] for seed in seeds) for n in "12")
    shown = command("show", "starts", "--storage", "sqlite:///s.db").stdout
    assert f"2 random masks in place of that of {places.finalist}" in shown
    assert "learned mask" in verdict(result.evidence)
    plain = json.loads(command("show", "starts", "--storage", "sqlite:///s.db", "--json").stdout)
    assert plain["evidence"]["places"]["finding"] == places.finding
    assert "learned mask" in plain["verdict"]


def test_running_again_repeats_nothing(learned: Any) -> None:
    folder, _, masks, command = learned
    before = [(trial.index, trial.digest, trial.outcome) for trial in masks]
    command("run", "starts.yaml", "--storage", "sqlite:///s.db", "--quiet")
    assert [(trial.index, trial.digest, trial.outcome) for trial in stored(folder)[1]] == before


def test_any_number_of_workers_gives_the_same(learned: Any, tmp_path: Path) -> None:
    _, result, masks, _ = learned
    other, same, _ = study(
        tmp_path / "two", "magnitude, allocation: global", "--backend", "local", "--workers", "2"
    )
    assert [t.outcome.metrics for t in same] == [t.outcome.metrics for t in masks]
    assert other.evidence == result.evidence


@pytest.mark.parametrize(("sparsity", "density"), [("random", 0.3), ("magnitude", 1.0)])
def test_where_no_mask_was_learned_there_is_none_to_compare(
    sparsity: str, density: float, tmp_path: Path
) -> None:
    folder = tmp_path / "none"
    result, masks, _ = study(folder, sparsity, "--set", f"space.sparsity.density={density}")
    assert masks == []
    assert result.evidence is not None
    assert result.evidence.places is None
    assert "mask" not in verdict(result.evidence)


def test_none_are_drawn_where_none_are_asked_for(tmp_path: Path) -> None:
    result, masks, _ = study(tmp_path / "no", "magnitude", "--set", "confirm.masks=0")
    assert masks == []
    assert result.evidence is not None
    assert result.evidence.places is None
