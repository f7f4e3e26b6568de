"""Next-character prediction: windows that judge every character once, and frequency baselines."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.tasks.characters import windows_over

SHAPES = {"context": 16, "warmup": 5}


@pytest.fixture
def book(tmp_path):
    rng = np.random.default_rng(0)
    words = ["the ", "cat ", "sät ", "on\n", "a ", "mat. "]
    text = "".join(words[place] for place in rng.integers(0, 6, 1500))
    path = tmp_path / "book.txt"
    path.write_text(text[:-40] + "☃" + text[-39:], encoding="utf-8")
    return path


@pytest.mark.parametrize("last", [2, 5, 6, 7, 16, 17, 18, 28, 29, 30, 100])
@pytest.mark.parametrize("warmup", [0, 1, 5, 15])
def test_every_character_but_the_first_is_judged_once(last, warmup):
    starts, mask = windows_over(10, 10 + last, 16, warmup)
    judged = (starts[:, None] + 1 + np.arange(16))[mask]
    assert sorted(judged) == list(range(11, 10 + last))
    assert mask.any(axis=1).all()
    if len(starts) > 1:
        assert not mask[1:, :warmup].any()


def test_splits_are_the_text_in_order(opened, book):
    task = opened("tokens", data=str(book), **SHAPES)
    text = book.read_text(encoding="utf-8")
    letters = "?" + task.preparation()["alphabet"]
    end = 0
    for split, part in (("train", 0.8), ("validation", 0.9), ("test", 1.0)):
        begin, end = end, int(len(text) * part + 1e-9)
        judged = ""
        for batch in task.evaluation(split, 7):
            assert batch.inputs.shape == batch.targets.shape == batch.mask.shape
            assert (batch.inputs[:, 1:] == batch.targets[:, :-1])[batch.mask[:, 1:]].all()
            judged += "".join(letters[place] for place in batch.targets[batch.mask])
        assert judged == text[begin + 1 : end].replace("☃", "?")
    assert task.describe()["notes"] == ["1 characters of the test split do not occur in train"]


def test_training_windows_stay_in_train(opened, book):
    for protocol, part in (("search", 0.8), ("confirm", 0.9)):
        task = opened("tokens", protocol=protocol, data=str(book), **SHAPES)
        last = int(task.describe()["train"])
        assert last == int(len(book.read_text(encoding="utf-8")) * part + 1e-9)
        rng = np.random.default_rng(0)
        starts = np.concatenate([task.batch(rng, 500, 0.0).rows for _ in range(40)])
        assert starts.min() == 0
        assert starts.max() == last - 16 - 1
        assert task.signature.outputs == len(set("the cat sät on\na mat. ")) + 1


def test_the_baselines_are_those_of_counted_characters(opened, book):
    task = opened("tokens", data=str(book), **SHAPES)
    text = book.read_text(encoding="utf-8")
    train, test = text[: int(len(text) * 0.8 + 1e-9)], text[int(len(text) * 0.9 + 1e-9) :]
    outputs = task.signature.outputs
    singles, pairs = Counter(train), Counter(itertools.pairwise(train))
    before = Counter(train[:-1])

    def one(letter):
        return (singles[letter] + 1) / (len(train) + outputs)

    def two(first, letter):
        return (pairs[first, letter] + one(letter)) / (before[first] + 1)

    unigram = -np.mean([np.log2(one(letter)) for letter in test[1:]])
    bigram = -np.mean([np.log2(two(*pair)) for pair in itertools.pairwise(test)])
    scores = task.baselines("test")
    assert scores["unigram"]["bits_per_character"] == pytest.approx(unigram, rel=1e-6)
    assert scores["bigram"]["bits_per_character"] == pytest.approx(bigram, rel=1e-6)
    assert scores["bigram"]["bits_per_character"] < scores["unigram"]["bits_per_character"]
    common = singles.most_common(1)[0][0]
    assert scores["unigram"]["accuracy"] == pytest.approx(np.mean([x == common for x in test[1:]]))


def test_knowing_nothing_costs_the_logarithm_of_the_symbols(opened, book):
    task = opened("tokens", data=str(book), **SHAPES)
    batches = list(task.evaluation("validation"))
    flat = [np.zeros((*b.inputs.shape, task.signature.outputs), np.float32) for b in batches]
    scores = task.score(flat, batches)
    assert scores["bits_per_character"] == pytest.approx(np.log2(task.signature.outputs))
    assert scores["bits_per_character"] == pytest.approx(task.chance()["bits_per_character"])
    assert next(goal.metric for goal in task.metrics) == "bits_per_character"


def test_the_judged_part_is_bounded(opened, book):
    task = opened("tokens", data=str(book), judged=100, **SHAPES)
    assert sum(batch.mask.sum() for batch in task.evaluation("test")) == 100


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "is empty"),
        (b"a\xff\xfe\x00", {}, "is not text in UTF-8, see byte 2"),
        (b"\xff\xfea\0b", {}, "is damaged text in UTF-16; save it in UTF-8"),
        (b"ab\x00cd" * 100, {}, "is binary, not text"),
        (b"short", {}, "5 characters leave 4 for the train split; 17 are needed"),
        (b"text" * 100, {"warmup": 16}, "warmup must be below context"),
        (b"text" * 100, {"test_fraction": 0.5, "validation_fraction": 0.5}, "nothing is left"),
    ],
)
def test_a_fault_is_one_line(opened, tmp_path, content, options, message):
    path = tmp_path / "t.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        opened("tokens", data=str(path), **{**SHAPES, **options})
