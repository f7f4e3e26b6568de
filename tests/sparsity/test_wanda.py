"""Pruning by weight and input, its swaps, and n of m: hand-worked choices and brute force."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from trained import STEPS, masked, model, train

from archsearch.errors import ArchitectureError
from archsearch.sparsity.dsnot import ENOUGH, rearranged
from archsearch.sparsity.masks import kept
from archsearch.sparsity.n_of_m import DENSE, n_of_m
from archsearch.sparsity.wanda import highest_in_rows
from archsearch.spec.architecture import Layer


def test_the_input_counts_as_the_weight_does():
    weight, norms = torch.tensor([[1.0, -2.0], [3.0, 0.5]]), torch.tensor([10.0, 1.0])
    score = weight.abs() * norms
    assert score.tolist() == [[10.0, 2.0], [30.0, 0.5]]
    assert highest_in_rows(score, 1).tolist() == [[True, False], [True, False]]
    assert highest_in_rows(weight.abs(), 1).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("refine", ["none", "dsnot"])
def test_every_row_keeps_the_same_number_and_only_from_then_on(refine):
    network = model()
    masks = masked(network, Layer.of("wanda", density=0.4, at=0.5, refine=refine))
    for step, _ in train(network, masks):
        for mask in masks.masks.values():
            rows = mask.flatten(1)
            share = 0.4 if step >= STEPS // 2 else 1.0
            assert (rows.sum(1) == kept(share, rows.shape[1])).all()


def test_at_the_end_nothing_is_trained_thereafter():
    one, other = model(), model()
    masks = masked(one, Layer.of("wanda", density=0.5, at=1.0))
    for _ in zip(train(one, masks), train(other, None), strict=True):
        pass
    for (name, a), b in zip(one.named_parameters(), other.parameters(), strict=True):
        mask = masks.masks.get(name)
        assert torch.equal(a, b if mask is None else b * mask)


def rows_of(data, columns):
    numbers = st.lists(st.floats(-2, 2), min_size=columns, max_size=columns)
    return torch.tensor(data.draw(numbers), dtype=torch.float64)[None]


@given(st.integers(2, 12), st.data())
def test_swaps_keep_the_number_and_never_make_a_mean_worse(columns, data):
    weight, mean = rows_of(data, columns), rows_of(data, columns)
    score, variance = weight.abs(), rows_of(data, columns).abs() + 0.1
    mask = highest_in_rows(score, data.draw(st.integers(1, columns)))
    after = rearranged(weight, mask, score, mean, variance)
    assert int(after.sum()) == int(mask.sum())

    def missing(of: torch.Tensor) -> float:
        return abs(float((weight * mean)[~of].sum()))

    assert missing(after) <= missing(mask) + 1e-9
    if missing(mask) <= ENOUGH:
        assert torch.equal(after, mask)


def test_a_swap_by_hand():
    """What was pruned adds 3 to the mean; its return, for what takes 2 from it, leaves nought."""
    weight = torch.tensor([[1.0, 4.0, 5.0, -2.0]]).double()
    mean = torch.tensor([[3.0, 0.0, 0.1, 1.0]]).double()
    mask = torch.tensor([[False, True, True, True]])
    after = rearranged(weight, mask, weight.abs(), mean, torch.ones(1, 4).double())
    # 3 - 3 + (-2) = -2 would change the sign: no swap
    assert torch.equal(after, mask)
    mean = torch.tensor([[3.0, 0.0, 0.1, 1e-3]]).double()
    after = rearranged(weight, mask, weight.abs(), mean * 0.5, torch.ones(1, 4).double())
    assert after.tolist() == [[False, True, True, True]]
    weight = torch.tensor([[1.0, 1.0, 5.0, -2.0]]).double()
    mean = torch.tensor([[3.0, 2.0, 0.1, 0.5]]).double()
    mask = torch.tensor([[False, False, True, True]])
    after = rearranged(weight, mask, weight.abs(), mean, torch.ones(1, 4).double())
    assert after.tolist() == [[True, False, True, False]]


def test_the_largest_n_of_every_m():
    weight = torch.tensor([[1.0, -3.0, 2.0, 0.5, 7.0, 6.0], [1.0, 1.0, 1.0, 1.0, 0.0, -1.0]])
    assert n_of_m(weight, 2, 4).tolist() == [
        [False, True, True, False, True, True],
        [True, True, False, False, True, True],
    ]
    assert n_of_m(weight, 1, 2).sum(1).tolist() == [3, 3]


def test_masked_weights_are_trained_and_pulled_to_zero():
    network = model()
    masks = masked(network, Layer.of("n_of_m", n=2, m=4, decay=0.0))
    changed = 0
    before = masks.state()
    for _ in train(network, masks):
        for name, mask in masks.masks.items():
            changed += int((mask != before[name]).sum())
            assert int(mask.sum()) == int(n_of_m(masks.weights[name], 2, 4).sum())
        before = masks.state()
    assert changed > 0
    assert masks.density().prunable == pytest.approx(0.5, abs=0.02)
    with pytest.raises(ArchitectureError, match="n must not be above m"):
        masked(model(), Layer.of("n_of_m", n=5, m=4))


def test_a_larger_decay_pulls_masked_weights_closer_to_zero():
    sizes = []
    for decay in (0.0, 1.0):
        network = model()
        masks = masked(network, Layer.of("n_of_m", n=2, m=4, decay=decay))
        for _ in train(network, masks):
            pass
        stored = masks.state()
        out = [stored[f"{DENSE}{name}"][~mask].abs().mean() for name, mask in masks.masks.items()]
        sizes.append(float(torch.stack(out).mean()))
    assert sizes[1] < 0.8 * sizes[0]
