"""Predicting on new files: the same inputs as in training, and answers in words and units."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from archsearch.errors import DataError
from archsearch.tasks.prepare import answers, read_for_prediction


def deployed(task):
    """The preparation as a bundle would bring it back."""
    return json.loads(json.dumps(task.preparation()))


def test_a_wide_file_without_target_gives_the_inputs_of_training(opened, tmp_path, wide):
    task = opened("classification", data=str(wide))
    table = pd.read_csv(wide).drop(columns="label")
    table.insert(0, "id", [f"row {place}" for place in range(60)])
    new = tmp_path / "new.csv"
    table[list(reversed(table.columns))].to_csv(new, index=False)
    prepared = read_for_prediction(new, deployed(task))
    assert list(prepared.ids[:2]) == ["row 0", "row 1"]
    wanted = task.gather(np.arange(60))
    assert np.concatenate([b.inputs for b in prepared.batches]).tobytes() == wanted.inputs.tobytes()
    logits = np.tile([0.0, np.log(3.0)], (60, 1))
    found = answers(prepared, [logits], deployed(task))
    assert list(found.columns) == [
        "id",
        "prediction",
        "probability going down",
        "probability going up",
    ]
    assert found["prediction"].tolist() == ["going up"] * 60
    np.testing.assert_allclose(found["probability going up"], 0.75)


def test_a_missing_column_is_suggested(opened, tmp_path, wide):
    task = opened("classification", data=str(wide))
    new = tmp_path / "new.csv"
    pd.read_csv(wide).rename(columns={"step4": "stepp4"}).to_csv(new, index=False)
    with pytest.raises(DataError, match=r"new\.csv: no column 'step4' .*did you mean 'stepp4'"):
        read_for_prediction(new, deployed(task))


def test_long_sequences_keep_their_ids_and_units(opened, tmp_path):
    rows = [[f"s{n}", t, n + t / 10, 100.0 * n] for n in range(300) for t in range(2 + n % 3)]
    path = tmp_path / "long.csv"
    table = pd.DataFrame(rows, columns=["id", "time", "x", "target"])
    table.to_csv(path, index=False)
    task = opened("regression", data=str(path))
    table.drop(columns="target").sample(frac=1, random_state=0).to_csv(path, index=False)
    prepared = read_for_prediction(path, deployed(task))
    assert len(prepared.batches) == 2
    said = [np.zeros((batch.size, 1), dtype=np.float32) for batch in prepared.batches]
    found = answers(prepared, said, deployed(task))
    train = task.answers[task.rows["train"]]
    np.testing.assert_allclose(found["prediction"], train.mean())
    by_name = dict(zip(prepared.ids, range(300), strict=True))
    whole = prepared.batches[0].inputs[by_name["s7"], :3, 0]
    np.testing.assert_allclose(whole, task.gather(np.array([7])).inputs[0, :3, 0], rtol=1e-6)


def test_archives_and_arrays_serve_as_new_files(opened, tmp_path):
    task = opened("classification", data="ucr:GunPoint")
    prepared = read_for_prediction("ucr:GunPoint", deployed(task))
    wanted = task.gather(task.rows["test"])
    assert prepared.batches[0].inputs.tobytes() == wanted.inputs.tobytes()
    path = tmp_path / "new.npz"
    np.savez(path, x=np.ones((3, 150)))
    assert read_for_prediction(path, deployed(task)).batches[0].inputs.shape == (3, 150, 1)
    np.savez(path, x=np.ones((3, 150, 2)))
    with pytest.raises(DataError, match="has 2 channels, the model was trained on 1"):
        read_for_prediction(path, deployed(task))
    table = tmp_path / "new.csv"
    pd.DataFrame(np.ones((2, 150))).assign(label="a").to_csv(table, index=False)
    assert read_for_prediction(table, deployed(task)).batches[0].inputs.shape == (2, 150, 1)


@pytest.mark.parametrize("predict", ["change", "value"])
def test_a_series_is_forecast_from_its_end(opened, tmp_path, monthly, predict):
    task = opened("forecasting", data=str(monthly), context=12, horizon=3, predict=predict)
    table = pd.read_csv(monthly)
    table.iloc[110:, 2] = np.nan
    new = tmp_path / "new.csv"
    table.to_csv(new, index=False)
    prepared = read_for_prediction(new, deployed(task))
    window = task.gather(np.array([110]))
    assert prepared.batches[0].inputs.tobytes() == window.inputs.tobytes()
    found = answers(prepared, [window.targets], deployed(task))
    assert list(found.columns) == ["step", "time", "prediction"]
    assert found["time"].tolist() == ["2019-03-01", "2019-04-01", "2019-05-01"]
    truth = pd.read_csv(monthly)["value"].to_numpy()[110:113]
    np.testing.assert_allclose(found["prediction"], truth, rtol=1e-5)


def test_many_series_short_and_new_ones_too(opened, tmp_path):
    rows = [[name, t, (t % 5) * size] for name, size in (("a", 1.0), ("b", 9.0)) for t in range(60)]
    path = tmp_path / "many.csv"
    pd.DataFrame(rows, columns=["id", "t", "y"]).to_csv(path, index=False)
    task = opened("forecasting", data=str(path), context=10, horizon=2)
    rows = [["new", 7, 4.0], ["new", 8, 5.0], *[["b", t, 9.0 * (t % 5)] for t in range(20)]]
    pd.DataFrame(rows, columns=["id", "t", "y"]).to_csv(path, index=False)
    prepared = read_for_prediction(path, deployed(task))
    batch = prepared.batches[0]
    assert batch.lengths.tolist() == [2, 10]
    assert not batch.inputs[0, 2:].any()
    found = answers(prepared, [np.zeros((2, 2), np.float32)], deployed(task))
    assert found["id"].tolist() == ["new", "new", "b", "b"]
    assert found["time"].tolist() == [9, 10, 20, 21]
    assert found["prediction"].tolist() == [5.0, 5.0, 36.0, 36.0]
    pd.DataFrame([["b", 1, None]], columns=["id", "t", "y"]).to_csv(path, index=False)
    with pytest.raises(DataError, match="series b has no values"):
        read_for_prediction(path, deployed(task))


@pytest.mark.parametrize("length", [1, 2, 12, 13, 60])
def test_a_text_gets_a_probability_per_character_and_the_next_one(opened, tmp_path, length):
    path = tmp_path / "t.txt"
    path.write_text("abcd" * 100)
    task = opened("tokens", data=str(path), context=12, warmup=4)
    new = tmp_path / "new.txt"
    text = ("abcd" * 20)[:length]
    new.write_text(text)
    prepared = read_for_prediction(new, deployed(task))
    said = []
    for batch in prepared.batches:
        following = np.where(batch.inputs == 0, 0, batch.inputs % 4 + 1)
        said.append(np.where(np.arange(5) == following[..., None], 9.0, 0.0))
    found = answers(prepared, said, deployed(task))
    assert found["position"].tolist() == list(range(2, length + 2))
    assert "".join(found["character"]) == text[1:]
    assert "".join(found["prediction"]) == ("abcd" * 20)[1 : length + 1]
    sure = np.log2(np.exp(9) / (np.exp(9) + 4))
    np.testing.assert_allclose(found["log2_probability"][:-1], sure, rtol=1e-6)
    assert np.isnan(found["log2_probability"].iloc[-1])


def test_a_generated_task_reads_arrays(opened, tmp_path):
    parity = opened("parity", length=9)
    path = tmp_path / "bits.npz"
    np.savez(path, x=np.array([[0, 1, 1], [1, 0, 0]]))
    prepared = read_for_prediction(path, deployed(parity))
    assert prepared.batches[0].inputs.tolist() == [[0, 1, 1], [1, 0, 0]]
    assert prepared.batches[0].inputs.dtype == np.int64
    logits = np.zeros((2, 3, 2))
    logits[0, 1, 1] = 1.0
    found = answers(prepared, [logits], deployed(parity))
    assert found["prediction"].tolist() == [0, 1, 0, 0, 0, 0]
    assert found["id"].tolist() == [1, 1, 1, 2, 2, 2]
    np.savez(path, x=np.array([[0, 1, 2]]))
    with pytest.raises(DataError, match="x must be whole numbers from 0 to 1"):
        read_for_prediction(path, deployed(parity))
    adding = opened("adding", length=9)
    np.savez(path, x=np.zeros((4, 9, 2)))
    prepared = read_for_prediction(path, deployed(adding))
    found = answers(prepared, [np.full((4, 1), 0.5)], deployed(adding))
    assert found["prediction"].tolist() == [0.5] * 4
    np.savez(path, x=np.zeros((4, 9)))
    with pytest.raises(DataError, match=r"x must have shape .n, T, 2."):
        read_for_prediction(path, deployed(adding))
    with pytest.raises(DataError, match=r"task adding reads an \.npz"):
        read_for_prediction(tmp_path / "x.csv", deployed(adding))


def test_sequences_without_any_value_are_counted_in_a_note(opened, tmp_path):
    data = tmp_path / "long.csv"
    table = pd.DataFrame({"id": np.repeat(np.arange(40), 3), "a": np.arange(120) % 7 / 7})
    table["label"] = np.where(table["id"] % 2, "odd", "even")
    table.to_csv(data, index=False)
    task = opened("classification", data=str(data))
    assert read_for_prediction(data, deployed(task)).notes == ()
    table.loc[table["id"].isin([5, 9]), "a"] = np.nan
    table.to_csv(tmp_path / "new.csv", index=False)
    assert read_for_prediction(tmp_path / "new.csv", deployed(task)).notes == (
        "2 of 40 sequences have no values, first 5: their answers rest on no data",
    )


def test_characters_that_the_model_never_saw_are_counted_in_a_note(opened, tmp_path):
    data, new = tmp_path / "text.txt", tmp_path / "new.txt"
    data.write_text("to be or not to be " * 40)
    new.write_text("to be □ zz")
    for name, options, strange in (("tokens", {"warmup": 2}, 3), ("masked_tokens", {}, 2)):
        task = opened(name, data=str(data), context=8, **options)
        (note,) = read_for_prediction(new, deployed(task)).notes
        assert note == f"{strange} of 10 characters are unknown to the model, all alike to it"
