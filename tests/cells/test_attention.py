"""Attention against torch's own, the reach of its patterns, and its cache."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention.attention import Attention, alibi_slopes
from archsearch.cells.attention.rotary import rotate
from archsearch.cells.attention.sparse import power_attention, window_attention
from archsearch.errors import ArchitectureError


def attended(cell, x, mask):
    """The same projections through torch's attention with a mask (T, T)."""
    q, k, v = (
        part.unflatten(-1, (cell.heads, -1)).transpose(1, 2)
        for part in cell.project(x).chunk(3, -1)
    )
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return cell.output(out.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("steps", [1, 2, 33, 64, 131])
@pytest.mark.parametrize("pattern", ["full", "window", "power"])
def test_equals_torch_with_the_pattern_as_a_mask(pattern, steps):
    torch.manual_seed(0)
    cell = Attention(12, heads=3, pattern=pattern, window=5, positions="none").double()
    x = torch.randn(2, steps, 12, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], attended(cell, x, seen_by(pattern, 5, steps)))


def seen_by(pattern, window, steps):
    powers = [0, *(2**power for power in range(10))]
    allowed = {"full": range(steps), "window": range(window), "power": powers}[pattern]
    return torch.tensor([[i - j in allowed for j in range(steps)] for i in range(steps)])


@pytest.mark.parametrize("alibi", [True, False])
@pytest.mark.parametrize("past", [0, 1, 4, 50])
@pytest.mark.parametrize(("length", "window"), [(1, 1), (40, 5), (64, 32), (33, 50)])
def test_sparse_attention_equals_the_masked_one(length, window, past, alibi):
    torch.manual_seed(0)
    q = torch.randn(2, 3, length, 4, dtype=torch.float64, requires_grad=True)
    k, v = (
        torch.randn(2, 3, past + length, 4, dtype=torch.float64, requires_grad=True)
        for _ in range(2)
    )
    slopes = alibi_slopes(3).double() if alibi else None
    distance = torch.arange(past, past + length)[:, None] - torch.arange(past + length)
    lowered = (slopes[:, None, None] if alibi else 0) * -distance.double()
    for pattern, got in (
        ("window", window_attention(q, k, v, window, slopes)),
        ("power", power_attention(q, k, v, slopes)),
    ):
        seen = seen_by(pattern, window, past + length)[past:]
        mask = lowered.masked_fill(~seen, -torch.inf)
        want = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        torch.testing.assert_close(got, want)
        weight = torch.randn_like(want)
        expected = torch.autograd.grad(want, (q, k, v), weight)
        for fast, slow in zip(torch.autograd.grad(got, (q, k, v), weight), expected, strict=True):
            torch.testing.assert_close(fast, slow)


def reached(cell, steps):
    """Which inputs the last output of one layer depends on."""
    x = torch.randn(1, steps, cell.width, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(cell(x)[0][0, -1].sum(), x)
    return gradient[0].abs().sum(-1) > 0


def test_power_pattern_reaches_everything_in_log_n_layers():
    torch.manual_seed(0)
    cell = Attention(4, heads=1, pattern="power", positions="none").double()
    hop = torch.stack(
        [torch.nn.functional.pad(reached(cell, n), (0, 256 - n)) for n in range(1, 257)]
    )
    seen, counts = hop[-1], []
    for _ in range(8):
        counts.append(int(seen.sum()))
        seen = (seen[:, None] & hop).any(0)
    assert counts == [9, 37, 93, 163, 219, 247, 255, 256]


@pytest.mark.parametrize("window", [1, 7, 40])
def test_a_window_reaches_as_far_as_it_says(window):
    cell = Attention(4, heads=2, pattern="window", window=window).double()
    expected = torch.arange(30) >= 30 - window
    assert torch.equal(reached(cell, 30), expected)


def test_a_window_keeps_a_bounded_cache():
    cell = Attention(8, heads=2, pattern="window", window=6)
    state = cell.initial_state(2)
    for step in range(20):
        _, state = cell.step(torch.randn(2, 8), state)
        assert state[0].shape[2] == min(step + 1, 5)
    _, state = cell(torch.randn(2, 50, 8), state)
    assert state[0].shape[2] == 5
    assert state[2].tolist() == [70, 70]


def test_rotated_products_depend_on_the_distance_only():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 8, dtype=torch.float64)
    products = [
        (rotate(q, torch.tensor([[i]])) * rotate(k, torch.tensor([[i - 3]]))).sum().item()
        for i in (3, 40, 100_000)
    ]
    assert products == pytest.approx([products[0]] * 3, abs=1e-10)
    assert rotate(q, torch.tensor([[17]])).norm().item() == pytest.approx(q.norm().item())


def test_alibi_slopes_are_geometric_and_its_bias_linear():
    assert alibi_slopes(8).tolist() == [2.0**-n for n in range(1, 9)]
    assert alibi_slopes(3).tolist() == [2.0**-4, 2.0**-8, 2.0**-2]
    torch.manual_seed(0)
    cell = Attention(8, heads=2, positions="alibi").double()
    x = torch.randn(2, 17, 8, dtype=torch.float64)
    distance = (torch.arange(17)[:, None] - torch.arange(17)).double()
    bias = -distance * cell.slopes[:, None, None]
    mask = bias.masked_fill(distance < 0, -torch.inf)
    torch.testing.assert_close(cell(x)[0], attended(cell, x, mask))


def test_without_positions_earlier_inputs_may_change_places():
    torch.manual_seed(0)
    x = torch.randn(1, 9, 8, dtype=torch.float64)
    shuffled = torch.cat([x[:, [3, 1, 0, 2, 6, 5, 4, 7]], x[:, 8:]], 1)
    for positions, same in (("none", True), ("rope", False), ("alibi", False)):
        cell = Attention(8, positions=positions, heads=2).double()
        assert torch.allclose(cell(x)[0][:, -1], cell(shuffled)[0][:, -1]) is same


def test_heads_must_fit():
    with pytest.raises(ArchitectureError, match="heads 5 do not divide width 12; take 4 heads"):
        Attention(12, heads=5)
    with pytest.raises(ArchitectureError, match="rope needs heads of even size, not 3"):
        Attention(12, heads=4)
    assert Attention(12, heads=4, positions="none").head_size == 3
