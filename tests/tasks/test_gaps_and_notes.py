"""What a table of sequences lacks is carried forward, flagged or noted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sequence_tables import SPLITS, long_table

from archsearch.errors import DataError


def test_missing_values_are_carried_forward_and_flagged(opened, tmp_path):
    table = long_table(n=20, channels=2).sort_values(["id", "time"])
    first = table.groupby("id").cumcount()
    table.loc[first == 1, "c1"] = np.nan
    table.loc[(first == 0) & (table["id"] == "s4"), "c1"] = np.nan
    path = tmp_path / "gaps.csv"
    table.to_csv(path, index=False)
    task = opened("classification", data=str(path))
    assert task.signature.channels == 3
    assert task.describe()["notes"] == ["missing values in c1: carried forward, and flagged"]
    names = list(dict.fromkeys(table["id"]))
    for split in SPLITS:
        for batch in task.evaluation(split):
            inside = np.arange(batch.inputs.shape[1]) < batch.lengths[:, None]
            assert np.isfinite(batch.inputs).all()
            assert (batch.inputs[:, 1, 2] == 1).all()
            assert (batch.inputs[..., 2][:, 2:] == 0).all()
            assert (batch.inputs[~inside] == 0).all()
            for row, inputs in zip(batch.rows, batch.inputs, strict=True):
                if names[row] == "s4":
                    assert inputs[0, 1] == inputs[1, 1] == 0
                else:
                    assert inputs[1, 1] == inputs[0, 1] != 0


def test_a_wide_row_that_ends_in_empty_cells_is_shorter(opened, tmp_path, wide):
    table = pd.read_csv(wide)
    table.loc[::2, ["step7", "step8"]] = np.nan
    path = tmp_path / "ragged.csv"
    table.to_csv(path, index=False)
    task = opened("classification", data=str(path))
    assert task.signature.channels == 1
    for batch in task.evaluation("train"):
        assert (batch.lengths == np.where(batch.rows % 2 == 0, 7, 9)).all()
    table.loc[5] = [np.nan] * 9 + ["going up"]
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match="1 of 60 rows have no values, first row 6; remove"):
        opened("classification", data=str(path))


def test_constant_and_empty_columns_are_noted(opened, tmp_path):
    table = long_table()
    table["flat"], table["void"], table["word"] = 7.0, np.nan, "w"
    path = tmp_path / "flat.csv"
    table.to_csv(path, index=False)
    task = opened("classification", data=str(path))
    notes = task.describe()["notes"]
    assert "column 'word' left out: not numeric" in notes
    assert "constant in the training split: flat" in notes
    assert "no value in the training split: void" in notes
    batch = next(iter(task.evaluation("train")))
    assert (batch.inputs[..., 2] == 0).all()
    assert np.isfinite(batch.inputs).all()


def test_columns_whose_names_hold_commas_are_listed_by_them(opened, tmp_path):
    path = tmp_path / "commas.csv"
    table = long_table().rename(columns={"c0": "Druck, bar", "c1": "Ort, Nr., Halle"})
    table.to_csv(path, index=False)
    task = opened("classification", data=str(path), features="Druck, bar,Ort, Nr., Halle")
    assert task.signature.channels == 2
    task = opened("classification", data=str(path), ignore="time,Ort, Nr., Halle")
    assert task.signature.channels == 1


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["s1", "s2", "s10"], None),
        (["s1", "s10", "s2"], "steps are the columns in the order of the file: 's10' before 's2'"),
        (["x_0", "x_1", "y_0", "y_1"], "columns are taken as 4 steps of one channel; if 'x_...'"),
        (["2023-1", "2023-2", "2024-1", "2024-2"], None),
        (["first", "second"], None),
    ],
)
def test_names_of_steps_that_tell_of_another_order_are_noted(opened, tmp_path, names, note):
    path = tmp_path / "wide.csv"
    table = pd.DataFrame(np.random.default_rng(0).standard_normal((40, len(names))), columns=names)
    table.assign(label=["a", "b"] * 20).to_csv(path, index=False)
    notes = opened("classification", data=str(path)).describe()["notes"]
    assert len(notes) == (note is not None)
    assert note is None or notes[0].startswith(note)
    listed = opened("classification", data=str(path), features=",".join(names))
    assert listed.describe()["notes"] == []


def test_rows_without_a_time_are_noted_to_be_in_the_order_of_the_file(opened, tmp_path):
    path = tmp_path / "long.csv"
    long_table().rename(columns={"time": "Schritt"}).to_csv(path, index=False)
    note = "no time column: steps are in the order of the file"
    assert note in opened("classification", data=str(path)).describe()["notes"]
    assert not opened("classification", data=str(path), time="Schritt").describe()["notes"]
