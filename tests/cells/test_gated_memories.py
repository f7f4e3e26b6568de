"""HGRN2, Gated DeltaNet and DeltaProduct: the known forms they reduce to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize, silu, softplus

from archsearch.cells.linear.deltanet import DeltaNet
from archsearch.cells.linear.deltaproduct import DeltaProduct
from archsearch.cells.linear.fading import Fading
from archsearch.cells.linear.gated_deltanet import GatedDeltaNet
from archsearch.cells.linear.gla import GLA
from archsearch.cells.linear.hgrn2 import HGRN2
from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.memories.linear_attention import linear_attention_reference


@pytest.mark.parametrize("bound", [0.0, 0.9])
def test_hgrn2_is_gated_linear_attention_whose_key_is_what_the_gate_lets_go(bound):
    torch.manual_seed(0)
    cell = HGRN2(8, heads=2, lower_bound=bound).double()
    x = torch.randn(2, 37, 8, dtype=torch.float64)
    q, v = cell.project(x).chunk(2, -1)
    kept = bound + (1 - bound) * torch.sigmoid(cell.gate(x))
    parts = (part.unflatten(-1, (2, 4)) for part in (silu(q), 1 - kept, v, kept.log()))
    read, _ = linear_attention_reference(*parts, x.new_zeros(2, 2, 4, 4))
    torch.testing.assert_close(cell(x)[0], cell.output(cell.norm(read.flatten(2))))


@pytest.mark.parametrize("bound", [0.0, 0.5, 0.9])
def test_hgrn2_never_keeps_less_than_its_bound(bound):
    torch.manual_seed(0)
    cell = HGRN2(16, lower_bound=bound)
    factor = cell._split(20 * torch.randn(4, 100, 16))[-1]
    assert bound - 1e-6 <= factor.min() < bound + 0.01


def test_gla_with_negative_factors_changes_the_sign_of_its_memory():
    torch.manual_seed(0)
    cell = GLA(8, heads=2, tau=1.0, negative=True).double()
    nn.init.zeros_(cell.gate[1].weight)
    nn.init.constant_(cell.gate[1].bias, -50.0)  # alpha = 0, so the factor is -1
    memory, recent = cell.initial_state(1)
    held = torch.randn_like(memory)
    with torch.no_grad():
        _, (left, _) = cell(torch.zeros(1, 3, 8).double(), (held, recent))
    torch.testing.assert_close(left, -held)


def test_gated_deltanet_is_its_equations():
    torch.manual_seed(0)
    cell = GatedDeltaNet(6, heads=2, head_size=3, expand_v=2.0, conv=0, beta_range=2).double()
    x = torch.randn(2, 21, 6, dtype=torch.float64)
    q, k, v = (p.unflatten(-1, (2, -1)) for p in silu(cell.project(x)).split([6, 6, 12], -1))
    q, k = normalize(q, dim=-1), normalize(k, dim=-1)
    beta = 2 * torch.sigmoid(cell.strength(x))
    alpha = torch.exp(-cell.fading.a_log.exp() * softplus(cell.fading.rate(x)))
    memory, found = x.new_zeros(2, 2, 3, 6), []
    for t in range(21):
        along = k[:, t, :, :, None] * k[:, t, :, None]
        kept = torch.eye(3, dtype=x.dtype) - beta[:, t, :, None, None] * along
        memory = alpha[:, t, :, None, None] * kept @ memory
        memory = memory + (beta[:, t, :, None] * k[:, t])[..., None] * v[:, t, :, None]
        found.append(torch.einsum("bhk,bhkv->bhv", q[:, t], memory))
    read = cell.norm(torch.stack(found, 1)).flatten(2) * silu(cell.open(x))
    torch.testing.assert_close(cell(x)[0], cell.output(read), rtol=1e-6, atol=1e-8)


def test_one_step_of_deltaproduct_is_deltanet():
    torch.manual_seed(0)
    cell = DeltaProduct(8, steps=1, beta_range=2).double()
    plain = DeltaNet(8, beta_range=2).double()
    plain.load_state_dict(cell.state_dict())
    x = torch.randn(2, 37, 8, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], plain(x)[0])


def test_deltaproduct_reads_the_last_of_interleaved_delta_steps():
    torch.manual_seed(0)
    cell = DeltaProduct(8, heads=1, head_size=4, steps=3, conv=0).double()
    x = torch.randn(2, 15, 8, dtype=torch.float64)
    q, k, v, beta = cell._split(silu(cell.project(x)), x)
    long = [part.flatten(1, 2) for part in (k, v, beta)]
    read, _ = delta_rule(q.repeat_interleave(3, 1), *long, x.new_zeros(2, 1, 4, 4))
    expected = cell.output(cell.norm(read[:, 2::3]).flatten(2))
    torch.testing.assert_close(cell(x)[0], expected)


def test_two_full_reflections_rotate_and_two_half_ones_cannot():
    """Two reflections at 45 degrees turn by 90 degrees; strengths up to one shrink."""
    keys = normalize(torch.tensor([[1.0, 0.0], [1.0, 1.0]]), dim=-1)[None, :, None]
    memory = torch.eye(2)[None, None]
    nothing = torch.zeros(1, 2, 1, 2)
    for strength, turned in ((2.0, True), (1.0, False)):
        beta = torch.full((1, 2, 1), strength)
        _, left = delta_rule(keys, keys, nothing, beta, memory)
        eigenvalues = torch.linalg.eigvals(left[0, 0])
        assert bool(eigenvalues.imag.abs().max() > 0.5) == turned
        if turned:
            torch.testing.assert_close(eigenvalues.abs(), torch.ones(2))


def test_deltaproduct_fades_once_per_position():
    torch.manual_seed(0)
    cell = DeltaProduct(8, heads=1, head_size=4, steps=3, conv=0, fade=True)
    nn.init.constant_(cell.strength.bias, -60.0)  # nothing is written
    nn.init.zeros_(cell.strength.weight)
    nn.init.zeros_(cell.fading.rate.weight)
    memory, recent = cell.initial_state(1)
    held = torch.randn_like(memory)
    with torch.no_grad():
        _, (left, _) = cell(torch.randn(1, 5, 8), (held, recent))
        alpha = torch.exp(-cell.fading.a_log.exp() * softplus(cell.fading.rate.bias))
    torch.testing.assert_close(left, alpha**5 * held)


def test_fading_starts_slow_and_never_grows():
    torch.manual_seed(0)
    fading = Fading(16, 256)
    with torch.no_grad():
        alpha = fading(torch.zeros(1, 16)).exp()
        assert 0.15 < alpha.min() < alpha.median() < alpha.max() < 1
        assert fading(30 * torch.randn(8, 16)).max() <= 0
    assert fading.no_decay == {"a_log"}
