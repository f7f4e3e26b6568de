"""Classification over files: layouts, splits, classes, metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sequence_tables import SPLITS, long_table, numbers

from archsearch.errors import DataError
from archsearch.tasks.classification import class_positions
from archsearch.tasks.splits import hold_out


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


def test_the_fingerprint_follows_bytes_and_options_and_not_the_path(opened, tmp_path, wide):
    task = opened("classification", data=str(wide))
    moved = tmp_path / "elsewhere.csv"
    moved.write_bytes(wide.read_bytes())
    assert opened("classification", data=str(moved)).fingerprint == task.fingerprint
    assert opened("classification", data=str(wide), split_seed=1).fingerprint != task.fingerprint
    moved.write_text(wide.read_text().replace("going up", "going  up"))
    assert opened("classification", data=str(moved)).fingerprint != task.fingerprint
