"""Weights that keep units at zero go first, and no more of them than was asked for."""

from __future__ import annotations

import pytest
import torch
from trained import CATALOG, SIGNATURE, STEPS, loss, masked, train

from archsearch.build import Model, build
from archsearch.sparsity.activity import Activity
from archsearch.sparsity.masks import Setting
from archsearch.sparsity.waking import holding
from archsearch.spec.architecture import Architecture, Block, Layer, Stage

INTO = "stages.0.tie.body.blocks.0.channel.layer.into.weight"
DEAD = (1, 4, 6)


def network(mixer: str = "mlp") -> Model:
    channel = Layer.of(mixer, activation="relu")
    given = Architecture(8, (Stage((Block(Layer("gru"), channel=channel),)),))
    model = build(CATALOG.complete_architecture(given), CATALOG, SIGNATURE, seed=3)
    part = model.stages[0].tie.body.blocks[0].channel.layer
    with torch.no_grad():
        part.into.bias[list(DEAD) if mixer == "mlp" else [16 + unit for unit in DEAD]] = -50
    return model


def setting(model: Model) -> Setting:
    return Setting(model, STEPS, loss=lambda number: loss(model, number))


@pytest.mark.parametrize("mixer", ["mlp", "glu"])
def test_only_what_lowers_a_dead_unit_holds_it_back(mixer: str) -> None:
    model = network(mixer)
    held = holding(setting(model))[INTO].view(-1, 16, 8)
    weight = model.get_parameter(INTO).view(-1, 16, 8)
    assert not held[:-1].any()
    rows = held[-1].any(1).nonzero().flatten().tolist()
    assert rows == list(DEAD)
    seen = []
    handle = model.get_submodule(INTO.removesuffix(".weight")).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    for number in (7000, 7001):
        loss(model, number)
    handle.remove()
    mean = torch.cat(seen).flatten(0, 1).double().mean(0)
    taken = (-weight[-1].double() * mean).clamp_min(0)[list(DEAD)]
    assert torch.allclose(held[-1][list(DEAD)], taken, rtol=1e-4, atol=1e-7)


def test_a_part_of_the_budget_goes_to_them_and_the_number_stays() -> None:
    gone = {}
    for activate in (0.0, 0.5, 1.0):
        model = network()
        first = holding(setting(model))
        layer = Layer.of("one_shot", density=0.9, at=0.0, which="channel", activate=activate)
        masks = masked(model, layer)
        before = {name: weight.detach().clone() for name, weight in masks.weights.items()}
        masks.setting.model.eval()
        optimizer = torch.optim.SGD(model.parameters(), 0.0)
        masks.after_step(1, optimizer)
        mask = masks.masks[INTO]
        assert int(mask.sum()) == round(0.9 * mask.numel())
        gone[activate] = int((~mask & (first[INTO] > 0)).sum())
        assert all(torch.equal(before[n][m], masks.weights[n][m]) for n, m in masks.masks.items())
    # 13 of 128 weights go
    assert gone[0.0] < gone[0.5] < gone[1.0]
    assert gone[0.5] >= 6
    assert gone[1.0] == min(13, int((first[INTO] > 0).sum()))


def test_without_dead_units_nothing_changes() -> None:
    found = []
    for activate in (0.0, 0.3):
        given = Architecture(8, (Stage((Block(Layer("gru"), channel=Layer("mlp")),)),))
        model = build(CATALOG.complete_architecture(given), CATALOG, SIGNATURE, seed=3)
        masks = masked(model, Layer.of("magnitude", density=0.3, activate=activate))
        for _ in train(model, masks):
            pass
        seen = Activity(model)
        with seen.noted():
            loss(model, 0)
        assert seen.figures()["dead_units"] == 0
        found.append(model.state_dict())
    assert all(torch.equal(part, found[1][name]) for name, part in found[0].items())


def test_by_default_the_digest_is_that_of_before() -> None:
    complete = CATALOG.complete("sparsity", Layer.of("magnitude", density=0.3, activate=0.0))
    assert "activate" not in dict(complete.options)
