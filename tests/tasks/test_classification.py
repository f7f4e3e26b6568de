"""Classification and regression over files: layouts, splits, missing values, faults."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from archsearch.errors import DataError
from archsearch.tasks.classification import class_positions
from archsearch.tasks.splits import hold_out

SPLITS = ("train", "validation", "test")


def long_table(n=40, channels=2, seed=0, labels=("low", "high")) -> pd.DataFrame:
    """Sequences of 3 to 8 steps, rows shuffled; the class is the sign of the first channel."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in range(n):
        label = labels[name % 2]
        for step in range(3 + name % 6):
            values = rng.standard_normal(channels) + (3 if name % 2 else -3)
            rows.append([f"s{name}", step, *values, label])
    columns = ["id", "time", *[f"c{place}" for place in range(channels)], "label"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=seed)


def numbers(task, split):
    return np.concatenate([batch.rows for batch in task.evaluation(split)])


def test_a_wide_table_is_split_by_class_without_a_shared_row(opened, wide):
    task = opened("classification", data=str(wide))
    assert task.signature.to_plain() == {
        "inputs": "values",
        "channels": 1,
        "targets": "class",
        "outputs": 2,
        "every_step": False,
        "length": 9,
    }
    found = {split: numbers(task, split) for split in SPLITS}
    assert sorted(np.concatenate(list(found.values()))) == list(range(60))
    assert {split: len(rows) for split, rows in found.items()} == {
        "train": 36,
        "validation": 12,
        "test": 12,
    }
    for rows in found.values():
        assert (rows % 3 == 0).sum() * 3 == len(rows)
    assert task.describe()["classes"] == {"going down": 40, "going up": 20}


def test_values_arrive_normalised_by_train_alone(opened, wide):
    task = opened("classification", data=str(wide))
    raw = pd.read_csv(wide).drop(columns="label").to_numpy()
    train = raw[numbers(task, "train")]
    batch = next(iter(task.evaluation("test")))
    wanted = (raw[batch.rows] - train.mean()) / train.std()
    np.testing.assert_allclose(batch.inputs[..., 0], wanted, rtol=1e-5, atol=1e-6)
    assert batch.inputs.dtype == np.float32


