"""Predictions of an exported model: whole sequences, padded ones, and streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import REGRESSION, TOKENS, VALUES, export, network
from numpy.typing import NDArray

from archsearch.errors import DataError
from archsearch.plugins import load_catalog
from archsearch.serve.predictor import Predictor
from archsearch.serve.stream import Stream
from archsearch.spec.architecture import Layer
from archsearch.spec.signature import Signature

CELLS = load_catalog().names("cell")
SIGNATURES = {"values": VALUES, "tokens": TOKENS, "regression": REGRESSION}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def some_inputs(signature: Signature, count: int, time: int, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    if signature.inputs == "tokens":
        return rng.integers(0, signature.channels, (count, time))
    return rng.normal(size=(count, time, signature.channels)).astype(np.float32)


@pytest.mark.parametrize("name", SIGNATURES)
def test_predictions_are_those_of_the_model(tmp_path: Path, name: str) -> None:
    signature = SIGNATURES[name]
    bundle = export(tmp_path / "best", signature=signature)
    inputs = some_inputs(signature, 3, 7)
    found = Predictor(bundle).predict(inputs)
    with torch.no_grad():
        expected, _ = bundle.model()(torch.from_numpy(inputs))
    if signature.targets == "class":
        assert found.sum(axis=-1) == pytest.approx(np.ones(found.shape[:-1]), abs=1e-5)
        expected = expected.softmax(-1)
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected.numpy())


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize("pool", ["last", "mean", "max", "kmax", "attention"])
def test_padding_and_batching_change_nothing(tmp_path: Path, name: str, pool: str) -> None:
    signature = SIGNATURES[name]
    architecture = network("lru", head=Layer.of("linear", pool=pool))
    bundle = export(tmp_path / "best", architecture, signature)
    lengths = np.array([7, 1, 4, 2, 7])
    inputs = some_inputs(signature, 5, 7)
    together = Predictor(bundle).predict(inputs, lengths)
    in_pairs = Predictor(bundle, batch=2).predict(inputs, lengths)
    np.testing.assert_allclose(together, in_pairs, atol=1e-6)
    for row, length in enumerate(lengths):
        alone = Predictor(bundle).predict(inputs[row : row + 1, :length])[0]
        answer = together[row, :length] if signature.every_step else together[row]
        np.testing.assert_allclose(answer, alone, atol=1e-6)
        if signature.every_step:
            assert np.isnan(together[row, length:]).all()
    assert np.isfinite(together).all() or signature.every_step


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", SIGNATURES)
def test_a_stream_is_the_prediction_for_what_was_seen(tmp_path: Path, cell: str, name: str) -> None:
    signature = SIGNATURES[name]
    if signature.every_step and not load_catalog().find("cell", cell).causal:
        pytest.skip("it sees the future, so no task with an answer at every step takes it")
    bundle = export(tmp_path / "best", network(cell, width=16), signature)
    inputs = some_inputs(signature, 1, 6)
    stream, predictor = Stream(bundle), Predictor(bundle)
    for time in range(1, 7):
        answer = stream.push(inputs[0, time - 1])
        expected = predictor.predict(inputs[:, :time])[0]
        expected = expected[-1] if signature.every_step else expected
        assert answer.shape == (signature.outputs,)
        np.testing.assert_allclose(answer, expected, atol=2e-5)
    assert stream.steps == 6


def test_a_stream_forgets(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best")
    inputs = some_inputs(VALUES, 1, 4)[0]
    stream = Stream(bundle)
    before = [stream.push(x_t) for x_t in inputs]
    stream.forget()
    assert stream.steps == 0
    after = [stream.push(x_t) for x_t in inputs]
    np.testing.assert_array_equal(before, after)
    assert not np.array_equal(before[0], stream.push(inputs[0]))


def test_several_streams_are_each_their_own(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best")
    inputs = some_inputs(VALUES, 3, 4)
    stream = Stream(bundle, batch=3)
    for time in range(4):
        together = stream.push(inputs[:, time])
    assert together.shape == (3, 4)
    np.testing.assert_allclose(together, Predictor(bundle).predict(inputs), atol=1e-6)
    with pytest.raises(DataError, match="expected 3 streams, got 2"):
        stream.push(inputs[:2, 0])


def test_a_refused_step_is_not_remembered(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best")
    inputs = some_inputs(VALUES, 1, 2)[0]
    stream, other = Stream(bundle), Stream(bundle)
    stream.push(inputs[0])
    other.push(inputs[0])
    for wrong in (np.zeros(2), np.array([0.0, np.nan, 1.0]), np.array(["a", "b", "c"])):
        with pytest.raises(DataError):
            stream.push(wrong)
    assert stream.steps == 1
    np.testing.assert_array_equal(stream.push(inputs[1]), other.push(inputs[1]))


def test_a_stream_takes_a_plain_token(tmp_path: Path) -> None:
    stream = Stream(export(tmp_path / "best", signature=TOKENS))
    assert stream.push(3).shape == (5,)
    with pytest.raises(DataError, match="tokens from 0 to 10"):
        stream.push(11)


def test_no_sequences_give_no_predictions(tmp_path: Path) -> None:
    predictor = Predictor(export(tmp_path / "best"))
    assert predictor.predict(np.zeros((0, 5, 3), np.float32)).shape == (0, 4)
    many = Predictor(export(tmp_path / "steps", signature=TOKENS))
    assert many.predict(np.zeros((0, 5), np.int64)).shape == (0, 5, 5)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        (np.zeros((2, 5)), "expected 3 dimensions, the last of 3 channels"),
        (np.zeros((2, 5, 4)), "expected 3 dimensions, the last of 3 channels"),
        (np.zeros((2, 0, 3)), "at least one time step"),
        (np.full((2, 5, 3), np.nan), "expected finite numbers"),
        (np.full((2, 5, 3), 1e300), "expected finite numbers"),
        (np.zeros((2, 5, 3), dtype="U1"), "expected numbers, got <U1"),
        (np.zeros((2, 5, 3), dtype=complex), "expected numbers, got complex128"),
        (np.zeros((2, 5, 3), dtype=object), "expected numbers, got object"),
    ],
)
def test_inputs_that_do_not_fit(tmp_path: Path, inputs: NDArray[Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        Predictor(export(tmp_path / "best")).predict(inputs)


@pytest.mark.parametrize(
    ("inputs", "match"),
    [
        (np.zeros((2, 5)), "expected whole numbers"),
        (np.zeros((2, 5, 1), np.int64), "expected whole numbers in 2 dimensions"),
        (np.full((2, 5), 11), "expected tokens from 0 to 10"),
        (np.full((2, 5), -1), "expected tokens from 0 to 10"),
        (np.full((2, 5), 2**63, dtype=np.uint64), "expected tokens from 0 to 10"),
    ],
)
def test_tokens_that_do_not_fit(tmp_path: Path, inputs: NDArray[Any], match: str) -> None:
    with pytest.raises(DataError, match=match):
        Predictor(export(tmp_path / "best", signature=TOKENS)).predict(inputs)


@pytest.mark.parametrize("lengths", [[5], [0, 5], [5, 6], [1.0, 2.0], [[5, 5]]])
def test_lengths_that_do_not_fit(tmp_path: Path, lengths: list[Any]) -> None:
    with pytest.raises(DataError, match="lengths: expected"):
        Predictor(export(tmp_path / "best")).predict(np.zeros((2, 5, 3)), np.array(lengths))


def test_the_number_of_threads_is_put_back(tmp_path: Path) -> None:
    predictor = Predictor(export(tmp_path / "best"))
    torch.set_num_threads(2)
    try:
        predictor.predict(np.zeros((2, 5, 3)))
        with pytest.raises(DataError):
            predictor.predict(np.zeros((2, 5)))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
