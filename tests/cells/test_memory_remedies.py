"""What bounds the memory of Mamba-2 beyond its training, against plain recurrences."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import pad, silu, softplus

from archsearch.cells.linear.mamba2 import Mamba2
from archsearch.errors import ArchitectureError
from archsearch.testing.states import flatten

LEAST = math.exp(-5.0)
REMEDIES = [
    {"remedy": "decay", "after": 7, "forget": 3.0, "insert": 0.3},
    {"remedy": "clip", "largest": 0.2, "every": 1},
    {"remedy": "clip", "largest": 0.3, "every": 5},
    {"remedy": "window", "window": 1},
    {"remedy": "window", "window": 6},
]


def made(cell, x):
    """z (B, T, E), B and C (B, T, N), u (B, T, H, P), the step sizes (B, T, H)."""
    size, count, heads = cell.size, cell.parts[1], cell.heads
    z, mixed, steps = (x @ cell.project.weight.mT).split([size, size + 2 * count, heads], -1)
    taps = cell.conv.weight
    before = pad(mixed, (0, 0, len(taps) - 1, 0))
    mixed = silu(sum(taps[i] * before[:, i : i + x.shape[1]] for i in range(len(taps))))
    u, write, read = mixed.split([size, count, count], -1)
    return z, write, read, u.unflatten(-1, (heads, -1)), softplus(steps + cell.delta_bias)


def plain(cell, x):
    """Position by position; a window is written anew for every position."""
    z, write, read, u, delta = made(cell, x)
    memory = x.new_zeros(len(x), cell.heads, cell.parts[1], cell.head_size)
    found = []
    for t in range(x.shape[1]):
        first = 0
        if cell.remedy == "window":
            first, memory = max(t - cell.window + 1, 0), torch.zeros_like(memory)
        for s in range(first if cell.remedy == "window" else t, t + 1):
            late = cell.remedy == "decay" and s >= cell.after
            factor = torch.exp(-delta[:, s] * cell.a_log.exp() * (cell.forget if late else 1.0))
            factor = 2 * factor - 1 if cell.negative else factor
            # a factor is no smaller in size than exp(-5)
            factor = torch.where(factor < 0, -1.0, 1.0) * factor.abs().clamp_min(LEAST)
            added = delta[:, s, :, None] * u[:, s] * (cell.insert if late else 1.0)
            memory = factor[..., None, None] * memory
            memory = memory + torch.einsum("bn,bhp->bhnp", write[:, s], added)
        found.append(
            torch.einsum("bhnp,bn->bhp", memory, read[:, t]) + cell.skip[:, None] * u[:, t]
        )
        if cell.remedy == "clip" and (t + 1) % cell.every == 0:
            norm = memory.square().sum((-2, -1), keepdim=True).sqrt()
            memory = memory * (cell.largest / norm).clamp_max(1.0)
    return cell.norm(torch.stack(found, 1).flatten(2) * silu(z)) @ cell.output.weight.mT


def options_of(cell):
    names = ("negative", "remedy", "after", "forget", "insert", "largest", "every", "window")
    return {name: getattr(cell, name) for name in names} | {"expand": cell.size / cell.width}


def compared(cell, x, within):
    """Values and gradients of the cell in its own precision beside the recurrence in double."""
    exact = Mamba2(cell.width, cell.heads, cell.parts[1], **options_of(cell)).double()
    exact.load_state_dict(cell.state_dict())
    slope, runs = torch.randn_like(x), []
    for model, run in ((cell, lambda x: cell(x)[0]), (exact, lambda x: plain(exact, x))):
        kind = next(model.parameters()).dtype
        y = run(x.to(kind))
        runs.append([y, *torch.autograd.grad(y, list(model.parameters()), slope.to(kind))])
    for got, want in zip(*runs, strict=True):
        assert (got - want).abs().max() <= within * want.abs().max().clamp_min(1e-3)


@pytest.mark.parametrize("options", REMEDIES, ids=str)
@pytest.mark.parametrize("negative", [False, True])
def test_a_remedy_is_its_recurrence(options, negative):
    torch.manual_seed(0)
    cell = Mamba2(6, heads=2, state=3, negative=negative, dt_max=1.0, **options).double()
    for rows, steps in ((2, 23), (1, 1)):
        compared(cell, torch.randn(rows, steps, 6, dtype=torch.float64), 1e-9)


@pytest.mark.parametrize("options", REMEDIES, ids=str)
def test_a_remedy_in_single_precision_where_one_loop_does_the_cell(options):
    torch.manual_seed(0)
    cell = Mamba2(16, heads=2, state=16, **options)
    compared(cell, torch.randn(3, 21, 16), 2e-4)


@pytest.mark.parametrize("options", REMEDIES, ids=str)
def test_steps_cuts_and_rows_in_different_places(options):
    torch.manual_seed(0)
    cell = Mamba2(6, heads=2, state=3, dt_max=1.0, **options).double()
    x = torch.randn(2, 19, 6, dtype=torch.float64)
    y, left = cell(x)
    for cut in (1, 4, 8, 15):
        first, state = cell(x[:, :cut])
        second, state = cell(x[:, cut:], state)
        torch.testing.assert_close(torch.cat([first, second], 1), y)
        for part, other in zip(flatten(state), flatten(left), strict=True):
            torch.testing.assert_close(part, other)
    early, late = cell(x[:1, :3])[1], cell(x[1:, :6])[1]
    pairs = zip(flatten(early), flatten(late), strict=True)
    joined = [torch.cat(pair) for pair in pairs]
    nested = ((*joined[:3],), *joined[3:]) if cell.remedy == "window" else tuple(joined)
    rest = torch.stack([x[0, 3:14], x[1, 6:17]])
    found, state = cell(rest, nested), nested
    stepped = []
    for x_t in rest.unbind(1):
        y_t, state = cell.step(x_t, state)
        stepped.append(y_t)
    torch.testing.assert_close(found[0], torch.stack(stepped, 1))
    torch.testing.assert_close(found[0], torch.stack([y[0, 3:14], y[1, 6:17]]))
    changed = x.clone()
    changed[:, 9:] = 10.0
    torch.testing.assert_close(cell(changed)[0][:, :9], y[:, :9])


def test_a_window_is_the_difference_of_two_states():
    torch.manual_seed(0)
    cell = Mamba2(6, heads=2, state=3, remedy="window", window=5).double()
    x = torch.randn(1, 17, 6, dtype=torch.float64)
    z, write, read, u, delta = made(cell, x)
    factor = torch.exp(-delta * cell.a_log.exp())
    states = [x.new_zeros(1, 2, 3, 6)]
    for t in range(17):
        added = torch.einsum("bn,bhp->bhnp", write[:, t], delta[:, t, :, None] * u[:, t])
        states.append(factor[:, t, :, None, None] * states[-1] + added)
    kept = factor[:, 12:].prod(1)[..., None, None]
    found = torch.einsum("bhnp,bn->bhp", states[17] - kept * states[12], read[:, 16])
    found = (found + cell.skip[:, None] * u[:, 16]).flatten(1)
    torch.testing.assert_close(cell(x)[0][:, -1], cell.output(cell.norm(found * silu(z[:, 16]))))


def size_after(steps, **options):
    """The largest norm of a memory that never learned to forget, given likewise inputs."""
    torch.manual_seed(0)
    cell = Mamba2(8, heads=2, state=4, dt_min=0.1, **options)
    with torch.no_grad():
        cell.a_log.fill_(-8.0)
        x = torch.ones(1, steps, 8) + 0.1 * torch.randn(1, steps, 8)
        memory = cell(x)[1][0]
        if isinstance(memory, tuple):
            k, v, factor = memory
            behind = factor.flip(1).cumprod(1).flip(1)  # near one
            memory = torch.einsum("bsn,bshp,bsh->bhnp", k, v, behind)
    return memory.norm(dim=(-2, -1)).max().item()


def test_a_memory_that_does_not_forget_overflows_without_a_remedy():
    short = size_after(64)
    assert size_after(4096) > 40 * short
    assert size_after(4096, remedy="clip", largest=short) <= short * 1.0001
    assert size_after(4096, remedy="window", window=64) < 1.1 * short
    more = {"forget": 100.0, "insert": 0.3, "after": 64}
    assert size_after(4096, remedy="decay", **more) < 0.3 * size_after(4096)


def test_without_a_remedy_and_below_its_positions_nothing_changes():
    torch.manual_seed(0)
    cell = Mamba2(16, heads=2, state=16)
    x = torch.randn(2, 24, 16)
    for options in ({"remedy": "decay", "after": 24}, {"remedy": "clip", "every": 24}):
        torch.manual_seed(0)
        other = Mamba2(16, heads=2, state=16, **options)
        assert torch.equal(other(x)[0], cell(x)[0])
        assert cell.state_dict().keys() == other.state_dict().keys()


def test_rates_start_between_their_bounds():
    torch.manual_seed(0)
    rates = Mamba2(64, heads=64, rate_min=0.5, rate_max=2.0).a_log.exp()
    assert 0.5 <= rates.min() < 0.7
    assert 1.8 < rates.max() <= 2.0
    with pytest.raises(ArchitectureError, match=r"rate_min 3\.0 is above rate_max 2\.0; lower"):
        Mamba2(16, rate_min=3.0, rate_max=2.0)


@pytest.mark.parametrize("options", [REMEDIES[2], REMEDIES[4]], ids=str)
def test_a_remedy_is_exported(options):
    torch.manual_seed(0)
    cell = Mamba2(8, heads=2, state=4, **options).eval()
    x = torch.randn(2, 11, 8)
    program = torch.export.export(cell, (x,), strict=False)
    torch.testing.assert_close(program.module()(x)[0], cell(x)[0], rtol=1e-4, atol=1e-5)
