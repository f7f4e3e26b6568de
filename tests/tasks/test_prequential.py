"""Files as streams: which truth arrives when, in which units errors are, and what has none."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from archsearch.errors import DataError
from archsearch.tasks.prepare import answers
from archsearch.tasks.prequential import Told, read_streams


def deployed(task):
    """The preparation after it was written down and read again."""
    return json.loads(json.dumps(task.preparation()))


@pytest.mark.parametrize("predict", ["value", "change"])
def test_the_truths_of_a_series_are_those_of_its_task(opened, monthly, predict):
    task = opened("forecasting", data=str(monthly), context=12, horizon=3, predict=predict)
    streams = read_streams(monthly, deployed(task))
    (told,) = streams.told
    origins = np.arange(12, 118)
    batch = task.gather(origins)
    np.testing.assert_array_equal(told.inputs[: len(task.inputs)], task.inputs)
    np.testing.assert_allclose(told.targets[origins - 1], batch.targets, rtol=1e-5)
    assert np.isnan(told.targets[-1]).all()
    assert np.isnan(told.targets[-2]).tolist() == [False, True, True]


def test_a_truth_arrives_with_its_step(opened, monthly):
    task = opened("forecasting", data=str(monthly), context=12, horizon=3)
    (told,) = read_streams(monthly, deployed(task)).told
    assert list(told.arriving(0)) == []
    for step in (1, 2, 5, 119):
        found = dict(told.arriving(step))
        assert sorted(found) == list(range(min(3, step)))
        for ago, targets in found.items():
            # the answer of step - 1 - ago foresaw this step as its output number ago
            assert np.flatnonzero(~np.isnan(targets)).tolist() == [ago]
            assert targets[ago] == told.targets[step - 1 - ago, ago]


def test_missing_values_are_not_told(opened, tmp_path, monthly):
    task = opened("forecasting", data=str(monthly), context=12, horizon=2)
    table = pd.read_csv(monthly)
    table.loc[50, "value"] = np.nan
    table.to_csv(tmp_path / "gap.csv", index=False)
    (told,) = read_streams(tmp_path / "gap.csv", deployed(task)).told
    assert list(told.arriving(50)) == []
    assert len(list(told.arriving(51))) == 2


@pytest.mark.parametrize("predict", ["value", "change"])
def test_errors_are_in_the_units_of_the_file(opened, monthly, predict):
    task = opened("forecasting", data=str(monthly), context=12, horizon=2, predict=predict)
    streams = read_streams(monthly, deployed(task))
    (told,) = streams.told
    unit = task.scaler.scale[0] * task.scaler.spread
    found = streams.errors([told.targets + np.float32(1 / unit)])
    assert len(found) == 119 + 118
    np.testing.assert_allclose(found, 1.0, atol=1e-4)
    table = answers(streams.prepared, streams.put_out([told.targets]), deployed(task))
    assert list(table["step"]) == [1, 2]


def test_a_text_is_one_stream(opened, tmp_path):
    text = "the quick brown fox jumps over the lazy dog. " * 40
    (tmp_path / "text.txt").write_text(text)
    task = opened("tokens", data=str(tmp_path / "text.txt"), context=16, warmup=4)
    (tmp_path / "new.txt").write_text("the dog")
    streams = read_streams(tmp_path / "new.txt", deployed(task))
    (told,) = streams.told
    np.testing.assert_array_equal(told.targets[:-1], told.inputs[1:])
    assert told.targets[-1] == -1
    assert list(told.arriving(3)) == [(0, told.inputs[3])]
    even = np.zeros((7, task.signature.outputs))
    np.testing.assert_allclose(streams.errors([even]), np.log2(task.signature.outputs))
    table = answers(streams.prepared, streams.put_out([even]), deployed(task))
    assert table["character"].tolist() == [*"he dog", ""]


def test_where_no_truth_arrives_nothing_is_learned(opened, wide):
    task = opened("classification", data=str(wide))
    with pytest.raises(DataError, match="nothing to learn from: the truth of a prediction arrives"):
        read_streams(wide, deployed(task))


def test_classes_that_are_not_known_are_told_as_such():
    told = Told(np.arange(3), np.asarray([1, 2, -1]))
    assert [list(told.arriving(step)) for step in range(3)] == [[], [(0, 1)], [(0, 2)]]
