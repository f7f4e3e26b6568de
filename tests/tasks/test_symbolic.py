"""Reber strings and ListOps expressions against an automaton and an evaluator written apart."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.tasks import listops
from archsearch.tasks.reber import SYMBOLS, accepts, inner, legal_pairs

# the automaton as a regular expression: T S* X or P T* V, then what may be gone through again
PLAIN = re.compile(r"B(?:TS*X(?:S|XT*V(?:PXT*V)*(?:PS|V))|PT*V(?:PXT*V)*(?:PS|V))E")
SIZES = {"validation_size": 300, "test_size": 400}


def words(task, split):
    for batch in task.evaluation(split):
        for row, end, valid in zip(batch.inputs, batch.lengths, batch.targets, strict=True):
            yield "".join(SYMBOLS[token] for token in row[:end]), bool(valid), batch.inputs.shape[1]


def by_expression(word: str, embedded: bool) -> bool:
    if embedded:
        found = re.fullmatch(r"B([TP])(.*)([TP])E", word)
        return bool(found) and found[1] == found[3] and bool(PLAIN.fullmatch(found[2]))
    return bool(PLAIN.fullmatch(word))


@pytest.mark.parametrize("embedded", [True, False])
@pytest.mark.parametrize("negatives", ["hard", "naive"])
def test_valid_strings_are_accepted_and_spoilt_ones_are_not(opened, embedded, negatives):
    task = opened(
        "reber", length=24, test_length=40, embedded=embedded, negatives=negatives, **SIZES
    )
    told = list(words(task, "test"))
    for word, valid, _ in told:
        assert accepts(word, embedded) == by_expression(word, embedded) == valid
    assert 0.4 < np.mean([valid for _, valid, _ in told]) < 0.6
    short = [len(word) for word, _, length in told if length == 24]
    long = [len(word) for word, _, length in told if length == 40]
    assert max(short) <= 24 < min(long) <= max(long) <= 40
    assert len(set(short)) > 8


@pytest.mark.parametrize("embedded", [True, False])
def test_pairs_of_neighbours_give_naive_mistakes_away_and_hard_ones_never(opened, embedded):
    scores = {
        negatives: opened(
            "reber", length=30, embedded=embedded, negatives=negatives, **SIZES
        ).baselines()["legal pairs"]["accuracy"]
        for negatives in ("hard", "naive")
    }
    assert 0.4 < scores["hard"] < 0.6
    assert scores["naive"] > 0.8


def test_the_pairs_are_those_of_the_strings():
    rng = np.random.default_rng(0)
    seen = {
        pair
        for _ in range(500)
        for word in [inner(rng, int(rng.integers(3, 12)), 30)]
        for pair in map("".join, itertools.pairwise(word))
    }
    assert seen == legal_pairs(embedded=False)


def test_strings_need_room(opened):
    with pytest.raises(DataError, match="at least 17 steps, got 14"):
        opened("reber", length=14)


@pytest.mark.parametrize("test_length", [25, 31])
def test_long_strings_need_room_for_their_end(opened, test_length):
    with pytest.raises(DataError, match=f"at least 32 for length 30, got {test_length}"):
        opened("reber", length=30, test_length=test_length)
    assert opened("reber", length=30, test_length=32, **SIZES).describe()["test_length"] == 32


def value(tokens: list[int]) -> int:
    """By a stack: a list is worked out when it is closed."""
    stack: list[list[int]] = [[]]
    for token in tokens:
        if token < 10:
            stack[-1].append(token)
        elif token < 14:
            stack.append([token])
        else:
            operation, *values = stack.pop()
            values.sort()
            middle = (values[(len(values) - 1) // 2] + values[len(values) // 2]) // 2
            found = (values[0], values[-1], middle, sum(values) % 10)[operation - 10]
            stack[-1].append(found)
    ((result,),) = stack
    return result


def test_expressions_have_their_value(opened):
    task = opened("listops", length=30, test_length=50, **SIZES)
    for batch in task.evaluation("test"):
        for row, end, wanted in zip(batch.inputs, batch.lengths, batch.targets, strict=True):
            assert value(row[:end].tolist()) == wanted
            assert not row[end:].any()
            assert 5 <= end <= 30 if len(row) == 30 else 31 <= end <= 50


def test_operations_are_nested_and_no_answer_is_usual(opened):
    task = opened("listops", **SIZES)
    depths = []
    for batch in task.evaluation("test"):
        for row, end in zip(batch.inputs, batch.lengths, strict=True):
            level = np.cumsum([int(10 <= t < 14) - int(t == 14) for t in row[:end]])
            assert level[-1] == 0
            depths.append(level.max())
    assert set(depths) >= {2, 3, 4}
    assert max(depths) <= 6
    scores = task.baselines()
    assert scores["majority"]["accuracy"] < 0.2
    assert scores["first operation on all digits"]["accuracy"] < 0.6


def test_expressions_of_a_test_are_longer(opened):
    with pytest.raises(DataError, match="test_length must be above length"):
        opened("listops", length=40, test_length=30)


@pytest.mark.parametrize("rare", [{"depth": 1}, {"length": 2000}])
def test_expressions_that_hardly_ever_come_about_are_refused(opened, monkeypatch, rare):
    monkeypatch.setattr(listops, "TRIES", 500)
    with pytest.raises(DataError, match=r"hardly any expression .* steps; take more of either"):
        opened("listops", **rare)