def test_the_other_normalisations(opened, wide):
    raw = pd.read_csv(wide).drop(columns="label").to_numpy()
    plain = next(
        iter(opened("classification", data=str(wide), normalise="none").evaluation("test"))
    )
    np.testing.assert_allclose(plain.inputs[..., 0], raw[plain.rows], rtol=1e-6)
    each = opened("classification", data=str(wide), normalise="sequence")
    batch = next(iter(each.evaluation("test")))
    np.testing.assert_allclose(batch.inputs.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(batch.inputs.std(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-21, 1e12])
def test_each_sequence_is_brought_to_one_scale_in_any_unit(opened, tmp_path, unit):
    rng = np.random.default_rng(0)
    steps = unit * rng.standard_normal((12, 5))
    steps[3] = unit
    table = pd.DataFrame(steps).assign(label=["a", "b"] * 6)
    table.to_csv(tmp_path / "wide.csv", index=False)
    task = opened("classification", data=str(tmp_path / "wide.csv"), normalise="sequence")
    spread = task.gather(np.arange(12)).inputs[..., 0].std(axis=1)
    np.testing.assert_allclose(np.delete(spread, 3), 1, rtol=1e-5)
    assert spread[3] == 0


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_long_table_is_found_ordered_and_padded(opened, tmp_path, suffix):
    table = long_table()
    path = tmp_path / f"long.{suffix}"
    getattr(table, f"to_{suffix}")(path, index=False)
    task = opened("classification", data=str(path), normalise="none")
    assert task.describe()["layout"] == "long"
    assert (task.signature.channels, task.signature.length) == (2, 8)
    names = list(dict.fromkeys(table["id"]))
    for split in SPLITS:
        for batch in task.evaluation(split, 5):
            for place, row in enumerate(batch.rows):
                own = table[table["id"] == names[row]].sort_values("time")
                length = batch.lengths[place]
                assert length == len(own)
                wanted = own[["c0", "c1"]].to_numpy(dtype=np.float32)
                np.testing.assert_array_equal(batch.inputs[place, :length], wanted)
                assert not batch.inputs[place, length:].any()
                label = task.classes[batch.targets[place]]
                assert label == own["label"].iloc[0]


def test_arrays_and_a_table_of_the_same_data_agree(opened, tmp_path, wide):
    table = pd.read_csv(wide)
    path = tmp_path / "x.npz"
    x = table.drop(columns="label").to_numpy()
    np.savez(path, x=x, y=table["label"].to_numpy(dtype=str))
    first, second = (opened("classification", data=str(data)) for data in (wide, path))
    for split in SPLITS:
        one, other = next(iter(first.evaluation(split))), next(iter(second.evaluation(split)))
        assert one.inputs.tobytes() == other.inputs.tobytes()
        assert one.targets.tobytes() == other.targets.tobytes()
    np.savez(path, x=np.stack([x, x], axis=2), y=table["label"].to_numpy(dtype=str))
    assert opened("classification", data=str(path)).signature.channels == 2


def test_confirming_adds_validation_to_train_and_changes_no_shape(opened, wide):
    search = opened("classification", data=str(wide))
    confirm = opened("classification", protocol="confirm", data=str(wide))
    assert (numbers(search, "test") == numbers(confirm, "test")).all()
    both = np.sort(np.concatenate([numbers(search, "train"), numbers(search, "validation")]))
    assert (numbers(confirm, "train") == both).all()
    assert confirm.signature == search.signature
    assert confirm.fingerprint == search.fingerprint


def test_a_test_file_is_the_test_split(opened, tmp_path, wide):
    table = pd.read_csv(wide)
    held = tmp_path / "held.csv"
    table.iloc[::-1].head(10)[["label", *table.columns[:-1]]].to_csv(held, index=False)
    task = opened("classification", data=str(wide), test=str(held))
    assert (numbers(task, "test") == np.arange(60, 70)).all()
    assert len(numbers(task, "train")) + len(numbers(task, "validation")) == 60
    held.write_text(held.read_text().replace("step3", "stepp3"))
    with pytest.raises(DataError, match=r"held\.csv: no column 'step3' .*mean 'stepp3'"):
        opened("classification", data=str(wide), test=str(held))


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


def test_a_class_with_one_row_stays_in_train_and_is_noted(opened, wide):
    lines = wide.read_text().splitlines()
    lines[1] = lines[1].rsplit(",", 1)[0] + ",lonely"
    wide.write_text("\n".join(lines))
    task = opened("classification", data=str(wide))
    assert task.describe()["notes"] == ["classes with a single sequence: lonely"]
    assert 0 in numbers(task, "train")


def test_every_class_of_three_rows_is_in_every_split():
    classes = np.repeat(np.arange(10), 3)
    rng = np.random.default_rng(0)
    rest, test = hold_out(np.arange(30), 0.01, rng, classes)
    train, validation = hold_out(rest, 0.01, rng, classes[rest])
    for part in (train, validation, test):
        assert sorted(classes[part]) == list(range(10))
    assert sorted(np.concatenate([train, validation, test])) == list(range(30))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([2**60 + 1, 2**60, -3], [-3, 2**60, 2**60 + 1]),
        (["10", "9", "9"], [9, 10]),
        ([1.0, 0.0, 1.0], [0, 1]),
        (["007", "7"], ["007", "7"]),
    ],
)
def test_classes_are_numbers_where_no_digit_is_lost(labels, classes):
    names, places = class_positions(np.array(labels))
    assert names == classes
    assert [names[place] for place in places] == [type(names[0])(label) for label in labels]


