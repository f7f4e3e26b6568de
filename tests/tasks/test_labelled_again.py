"""Another labelled file, read as the training data was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from archsearch.errors import DataError
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.again import read_labelled_again
from archsearch.tasks.open import open_task


def table(folder: Path, labels: list[object], name: str = "a.csv") -> Path:
    rng = np.random.default_rng(len(labels))
    rows = [{f"r{step}": rng.normal() * 5 for step in range(6)} | {"y": y} for y in labels]
    pd.DataFrame(rows).to_csv(folder / name, index=False)
    return folder / name


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        ("classification", ["b", "a"] * 20),
        ("classification", [10, 9] * 20),
        ("classification", ["01", "1"] * 20),
        ("regression", [float(y) for y in range(40)]),
    ],
)
def test_the_same_file_gives_the_same_inputs_and_targets(tmp_path, task, labels):
    path = table(tmp_path, labels)
    known = open_task(TaskSpec("t", Layer.of(task, data=str(path), target="y")))
    batches = read_labelled_again(str(path), known.preparation())
    assert sum(batch.size for batch in batches) == 40
    rows = np.arange(40)
    whole = known.gather(rows)
    (batch,) = batches
    np.testing.assert_array_equal(batch.inputs, whole.inputs)
    np.testing.assert_array_equal(batch.targets, whole.targets)
    assert batch.targets.dtype == whole.targets.dtype


def test_a_class_that_the_model_never_saw_is_refused(tmp_path):
    path = table(tmp_path, ["b", "a"] * 20)
    known = open_task(TaskSpec("t", Layer.of("classification", data=str(path), target="y")))
    other = table(tmp_path, ["a", "c"] * 3, "other.csv")
    with pytest.raises(DataError, match="does not know: c"):
        read_labelled_again(str(other), known.preparation())
    unlabelled = tmp_path / "none.csv"
    pd.read_csv(other).drop(columns="y").to_csv(unlabelled, index=False)
    with pytest.raises(DataError, match=r"none\.csv"):
        read_labelled_again(str(unlabelled), known.preparation())


@pytest.mark.parametrize("strange", ["six", float("inf"), 1e200])
def test_a_target_that_is_no_number_is_refused_with_its_sequence(tmp_path, strange):
    path = table(tmp_path, [float(y) for y in range(40)])
    known = open_task(TaskSpec("t", Layer.of("regression", data=str(path), target="y")))
    other = table(tmp_path, [1.5, 2.5, strange], "other.csv")
    with pytest.raises(DataError, match=r"other\.csv: target 'y' is not a number .* sequence 3"):
        read_labelled_again(str(other), known.preparation())


def test_other_models_are_not_adapted_with_a_file():
    with pytest.raises(DataError, match="a model of text"):
        read_labelled_again("page.txt", {"kind": "text"})
