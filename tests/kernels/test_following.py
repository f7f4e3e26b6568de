"""What followed alike places as compiled loops, against a search place by place."""

from __future__ import annotations

import pytest
import torch

from archsearch.kernels.choose import VARIABLE
from archsearch.kernels.memories import following_cpu
from archsearch.kernels.memories.following import following

torch.set_num_threads(1)

# rows, heads, positions, the last of them that ask, size
SHAPES = [
    *((1, 1, 1, 1, 1), (2, 3, 2, 1, 5), (1, 2, 3, 3, 4), (3, 1, 40, 40, 16), (2, 2, 61, 17, 3)),
    (1, 1, 300, 270, 8),
]
FORMS = pytest.mark.parametrize("form", [following, following.plain], ids=["compiled", "plain"])


@pytest.fixture(autouse=True)
def calls(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    seen = []
    apply = following_cpu._Following.apply
    monkeypatch.setattr(
        following_cpu._Following, "apply", lambda *given: seen.append(1) or apply(*given)
    )
    return seen


def problem(shape, dtype=torch.float64, kinds=4):
    rows, heads, steps, _, size = shape
    torch.manual_seed(0)
    values = torch.randn(rows, heads, steps, size, dtype=torch.float64).to(dtype)
    # far apart, and some that are like none
    grams = 10**15 * torch.randint(-1, kinds, (rows, heads, steps))
    return values.requires_grad_(), grams


def searched(values, grams, length):
    rows, heads, steps, size = values.shape
    means = []
    for row in range(rows):
        for head in range(heads):
            known = grams[row, head].tolist()
            for i in range(steps - length, steps):
                places = [j + 1 for j in range(i - 1) if known[j] == known[i] >= 0]
                of_head = values[row, head]
                means.append(of_head[places].mean(0) if places else 0 * of_head[0])
    return torch.stack(means).view(rows, heads, length, size)


@pytest.mark.parametrize("kinds", [1, 4, 50])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@FORMS
def test_is_a_search_through_all_places(form, shape, kinds, calls):
    values, grams = problem(shape, kinds=kinds)
    want = searched(values, grams, shape[3])
    slope = torch.randn_like(want)
    (expected,) = torch.autograd.grad(want, values, slope)
    got = form(values, grams, shape[3])
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, values, slope)[0], expected)
    assert len(calls) == (form is following)
    single = values.detach().float().requires_grad_()
    got = form(single, grams, shape[3])
    torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-5)
    (found,) = torch.autograd.grad(got, single, slope.float())
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


@FORMS
def test_values_and_slopes_may_lie_in_any_way(form):
    values, grams = problem((3, 2, 21, 21, 4))
    moved = values.detach().permute(2, 0, 3, 1).contiguous().permute(1, 3, 0, 2).requires_grad_()
    slope = torch.randn(4, 21, 2, 3, dtype=torch.float64).permute(3, 2, 1, 0)
    got, want = (form(part, grams, 21) for part in (moved, values))
    torch.testing.assert_close(got, want)
    (found,) = torch.autograd.grad(got, moved, slope)
    (expected,) = torch.autograd.grad(want, values, slope.contiguous())
    torch.testing.assert_close(found, expected)
    (alike,) = torch.autograd.grad(form(values, grams, 21).sum(), values)  # without strides
    assert alike.isfinite().all()


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize("trained", [True, False])
def test_a_missing_number_reaches_those_that_look_at_it_alone(trained, number):
    values, grams = problem((2, 2, 50, 50, 4))
    want = searched(values, grams, 50).detach()
    with torch.no_grad():
        values[0, 1, 20] = number
    alike = grams[0, 1] == grams[0, 1, 19]
    assert grams[0, 1, 19] >= 0
    missing = torch.zeros(2, 2, 50, dtype=torch.bool)
    missing[0, 1] = alike & (torch.arange(50) > 20)
    assert missing.any()
    with torch.set_grad_enabled(trained):
        found = following(values, grams, 50)
    assert torch.equal(~found.isfinite().all(-1), missing)
    torch.testing.assert_close(found[~missing], want[~missing])


def test_what_is_not_trained_is_left_to_torch(calls):
    values, grams = problem((1, 1, 9, 9, 4))
    with torch.no_grad():
        following(values, grams, 9)
    following(values.detach().bfloat16().requires_grad_(), grams, 9)
    assert calls == []