def test_the_metrics_are_right(opened, wide):
    task = opened("classification", data=str(wide), test_fraction=0.5)
    batches = list(task.evaluation("test", 7))
    targets = np.concatenate([batch.targets for batch in batches])
    assert np.bincount(targets).tolist() == [20, 10]
    down = [np.tile([np.log(3.0), 0.0], (batch.size, 1)) for batch in batches]
    scores = task.score(down, batches)
    assert scores["accuracy"] == pytest.approx(2 / 3)
    assert scores["balanced_accuracy"] == 0.5
    assert scores["loss"] == pytest.approx(-(2 * np.log(0.75) + np.log(0.25)) / 3)
    assert task.baselines("test")["majority"]["accuracy"] == pytest.approx(2 / 3)
    assert task.chance()["accuracy"] == 0.5


def test_training_batches_come_from_train_without_a_repeat(opened, wide):
    task = opened("classification", data=str(wide))
    train = set(numbers(task, "train"))
    batch = task.batch(np.random.default_rng(0), 30, 0.5)
    assert len(set(batch.rows)) == 30
    assert set(batch.rows) <= train
    assert task.batch(np.random.default_rng(0), 30, 0.1).inputs.tobytes() == batch.inputs.tobytes()
    assert set(task.batch(np.random.default_rng(0), 999, 0.5).rows) == train


def test_regression_is_judged_in_its_own_units(opened, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 6))
    path = tmp_path / "r.npz"
    y = 1000 + 50 * x.mean(axis=1)
    np.savez(path, x=x, y=y)
    task = opened("regression", data=str(path))
    batches = list(task.evaluation("test", 4))
    rows = np.concatenate([batch.rows for batch in batches])
    perfect = task.score([batch.targets for batch in batches], batches)
    assert perfect["rmse"] == pytest.approx(0, abs=1e-4)
    assert perfect["r2"] == pytest.approx(1)
    off = task.score([b.targets + 1 for b in batches], batches)
    train = y[numbers(task, "train")]
    assert off["mae"] == pytest.approx(train.std(), rel=1e-5)
    assert off["rmse"] == pytest.approx(train.std(), rel=1e-5)
    mean = task.baselines("test")["mean"]
    assert mean["rmse"] == pytest.approx(np.sqrt(np.mean((y[rows] - train.mean()) ** 2)))
    assert [goal.metric for goal in task.metrics] == ["rmse", "mae", "r2"]


def test_a_constant_target_neither_divides_by_zero_nor_explains(opened, tmp_path):
    path = tmp_path / "r.npz"
    np.savez(path, x=np.random.default_rng(0).random((20, 4)), y=np.full(20, 3.0))
    scores = opened("regression", data=str(path)).baselines("test")["mean"]
    assert scores == {"rmse": 0.0, "mae": 0.0, "r2": 1.0}


@pytest.mark.parametrize("value", [0.1, 3.7, -1e9])
def test_what_misses_a_constant_target_explains_nothing(opened, tmp_path, value):
    """Although the mean of equal numbers is not always that number."""
    path = tmp_path / "r.npz"
    np.savez(path, x=np.random.default_rng(0).random((60, 4)), y=np.full(60, value))
    task = opened("regression", data=str(path))
    assert {name: each["r2"] for name, each in task.baselines().items()} == {
        "mean": 1.0,
        "median": 1.0,
    }
    batches = list(task.evaluation("test"))
    assert task.score([batch.targets + 0.5 for batch in batches], batches)["r2"] == 0.0


def test_no_error_of_the_training_split_is_what_a_guess_has_on_test(opened, tmp_path):
    path = tmp_path / "r.npz"
    np.savez(path, x=np.random.default_rng(0).random((60, 4)), y=np.arange(60.0))
    assert opened("regression", data=str(path)).chance() == {"r2": 0.0}


def test_large_offsets_keep_their_digits(opened, tmp_path):
    path = tmp_path / "r.npz"
    x = 1e12 + np.arange(20 * 4).reshape(20, 4)
    np.savez(path, x=x, y=np.arange(20) % 2)
    batch = next(iter(opened("classification", data=str(path)).evaluation("train")))
    assert len(np.unique(batch.inputs)) == batch.inputs.size


