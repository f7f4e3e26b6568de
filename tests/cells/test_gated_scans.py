"""minGRU, minLSTM and HGRN: what their gates keep, and the known forms they reduce to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d, silu, softplus

from archsearch.cells.linear.hgrn import HGRN
from archsearch.cells.linear.mingru import CANDIDATES, MinGRU, positive
from archsearch.cells.linear.minlstm import MinLSTM
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.errors import ArchitectureError


def states(keep, added):
    h, found = torch.zeros_like(added[:, 0]), []
    for t in range(added.shape[1]):
        h = keep[:, t] * h + added[:, t]
        found.append(h)
    return torch.stack(found, 1)


@pytest.mark.parametrize("candidate", CANDIDATES)
@pytest.mark.parametrize("negative", [False, True])
def test_mingru_is_its_equations(candidate, negative):
    torch.manual_seed(0)
    cell = MinGRU(6, expand=2.0, candidate=candidate, negative=negative).double()
    x = torch.randn(2, 21, 6, dtype=torch.float64)
    gate, new = cell.project(x).split(12, -1)
    z = torch.sigmoid(-gate)  # the update gate of the paper
    g = {"identity": new, "tanh": new.tanh()}.get(
        candidate, torch.where(new >= 0, new + 0.5, torch.sigmoid(new))
    )
    h = states(1 - 2 * z if negative else 1 - z, z * g)
    torch.testing.assert_close(cell(x)[0], cell.output(h))


def log_shares(cell, x):
    """Logarithms of what is kept, of what is added of a candidate, and of the candidate."""
    parts = (x @ cell.project.weight.T + cell.project.bias).split(cell.size, -1)
    new = parts[-1]
    log_new = torch.where(new >= 0, (new.clamp_min(0) + 0.5).log(), -softplus(-new))
    if isinstance(cell, MinGRU):
        return -softplus(-parts[0]), -softplus(parts[0]), log_new
    apart = softplus(-parts[0]) - softplus(-parts[1])
    return -softplus(apart), -softplus(-apart), log_new


@pytest.mark.parametrize("steps", [1, 37, 256])
@pytest.mark.parametrize("kind", [MinGRU, MinLSTM])
def test_in_log_space_the_states_are_the_same(kind, steps):
    """log h_t = A_t + log sum_j exp(log b_j - A_j), A_t the sum of log a: no state is needed."""
    torch.manual_seed(0)
    cell = kind(5, expand=3.0)
    x, held = 2 * torch.randn(2, steps, 5), torch.rand(2, 15)
    x.requires_grad_()
    weight = torch.cos(torch.arange(x.numel())).view_as(x)
    y, (left, _) = cell(x, (held, cell.initial_state(2)[1]))
    (slope,) = torch.autograd.grad((weight * y).sum(), x)
    cell, exact = cell.double(), x.detach().double().requires_grad_()
    log_kept, log_share, log_new = log_shares(cell, exact)
    fallen = torch.cat([torch.zeros(2, 1, 15), log_kept.cumsum(1)], 1)
    added = torch.cat([held.double().log()[:, None], log_share + log_new], 1)
    h = (fallen + (added - fallen).logcumsumexp(1)).exp()[:, 1:]
    expected = h @ cell.output.weight.T
    (expected_slope,) = torch.autograd.grad((weight * expected).sum(), exact)
    close = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(y.double(), expected, **close)
    torch.testing.assert_close(left.double(), h[:, -1], **close)
    torch.testing.assert_close(slope.double(), expected_slope, **close)


def test_the_positive_candidate_is_positive_and_has_no_kink():
    x = torch.tensor([-30.0, -1e-4, 0.0, 1e-4, 3.0], dtype=torch.float64, requires_grad=True)
    y = positive(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert (y > 0).all()
    torch.testing.assert_close(y[1:4], y.new_tensor([0.5, 0.5, 0.5]), atol=2e-4, rtol=0)
    assert y[4] == 3.5
    assert abs(slope[1].item() - 0.25) < 1e-6
    assert slope[3] == 1


@pytest.mark.parametrize("negative", [False, True])
def test_minlstm_is_its_equations(negative):
    torch.manual_seed(0)
    cell = MinLSTM(6, candidate="identity", negative=negative).double()
    x = torch.randn(2, 21, 6, dtype=torch.float64)
    forget, write, new = cell.project(x).chunk(3, -1)
    f, i = torch.sigmoid(forget), torch.sigmoid(write)
    kept = f / (f + i)
    h = states(2 * kept - 1 if negative else kept, i / (f + i) * new)
    torch.testing.assert_close(cell(x)[0], cell.output(h))


def test_minlstm_with_gates_that_underflow_stays_finite():
    torch.manual_seed(0)
    cell = MinLSTM(4)
    nn.init.constant_(cell.project.bias[:8], -200.0)  # f = i = 0 in single precision
    y, _ = cell(torch.randn(2, 50, 4))
    y.sum().backward()
    assert y.isfinite().all()
    assert y.abs().max() > 0
    assert all(part.grad.isfinite().all() for part in cell.parameters())


@pytest.mark.parametrize(("bias", "share"), [(0.0, 0.5), (3.0, 0.953)])
def test_the_bias_sets_what_is_kept_at_the_start(bias, share):
    torch.manual_seed(0)
    x = torch.randn(8, 50, 32)
    for cell in (MinGRU(32, keep_bias=bias), MinLSTM(32, forget_bias=bias)):
        factor, added = cell._coefficients(x)
        # the two shares of minLSTM start from f = s(bias) and i = 1/2
        wanted = share if isinstance(cell, MinGRU) else share / (share + 0.5)
        assert abs(factor.mean().item() - wanted) < 0.06
        assert added.shape == factor.shape


def test_without_bound_and_gates_hgrn_keeps_as_mingru_does():
    torch.manual_seed(0)
    cell, small = HGRN(6).double(), MinGRU(6, candidate="identity").double()
    x = torch.randn(2, 21, 6, dtype=torch.float64)
    with torch.no_grad():
        small.project.weight[:6] = cell.gate.weight
        small.project.bias[:6] = cell.gate.bias
        _, (h, _) = cell(x)
        kept, added = small._coefficients(x)
        new = silu(cell.project(x)[..., :6])
        expected = states(kept, (1 - kept) * new)[:, -1]
    assert added.shape == new.shape
    torch.testing.assert_close(h, expected)


@pytest.mark.parametrize("rotate", [False, True])
@pytest.mark.parametrize("bound", [0.0, 0.5, 0.9])
def test_hgrn_never_keeps_less_than_its_bound(bound, rotate):
    torch.manual_seed(0)
    cell = HGRN(16, lower_bound=bound, rotate=rotate)
    with torch.no_grad():
        factor, _, _ = cell._coefficients(20 * torch.randn(4, 100, 16))
    assert bound - 1e-6 <= factor.abs().min() < bound + 0.01
    assert factor.abs().max() <= 1 + 1e-6


def test_rotating_hgrn_turns_its_memory_by_the_angle():
    torch.manual_seed(0)
    cell = HGRN(8, rotate=True).double()
    nn.init.constant_(cell.gate.bias, 60.0)  # everything is kept
    nn.init.zeros_(cell.gate.weight)
    held = torch.randn(1, 4, 2, dtype=torch.float64)
    with torch.no_grad():
        _, (h, _) = cell(torch.randn(1, 3, 8).double(), (held, cell.initial_state(1)[1]))
    turned = torch.view_as_complex(held) * torch.exp(3j * cell.angle)
    torch.testing.assert_close(torch.view_as_complex(h), turned)


def test_rotating_hgrn_without_gates_is_a_convolution():
    torch.manual_seed(0)
    cell = HGRN(4, rotate=True, lower_bound=0.5).double()
    nn.init.zeros_(cell.gate.weight)
    x = torch.randn(2, 30, 4, dtype=torch.float64)
    kept = 0.75
    new = torch.view_as_complex(silu(cell.project(x)[..., :4]).unflatten(-1, (-1, 2)))
    eigenvalue = kept * torch.exp(1j * cell.angle)
    kernel = (1 - kept) * eigenvalue[:, None] ** torch.arange(30)  # (units, T)
    padded = torch.cat([new.new_zeros(2, 2, 29), new.mT], -1)
    h = conv1d(padded, kernel.flip(-1)[:, None], groups=2).mT
    found = cell.norm(torch.view_as_real(h).flatten(-2)) * silu(cell.project(x)[..., 4:])
    torch.testing.assert_close(cell(x)[0], cell.output(found))


def test_rotating_needs_pairs():
    with pytest.raises(ArchitectureError, match="even number of units, not 5"):
        HGRN(5, rotate=True)


@pytest.mark.parametrize("cell", [MinGRU, MinLSTM, HGRN])
def test_only_negative_factors_reach_below_zero(cell):
    torch.manual_seed(0)
    x = 5 * torch.randn(4, 50, 8)
    with torch.no_grad():
        assert cell(8)._coefficients(x)[0].min() >= 0
        assert cell(8, negative=True)._coefficients(x)[0].min() < -0.9


@pytest.mark.parametrize("start", ["uniform", "identity"])
def test_a_short_convolution_that_starts_as_identity_passes_everything(start):
    conv = ShortConv(6, 4, start)
    x = torch.randn(2, 5, 6)
    y, _ = conv(x, torch.zeros(2, 3, 6))
    assert torch.equal(y, x) == (start == "identity")
    y.square().sum().backward()
    # the other taps stand still at the start and learn all the same
    assert conv.weight.grad is not None
    assert bool((conv.weight.grad.abs().sum(1) > 0).all())


def test_a_cell_whose_convolution_starts_as_identity_is_the_one_without():
    x = torch.randn(2, 7, 8)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        plain = MinGRU(8)
        torch.manual_seed(0)
        convolved = MinGRU(8, conv=4, conv_start="identity")
    assert torch.allclose(plain(x)[0], convolved(x)[0], atol=1e-6)
