"""Masked characters: what is hidden, what is judged, and a network that reads both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from archsearch.build import build
from archsearch.errors import ArchitectureError, DataError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature
from archsearch.tasks.prepare import answers, read_for_prediction
from archsearch.train.fit import fit

SHAPES = {"context": 16, "hidden": 0.2}
TEXT = "abcdefgh" * 300  # a character is known from either neighbour


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def task(opened, book):
    return opened("masked_tokens", data=str(book), **SHAPES)


def test_a_hidden_character_shows_the_blank_and_no_other_does(task):
    batch = task.batch(np.random.default_rng(0), 500, 0.0)
    blank = task.signature.outputs
    assert task.signature.channels == blank + 1
    assert ((batch.inputs == blank) == batch.mask).all()
    assert (batch.inputs == batch.targets)[~batch.mask].all()
    assert (batch.targets < blank).all()
    assert batch.mask.any(axis=1).all()
    share = batch.mask.mean()
    # and a little for the windows of 16 that would have none, 2.8 % of them
    assert abs(share - 0.2 - 0.8**16 / 16) < 3 * np.sqrt(0.16 / batch.mask.size)


def test_training_windows_stay_in_train(opened, book):
    for protocol, last in (("search", 1920), ("confirm", 2160)):
        task = opened("masked_tokens", protocol=protocol, data=str(book), **SHAPES)
        rng = np.random.default_rng(0)
        starts = np.concatenate([task.batch(rng, 500, 0.0).rows for _ in range(40)])
        assert (starts.min(), starts.max()) == (0, last - 16)


def test_evaluation_hides_the_same_whatever_the_batch(task):
    for split, length in (("validation", 240), ("test", 240)):
        large, small = (list(task.evaluation(split, size)) for size in (100, 3))
        for name in ("inputs", "targets", "mask", "lengths", "rows"):
            one, many = (
                np.concatenate([getattr(batch, name) for batch in batches])
                for batches in (large, small)
            )
            assert (one == many).all()
        assert sum(int(batch.lengths.sum()) for batch in small) == length
        letters = "?" + task.preparation()["alphabet"]
        told = "".join(
            letters[symbol]
            for batch in small
            for row, steps in zip(batch.targets, batch.lengths, strict=True)
            for symbol in row[:steps]
        )
        assert told == TEXT[: len(told)]


def test_scores_are_of_the_hidden_places_alone(task):
    batches = list(task.evaluation("test", 4))
    right = [np.eye(task.signature.outputs)[batch.targets] * 50.0 for batch in batches]
    for logits, batch in zip(right, batches, strict=True):
        logits[~batch.mask] = 0
    assert task.score(right, batches)["accuracy"] == 1
    assert task.baselines()["unigram"]["accuracy"] < 0.3


def trained(task, cell):
    network = Architecture(16, (Stage((Block(Layer.of(cell)),)),))
    model = build(network, load_catalog(), task.signature, 0)
    seen = []
    plan, dense = Layer.of("adamw", steps=120, lr=0.02), Layer.of("none")
    assert fit(model, task, plan, dense, seed=0, report=lambda _, told: seen.append(told) or True)
    return seen[-1]["accuracy"]


def test_what_follows_helps_a_cell_that_reads_both_sides(opened, tmp_path):
    """Letters in no order, each written as itself and then as a capital: hidden letters are told
    by what follows, hidden capitals by what stands before."""
    letters = np.random.default_rng(0).choice(list("abcdefgh"), 3000)
    path = tmp_path / "pairs.txt"
    path.write_text("".join(letter + letter.upper() for letter in letters), encoding="utf-8")
    task = opened("masked_tokens", data=str(path), context=32, hidden=0.1)
    assert trained(task, "bidirectional") > 0.85
    assert trained(task, "gru") < 0.7


def test_tasks_that_ask_for_the_next_step_still_refuse_it():
    asked = Signature("tokens", 9, "class", 9, every_step=True, length=16)
    network = Architecture(16, (Stage((Block(Layer.of("bidirectional")),)),))
    with pytest.raises(ArchitectureError, match="take a causal cell"):
        build(network, load_catalog(), asked, 0)


def test_a_stream_answers_from_what_it_has_read(task):
    network = Architecture(16, (Stage((Block(Layer.of("bidirectional")),)),))
    model = build(network, load_catalog(), task.signature, 0).eval()
    tokens = torch.randint(0, 9, (2, 5))
    state = model.initial_state(2)
    for step in range(5):
        answer, state = model.step(tokens[:, step], state)
        wanted, _ = model(tokens[:, : step + 1])
        torch.testing.assert_close(answer, wanted[:, -1])


def test_plain_signatures_stay_as_they_were_written():
    plain = {"inputs": "tokens", "channels": 9, "targets": "class", "outputs": 9}
    plain |= {"every_step": True, "length": 16}
    assert Signature.from_plain(plain).to_plain() == plain
    assert Signature.from_plain(plain | {"whole": True}).to_plain() == plain | {"whole": True}


def test_blanks_of_a_file_are_filled_in(task, tmp_path):
    damaged = tmp_path / "damaged.txt"
    damaged.write_text("abc□efghabcdefghab□defg", encoding="utf-8")
    prepared = read_for_prediction(damaged, task.preparation())
    assert [batch.inputs.shape for batch in prepared.batches] == [(2, 16)]
    assert (np.concatenate([b.inputs for b in prepared.batches]) == 9).sum() == 2
    said = [np.zeros((2, 16, 9), dtype=np.float32)]
    said[0][0, 3, 4] = said[0][1, 2, 3] = 20.0
    table = answers(prepared, said, task.preparation())
    assert list(table["position"]) == [4, 19]
    assert list(table["prediction"]) == ["d", "c"]
    assert (table["probability"] > 0.99).all()
    whole = tmp_path / "whole.txt"
    whole.write_text("abc", encoding="utf-8")
    with pytest.raises(DataError, match="nothing to fill in; put □"):
        read_for_prediction(whole, task.preparation())


def test_a_blank_is_one_character(opened, book):
    with pytest.raises(DataError, match="blank must be one character"):
        opened("masked_tokens", data=str(book), blank="__", **SHAPES)
