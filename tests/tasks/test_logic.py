"""Chains of binary gates against tables worked out by hand and a slow second way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.tasks.logic import BITS, GATES, TABLES, Logic, answers, gates_of

NAMES = list(GATES)
PLAIN = {
    "nor": lambda p, q: not (p or q),
    "not p and q": lambda p, q: not p and q,
    "p and not q": lambda p, q: p and not q,
    "xor": lambda p, q: p != q,
    "nand": lambda p, q: not (p and q),
    "and": lambda p, q: p and q,
    "xnor": lambda p, q: p == q,
    "if p then q": lambda p, q: q if p else True,
    "if q then p": lambda p, q: p if q else True,
    "or": lambda p, q: p or q,
}
OPTIONS = {"test_length": None, "data_seed": 0, "validation_size": 64, "test_size": 64}


def named(vector: np.ndarray) -> list[str]:
    """The gates of one step, in their order."""
    slots = vector[BITS:].reshape(-1, len(NAMES))
    assert set(np.unique(slots)) <= {0.0, 1.0}
    count = int(slots.sum())
    # one in each of the first slots, none behind them
    assert (slots.sum(1) == (np.arange(len(slots)) < count)).all()
    return [NAMES[place] for place in slots[:count].argmax(1)]


def slowly(sequence: np.ndarray) -> list[int]:
    """One step after another, with Python's own words for the gates."""
    said: list[int] = []
    for step, vector in enumerate(sequence):
        bits = [said[-1] if step else int(vector[0]), int(vector[1])]
        for name in named(vector):
            bits.append(int(PLAIN[name](bool(bits[-1]), bool(bits[-2]))))
        said.append(bits[-1])
    return said


def test_the_gates_are_all_that_ask_for_both_bits():
    assert list(PLAIN) == NAMES
    for name, table in zip(NAMES, TABLES.reshape(-1, 2, 2), strict=True):
        for p, q in np.ndindex(2, 2):
            assert table[p, q] == PLAIN[name](bool(p), bool(q)), name
        assert (table[0] != table[1]).any()
        assert (table[:, 0] != table[:, 1]).any()
    # of sixteen tables two are constant and four are of one bit
    assert len(set(GATES.values())) == 10


@pytest.mark.parametrize(
    ("bits", "gates", "answer"),
    [
        # p is the later bit
        ((0, 1), ["p and not q"], 1),
        ((1, 0), ["p and not q"], 0),
        ((1, 0), ["not p and q"], 1),
        ((1, 1), ["nand", "if p then q"], 1),
        ((1, 0), ["xor", "and", "nor"], 0),
        ((0, 0), ["xnor", "xnor", "xnor", "or", "if q then p"], 1),
    ],
)
def test_chains_worked_out_by_hand(bits, gates, answer):
    # gates behind the last one that counts
    names = np.array([[[NAMES.index(name) for name in [*gates, "nand", "nor"]]]])
    assert answers(np.array([[bits]]), names, np.array([[len(gates)]])).tolist() == [[answer]]


def test_an_answer_is_the_first_bit_of_the_next_step():
    bits, count = np.array([[[0, 1], [0, 0]]]), np.array([[1, 1]])
    names = np.array([[[NAMES.index("p and not q")], [NAMES.index("if q then p")]]])
    # were it the zero shown, the second would be one
    assert answers(bits, names, count).tolist() == [[1, 0]]


@settings(max_examples=40, deadline=None)
@given(
    gates=st.integers(1, 6),
    length=st.integers(1, 5),
    curriculum=st.sampled_from(["gates", "none"]),
    progress=st.floats(0, 1),
    seed=st.integers(0, 10**6),
)
def test_targets_are_what_the_gates_say(gates, length, curriculum, progress, seed):
    task = Logic({"gates": gates, "length": length, "curriculum": curriculum, **OPTIONS})
    batch = task.batch(np.random.default_rng(seed), 8, progress)
    assert batch.inputs.shape == (8, length, 2 + 10 * gates)
    assert not batch.inputs[:, 1:, 0].any()
    assert batch.mask is not None
    assert batch.mask.all()
    assert gates_of(batch.inputs).min() >= 1
    assert gates_of(batch.inputs).max() <= task.most_gates(progress)
    for sequence, targets in zip(batch.inputs, batch.targets, strict=True):
        assert slowly(sequence) == targets.tolist()


def test_the_most_gates_grow_and_their_number_is_uniform(opened):
    task = opened("logic", gates=7, length=2)
    assert [task.most_gates(part) for part in (0.0, 0.3, 0.6, 1.0)] == [1, 4, 7, 7]
    assert opened("logic", gates=7, curriculum="none").most_gates(0.0) == 7
    counts = gates_of(task.batch(np.random.default_rng(0), 7000, 1.0).inputs).ravel()
    # 2000 of each of 14000: four deviations
    assert np.bincount(counts, minlength=8)[1:] == pytest.approx(np.full(7, 2000), abs=166)
    # evaluation has all of them from the first
    assert gates_of(np.concatenate([b.inputs for b in task.evaluation("test")])).max() == 7


def test_the_last_gate_alone_is_right_seven_times_of_ten(opened):
    # of one gate of fair bits: 1 / 2 of the two that compare, 3 / 4 of the other eight
    scores = opened("logic", gates=1, length=1, test_size=20_000).baselines()
    assert scores["last gate"]["accuracy"] == pytest.approx(0.7, abs=0.015)
    assert scores["majority"]["accuracy"] == pytest.approx(0.5, abs=0.015)
    many = opened("logic", test_size=2000).baselines()
    assert 0.6 < many["last gate"]["accuracy"] < 0.8
