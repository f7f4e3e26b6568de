"""The plain models that an answer must beat."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archsearch.errors import InputError
from archsearch.plugins import load_catalog
from archsearch.select.baselines import NAMES, baseline, learning_rates, tuned
from archsearch.spec.architecture import Architecture, Block, Layer, Stage

LIKE = Architecture(
    width=24,
    stages=(Stage((Block(Layer("lru"), gate=Layer("highway")),), repeat=3, loops=2),),
    head=Layer.of("linear", pool="mean"),
    sparsity=Layer.of("magnitude", density=0.1),
    training=Layer.of("adamw", lr=3e-3, steps=40),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_baseline_has_the_width_and_training_of_the_finalist_and_is_plain(name: str) -> None:
    plain = baseline(name, LIKE)
    assert (plain.width, plain.training, plain.head) == (24, LIKE.training, LIKE.head)
    assert plain.sparsity.name == "none"
    (stage,) = plain.canonical().stages
    assert (len(stage.blocks), stage.loops) == (2, 1)
    assert {block.gate.name for block in stage.blocks} == {"additive"}


def test_each_is_made_of_its_own_cell() -> None:
    cells = [baseline(name, LIKE).stages[0].blocks[0] for name in NAMES]
    assert [block.cell.name for block in cells] == ["lstm", "gru", "attention"]
    assert [block.channel.name for block in cells] == ["none", "none", "mlp"]
    assert baseline("transformer", LIKE).embed["positions"] == "sinusoidal"


@pytest.mark.parametrize("width", [1, 2, 3, 4, 6, 8, 10, 12, 30, 64])
def test_the_heads_of_the_transformer_fit_the_width(width: int) -> None:
    cell = baseline("transformer", replace(LIKE, width=width)).stages[0].blocks[0].cell
    heads = cell["heads"]
    assert isinstance(heads, int)
    assert width % heads == 0
    assert (cell["positions"] == "rope") == (width // heads % 2 == 0)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(
        InputError, match=r"lstm, gru, transformer; got 'ltsm' \(did you mean 'lstm'\?\)"
    ):
        baseline("ltsm", LIKE)


def test_learning_rates_lie_around_the_finalists() -> None:
    assert learning_rates(LIKE) == (pytest.approx(1e-3), 3e-3, pytest.approx(9e-3))


def test_learning_rates_stay_within_the_declared_bounds() -> None:
    catalog = load_catalog()
    high = catalog.find("training", "adamw").options["lr"].high
    assert high is not None
    steep = replace(LIKE, training=Layer.of("adamw", lr=high))
    assert learning_rates(steep, catalog) == (high / 3, high)


def test_the_default_learning_rate_is_filled_in() -> None:
    catalog = load_catalog()
    default = catalog.find("training", "adamw").options["lr"].default
    plain = replace(LIKE, training=Layer("adamw"))
    assert learning_rates(plain) == ()
    assert learning_rates(plain, catalog)[1] == default


@pytest.mark.parametrize("name", NAMES)
def test_tuned_baselines_are_complete_and_differ_in_their_rate_only(name: str) -> None:
    catalog = load_catalog()
    variants = tuned(name, LIKE, catalog)
    assert len({variant.digest for variant in variants}) == 3
    assert [catalog.complete_architecture(v) for v in variants] == list(variants)
    assert len({replace(v, training=LIKE.training) for v in variants}) == 1
