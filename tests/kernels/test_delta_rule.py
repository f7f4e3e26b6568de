"""The chunkwise delta rule against its recurrence, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import normalize

from archsearch.kernels.memories.delta_rule import delta_rule, delta_rule_reference, spaced

SHAPES = [(1, 1, 1, 1, 1), (1, 16, 2, 3, 4), (2, 37, 3, 4, 5), (3, 5, 1, 2, 3), (1, 130, 2, 4, 4)]
# more than a tile of keys and values, more than two tiles, more keys than registers hold
WIDE = [(2, 18, 2, 17, 16), (1, 3, 2, 5, 35), (2, 37, 2, 35, 20)]
FORMS = pytest.mark.parametrize("form", [delta_rule, delta_rule.plain], ids=["compiled", "plain"])


def problem(shape, reach, dtype=torch.float64):
    rows, steps, heads, key, value = shape
    torch.manual_seed(0)
    return [
        part.requires_grad_()
        for part in (
            torch.randn(rows, steps, heads, key, dtype=dtype),
            normalize(torch.randn(rows, steps, heads, key, dtype=dtype), dim=-1),
            torch.randn(rows, steps, heads, value, dtype=dtype),
            reach * torch.rand(rows, steps, heads, dtype=dtype),
            torch.randn(rows, heads, key, value, dtype=dtype),
        )
    ]


@pytest.mark.parametrize("reach", [1, 2])
@pytest.mark.parametrize("shape", SHAPES + WIDE, ids=str)
@FORMS
def test_equals_the_recurrence(form, shape, reach):
    inputs = problem(shape, reach)
    fast, slow = form(*inputs), delta_rule_reference(*inputs)
    weights = [torch.randn_like(part) for part in slow]
    expected = torch.autograd.grad(slow, inputs, weights)
    for got, want in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
    for got, want in zip(torch.autograd.grad(fast, inputs, weights), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("each", [2, 3])
@pytest.mark.parametrize(
    "shape", [(1, 6, 1, 1, 1), (2, 42, 3, 4, 5), (2, 54, 2, 17, 16), (1, 42, 2, 33, 7)], ids=str
)
@FORMS
def test_the_memory_is_asked_after_every_nth_position(form, shape, each):
    q, *rest = problem(shape, 2)
    asked = q.detach()[:, each - 1 :: each].clone().requires_grad_()
    fast, (every, left) = form(asked, *rest), delta_rule_reference(spaced(asked, each), *rest)
    slow = every[:, each - 1 :: each], left
    weights = [torch.randn_like(part) for part in slow]
    found = torch.autograd.grad(fast, (asked, *rest), weights)
    expected = torch.autograd.grad(slow, (asked, *rest), weights)
    for got, want in zip((*fast, *found), (*slow, *expected), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-8)


@FORMS
def test_gradcheck(form):
    assert torch.autograd.gradcheck(form, problem((2, 19, 1, 2, 2), 2))


@FORMS
def test_single_precision_holds_when_every_key_is_the_same_and_reflected(form):
    q, k, v, beta, memory = (part.detach() for part in problem((2, 200, 1, 4, 4), 2, torch.float32))
    k, beta = k[:, :1].expand_as(k), torch.full_like(beta, 1.99)
    exact = delta_rule_reference(*(part.double() for part in (q, k, v, beta, memory)))[0]
    got = form(q.requires_grad_(), k, v, beta, memory)[0].double()
    assert (got - exact).abs().max() / exact.abs().max() < 1e-4


def test_a_second_value_for_a_key_replaces_the_first():
    key = normalize(torch.randn(1, 1, 1, 8), dim=-1)
    first, second = torch.randn(1, 1, 1, 5), torch.randn(1, 1, 1, 5)
    keys, values = torch.cat([key, key], 1), torch.cat([first, second], 1)
    out, _ = delta_rule(keys, keys, values, torch.ones(1, 2, 1), torch.zeros(1, 1, 8, 5))
    torch.testing.assert_close(out, values)


def test_along_its_key_a_write_of_strength_beta_leaves_one_minus_beta():
    key = normalize(torch.randn(1, 1, 1, 8), dim=-1)
    held = torch.randn(1, 1, 5)
    memory = key[:, 0, :, :, None] * held[:, :, None]
    for strength in (0.0, 0.5, 1.0, 1.7, 2.0):
        beta = torch.full((1, 1, 1), strength)
        out, _ = delta_rule(key, key, torch.zeros(1, 1, 1, 5), beta, memory)
        torch.testing.assert_close(out[:, 0], (1 - strength) * held)


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("which", range(4), ids=["q", "k", "v", "beta"])
def test_a_missing_number_reaches_no_earlier_answer(which, trained):
    inputs = [part.detach() for part in problem((2, 40, 2, 16, 16), 1)]
    want = delta_rule(*inputs)[0]
    for at in (0, 5, 16, 39):
        broken = [part.clone() for part in inputs]
        broken[which][0, at] = torch.nan
        with torch.set_grad_enabled(trained):
            found = delta_rule(*(part.requires_grad_() for part in broken))[0]
        assert found[0, at].isnan().all()
        torch.testing.assert_close(found[0, :at], want[0, :at])
        torch.testing.assert_close(found[1], want[1])
