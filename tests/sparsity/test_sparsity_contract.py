"""What every declared sparsity owes, under the defaults and every explored value of each option."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from trained import STEPS, masked, model, train

from archsearch.sparsity.declared import SPARSITY
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.tensorheader import is_tensor_name

DECLARED = Catalog(SPARSITY)
WHICH = ("all", "input", "hidden", "channel", "attention")
PATTERNS = ("block", "row", "column")


def layers() -> list[Layer]:
    found = []
    for declared in SPARSITY:
        found.append(Layer(declared.name))
        for key, option in declared.options.items():
            explored = option.search or ()
            if isinstance(explored, IntRange | FloatRange):
                explored = (explored.low, explored.high)
            extra = {"which": WHICH, "pattern": PATTERNS}.get(key, ())
            extra = tuple(value for value in extra if value in (option.choices or extra))
            found += [Layer.of(declared.name, **{key: value}) for value in (*explored, *extra)]
    return list(dict.fromkeys(DECLARED.complete("sparsity", layer) for layer in found))


LAYERS = layers()


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_masked_weights_stay_zero_and_an_interrupted_training_ends_in_the_same(
    layer: Layer,
) -> None:
    whole, halves = (model(sparsity=layer) for _ in range(2))
    masks = masked(whole, layer)
    for _, optimizer in train(whole, masks):
        masked_weights_are_zero_and_forgotten(whole, masks.masks, optimizer, layer)
    left = sum(int(mask.sum()) for mask in masks.masks.values())
    size = sum(mask.numel() for mask in masks.masks.values())
    assert masks.density().prunable == pytest.approx(left / size if size else 1.0)

    first = masked(halves, layer)
    *_, (_, optimizer) = train(halves, first, last=7)
    stored = {name: part.detach().clone() for name, part in halves.state_dict().items()}
    again = model(sparsity=layer)
    second = masked(again, layer)
    again.load_state_dict(stored)
    second.restore(first.state())
    # a file of tensors takes no other names
    assert all(is_tensor_name(name) for name in first.state())
    moved = torch.optim.AdamW(again.parameters(), 0.01, weight_decay=0.1)
    moved.load_state_dict(optimizer.state_dict())
    for _ in train(again, second, first=8, optimizer=moved):
        pass
    known = again.state_dict()
    assert all(torch.equal(part, known[name]) for name, part in whole.state_dict().items())


def masked_weights_are_zero_and_forgotten(
    network: nn.Module,
    masks: dict[str, torch.Tensor],
    optimizer: torch.optim.Optimizer,
    layer: Layer,
) -> None:
    for name, mask in masks.items():
        weight = network.get_parameter(name)
        assert not weight[~mask].any()
        # units that are drawn, and weights that are masked, go on learning with these two
        if layer.name not in ("n_of_m", "grow"):
            for moment in ("exp_avg", "exp_avg_sq"):
                assert not optimizer.state[weight][moment][~mask].any()


@pytest.mark.parametrize("name", [declared.name for declared in SPARSITY])
def test_the_seed_alone_decides_and_nothing_else_is_disturbed(name: str) -> None:
    def masks_of(seed: int) -> dict[str, torch.Tensor]:
        network = model()
        masks = masked(network, Layer(name), seed)
        for _ in train(network, masks):
            pass
        return masks.state()

    torch.manual_seed(7)
    before = torch.get_rng_state()
    one = masks_of(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(8)
    for key, mask in masks_of(0).items():
        assert torch.equal(mask, one[key])
    if name in ("random", "set", "rigl", "hebbian", "graph", "grow"):
        assert any(not torch.equal(mask, one[key]) for key, mask in masks_of(1).items())


@pytest.mark.parametrize("name", ["magnitude", "one_shot", "random", "set", "rigl", "wanda"])
def test_full_density_is_dense_training_to_the_last_bit(name: str) -> None:
    one, other = model(), model()
    masks = masked(one, Layer.of(name, density=1.0))
    for _ in train(one, masks):
        pass
    for _ in train(other, None):
        pass
    assert masks.density() == (1.0, 1.0)
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


EXACT = ["magnitude", "one_shot", "random", "set", "rigl", "wanda", "soup"]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("density", [0.1, 0.3])
def test_so_many_weights_are_left_as_were_asked_for(name: str, density: float) -> None:
    network = model()
    masks = masked(network, Layer.of(name, density=density))
    for _ in train(network, masks):
        pass
    size = sum(mask.numel() for mask in masks.masks.values())
    # a whole number in each matrix, or in each of its rows
    rows = sum(len(mask) for mask in masks.masks.values())
    left = masks.density().prunable * size
    assert abs(left - density * size) <= (rows if name == "wanda" else len(masks.masks))


def test_the_methods_and_the_steps_of_this_file_are_what_they_seem() -> None:
    assert STEPS == 12
    assert {layer.name for layer in LAYERS} == {declared.name for declared in SPARSITY}
