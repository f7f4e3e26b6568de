"""A bundle that learns while it predicts: before, during, and after it forgets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from exported import TOKENS, VALUES, export, network

from archsearch.errors import DataError, InputError
from archsearch.serve.learning import LearningStream
from archsearch.serve.prequential import prequential
from archsearch.serve.stream import Stream
from archsearch.spec.learnsettings import MemorySettings, StateSettings
from archsearch.spec.signature import Signature
from archsearch.tasks.prequential import Told

FORECAST = Signature("values", 2, "value", 3, every_step=False, length=9)
ALWAYS = {"state": StateSettings(recent=0), "memory": MemorySettings(recent=0)}
BOTH = pytest.mark.parametrize("learn", ["state", "memory"])


def drawn(steps: int, seed: int = 0) -> Told:
    """A level that is far from anything an untrained network says, three steps ahead."""
    rng = np.random.default_rng(seed)
    values = (5 + rng.normal(size=(steps + 3, 2))).astype(np.float32)
    ahead = np.arange(steps)[:, None] + 1 + np.arange(3)
    targets = np.where(ahead < steps, values[:, 0][ahead], np.nan)
    return Told(values[:steps], targets.astype(np.float32))


@BOTH
@pytest.mark.parametrize(
    "signature", [FORECAST, TOKENS, VALUES], ids=["numbers", "tokens", "class"]
)
def test_before_it_learns_it_is_the_stream(
    tmp_path: Path, learn: str, signature: Signature
) -> None:
    bundle = export(tmp_path / "best", network("lru"), signature)
    learning, stream = LearningStream(bundle, learn), Stream(bundle)
    rng = np.random.default_rng(0)
    for _ in range(4):
        x_t = rng.integers(11) if signature is TOKENS else rng.normal(size=signature.channels)
        expected = stream.push(x_t)
        np.testing.assert_array_equal(learning.push(x_t), expected)
        np.testing.assert_array_equal(learning.frozen, expected)
    assert (learning.steps, learning.moved) == (4, 0.0)


@BOTH
def test_it_learns_and_forgets_to_the_last_bit(tmp_path: Path, learn: str) -> None:
    stream = LearningStream(export(tmp_path / "best", network("gru"), FORECAST), learn)
    data, digest = drawn(20), stream.digest
    one = prequential(stream, data.inputs, data.arriving)
    assert one.learned > 0
    assert one.moved > 0
    assert stream.digest != digest
    late = slice(10, 17)
    better, worse = (
        np.abs(said[late] - data.targets[late]).mean() for said in (one.learning, one.frozen)
    )
    assert better < worse
    two = prequential(stream, data.inputs, data.arriving)
    np.testing.assert_array_equal(one.learning, two.learning)
    stream.forget()
    assert (stream.digest, stream.steps) == (digest, 0)


@BOTH
def test_no_answer_knows_what_comes_after_it(tmp_path: Path, learn: str) -> None:
    stream = LearningStream(export(tmp_path / "best", network("gru"), FORECAST), ALWAYS[learn])
    data, other = drawn(12), drawn(12)
    # the inputs are the same: what differs is the truth of the eighth step and later
    targets = np.where(np.arange(12)[:, None] + 1 + np.arange(3) >= 8, -30.0, data.targets)
    other = Told(data.inputs, targets.astype(np.float32))
    one, two = (prequential(stream, told.inputs, told.arriving).learning for told in (data, other))
    np.testing.assert_array_equal(one[:8], two[:8])
    assert not np.array_equal(one[8], two[8])


def test_what_the_memory_learned_outlives_a_sequence(tmp_path: Path) -> None:
    stream = LearningStream(export(tmp_path / "best", network("gru"), FORECAST), ALWAYS["memory"])
    data = drawn(6)
    prequential(stream, data.inputs, data.arriving)
    moved = stream.moved
    stream.begin()
    assert stream.moved == moved > 0
    said = stream.push(data.inputs[0])
    assert not np.array_equal(said, stream.frozen)


@pytest.mark.parametrize(
    "settings", [MemorySettings(window=2), StateSettings(window=2)], ids=["memory", "state"]
)
def test_truths_that_come_too_late_are_left_out(tmp_path: Path, settings: MemorySettings) -> None:
    stream = LearningStream(export(tmp_path / "best", network("gru"), FORECAST), settings)
    assert stream.remembered == 2
    data = drawn(6)
    found = prequential(stream, data.inputs, data.arriving)
    assert found.learned + found.refused == 5
    with pytest.raises(DataError, match="ago: expected a number below 2"):
        stream.tell(data.targets[0], ago=2)


def test_classes_are_told_as_whole_numbers(tmp_path: Path) -> None:
    stream = LearningStream(export(tmp_path / "best", signature=TOKENS), ALWAYS["memory"])
    before = stream.push(3)[2]
    stream.tell(2)
    assert stream.learn()
    stream.begin()
    assert stream.push(3)[2] > before
    with pytest.raises(DataError, match="classes from 0 to 4"):
        stream.tell(5)
    with pytest.raises(DataError, match="classes as whole numbers"):
        stream.tell(0.5)


def test_a_learner_that_does_not_exist(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best")
    with pytest.raises(InputError, match=r"no learner 'stat' \(did you mean"):
        LearningStream(bundle, "stat")
    with pytest.raises(InputError, match="sees the steps to come"):
        LearningStream(export(tmp_path / "both", network("bidirectional")), "state")
