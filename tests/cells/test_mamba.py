"""Mamba and Mamba-2: their equations, their start, and the known forms they reduce to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import silu, softplus

from archsearch.cells.linear.mamba import Mamba
from archsearch.cells.linear.mamba2 import Mamba2
from archsearch.errors import ArchitectureError


@pytest.mark.parametrize("negative", [False, True])
def test_mamba_is_a_selective_scan(negative):
    torch.manual_seed(0)
    cell = Mamba(6, state=3, conv=0, negative=negative).double()
    x = torch.randn(2, 21, 6, dtype=torch.float64)
    u, z = cell.project(x).chunk(2, -1)
    u = silu(u)
    low, write, read = cell.select(u).split([1, 3, 3], -1)
    delta = softplus(cell.delta(low))
    h, found = torch.zeros(2, 12, 3, dtype=torch.float64), []
    for t in range(21):
        kept = torch.exp(torch.einsum("be,en->ben", delta[:, t], -cell.a_log.exp()))
        h = (2 * kept - 1 if negative else kept) * h
        h = h + torch.einsum("be,bn,be->ben", delta[:, t], write[:, t], u[:, t])
        found.append(torch.einsum("ben,bn->be", h, read[:, t]) + cell.skip * u[:, t])
    torch.testing.assert_close(cell(x)[0], cell.output(torch.stack(found, 1) * silu(z)))


def test_mamba_starts_as_the_paper_says():
    torch.manual_seed(0)
    cell = Mamba(64, state=8)
    torch.testing.assert_close(-cell.a_log.exp(), -torch.arange(1.0, 9.0).expand(128, 8))
    steps = softplus(cell.delta.bias)
    assert 1e-3 * 0.999 <= steps.min() < 2e-3
    assert 0.05 < steps.max() <= 0.1 * 1.001
    # uniform in the logarithm: the median is the geometric mean of the ends
    assert 0.6e-2 < steps.median() < 1.6e-2
    assert torch.equal(cell.skip, torch.ones(128))


@pytest.mark.parametrize("cell", [Mamba, Mamba2])
def test_an_empty_range_of_step_sizes_is_refused(cell):
    with pytest.raises(ArchitectureError, match=r"dt_min 0\.5 is above dt_max 0\.1"):
        cell(16, dt_min=0.5)


@pytest.mark.parametrize("negative", [False, True])
def test_mamba2_equals_its_quadratic_form(negative):
    torch.manual_seed(0)
    cell = Mamba2(8, heads=2, state=3, conv=0, negative=negative).double()
    x = torch.randn(2, 37, 8, dtype=torch.float64)
    z, mixed, steps = cell.project(x).split([16, 22, 2], -1)
    u, write, read = silu(mixed).split([16, 3, 3], -1)
    delta = softplus(steps + cell.delta_bias)
    factor = torch.exp(-delta * cell.a_log.exp())
    factor = 2 * factor - 1 if negative else factor
    # the factor between two positions, one product at a time
    between = torch.zeros(2, 2, 37, 37, dtype=torch.float64)
    for i in range(37):
        for j in range(i + 1):
            between[:, :, i, j] = factor[:, j + 1 : i + 1].prod(1)
    scores = torch.einsum("bin,bjn->bij", read, write)[:, None] * between
    values = delta[..., None] * u.unflatten(-1, (2, 8))
    found = torch.einsum("bhij,bjhp->bihp", scores, values)
    found = (found + cell.skip[:, None] * u.unflatten(-1, (2, 8))).flatten(2)
    expected = cell.output(cell.norm(found * silu(z)))
    torch.testing.assert_close(cell(x)[0], expected, rtol=1e-6, atol=1e-8)


def test_mamba2_starts_as_the_paper_says():
    torch.manual_seed(0)
    cell = Mamba2(64, heads=64)
    rates, steps = cell.a_log.exp(), softplus(cell.delta_bias)
    assert 1 <= rates.min() < 3
    assert 14 < rates.max() <= 16
    assert 1e-3 * 0.999 <= steps.min() < steps.max() <= 0.1 * 1.001


def test_mamba2_with_steps_of_no_size_neither_fades_nor_writes():
    torch.manual_seed(0)
    cell = Mamba2(8, heads=2, conv=0)
    with torch.no_grad():
        cell.delta_bias.fill_(-30.0)  # steps of nearly no size: nothing fades, nothing enters
        nn.init.zeros_(cell.project.weight[-2:])
        memory, recent = cell.initial_state(1)
        held = torch.randn_like(memory)
        _, (left, _) = cell(torch.randn(1, 40, 8), (held, recent))
    torch.testing.assert_close(left, held)


def test_only_negative_factors_reach_below_zero():
    torch.manual_seed(0)
    u = 5 * torch.randn(4, 50, 32)
    for negative in (False, True):
        cell = Mamba(16, negative=negative, dt_min=1.0, dt_max=4.0)
        with torch.no_grad():
            smallest = cell._coefficients(u)[0].min()
        assert (smallest < -0.9) == negative


@pytest.mark.parametrize("cell", [Mamba, Mamba2])
def test_a_part_that_is_watched_or_was_replaced_is_called_itself(cell):
    torch.manual_seed(0)
    # sizes that one kernel would do as a whole
    mixer, x = cell(32, state=16), torch.randn(2, 9, 32)
    expected, seen = mixer(x)[0], []
    for part in (mixer.project, mixer.conv, mixer.output):
        watch = part.register_forward_hook(lambda module, *_: seen.append(module))
        torch.testing.assert_close(mixer(x)[0], expected, rtol=1e-4, atol=1e-5)
        watch.remove()
        assert seen.pop() is part
    mixer.output = nn.Sequential(mixer.output, nn.ReLU())
    torch.testing.assert_close(mixer(x)[0], expected.relu(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cell", [Mamba, Mamba2])
def test_the_slope_passes_through_the_state(cell):
    torch.manual_seed(0)
    mixer, x = cell(32, state=16), torch.randn(2, 9, 32)
    weights = list(mixer.parameters())
    first, state = mixer(x[:, :2])
    second, state = mixer(x[:, 2:], state)
    parts = torch.cat([first, second], 1)
    whole, left = mixer(x)
    for part, other in zip(state, left, strict=True):
        torch.testing.assert_close(part, other)
    for got, want in zip(
        torch.autograd.grad(parts.square().sum(), weights),
        torch.autograd.grad(whole.square().sum(), weights),
        strict=True,
    ):
        assert (got - want).abs().max() <= 1e-5 * want.abs().max()
