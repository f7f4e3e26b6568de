"""Forecasting: windows in time order, scales, baselines against hand-made values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from archsearch.errors import DataError

OPTIONS = {"context": 12, "horizon": 3, "season": 12}


def origins(task, split):
    return np.concatenate([batch.rows for batch in task.evaluation(split)])


def test_windows_keep_the_order_of_time(opened, monthly):
    task = opened("forecasting", data=str(monthly), **OPTIONS)
    facts = task.describe()
    assert facts["target"] == "value"
    assert (facts["train"], facts["validation"], facts["test"]) == (70, 16, 16)
    assert origins(task, "train").tolist() == list(range(12, 82))
    assert origins(task, "validation").tolist() == list(range(84, 100))
    assert origins(task, "test").tolist() == list(range(102, 118))
    confirm = opened("forecasting", protocol="confirm", data=str(monthly), **OPTIONS)
    assert origins(confirm, "train").tolist() == list(range(12, 100))
    assert origins(confirm, "test").tolist() == origins(task, "test").tolist()
    assert confirm.signature == task.signature
    assert confirm.fingerprint == task.fingerprint


@pytest.mark.parametrize("predict", ["change", "value"])
def test_a_window_holds_the_past_and_its_target_what_follows(opened, monthly, predict):
    task = opened("forecasting", data=str(monthly), predict=predict, **OPTIONS)
    table = pd.read_csv(monthly)
    raw, train = table["value"].to_numpy(), table["value"].to_numpy()[:84]
    for batch in task.evaluation("test", 5):
        assert batch.inputs.shape == (batch.size, 12, 2)
        for place, origin in enumerate(batch.rows):
            past = (raw[origin - 12 : origin] - train.mean()) / train.std()
            np.testing.assert_allclose(batch.inputs[place, :, 0], past, rtol=1e-5, atol=1e-6)
        truth = task.score([batch.targets], [batch])
        assert truth["mae"] == pytest.approx(0, abs=1e-4)
        shifted = task.score([batch.targets + 1], [batch])
        assert shifted["mae"] > 5
    changes = np.concatenate([b.targets for b in task.evaluation("train")])
    if predict == "change":
        assert np.sqrt(np.mean(changes**2)) == pytest.approx(1, rel=1e-4)


def test_nothing_of_the_future_enters_a_window(opened, tmp_path, monthly):
    table = pd.read_csv(monthly)
    table.loc[104:, ["lead", "value"]] = 9e9
    changed = tmp_path / "changed.csv"
    table.to_csv(changed, index=False)
    first = opened("forecasting", data=str(monthly), **OPTIONS)
    second = opened("forecasting", data=str(changed), **OPTIONS)
    for split in ("train", "validation"):
        one, other = next(iter(first.evaluation(split))), next(iter(second.evaluation(split)))
        assert one.inputs.tobytes() == other.inputs.tobytes()
        assert one.targets.tobytes() == other.targets.tobytes()
    before = np.array([102, 103, 104])
    assert first.gather(before).inputs.tobytes() == second.gather(before).inputs.tobytes()


def test_the_baselines_are_what_their_names_say(opened, monthly):
    task = opened("forecasting", data=str(monthly), **OPTIONS)
    raw = pd.read_csv(monthly)["value"].to_numpy()
    places = origins(task, "test")[:, None] + np.arange(3)
    last = np.abs(raw[places] - raw[places[:, :1] - 1]).mean()
    naive = np.abs(raw[12:84] - raw[:72]).mean()
    scores = task.baselines("test")
    assert scores["last value"]["mae"] == pytest.approx(last)
    assert scores["last value"]["mase"] == pytest.approx(last / naive)
    assert scores["seasonal naive"]["mae"] == pytest.approx(24.0)
    assert scores["seasonal naive"]["mase"] == pytest.approx(24 / naive)
    assert scores["mean"]["mae"] == pytest.approx(np.abs(raw[places] - raw[:84].mean()).mean())
    # how large the error of a guess is depends on the split
    assert task.chance() == {}


def test_the_seasonal_naive_forecast_beyond_a_season_repeats_the_last_one(opened, monthly):
    task = opened("forecasting", data=str(monthly), context=12, horizon=5, season=2)
    raw = pd.read_csv(monthly)["value"].to_numpy()
    errors = []
    for origin in origins(task, "test"):
        said = [raw[origin - 2], raw[origin - 1]] * 3
        errors.append(np.abs(raw[origin : origin + 5] - said[:5]))
    assert task.baselines("test")["seasonal naive"]["mae"] == pytest.approx(np.mean(errors))


def several(tmp_path, times=True):
    """Three series of different scale and span, rows shuffled."""
    rows = []
    for name, (scale, begin, steps) in {
        "big": (1000.0, 0, 60),
        "small": (1.0, 0, 60),
        "late": (10.0, 30, 30),
    }.items():
        for step in range(begin, begin + steps):
            rows.append([name, step, scale * (step % 7)])
    table = pd.DataFrame(rows, columns=["series", "t", "y"])
    table = table.sample(frac=1, random_state=0) if times else table.drop(columns="t")
    path = tmp_path / f"several{times}.csv"
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("times", [True, False])
def test_several_series_are_cut_at_one_moment_or_one_fraction(opened, tmp_path, times):
    task = opened("forecasting", data=str(several(tmp_path, times)), context=5, horizon=2)
    series = task.series
    assert len(series) == 3
    cut = {}
    for split in ("train", "validation", "test"):
        for origin in origins(task, split):
            member = int(np.searchsorted(series.starts, origin, side="right") - 1)
            step = origin - series.starts[member]
            assert step >= 5
            assert step + 2 <= np.diff(series.starts)[member]
            moment = series.moments[origin] if times else step
            cut.setdefault(split, {}).setdefault(str(series.ids[member]), []).append(moment)
    if times:
        assert {max(found) for found in cut["train"].values()} == {40}
        assert {min(found) for found in cut["validation"].values()} == {42}
        assert {min(found) for found in cut["test"].values()} == {51}
    else:
        assert min(cut["test"]["big"]) == 51
        assert min(cut["test"]["late"]) == 25


def test_every_series_has_a_scale_of_its_own(opened, tmp_path):
    task = opened("forecasting", data=str(several(tmp_path)), context=7, horizon=2)
    batch = next(iter(task.evaluation("train", 10_000)))
    names = task.series.ids[np.searchsorted(task.series.starts, batch.rows, side="right") - 1]
    big, small = batch.inputs[names == "big"], batch.inputs[names == "small"]
    np.testing.assert_allclose(big, small, atol=1e-6)
    np.testing.assert_allclose(big.std(axis=1), 1, rtol=0.01)


def test_gaps_are_carried_forward_flagged_and_never_targets(opened, tmp_path, monthly):
    table = pd.read_csv(monthly)
    table.loc[[30, 31, 110], "value"] = np.nan
    path = tmp_path / "gaps.csv"
    table.to_csv(path, index=False)
    task = opened("forecasting", data=str(path), **OPTIONS)
    assert task.signature.channels == 3
    train = set(origins(task, "train"))
    assert train == set(range(12, 82)) - {28, 29, 30, 31}
    assert set(origins(task, "test")) == set(range(102, 118)) - {108, 109, 110}
    window = task.gather(np.array([33]))
    assert window.inputs[0, -3:, 0].tolist() == [window.inputs[0, -4, 0]] * 2 + [
        window.inputs[0, -1, 0]
    ]
    assert window.inputs[0, :, 2].tolist() == [0.0] * 9 + [1.0, 1.0, 0.0]


def test_the_number_of_judged_windows_is_bounded(opened, monthly):
    task = opened("forecasting", data=str(monthly), judged=4, **OPTIONS)
    assert origins(task, "test").tolist() == [102, 107, 112, 117]


def test_training_batches_come_from_train(opened, monthly):
    task = opened("forecasting", data=str(monthly), **OPTIONS)
    batch = task.batch(np.random.default_rng(3), 20, 0.5)
    assert len(set(batch.rows)) == 20
    assert set(batch.rows) <= set(range(12, 82))
    assert batch.inputs.dtype == batch.targets.dtype == np.float32


def test_columns_are_found_and_noted(opened, tmp_path):
    quarters = [f"{1990 + place // 4} Q{place % 4 + 1}" for place in range(80)]
    table = pd.DataFrame({"quarter": quarters, "id": range(80), "word": "w", "gdp": range(80)})
    path = tmp_path / "q.csv"
    table.to_csv(path)
    task = opened("forecasting", data=str(path), context=8, horizon=2)
    roles = task.series.roles
    assert (roles.target, roles.time, roles.id, roles.covariates) == ("gdp", "quarter", None, ())
    assert task.describe()["notes"] == [
        "column 'Unnamed: 0' left out: a count of the rows",
        "column 'id' left out: it names every row, not a series",
        "column 'word' left out: not numeric",
    ]


def test_uneven_steps_are_noted(opened, tmp_path, monthly):
    table = pd.read_csv(monthly).drop(index=[50, 51])
    path = tmp_path / "uneven.csv"
    table.to_csv(path, index=False)
    notes = opened("forecasting", data=str(path), **OPTIONS).describe()["notes"]
    assert notes == ["steps are not evenly spaced in time; they are taken as if they were"]
    assert opened("forecasting", data=str(monthly), **OPTIONS).describe()["notes"] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "valu"}, "no column 'valu' .target.*did you mean 'value'"),
        ({"context": 200}, "no window of 200 . 3 steps .* longest series has 120 steps"),
        ({"test_fraction": 0.6, "validation_fraction": 0.5}, "is 1.1; nothing is left"),
        ({"id": "date", "time": "lead"}, "no window of"),
        ({"target": "date"}, "column 'date' is not numeric in row 1"),
    ],
)
def test_a_fault_is_one_line(opened, monthly, options, message):
    with pytest.raises(DataError, match=message) as caught:
        opened("forecasting", data=str(monthly), **{**OPTIONS, **options})
    assert "\n" not in str(caught.value)


def test_a_repeated_time_asks_for_an_id(opened, tmp_path, monthly):
    lines = monthly.read_text().splitlines()
    path = tmp_path / "twice.csv"
    path.write_text("\n".join([*lines, lines[-1]]))
    with pytest.raises(DataError, match="time '2019-12-01' occurs twice, see row 121; name an id"):
        opened("forecasting", data=str(path), **OPTIONS)
    other = tmp_path / "series.npz"
    np.savez(other, x=np.zeros(3))
    with pytest.raises(DataError, match=r"series are read from \.csv"):
        opened("forecasting", data=str(other))
