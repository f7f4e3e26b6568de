"""What the linear cells remember, and how they forget."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv1d, rms_norm, silu

from archsearch.cells.linear.deltanet import DeltaNet
from archsearch.cells.linear.gla import GLA
from archsearch.cells.linear.lru import LRU
from archsearch.cells.linear.retention import Retention
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.errors import ArchitectureError


@pytest.mark.parametrize(("r_min", "r_max"), [(0.0, 0.5), (0.5, 0.99), (0.9, 0.999)])
def test_lru_starts_in_the_ring(r_min, r_max):
    torch.manual_seed(0)
    eigenvalues = LRU(8, state=512, r_min=r_min, r_max=r_max, max_phase=0.5).eigenvalues
    radius = eigenvalues.abs()
    assert r_min - 1e-4 <= radius.min() < radius.max() <= r_max + 1e-6
    assert 0 <= eigenvalues.angle().min() < eigenvalues.angle().max() <= 0.5
    # uniform on the ring: the radius squared is uniform
    middle = (radius.square().mean() - r_min**2) / (r_max**2 - r_min**2)
    assert abs(middle.item() - 0.5) < 0.05


def test_lru_stays_stable_whatever_training_does():
    torch.manual_seed(0)
    cell = LRU(8, state=16)
    optimiser = torch.optim.Adam(cell.parameters(), lr=0.5)
    for _ in range(100):
        optimiser.zero_grad()
        (-cell(torch.randn(2, 5, 8))[0].square().mean()).backward()
        optimiser.step()
    assert cell.eigenvalues.abs().max() <= 1


@pytest.mark.parametrize("r_max", [0.5, 0.99, 0.999])
def test_lru_outputs_have_the_variance_of_its_inputs(r_max):
    torch.manual_seed(0)
    cell = LRU(64, state=128, r_min=r_max - 0.1, r_max=r_max)
    nn.init.zeros_(cell.skip)
    with torch.no_grad():
        y = cell(torch.randn(4, 4000, 64))[0][:, 2000:]
    assert 0.6 < y.var().item() < 1.6


def test_without_gamma_the_variance_grows_with_the_memory():
    torch.manual_seed(0)
    cells = [LRU(64, state=128, r_min=0.98, r_max=0.99, gamma=gamma) for gamma in (True, False)]
    other, found = cells[1], []
    other.load_state_dict(cells[0].state_dict(), strict=False)
    assert dict(other.named_parameters()).keys() == dict(cells[0].named_parameters()).keys() - {
        "gamma_log"
    }
    x = torch.randn(2, 1000, 64)
    for cell in cells:
        nn.init.zeros_(cell.skip)
        with torch.no_grad():
            found.append(cell(x)[0][:, 500:].var())
    assert 0.6 < found[0] < 1.6
    # the mean of 1 / (1 - r^2) over the ring is about 33
    expected = (1 / (1 - other.eigenvalues.abs().square())).mean()
    assert 0.7 < found[1] / (found[0] * expected) < 1.4


@pytest.mark.parametrize("gamma", [True, False])
def test_lru_is_a_convolution(gamma):
    torch.manual_seed(0)
    cell = LRU(3, state=7, gamma=gamma).double()
    x = torch.randn(2, 50, 3, dtype=torch.float64)
    powers = cell.eigenvalues[:, None] ** torch.arange(50)  # (N, T)
    read_in = torch.view_as_complex(cell.input.weight.unflatten(0, (-1, 2)).mT.contiguous())
    real, imaginary = cell.output.weight.unflatten(1, (-1, 2)).unbind(-1)  # (W, N)
    inner = cell.gamma_log.exp()[:, None] * read_in if gamma else read_in
    kernel = torch.einsum("on,nt,ni->oit", torch.complex(real, -imaginary), powers, inner).real
    padded = torch.cat([x.new_zeros(2, 3, 49), x.mT], -1)
    y = conv1d(padded, kernel.flip(-1)).mT + cell.skip * x
    torch.testing.assert_close(cell(x)[0], y)


def test_an_empty_ring_is_refused():
    with pytest.raises(ArchitectureError, match=r"r_min 0\.9 is not below r_max 0\.5"):
        LRU(8, r_min=0.9, r_max=0.5)


def test_retention_equals_its_parallel_form():
    torch.manual_seed(0)
    cell = Retention(12, heads=3, rotary=False).double()
    x = torch.randn(2, 45, 12, dtype=torch.float64)
    q, k, v = (part.unflatten(-1, (3, -1)) for part in cell.project(x).split(12, -1))
    rates = 1 - 2.0 ** -(5 + torch.arange(3, dtype=torch.float64))
    distance = (torch.arange(45)[:, None] - torch.arange(45)).double()
    decay = (rates[:, None, None] ** distance.clamp_min(0)).tril()
    scores = torch.einsum("bihk,bjhk->bhij", q, k) / 2 * decay
    read = rms_norm(torch.einsum("bhij,bjhv->bihv", scores, v), [4], eps=1e-5)
    expected = cell.output(read.flatten(2) * silu(cell.open(x)))
    torch.testing.assert_close(cell(x)[0], expected, rtol=1e-6, atol=1e-7)


def test_rotary_retention_knows_distances_only():
    torch.manual_seed(0)
    cell = Retention(8, heads=2).double()
    x = torch.randn(2, 20, 8, dtype=torch.float64)
    memory, _ = cell.initial_state(2)
    late, _ = cell(x, (memory, torch.tensor([1000, 7])))
    torch.testing.assert_close(late, cell(x)[0])


def test_gla_with_open_gates_is_plain_linear_attention():
    torch.manual_seed(0)
    cell = GLA(8, heads=2).double()
    nn.init.constant_(cell.gate[1].bias, 1e4)
    x = torch.randn(2, 37, 8, dtype=torch.float64)
    q, k, v = (part.unflatten(-1, (2, -1)) for part in cell.project(x).split([4, 4, 8], -1))
    scores = torch.einsum("bihk,bjhk->bhij", q, k).tril() * 2**-0.5
    read = cell.norm(torch.einsum("bhij,bjhv->bihv", scores, v)).flatten(2)
    torch.testing.assert_close(cell(x)[0], cell.output(read * silu(cell.open(x))))


def test_gla_with_shut_gates_forgets():
    torch.manual_seed(0)
    cell = GLA(8, heads=2, tau=1.0)
    nn.init.constant_(cell.gate[1].bias, -20.0)
    memory, recent = cell.initial_state(1)
    with torch.no_grad():
        _, (left, _) = cell(torch.zeros(1, 4, 8), (memory + 1, recent))
    assert left.abs().max() < 1e-8


@pytest.mark.parametrize("beta_range", [1, 2])
def test_deltanet_keeps_one_minus_beta_along_the_key(beta_range):
    torch.manual_seed(0)
    cell = DeltaNet(8, heads=1, head_size=4, conv=0, beta_range=beta_range)
    nn.init.constant_(cell.strength.bias, 20.0)
    with torch.no_grad():
        x = torch.randn(1, 8)
        k = nn.functional.normalize(silu(cell.project(x))[:, 4:8], dim=-1)
        v = silu(cell.project(x))[:, 8:]
        held = torch.randn(1, 1, 4, 4)
        _, (memory, _) = cell.step(x, (held, cell.initial_state(1)[1]))
        before = torch.einsum("bk,bhkv->bv", k, held)
        after = torch.einsum("bk,bhkv->bv", k, memory)
    torch.testing.assert_close(after, (1 - beta_range) * before + beta_range * v)


def test_deltanet_replaces_the_value_of_a_key():
    torch.manual_seed(0)
    cell = DeltaNet(8, heads=1, head_size=4, conv=0, activation="identity")
    nn.init.constant_(cell.strength.bias, 30.0)
    size = cell.head_size
    with torch.no_grad():
        cell.project.weight.zero_()
        cell.project.weight[size : 2 * size, :4] = torch.eye(4)  # the key: the first half of x
        cell.project.weight[2 * size :, 4:] = torch.eye(4)  # the value: the second half
        key, first, second = torch.eye(4)[1], torch.randn(4), torch.randn(4)
        x = torch.stack([torch.cat([key, first]), torch.cat([key, second])])[None]
        _, (memory, _) = cell(x)
    torch.testing.assert_close(memory[0, 0, 1], second)


def test_short_convolution_is_a_depthwise_causal_convolution():
    torch.manual_seed(0)
    layer = ShortConv(6, 4)
    x = torch.randn(2, 13, 6)
    y, recent = layer(x, torch.zeros(2, 3, 6))
    padded = torch.cat([torch.zeros(2, 6, 3), x.mT], -1)
    torch.testing.assert_close(y, conv1d(padded, layer.weight.t()[:, None], groups=6).mT)
    assert torch.equal(recent, x[:, -3:])


@pytest.mark.parametrize("cell", [GLA, Retention])
def test_heads_that_do_not_divide_are_refused_with_a_remedy(cell):
    with pytest.raises(ArchitectureError, match=r"heads 8 do not divide .* take \d heads"):
        cell(20, heads=8)


def test_odd_heads_cannot_rotate():
    with pytest.raises(ArchitectureError, match="rotary needs heads of even size, not 3"):
        Retention(12, heads=4)
