"""The chunkwise stabilised memory against its recurrence and against the plain equations."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import logsigmoid

from archsearch.kernels.memories.stabilised.stabilised_attention import (
    stabilised_attention,
    stabilised_attention_reference,
)

SHAPES = [(1, 1, 1, 1, 1), (1, 16, 2, 3, 4), (2, 37, 3, 4, 5), (1, 130, 2, 4, 4)]
# whole vectors, and an odd number of them
SHAPES += [(2, 33, 2, 16, 32), (1, 17, 3, 48, 16)]
FORMS = pytest.mark.parametrize(
    "form", [stabilised_attention, stabilised_attention.plain], ids=["compiled", "plain"]
)


def problem(shape, loud=2.0):
    rows, steps, heads, key, value = shape
    torch.manual_seed(0)
    parts = (
        torch.randn(rows, steps, heads, key),
        torch.randn(rows, steps, heads, key),
        torch.randn(rows, steps, heads, value),
        loud * torch.randn(rows, steps, heads),
        logsigmoid(loud * torch.randn(rows, steps, heads) + 2),
        torch.randn(rows, heads, key, value + 1),
        torch.randn(rows, heads),
    )
    return [part.double().requires_grad_() for part in parts]


def run(form, inputs):
    read, (held, size) = form(*inputs[:5], (inputs[5], inputs[6]))
    return read, held, size


@pytest.mark.parametrize("loud", [0.5, 2.0, 10.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@FORMS
def test_equals_the_recurrence(form, shape, loud):
    inputs = problem(shape, loud)
    fast, slow = run(form, inputs), run(stabilised_attention_reference, inputs)
    weights = [torch.randn_like(part) for part in slow[:2]]
    expected = torch.autograd.grad(slow[:2], inputs[:6], weights)
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)
    for got, want in zip(torch.autograd.grad(fast[:2], inputs[:6], weights), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


def test_is_the_equations_without_a_stabiliser():
    shape = (2, 45, 2, 3, 4)
    q, k, v, gate, log_forget, _, _ = problem(shape)
    inputs = [q, k, v, gate, log_forget]
    empty = (torch.zeros(2, 2, 3, 5).double(), torch.zeros(2, 2).double())
    fast, _ = stabilised_attention(*inputs, empty)
    memory, keys = torch.zeros(2, 2, 3, 4).double(), torch.zeros(2, 2, 3).double()
    found = []
    for t in range(45):
        f, i = log_forget[:, t].exp()[..., None], gate[:, t].exp()[..., None]
        memory = f[..., None] * memory + (i * k[:, t])[..., None] * v[:, t, :, None]
        keys = f * keys + i * k[:, t]
        total = (keys * q[:, t]).sum(-1).abs().clamp_min(1.0)
        found.append(torch.einsum("bhkv,bhk->bhv", memory, q[:, t]) / total[..., None])
    slow = torch.stack(found, 1)
    torch.testing.assert_close(fast, slow)
    weight = torch.randn_like(slow)
    expected = torch.autograd.grad(slow, inputs, weight)
    # the maximum has no gradient of its own, yet the gradients are whole
    for got, want in zip(torch.autograd.grad(fast, inputs, weight), expected, strict=True):
        torch.testing.assert_close(got, want)


def test_is_its_parallel_form():
    q, k, v, gate, log_forget, _, _ = (part.detach() for part in problem((2, 45, 2, 3, 4)))
    empty = (torch.zeros(2, 2, 3, 5).double(), torch.zeros(2, 2).double())
    fallen = log_forget.cumsum(1).transpose(1, 2)  # (B, H, T)
    weights = fallen[..., :, None] - fallen[..., None, :] + gate.transpose(1, 2)[..., None, :]
    weights = weights.masked_fill(~torch.ones(45, 45).tril().bool(), -torch.inf)
    most = weights.amax(-1, keepdim=True)
    scores = torch.einsum("bihk,bjhk->bhij", q, k) * (weights - most).exp()
    total = torch.maximum(scores.sum(-1, keepdim=True).abs(), (-most).exp())
    expected = torch.einsum("bhij,bjhv->bihv", scores / total, v)
    torch.testing.assert_close(stabilised_attention(q, k, v, gate, log_forget, empty)[0], expected)


def test_louder_gates_change_only_the_floor():
    q, k, v, gate, log_forget, _, _ = (part.detach() for part in problem((2, 70, 2, 4, 4)))
    k, q = k.abs(), q.abs()  # then the sum is never near zero
    empty = (torch.zeros(2, 2, 4, 5).double(), torch.zeros(2, 2).double())
    far, further = (
        stabilised_attention(q, k, v, gate + shift, log_forget, empty)[0] for shift in (50, 100)
    )
    torch.testing.assert_close(far, further)
    assert far.isfinite().all()
    soft = stabilised_attention(q, k, v, gate - 100, log_forget, empty)[0]
    assert soft.abs().max() < 1e-30  # the floor of one takes over


@FORMS
def test_single_precision_survives_extreme_gates(form):
    inputs = [part.detach().float() for part in problem((2, 130, 2, 4, 4), 60.0)]
    inputs = [part.requires_grad_() for part in inputs]
    out, held, size = run(form, inputs)
    gradients = torch.autograd.grad(out.sum(), inputs[:6])
    for part in (out, held, size, *gradients):
        assert part.isfinite().all()


def test_gradients_of_the_memory_that_is_left():
    inputs = problem((2, 21, 2, 5, 16))
    fast, slow = (
        run(form, inputs) for form in (stabilised_attention, stabilised_attention_reference)
    )
    weight = torch.randn_like(slow[1])
    # the first m too is worth something to what was there before the first position
    expected = torch.autograd.grad(slow[1], (*inputs[1:],), weight)
    for got, want in zip(torch.autograd.grad(fast[1], inputs[1:], weight), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


def test_compiled_slopes_are_those_of_finite_differences():
    inputs = problem((1, 19, 1, 2, 16), 0.5)
    assert torch.autograd.gradcheck(lambda *given: run(stabilised_attention, given)[0], inputs)


def test_reads_parts_of_a_projection_where_they_lie():
    _, _, _, gate, log_forget, held, size = problem((2, 37, 2, 16, 16))
    whole = torch.randn(2, 37, 3 * 32, dtype=torch.float64, requires_grad=True)
    parts = [part.unflatten(-1, (2, 16)) for part in whole.chunk(3, -1)]
    parts[1] = parts[1].flip(2).transpose(2, 3).contiguous().transpose(2, 3)
    weight = torch.randn(2, 37, 2, 16, dtype=torch.float64)
    found = []
    for form in (stabilised_attention, stabilised_attention_reference):
        read, _ = form(*parts, gate, log_forget, (held, size))
        found.append((read, *torch.autograd.grad(read, (whole, gate), weight, retain_graph=True)))
    for got, want in zip(*found, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


def test_single_precision_is_near_double():
    double = problem((2, 300, 2, 32, 32), 1.0)
    single = [part.detach().float().requires_grad_() for part in double]
    # a quotient by a sum of either sign, near zero here and there, is worse conditioned than this
    keys = [part.detach().abs().requires_grad_() for part in double[:2]]
    single[:2] = [part.detach().float().requires_grad_() for part in keys]
    single[5] = single[5].detach().abs().requires_grad_()
    double[:2], double[5] = keys, double[5].detach().abs().requires_grad_()
    fast, slow = run(stabilised_attention, single), run(stabilised_attention_reference, double)
    weight = torch.randn_like(slow[0])
    expected = torch.autograd.grad(slow[0], double[:6], weight)
    found = torch.autograd.grad(fast[0], single[:6], weight.float())
    for got, want in zip((fast[0], *found), (slow[0], *expected), strict=True):
        assert got.dtype == torch.float32
        assert (got - want).abs().max() <= 1e-4 * want.abs().max()


@pytest.mark.parametrize("part", [1, 2], ids=["key", "value"])
@pytest.mark.parametrize("place", [0, 20, 36])
@FORMS
def test_a_missing_number_reaches_no_position_before_it(form, place, part):
    inputs = problem((2, 37, 2, 16, 16))
    expected = run(form, inputs)[0]
    inputs[part].data[1, place, 0, 3] = torch.nan
    read, held, _ = run(form, inputs)
    torch.testing.assert_close(read[1, :place], expected[1, :place])
    torch.testing.assert_close(read[:, :, 1], expected[:, :, 1])
    torch.testing.assert_close(read[0], expected[0])
    assert read[1, place:, 0].isnan().any(-1).all()
    assert held[1, 0].isnan().any()


@pytest.mark.parametrize("size", [5, 16])
@pytest.mark.parametrize("part", range(5))
def test_a_missing_number_is_not_seen_in_other_rows(part, size):
    inputs = problem((3, 37, 2, size, size))
    found = []
    for number in (-1.0, torch.nan):
        with torch.no_grad():
            inputs[part][1, 20] = number
        read, held, _ = run(stabilised_attention, inputs)
        slopes = torch.autograd.grad(read[::2].sum() + held[::2].sum(), inputs[:6])
        found.append([read[1, :20], *(each[::2] for each in (read, held, *slopes))])
    torch.testing.assert_close(*found)
