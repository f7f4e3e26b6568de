"""Sequences at different loops in one batch, against the same sequences one by one."""

from __future__ import annotations

import pytest
import torch

from archsearch.build import Model, build
from archsearch.depth.batching import answers
from archsearch.depth.declared import TIES
from archsearch.errors import InputError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
SIGNATURE = Signature("values", 3, "class", 4, every_step=True, length=9)
LENGTHS = (5, 9, 1, 7, 9, 3, 8)


def network(tie: Layer, halting: Layer = NONE, cell: str = "attention", looped: int = 1) -> Model:
    block = Block(Layer(cell), channel=Layer("mlp"))
    stages = (
        Stage((block,)),
        *(Stage((block,), loops=6, tie=tie, halting=halting) for _ in range(looped)),
        Stage((block,)),
    )
    given = CATALOG.complete_architecture(Architecture(8, stages))
    model = build(given, CATALOG, SIGNATURE, seed=1).eval()
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return model


def sequences() -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    return [torch.randn(length, 3, generator=draw) for length in LENGTHS]


def check(model: Model, size: int) -> tuple[float, list[float]]:
    given = sequences()
    found = answers(model, given, size)
    with torch.no_grad():
        for said, x in zip(found.predictions, given, strict=True):
            torch.testing.assert_close(said, model(x[None])[0][0], rtol=1e-5, atol=1e-6)
    return found.utilisation, [model.loops_used(x[None])[1] for x in given]


@pytest.mark.parametrize("tie", [declared.name for declared in TIES])
@pytest.mark.parametrize("size", [1, 3, 20])
def test_answers_are_those_of_each_sequence_alone(tie: str, size: int) -> None:
    check(network(Layer(tie)), size)


def test_all_of_a_fixed_number_of_loops_fill_the_batch_but_the_last() -> None:
    told = answers(network(Layer("shared")), sequences(), 3)
    # seven sequences of six loops by threes: two full batches and one of one
    assert told.ticks == 18
    assert told.utilisation == pytest.approx(7 * 6 / (18 * 3))


@pytest.mark.parametrize("measure", ["latent", "answer"])
@pytest.mark.parametrize("looped", [1, 2])
def test_places_of_those_that_stop_early_are_taken(measure: str, looped: int) -> None:
    rest = 0.25 if measure == "latent" else 0.01
    halting = CATALOG.complete("halting", Layer.of("saturated", rest=rest, measure=measure))
    model = network(Layer.of("shared", embedding=True), halting, "gru", looped)
    check(model, 3)
    with torch.no_grad():
        longest = [float(model._stages(x[None], None)[1][1].loops.max()) for x in sequences()]
    assert len(set(longest)) > 1
    told = answers(model, sequences(), 3)
    if looped == 1:
        # a place is free as soon as its sequence has stopped
        assert told.utilisation == pytest.approx(sum(longest) / (3 * told.ticks))
        waves = sum(max(longest[at : at + 3]) for at in range(0, 7, 3))
        assert told.ticks <= waves


def test_what_cannot_be_batched_is_refused() -> None:
    with pytest.raises(InputError, match="AdaptiveDepth are not counted"):
        answers(network(Layer("shared"), Layer("act")), sequences(), 3)
    with pytest.raises(InputError, match="in evaluation"):
        answers(network(Layer("shared")).train(), sequences(), 3)