FAULTS = {
    "three rows": (["a,b,y", "1,2,u", "2,3,v", "1,1,u"], {}, "3 sequences are too few"),
    "no such target": (None, {"target": "lable"}, "no column 'lable' .target.*mean 'label'"),
    "no such feature": (None, {"features": "step0, stp1"}, "no column 'stp1' .features.*'step1'"),
    "target as feature": (None, {"features": "step0,label"}, "cannot be both target and feature"),
    "text feature": (None, {"target": "step0"}, "column 'label' is not numeric in row 1"),
    "long without id": (None, {"layout": "long"}, "needs an id column; name it with 'id'"),
    "time in wide": (None, {"time": "step0"}, "a time column needs the layout long"),
    "one class": (["a,y"] + ["1,u"] * 9, {}, "target 'y' has one class"),
    "numbers as classes": (
        ["a,y", *[f"1,{place / 7}" for place in range(20)]],
        {},
        "20 different values in 20 sequences.*regression",
    ),
    "empty target": (["a,y"] + ["1,u", "2,"] * 9, {}, "'y' is missing in 9 rows, first in row 2"),
    "all classes single": (
        ["a,b,y", *[f"1,2,{label}" for label in "aabbccddeeffgghhi"[::2]]],
        {},
        "9 different values in 9",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_data_is_one_line(opened, tmp_path, wide, fault):
    lines, options, message = FAULTS[fault]
    path = wide
    if lines is not None:
        path = tmp_path / "faulty.csv"
        path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=message) as caught:
        opened("classification", data=str(path), **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_faults_of_long_tables_name_the_sequence(opened, tmp_path):
    path = tmp_path / "long.csv"
    table = long_table().sort_values(["id", "time"])
    changed = table.copy()
    changed.iloc[1, -1] = "other"
    changed.to_csv(path, index=False)
    with pytest.raises(DataError, match="target 'label' changes within 'id' s0"):
        opened("classification", data=str(path))
    changed = table.copy()
    changed.iloc[1, 1] = 0
    changed.to_csv(path, index=False)
    with pytest.raises(DataError, match="time '0' occurs twice in s0, see row 2"):
        opened("classification", data=str(path))
    changed = table.copy()
    changed.iloc[2, 0] = None
    changed.to_csv(path, index=False)
    with pytest.raises(DataError, match="id column 'id' is empty in row 3"):
        opened("classification", data=str(path))


def test_regression_of_words_points_to_classification(opened, wide):
    with pytest.raises(DataError, match="'going up'; for classes use the task classification"):
        opened("regression", data=str(wide))


def test_array_files_never_unpickle(opened, tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([{"a": 1}], dtype=object), y=np.zeros(1))
    with pytest.raises(DataError, match=r"is not a readable \.npz: Object arrays"):
        opened("classification", data=str(path))
    path.write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(DataError, match=r"is not a readable \.npz"):
        opened("classification", data=str(path))
    np.savez(path, values=np.zeros((9, 4)), y=np.zeros(9))
    with pytest.raises(DataError, match="has no array 'x'; its arrays are values, y"):
        opened("classification", data=str(path))
    np.savez(path, x=np.zeros((9, 4)), y=np.zeros(8))
    with pytest.raises(DataError, match=r"y must have shape .9,., got .8,."):
        opened("classification", data=str(path))
    np.savez(path, x=np.zeros(9), y=np.zeros(9))
    with pytest.raises(DataError, match="x must be numbers of shape"):
        opened("classification", data=str(path))


def test_an_unknown_kind_of_file_lists_the_readers(opened, tmp_path):
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"PK")
    with pytest.raises(DataError, match=r"no reader for this kind of file.*\.csv.*\.ts"):
        opened("classification", data=str(path))


def test_the_fingerprint_follows_bytes_and_options_and_not_the_path(opened, tmp_path, wide):
    task = opened("classification", data=str(wide))
    moved = tmp_path / "elsewhere.csv"
    moved.write_bytes(wide.read_bytes())
    assert opened("classification", data=str(moved)).fingerprint == task.fingerprint
    assert opened("classification", data=str(wide), split_seed=1).fingerprint != task.fingerprint
    moved.write_text(wide.read_text().replace("going up", "going  up"))
    assert opened("classification", data=str(moved)).fingerprint != task.fingerprint
