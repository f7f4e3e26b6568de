"""Squared attention as compiled loops, in values and gradients, and what it never looks at."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import silu

from archsearch.kernels.attention.squared_attention import squared_attention
from archsearch.kernels.choose import VARIABLE

torch.set_num_threads(1)

# (B, T, Z, V, D): one query, less than a tile, a tile, one more, several with a rest, more than a
# block of keys; vectors of less than a lane, of one, of one and a half, of several; few distances
# and more than there are
SIZES = [
    *((1, 1, 4, 3, 5), (2, 15, 8, 20, 64), (1, 16, 16, 16, 1), (3, 17, 6, 40, 7)),
    *((2, 70, 24, 32, 64), (1, 133, 32, 128, 64), (2, 229, 16, 24, 64)),
]


@pytest.fixture(autouse=True)
def chosen(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def problem(size, biased=True, dtype=torch.float32):
    rows, steps, keys, values, distances = size
    torch.manual_seed(0)
    drawn = [torch.randn(rows, steps, 2 * values + keys), 1 + 0.1 * torch.randn(2, keys)]
    drawn += [0.3 * torch.randn(2, keys), 0.3 * torch.randn(distances)]
    return [part.to(dtype).requires_grad_() for part in drawn[: 4 if biased else 3]]


def answered(form, inputs):
    return form(*inputs, *[None] * (4 - len(inputs)))


def pair_by_pair(projected, scale, shift, added):
    size = scale.shape[1]
    values = (projected.shape[2] - size) // 2
    u, v, z = silu(projected).split([values, values, size], -1)
    q, k = (z * scale[at] + shift[at] for at in (0, 1))
    answers = []
    for i in range(projected.shape[1]):
        found = torch.zeros_like(v[:, 0])
        for j in range(i + 1):
            bias = 0.0 if added is None else added[min(i - j, len(added) - 1)]
            score = (q[:, i] * k[:, j]).sum(-1, keepdim=True) / (i + 1) + bias
            found = found + torch.relu(score) ** 2 * v[:, j]
        answers.append(u[:, i] * found)
    return torch.stack(answers, 1), k, v


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("size", [(2, 19, 6, 5, 7), (1, 1, 2, 3, 1), (1, 140, 3, 2, 9)], ids=str)
def test_the_plain_form_is_what_its_equation_says(size, biased):
    inputs = problem(size, biased, torch.float64)
    got, want = (answered(form, inputs) for form in (squared_attention.plain, pair_by_pair))
    slope = torch.randn_like(want[0])
    for fast, slow in zip(
        (*got, *torch.autograd.grad(got[0], inputs, slope)),
        (*want, *torch.autograd.grad(want[0], inputs, slope)),
        strict=True,
    ):
        torch.testing.assert_close(fast, slow, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_equals_the_plain_form_in_double_precision(size, biased):
    inputs = problem(size, biased)
    exact = [part.detach().double().requires_grad_() for part in inputs]
    got, want = answered(squared_attention, inputs), answered(squared_attention.plain, exact)
    assert type(got[0].grad_fn).__name__ == "_AttentionBackward"
    upstream = [torch.randn_like(part) for part in got]
    found = torch.autograd.grad(got, inputs, upstream)
    expected = torch.autograd.grad(want, exact, [part.double() for part in upstream])
    for fast, slow in zip((*got, *found), (*want, *expected), strict=True):
        assert fast.dtype == torch.float32
        scale = slow.abs().max().clamp_min(1.0)
        torch.testing.assert_close(fast.double() / scale, slow / scale, rtol=1e-4, atol=3e-6)


@pytest.mark.parametrize("part", range(3), ids=["answers", "keys", "values"])
def test_gradients_of_one_result_alone(part):
    inputs = problem((2, 20, 8, 24, 5))
    weight = torch.randn_like(squared_attention(*inputs)[part])
    got, want = (
        torch.autograd.grad(form(*inputs)[part], inputs, weight, materialize_grads=True)
        for form in (squared_attention, squared_attention.plain)
    )
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_inputs_and_slopes_may_lie_in_any_way_and_are_left_alone():
    inputs = problem((3, 21, 16, 16, 64))
    kept = [part.detach().clone() for part in inputs]
    moved = inputs[0].detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
    slope = torch.randn(16, 3, 21).permute(1, 2, 0)
    (got,) = torch.autograd.grad(squared_attention(moved, *inputs[1:])[0], moved, slope)
    (want,) = torch.autograd.grad(squared_attention(*inputs)[0], inputs[0], slope.contiguous())
    torch.testing.assert_close(got, want, rtol=0, atol=0)
    assert all(torch.equal(a, b) for a, b in zip(inputs, kept, strict=True))


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("at", [0, 5, 16, 30, 129])
# the gate, a value, and what queries and keys are made of
@pytest.mark.parametrize("feature", [0, 17, 40])
def test_a_missing_number_reaches_no_earlier_answer_and_no_other_row(feature, at, trained):
    inputs = problem((2, 140, 16, 16, 64))
    want = squared_attention(*inputs)[0].detach()
    with torch.no_grad():
        inputs[0][0, at, feature] = torch.nan
    with torch.set_grad_enabled(trained):
        found = squared_attention(*inputs)[0]
    torch.testing.assert_close(found[1], want[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[0, :at], want[0, :at], rtol=1e-4, atol=1e-5)
    assert found[0, at].isnan().any()
    if feature > 16:
        assert found[0, at:].isnan().any(-1).all()
    if trained:
        (slope,) = torch.autograd.grad(found[1].sum(), inputs[0])
        assert slope[1].isfinite().all()


def test_evaluation_and_other_precisions_are_left_to_torch():
    for dtype in (torch.float32, torch.float64):
        inputs = problem((2, 9, 8, 8, 4), dtype=dtype)
        with torch.set_grad_enabled(dtype == torch.float64):
            assert torch.equal(squared_attention(*inputs)[0], squared_attention.plain(*inputs)[0])
