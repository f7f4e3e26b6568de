"""Causal attention as compiled loops, in values and gradients, and what it never looks at."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.attention.attention import Attention
from archsearch.cells.attention.rotary import turns
from archsearch.kernels.attention.causal_attention import causal_attention

# (B, T, heads, heads of keys, d): one query, less than a tile, a tile, one more, several with a
# rest; vectors of less than a lane, of one, of one and a half, of several; keys shared
SIZES = [
    *((1, 1, 1, 1, 4), (2, 15, 2, 2, 8), (1, 16, 2, 1, 16), (3, 17, 4, 2, 6), (2, 70, 3, 3, 16)),
    *((1, 33, 2, 2, 24), (2, 40, 4, 1, 32)),
]
POSITIONS = ["none", "rotated", "by distance", "both"]


def problem(size, positions, dtype=torch.float32):
    rows, steps, heads, key_heads, width = size
    torch.manual_seed(0)
    projected = torch.randn(rows, steps, (heads + 2 * key_heads) * width, dtype=dtype)
    spins = turns(torch.arange(steps), width, dtype) if positions in ("rotated", "both") else None
    added = torch.randn(heads, steps, dtype=dtype) if positions in ("by distance", "both") else None
    inputs = [projected] if added is None else [projected, added]
    return [part.requires_grad_() for part in inputs], (spins, added, heads, key_heads)


def answered(form, inputs, rest):
    spins, added, heads, key_heads = rest
    return form(inputs[0], spins, None if added is None else inputs[1], heads, key_heads)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_the_plain_form_in_double_precision(size, positions):
    inputs, rest = problem(size, positions)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    spins = None if rest[0] is None else turns(torch.arange(size[1]), size[4], torch.float64)
    got = answered(causal_attention, inputs, rest)
    want = answered(causal_attention.plain, exact, (spins, *rest[1:]))
    assert type(got[0].grad_fn).__name__ == "_AttentionBackward"
    upstream = [torch.randn_like(part) for part in got]
    found = torch.autograd.grad(got, inputs, upstream)
    expected = torch.autograd.grad(want, exact, [part.double() for part in upstream])
    for fast, slow in zip((*got, *found), (*want, *expected), strict=True):
        assert fast.dtype == torch.float32
        torch.testing.assert_close(fast.double(), slow, rtol=1e-5, atol=2e-5)


def test_gradients_of_the_keys_alone_and_of_the_answers_alone():
    inputs, rest = problem((2, 20, 2, 1, 8), "rotated")
    for part in range(2):
        got, want = (
            torch.autograd.grad(answered(form, inputs, rest)[part].square().sum(), inputs)
            for form in (causal_attention, causal_attention.plain)
        )
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_projections_and_slopes_may_lie_in_any_way():
    inputs, rest = problem((3, 21, 2, 2, 16), "rotated")
    moved = inputs[0].detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    slope = torch.randn(32, 3, 21).permute(1, 2, 0)
    (got,) = torch.autograd.grad(answered(causal_attention, [moved], rest)[0], moved, slope)
    want = answered(causal_attention, inputs, rest)[0]
    (expected,) = torch.autograd.grad(want, inputs, slope.contiguous())
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("at", [5, 16, 30])
def test_a_missing_number_reaches_no_earlier_answer(at):
    inputs, rest = problem((1, 40, 2, 2, 8), "both")
    with torch.no_grad():
        inputs[0][0, at] = torch.nan
    answers, _ = answered(causal_attention, inputs, rest)
    assert torch.isfinite(answers[0, :at]).all()
    assert answers[0, at:].isnan().all()


def test_large_scores_stay_finite():
    inputs, rest = problem((2, 40, 2, 2, 8), "rotated")
    large = (inputs[0].detach() * 1e4).requires_grad_()
    got, want = (
        answered(form, [large], rest)[0] for form in (causal_attention, causal_attention.plain)
    )
    torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-1)
    (slope,) = torch.autograd.grad(got.sum(), large)
    assert torch.isfinite(slope).all()


def test_evaluation_and_other_precisions_are_left_to_torch():
    for dtype in (torch.float32, torch.float64):
        inputs, rest = problem((2, 9, 2, 2, 8), "rotated", dtype)
        with torch.set_grad_enabled(dtype == torch.float64):
            y, _ = answered(causal_attention, inputs, rest)
            assert torch.equal(y, answered(causal_attention.plain, inputs, rest)[0])


@pytest.mark.parametrize("positions", ["none", "rope", "alibi", "relative"])
@pytest.mark.parametrize("keys", ["own", "grouped", "single"])
def test_the_cell_answers_and_learns_alike_from_the_start_and_step_by_step(positions, keys):
    torch.manual_seed(0)
    cell = Attention(16, heads=4, positions=positions, keys=keys)
    if cell.bias is not None:
        torch.nn.init.normal_(cell.bias)
    x, weights = torch.randn(2, 21, 16), list(cell.parameters())
    whole, _ = cell(x)
    state, outputs = cell.initial_state(2), []
    for part in x.split([9, 1, 11], 1):
        y, state = cell(part, state)
        outputs.append(y)
    steps = torch.cat(outputs, 1)
    torch.testing.assert_close(whole, steps, rtol=1e-4, atol=1e-5)
    slope = torch.randn_like(whole)
    torch.testing.assert_close(
        torch.autograd.grad(whole, weights, slope),
        torch.autograd.grad(steps, weights, slope),
        rtol=1e-3,
        atol=1e-4,
    )
