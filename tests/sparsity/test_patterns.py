"""Rows, columns and blocks: which weights go together, ragged edges included."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trained import masked, model, train

from archsearch.sparsity.patterns import PATTERNS, Pattern
from archsearch.spec.architecture import Layer


def test_the_scores_of_units():
    score = torch.tensor([[3.0, 0.0, 1.0], [4.0, 0.0, 2.0], [0.0, 5.0, 2.0]])
    assert Pattern("column").scores(score).tolist() == [5.0, 5.0, 3.0]
    assert Pattern("row").scores(score).tolist() == pytest.approx([10**0.5, 20**0.5, 29**0.5])
    # blocks of two by two: the last row and the last column are cut short
    assert Pattern("block", 2).scores(score).tolist() == pytest.approx([5.0, 5**0.5, 5.0, 2.0])


@given(
    st.sampled_from(PATTERNS), st.integers(2, 5), st.integers(1, 11), st.integers(1, 11), st.data()
)
def test_a_mask_and_its_units_are_the_same(kind, size, rows, columns, data):
    pattern, shape = Pattern(kind, size), torch.Size((rows, columns))
    units = pattern.units(shape)
    kept = torch.tensor(data.draw(st.lists(st.booleans(), min_size=units, max_size=units)))
    mask = pattern.mask(kept, shape)
    assert mask.shape == shape
    assert torch.equal(pattern.alive(mask), kept)


def test_more_than_two_dimensions_count_as_two():
    pattern, shape = Pattern("row"), torch.Size((3, 2, 4))
    kept = torch.tensor([True, False, True])
    mask = pattern.mask(kept, shape)
    assert mask.shape == shape
    assert mask.flatten(1).any(1).tolist() == kept.tolist()


@pytest.mark.parametrize("name", ["magnitude", "one_shot", "random"])
@pytest.mark.parametrize("kind", ["row", "column", "block"])
def test_what_is_pruned_together_is_gone_together(name, kind):
    network = model()
    layer = Layer.of(name, density=0.5, pattern=kind, **({"block": 2} if kind == "block" else {}))
    masks = masked(network, layer)
    for _ in train(network, masks):
        pass
    whole = Pattern(kind, 2)
    for mask in masks.masks.values():
        assert torch.equal(whole.mask(whole.alive(mask), mask.shape), mask)
    assert masks.density().prunable == pytest.approx(0.5, abs=0.08)


def test_the_smallest_rows_go():
    network = model()
    masks = masked(network, Layer.of("one_shot", density=0.5, at=0.5, pattern="row"))
    steps = train(network, masks, last=6)
    for step, _ in steps:
        if step == 5:
            before = {name: weight.detach().clone() for name, weight in masks.weights.items()}
    for name, mask in masks.masks.items():
        norm, alive = before[name].flatten(1).norm(dim=1), mask.flatten(1).any(1)
        assert int(alive.sum()) == round(0.5 * len(mask))
        # one update lies between
        assert norm[alive].min() > norm[~alive].max() - 0.1
