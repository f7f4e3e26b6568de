"""Sparse modular activation: its parts, its limits, and what its memory spans."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, silu

from archsearch.cells.attention.damped_ema import DampedEMA
from archsearch.cells.attention.seqboat import SeqBoat, compress, extract


def built(**options):
    torch.manual_seed(0)
    cell = SeqBoat(8, query_size=6, **options).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return cell


def routed(cell, x):
    """What stands before the router, (T, W), and who is active, (T,)."""
    m = silu(cell.ema(x[None], cell.initial_state(1)[0])[0])[0]
    r = cell.route(m)
    return m, r, r[:, 1] > r[:, 0]


def by_hand(cell, x):
    """One row (T, W), one position after the other, with a list as the memory."""
    m, r, active = routed(cell, x)
    gate, q, k, v = cell.unit.split(m)
    share = (r / cell.log_temperature.exp()).softmax(-1)[:, 1]
    outputs, remembered = [], []
    for t in range(len(x)):
        h = torch.zeros_like(x[t])
        if active[t]:
            remembered = [*remembered, t][-cell.window :]
            keys = torch.stack([k[j] for j in remembered])
            products = keys @ q[t]
            # distances are counted among active positions
            bias = cell.unit.bias[torch.arange(len(remembered)).flip(0)]
            if cell.unit.normaliser == "softmax":
                weights = (products / cell.unit.size**0.5 + bias).softmax(0)
            else:
                weights = torch.relu(products / len(remembered) + bias) ** 2
            seen = sum(w * v[j] for w, j in zip(weights, remembered, strict=True))
            h = share[t] * cell.unit.output(gate[t] * seen)
        outputs.append(silu(x[t] + cell.direct(m[t]) + h))
    return torch.stack(outputs)


@pytest.mark.parametrize("normaliser", ["softmax", "relu2"])
@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize("steps", [1, 40, 150])
def test_is_a_memory_of_the_last_active_positions(steps, window, normaliser):
    cell = built(window=window, normaliser=normaliser)
    x = torch.randn(2, steps, 8, dtype=torch.float64)
    if steps > 1:
        assert 0.1 < routed(cell, x[0])[2].double().mean() < 0.9
    for row in range(2):
        torch.testing.assert_close(cell(x)[0][row], by_hand(cell, x[row]), rtol=1e-10, atol=1e-12)


def test_compressed_and_extracted_again_only_active_positions_are_left():
    torch.manual_seed(0)
    x = torch.randn(4, 11, 3)
    active = torch.rand(4, 11) < 0.5
    active[1], active[2] = False, True
    packed = compress(x, active)
    assert packed.shape == (4, 11, 3)
    for row in range(4):
        assert torch.equal(packed[row, : active[row].sum()], x[row, active[row]])
    assert torch.equal(extract(packed, active), x * active[..., None])
    few = torch.zeros(4, 11, dtype=torch.bool)
    few[3, [2, 7]] = True
    assert compress(x, few).shape == (4, 2, 3)
    assert torch.equal(extract(compress(x, few), few), x * few[..., None])
    assert not extract(compress(x, active & False), active & False).any()


def forced(cell, active):
    """Everybody active, or nobody."""
    with torch.no_grad():
        cell.route.weight.mul_(0.01)
        cell.route.bias.copy_(torch.tensor([0.0, 1.0 if active else -1.0]))
    return cell


def test_with_everybody_active_it_is_the_gated_unit_on_the_averages():
    cell = forced(built(window=5), active=True)
    x = torch.randn(2, 80, 8, dtype=torch.float64)
    m = silu(cell.ema(x, cell.initial_state(2)[0])[0])
    gate, q, k, v = cell.unit.split(m)
    share = (cell.route(m) / cell.log_temperature.exp()).softmax(-1)[..., 1:]
    h = share * cell.unit.answer(gate, cell.unit.attend(q, k, v))
    torch.testing.assert_close(cell(x)[0], silu(x + cell.direct(m) + h))


def test_with_nobody_active_it_is_the_averages_alone():
    cell = forced(built(), active=False)
    x = torch.randn(2, 80, 8, dtype=torch.float64)
    m = silu(cell.ema(x, cell.initial_state(2)[0])[0])
    y, (_, _, _, held) = cell(x)
    torch.testing.assert_close(y, silu(x + cell.direct(m)))
    assert held.tolist() == [0, 0]
    slopes = torch.autograd.grad(
        y.sum(), tuple(cell.unit.parameters()), allow_unused=True, materialize_grads=True
    )
    assert not any(slope.any() for slope in slopes)


def test_the_router_learns_from_active_positions_only():
    cell = built()
    x = torch.randn(1, 30, 8, dtype=torch.float64)
    kept = []

    def keep(_module, _inputs, routes):
        routes.retain_grad()
        kept.append(routes)

    cell.route.register_forward_hook(keep)
    cell(x)[0].square().sum().backward()
    active = kept[0][0, :, 1] > kept[0][0, :, 0]
    moved = kept[0].grad[0].abs().sum(-1) > 0
    assert torch.equal(moved, active)
    assert 0 < active.sum() < 30


def test_equal_choices_leave_a_position_inactive():
    cell = built()
    with torch.no_grad():
        cell.route.weight.zero_()
        cell.route.bias.zero_()
    x = torch.randn(1, 9, 8, dtype=torch.float64)
    assert cell(x)[1][3].item() == 0


def test_its_memory_spans_any_distance_and_does_not_grow():
    """Two active positions, thousands of idle ones apart, are neighbours in a window of two."""
    cell = built(window=2, normaliser="relu2")
    with torch.no_grad():
        cell.ema.read.zero_()
        cell.ema.skip.fill_(1.0)
        cell.route.weight.zero_()
        cell.route.weight[1, 0] = 1.0
        cell.route.bias.copy_(torch.tensor([0.5, 0.0]))
        cell.unit.bias.fill_(0.5)
    x = torch.randn(1, 3000, 8, dtype=torch.float64)
    x[..., 0] = -1.0
    x[0, [3, 2999], 0] = 3.0
    x.requires_grad_()
    y, state = cell(x)
    assert [part.shape[1:] for part in state] == [(8, 8), (1, 6), (1, 8), ()]
    assert state[3].item() == 1
    (slope,) = torch.autograd.grad(y[0, -1].sum(), x)
    assert (slope[0].abs().sum(-1) > 0).nonzero().flatten().tolist() == [3, 2999]


def test_a_stream_of_single_steps_remembers_as_much_as_the_sequence():
    cell = built(window=4)
    torch.nn.init.zeros_(cell.route.bias)
    x = torch.randn(2, 40, 8, dtype=torch.float64)
    whole, after = cell(x)
    state = cell.initial_state(2)
    for t in range(40):
        y_t, state = cell.step(x[:, t], state)
        torch.testing.assert_close(y_t, whole[:, t])
    assert state[3].tolist() == after[3].tolist() == [3, 3]


def test_rows_of_a_batch_may_remember_unequally_much():
    cell = built(window=8)
    torch.nn.init.zeros_(cell.route.bias)
    x = torch.randn(3, 40, 8, dtype=torch.float64)
    whole, _ = cell(x)
    states = [cell(x[row : row + 1, :cut])[1] for row, cut in enumerate((2, 11, 30))]
    joined = tuple(torch.cat(parts) for parts in zip(*states, strict=True))
    assert len(set(joined[3].tolist())) > 1
    assert joined[3].max() > 3
    later = torch.stack([x[row, cut : cut + 9] for row, cut in enumerate((2, 11, 30))])
    got, _ = cell(later, joined)
    want = torch.stack([whole[row, cut : cut + 9] for row, cut in enumerate((2, 11, 30))])
    torch.testing.assert_close(got, want)


def test_damped_averages_are_their_kernel():
    """K_t = sum_n g_n p_n b_n (1 - p_n a_n)^t / sqrt(N), and w x beside."""
    torch.manual_seed(0)
    ema = DampedEMA(3, 4).double()
    x = torch.randn(2, 50, 3, dtype=torch.float64)
    p, a = torch.sigmoid(ema.rate), torch.sigmoid(ema.damping)
    powers = (1 - p * a)[..., None] ** torch.arange(50)
    taps = (ema.read * p * ema.write)[..., None] * powers / 2  # (W, N, T)
    taps = taps.sum(1)
    expected = torch.stack(
        [sum(taps[:, t - s] * x[:, s] for s in range(t + 1)) for t in range(50)], 1
    )
    got, _ = ema(x, torch.zeros(2, 3, 4, dtype=torch.float64))
    torch.testing.assert_close(got, expected + ema.skip * x, rtol=1e-11, atol=1e-12)


class Marked(nn.Module):
    """The mean over time of one cell, read by a linear map."""

    def __init__(self, cell):
        super().__init__()
        self.embed = nn.Linear(3, 32)
        self.cell, self.norm, self.head = cell, nn.LayerNorm(32), nn.Linear(32, 2)

    def forward(self, x):
        return self.head(self.norm(self.cell(self.embed(x))[0].mean(1)))


def marked(batch, generator, steps=16):
    """Bits, two of which are marked; the answer is whether those two differ."""
    bits = torch.randint(2, (batch, steps), generator=generator)
    at = torch.rand(batch, steps, generator=generator).argsort(1)[:, :2]
    mark = torch.zeros(batch, steps).scatter(1, at, 1.0)
    shown = mark * (2 * bits - 1)
    return torch.stack([2 * bits - 1.0, mark, shown], -1), bits.gather(1, at).sum(1) % 2


def test_two_marked_bits_are_compared():
    """XOR of two among sixteen; the averages alone can learn it too, with everybody idle."""
    torch.manual_seed(0)
    model = Marked(SeqBoat(32, dims=4, query_size=16))
    optimiser = torch.optim.AdamW(model.parameters(), 2e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        x, wanted = marked(48, generator)
        loss = cross_entropy(model(x), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    x, wanted = marked(1000, generator)
    assert (model(x).argmax(-1) == wanted).float().mean().item() > 0.95
