"""Newton's method over a sequence against the loop that it replaces."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from archsearch.kernels.recurrences import diagonal
from archsearch.kernels.recurrences.diagonal import advance_gru, diagonal_gru, linearised_gru
from archsearch.kernels.scans.newton import newton_scan

WIDTH = 5


def drawn(rows, length, dtype=torch.float64, size=0.5):
    torch.manual_seed(0)
    driven = torch.randn(rows, length, 3 * WIDTH, dtype=dtype)
    a = size * torch.randn(3, WIDTH, dtype=dtype)
    return driven, a, torch.randn(rows, WIDTH, dtype=dtype)


def looped(driven, a, h):
    states = []
    for drive in driven.unbind(1):
        h = advance_gru(drive, a, h)
        states.append(h)
    return torch.stack(states, 1)


def solved(driven, a, h, **options):
    after, slope = partial(advance_gru, driven, a), partial(linearised_gru, driven, a)
    return newton_scan(after, slope, h, driven.shape[1], **options)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("length", [1, 2, 300])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
def test_the_states_are_those_of_the_loop(rows, length, dtype, within):
    given = drawn(rows, length, dtype)
    torch.testing.assert_close(solved(*given), looped(*given), rtol=within, atol=within)


def test_the_gradients_are_those_of_the_loop():
    given = [part.requires_grad_() for part in drawn(2, 50)]
    weight = torch.randn(2, 50, WIDTH, dtype=torch.float64)
    fast = torch.autograd.grad(solved(*given), given, weight)
    slow = torch.autograd.grad(looped(*given), given, weight)
    for got, wanted in zip(fast, slow, strict=True):
        torch.testing.assert_close(got, wanted)


def test_the_derivative_is_the_diagonal_of_the_jacobian():
    driven, a, h = drawn(2, 1)
    value, slope = linearised_gru(driven[:, 0], a, h)
    torch.testing.assert_close(value, advance_gru(driven[:, 0], a, h))
    jacobian = torch.func.vmap(torch.func.jacrev(advance_gru, 2), (0, None, 0))(driven[:, 0], a, h)
    torch.testing.assert_close(jacobian, torch.diag_embed(slope))


def test_a_linear_recurrence_takes_one_iteration():
    torch.manual_seed(0)
    a, b = torch.rand(2, 30, WIDTH).double(), torch.randn(2, 30, WIDTH).double()
    h0 = torch.randn(2, WIDTH).double()
    y = newton_scan(lambda h: a * h + b, lambda h: (a * h + b, a), h0, 30, most=1)
    h = h0
    for t in range(30):
        h = a[:, t] * h + b[:, t]
        torch.testing.assert_close(y[:, t], h)


def test_k_iterations_settle_the_first_k_states():
    """A recurrence that no fewer iterations can solve: every state decides the next."""
    driven, a, h = drawn(1, 12, size=20.0)
    assert solved(driven, a, h, most=1) is None
    torch.testing.assert_close(solved(driven, a, h, most=12), looped(driven, a, h))


def test_what_does_not_settle_is_left_to_the_loop(monkeypatch):
    driven, a, h = drawn(1, 400, size=30.0)
    bias, refused = torch.zeros(3 * WIDTH, dtype=torch.float64), []

    def counted(*given):
        found = newton_scan(*given)
        refused.append(found is None)
        return found

    monkeypatch.setattr(diagonal, "newton_scan", counted)
    y = diagonal_gru(3 * driven, bias, a, h)
    assert refused == [True]
    assert torch.equal(looped(3 * driven, a, h), y)
    assert y.isfinite().all()


def test_no_number_is_no_solution():
    driven, a, h = drawn(1, 5)
    driven[0, 2] = torch.nan
    assert solved(driven, a, h) is None
