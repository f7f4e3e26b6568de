"""The gated attention unit against its definition written out pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import silu

from archsearch.cells.attention.gau import GAU
from archsearch.errors import ArchitectureError
from archsearch.kernels.attention.weighed_attention import laplace, weigh

KINDS = ["relu2", "laplace", "softmax"]


def built(**options):
    torch.manual_seed(0)
    cell = GAU(8, query_size=6, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cell


def by_hand(cell, x, i, window):
    """The output at position i of one row (T, W), a sum over one key after the other."""
    unit = cell.unit
    u, v, z = silu(unit.project(x)).split([unit.values, unit.values, unit.size], -1)
    q, k = (z * unit.scale[at] + unit.shift[at] for at in (0, 1))
    keys = [j for j in range(i + 1) if i - j < window]
    biases = [0.0 if unit.bias is None else unit.bias[min(i - j, len(unit.bias) - 1)] for j in keys]
    products = [q[i] @ k[j] for j in keys]
    if unit.normaliser == "softmax":
        raised = [torch.exp(p / math.sqrt(6) + b) for p, b in zip(products, biases, strict=True)]
        weights = [part / sum(raised) for part in raised]
    else:
        scores = [p / len(keys) + b for p, b in zip(products, biases, strict=True)]
        weights = [
            s.clamp_min(0) ** 2
            if unit.normaliser == "relu2"
            else 0.5 * (1 + torch.erf((s - 0.5**0.5) / (math.sqrt(2) * 0.2820947917738781)))
            for s in scores
        ]
    seen = sum(w * v[j] for w, j in zip(weights, keys, strict=True))
    return unit.output(u[i] * seen)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("pattern", ["full", "window"])
@pytest.mark.parametrize("normaliser", KINDS)
def test_is_its_sum_over_pairs(normaliser, pattern, bias):
    cell = built(normaliser=normaliser, pattern=pattern, window=5, bias=bias)
    x = torch.randn(2, 90, 8, dtype=torch.float64)
    y, _ = cell(x)
    for i in (0, 1, 4, 5, 6, 63, 64, 65, 89):
        expected = by_hand(cell, x[1], i, 5 if pattern == "window" else 1000)
        torch.testing.assert_close(y[1, i], expected, rtol=1e-11, atol=1e-12)


# in blocks, as one product, and in stretches of queries
@pytest.mark.parametrize("window", [1, 7, 33, 100, 150])
@pytest.mark.parametrize("past", [0, 3, 60])
@pytest.mark.parametrize("normaliser", KINDS)
def test_blocks_of_a_window_are_the_masked_product(normaliser, past, window):
    cell = built(normaliser=normaliser, pattern="window", window=window)
    x = torch.randn(2, past + 140, 8, dtype=torch.float64)
    state = cell(x[:, :past])[1] if past else None
    fast, _ = cell(x[:, past:], state)
    slow = torch.stack([by_hand(cell, x[0], i, window) for i in range(past, past + 140, 23)])
    torch.testing.assert_close(fast[0, ::23], slow, rtol=1e-11, atol=1e-12)


def test_laplace_has_its_published_values():
    s = torch.tensor([0.0, math.sqrt(0.5), math.sqrt(2.0)], dtype=torch.float64)
    expected = torch.tensor([0.006094, 0.5, 0.993906], dtype=torch.float64)
    torch.testing.assert_close(laplace(s), expected, rtol=0, atol=5e-7)
    # it was made to agree with the squared rectifier in value and slope at sqrt(1/2)
    s = torch.tensor(math.sqrt(0.5), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(laplace(s), s)
    assert laplace(s).item() == pytest.approx(0.5)
    assert slope.item() == pytest.approx(2 * math.sqrt(0.5))


def test_the_bias_comes_after_the_division():
    """Two keys in sight: relu(6 / 2 + 1)^2 = 16; before the division it were 3.5^2."""
    allowed = torch.ones(1, 2, dtype=torch.bool)
    found = weigh(torch.tensor([[6.0, 2.0]]), torch.tensor([1.0, -2.0]), allowed, "relu2", 9)
    assert found.tolist() == [[16.0, 0.0]]
    found = weigh(
        torch.tensor([[3.0, 3.0]]), torch.tensor([0.0, math.log(3)]), allowed, "softmax", 9
    )
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75]]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_keys_is_zero_and_has_slopes(kind):
    products = torch.randn(2, 3, requires_grad=True)
    allowed = torch.tensor([[False] * 3, [True, False, True]])
    found = weigh(products, 0.5, allowed, kind, 4)
    assert not found[~allowed].any()
    assert found[1, [0, 2]].any()
    (slope,) = torch.autograd.grad(found.sum() + found.square().sum(), products)
    assert slope.isfinite().all()


def test_values_and_gate_are_as_wide_as_told():
    cell = GAU(8, expand=1.5, query_size=3)
    _, (keys, values) = cell(torch.randn(2, 11, 8))
    assert keys.shape == (2, 11, 3)
    assert values.shape == (2, 11, 12)
    with pytest.raises(ArchitectureError, match=r"expand 0\.25 leaves no values of width 2"):
        GAU(2, expand=0.25)


def test_a_window_keeps_a_bounded_cache():
    cell = GAU(8, pattern="window", window=6)
    state = cell.initial_state(2)
    for step in range(12):
        _, state = cell.step(torch.randn(2, 8), state)
        assert state[0].shape[1] == min(step + 1, 5)
    assert cell(torch.randn(2, 100, 8), state)[1][1].shape[1] == 5


def reached(cell, steps):
    x = torch.randn(1, steps, 8, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cell(x)[0][0, -1].sum(), x)
    return gradient[0].abs().sum(-1) > 0


def test_a_window_reaches_as_far_as_it_says():
    for steps in (30, 130):
        cell = built(pattern="window", window=7, normaliser="laplace")
        assert torch.equal(reached(cell, steps), torch.arange(steps) >= steps - 7)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("normaliser", KINDS)
def test_pieces_answer_and_learn_as_the_whole(normaliser, bias):
    torch.manual_seed(0)
    cell = GAU(16, expand=1.5, query_size=20, normaliser=normaliser, bias=bias)
    x, weights = torch.randn(2, 75, 16), list(cell.parameters())
    whole, kept = cell(x)
    state, outputs = None, []
    for part in x.split([33, 1, 41], 1):
        y, state = cell(part, state)
        outputs.append(y)
    pieces = torch.cat(outputs, 1)
    torch.testing.assert_close(pieces, whole, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(state, kept, rtol=1e-5, atol=1e-6)
    slope = torch.randn_like(whole)
    torch.testing.assert_close(
        torch.autograd.grad(pieces, weights, slope),
        torch.autograd.grad(whole, weights, slope),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("normaliser", KINDS)
@pytest.mark.parametrize("pattern", ["full", "window"])
def test_a_missing_number_stays_with_those_that_see_it(pattern, normaliser, trained):
    torch.manual_seed(0)
    cell = GAU(16, query_size=6, normaliser=normaliser, pattern=pattern, window=5)
    x = torch.randn(2, 130, 16)
    x[0, 70] = torch.nan
    with torch.set_grad_enabled(trained):
        missing = cell(x)[0].isnan().any(-1)
    expected = torch.zeros(2, 130, dtype=torch.bool)
    expected[0, 70 : 75 if pattern == "window" else 130] = True
    assert torch.equal(missing, expected)
