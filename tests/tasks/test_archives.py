"""Archives read by aeon: sets with official splits, bundled series, faulty .ts files."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.tasks.archives import bundled_sets
from archsearch.tasks.prepare import answers, read_for_prediction

HEADER = """@problemName small
@timestamps false
@missing false
@univariate true
@equallength true
@classLabel true a b
@data
"""

# train and validation, test, channels, classes, shortest and longest
SETS = {
    "ItalyPowerDemand": (67, 1029, 1, 2, [24, 24]),
    "GunPoint": (50, 150, 1, 2, [150, 150]),
    "JapaneseVowels": (270, 370, 12, 9, [7, 29]),
    "BasicMotions": (40, 40, 6, 4, [100, 100]),
    "ArrowHead": (36, 175, 1, 3, [251, 251]),
}


def small_file(path, rows=12, start=0.0):
    lines = [f"{start + row},{row + 1},{row % 3}:{'ab'[row % 2]}" for row in range(rows)]
    path.write_text(HEADER + "\n".join(lines) + "\n")


@pytest.mark.parametrize("name", SETS)
def test_a_bundled_set_has_its_official_test_split(opened, name):
    pool, held, channels, classes, lengths = SETS[name]
    task = opened("classification", data=f"ucr:{name}")
    facts = task.describe()
    assert facts["train"] + facts["validation"] == pool
    assert (facts["test"], facts["inputs"], facts["outputs"]) == (held, channels, classes)
    assert facts["length"] == lengths
    seen = set()
    for split in ("train", "validation", "test"):
        rows = np.concatenate([batch.rows for batch in task.evaluation(split)])
        assert not seen & set(rows)
        seen |= set(rows)
        targets = np.concatenate([batch.targets for batch in task.evaluation(split)])
        assert set(targets) == set(range(classes))
    assert seen == set(range(pool + held))


def test_the_majority_of_italy_power_demand_scores_a_half(opened):
    scores = opened("classification", data="ucr:ItalyPowerDemand").baselines("test")["majority"]
    assert scores["accuracy"] == pytest.approx(513 / 1029)
    assert scores["balanced_accuracy"] == 0.5


def test_unequal_lengths_are_padded_after_their_end(opened):
    task = opened("classification", data="ucr:JapaneseVowels")
    batch = task.batch(np.random.default_rng(0), 32, 0.0)
    assert len(set(batch.lengths)) > 3
    for inputs, length in zip(batch.inputs, batch.lengths, strict=True):
        assert inputs[:length].any(axis=1).all()
        assert not inputs[length:].any()


def test_a_bundled_regression_set(opened):
    task = opened("regression", data="ucr:Covid3Month")
    facts = task.describe()
    assert (facts["train"], facts["validation"], facts["test"]) == (105, 35, 61)
    assert task.baselines("test")["mean"]["rmse"] == pytest.approx(0.0446, abs=2e-4)
    with pytest.raises(DataError, match=r"156 different values.*regression"):
        opened("classification", data="ucr:Covid3Month")


def test_an_unknown_set_lists_those_there_are(opened):
    assert {"GunPoint", "BasicMotions", "Covid3Month"} <= set(bundled_sets())
    with pytest.raises(
        DataError, match=r"did you mean 'GunPoint'\?\); there are: ACSF1, ArrowHead"
    ):
        opened("classification", data="ucr:GunPont")


def test_a_train_file_brings_the_test_file_beside_it(opened, tmp_path):
    small_file(tmp_path / "small_TRAIN.ts")
    small_file(tmp_path / "small_TEST.ts", rows=6, start=100.0)
    task = opened("classification", data=str(tmp_path / "small_TRAIN.ts"), normalise="none")
    test = next(iter(task.evaluation("test")))
    assert test.inputs[:, 0, 0].tolist() == [100, 101, 102, 103, 104, 105]
    (tmp_path / "small_TEST.ts").unlink()
    alone = opened("classification", data=str(tmp_path / "small_TRAIN.ts"))
    assert sum(alone.describe()[split] for split in ("train", "validation", "test")) == 12


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER, "has no sequences after '@data'"),
        (HEADER + "1,2,3:a\n1,2:b\n", "is not a readable .ts file"),
        (HEADER + "1,x,3:a\n", "is not a readable .ts file: could not convert"),
        (HEADER.replace("timestamps false", "timestamps true") + "(1,2.0):a\n", "time stamps"),
        (HEADER.replace("@classLabel true a b", "@classLabel false") + "1,2\n", "no labels"),
    ],
)
def test_a_faulty_archive_is_one_line(opened, tmp_path, content, message):
    path = tmp_path / "faulty.ts"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        opened("classification", data=str(path))
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["Airline", "solar", "Uschange"])
def test_a_bundled_series_is_forecast(opened, name):
    task = opened("forecasting", data=f"aeon:{name}", context=8, horizon=2)
    facts = task.describe()
    assert facts["series"] == 1
    assert facts["length"][0] > 2 * facts["test"]
    assert task.score(*exact(task))["mae"] == pytest.approx(0, abs=1e-4)


def exact(task):
    """The truth of the test split as predictions."""
    batches = list(task.evaluation("test"))
    return [batch.targets for batch in batches], batches


def test_a_bundled_series_is_forecast_from_its_end(opened):
    task = opened("forecasting", data="aeon:Airline", context=8, horizon=2)
    prepared = read_for_prediction("aeon:Airline", task.preparation())
    table = answers(prepared, [np.zeros((1, 2), dtype=np.float32)], task.preparation())
    assert table["time"].tolist() == ["1961-01-01", "1961-02-01"]
    np.testing.assert_allclose(table["prediction"], 432, atol=20)


@pytest.mark.parametrize(
    ("task", "data", "message"),
    [
        ("forecasting", "aeon:Solar", r"did you mean 'solar'\?\); there are: Airline, .*, solar$"),
        ("forecasting", "ucr:GunPoint", "ucr:GunPoint: a set read by classification and regres"),
        ("classification", "aeon:solar", "aeon:solar: a series read by forecasting; .* ucr:NAME$"),
    ],
)
def test_a_bundled_name_that_does_not_fit_says_what_does(opened, task, data, message):
    with pytest.raises(DataError, match=message):
        opened(task, data=data)


def test_a_bundled_name_without_aeon_says_how_to_get_it(opened, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"aeon:solar needs aeon; try 'pip install archsearch"):
        opened("forecasting", data="aeon:solar", context=9)
