"""Attention against torch's own, the reach of its patterns, and its cache."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention.attention import Attention, alibi_slopes
from archsearch.cells.attention.distance_bias import sloped
from archsearch.cells.attention.normalisers import rectified
from archsearch.cells.attention.patterns import seen
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


PATTERNS = ["full", "window", "power", "strided", "fixed", "chunked", "dilated"]


def pairs(pattern, steps, window=5, stride=4):
    """(T, T): the pairs of a pattern, from the words of its definition."""
    rules = {
        "full": lambda i, j: True,
        "window": lambda i, j: i - j in range(window),
        "power": lambda i, j: i - j in (0, *(2**power for power in range(12))),
        "strided": lambda i, j: i - j < stride or (i - j) % stride == 0,
        "fixed": lambda i, j: i // stride == j // stride or j % stride == stride - 1,
        "chunked": lambda i, j: i // window == j // window,
        "dilated": lambda i, j: i - j in range(0, window * stride, stride),
    }
    rule = rules[pattern]
    return torch.tensor([[j <= i and rule(i, j) for j in range(steps)] for i in range(steps)])


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("steps", [1, 2, 37, 131])
def test_every_pattern_is_its_rule(pattern, steps):
    torch.manual_seed(0)
    cell = Attention(12, 3, pattern, window=5, stride=4, positions="none").double()
    x = torch.randn(2, steps, 12, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], attended(cell, x, pairs(pattern, steps)))


@pytest.mark.parametrize("pattern", PATTERNS)
def test_rows_may_stand_at_positions_of_their_own(pattern):
    """As in a batch of streams that began at different times."""
    torch.manual_seed(0)
    cell = Attention(8, 2, pattern, window=5, stride=4).double()
    x = torch.randn(2, 30, 8, dtype=torch.float64)
    whole, _ = cell(x)
    states = [cell(x[row : row + 1, :begin])[1] for row, begin in ((0, 7), (1, 16))]
    longest = max(part[0].shape[2] for part in states)
    for row, (begin, state) in enumerate(zip((7, 16), states, strict=True)):
        y, _ = cell(x[row : row + 1, begin : begin + 10], state)
        torch.testing.assert_close(y, whole[row : row + 1, begin : begin + 10])
    assert longest <= 16


def hops(*layers):
    """How many causal pairs are joined by one layer after the other."""
    joined = layers[0].double()
    for layer in layers[1:]:
        joined = layer.double() @ joined
    return int((joined > 0).sum())


def test_what_patterns_join_in_two_layers():
    """Of T = 256 with a stride of 16, all 32,896 causal pairs; the window reaches 16 layers far."""
    for pattern in ("strided", "fixed"):
        mask = pairs(pattern, 256, stride=16)
        if pattern == "fixed":
            mask |= torch.tensor(
                [[j <= i and j % 16 >= 12 for j in range(256)] for i in range(256)]
            )
        assert torch.equal(mask, seen(pattern, *places(256), window=5, stride=16))
        assert hops(mask, mask) == 256 * 257 // 2
    window = seen("window", *places(256), window=9, stride=1)
    last = [
        int((torch.linalg.matrix_power(window.double(), n)[-1] > 0).sum()) for n in (1, 2, 4, 8)
    ]
    assert last == [9, 17, 33, 65]
    dilated = seen("dilated", *places(256), window=9, stride=2)
    assert int((torch.linalg.matrix_power(dilated.double(), 16)[-1] > 0).sum()) == 128


def places(steps):
    return torch.arange(steps)[:, None], torch.arange(steps)


def test_the_order_of_the_parts_of_a_fixed_pattern_matters():
    """The figures of the published layout, local and summary parts in layers of their own."""
    i, j = places(256)
    local = (j <= i) & (i // 16 == j // 16)
    columns = (j <= i) & (j % 16 >= 12)
    # through the residual stream a position sees itself, too
    assert hops(local, columns | (i == j)) == 256 * 257 // 2
    assert hops(columns, local) == 7840


@pytest.mark.parametrize("keys", ["own", "grouped", "single"])
def test_shared_keys_are_keys_repeated(keys):
    torch.manual_seed(0)
    cell = Attention(16, 4, keys=keys, positions="none").double()
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    size = 4 * cell.key_heads
    q, k, v = cell.project(x).split([16, size, size], -1)
    q, k, v = (part.unflatten(-1, (-1, 4)).transpose(1, 2) for part in (q, k, v))
    out = scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    torch.testing.assert_close(cell(x)[0], cell.output(out.transpose(1, 2).flatten(2)))
    assert cell(x)[1][0].shape == (2, cell.key_heads, 9, 4)


def test_a_relative_bias_is_one_number_per_head_and_distance():
    torch.manual_seed(0)
    cell = Attention(8, 2, positions="relative").double()
    with torch.no_grad():
        cell.bias.normal_()
    x = torch.randn(2, 90, 8, dtype=torch.float64)
    far = torch.arange(90)[:, None] - torch.arange(90)
    mask = torch.stack([head[far.clamp(0, 63)] for head in cell.bias])
    mask = mask.masked_fill(far < 0, -torch.inf)
    torch.testing.assert_close(cell(x)[0], attended(cell, x, mask))


def test_unit_queries_and_keys_bound_the_scores():
    torch.manual_seed(0)
    cell = Attention(8, 2, unit=True, positions="none").double()
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    q, k, _ = cell._split(1e3 * x, torch.arange(9)[None])
    torch.testing.assert_close(q.square().mean(-1), torch.ones(2, 2, 9, dtype=torch.float64))
    assert (q @ k.transpose(-1, -2) * 4**-0.5).abs().max() <= 4**0.5 + 1e-9


def test_rectified_weights_keep_the_variance_that_they_should():
    """relu(s) sqrt(2 / n) keeps it, relu(s) / n shrinks it; a row sums to 1 / sqrt(2 pi)."""
    torch.manual_seed(0)
    for count in (16, 256, 1024):
        scores, values = torch.randn(400, 1, count), torch.randn(400, count, 8)
        allowed = torch.ones(1, count, dtype=torch.bool)
        former = rectified(scores, allowed, "reluformer", torch.ones(1)) @ values
        assert former.std().item() == pytest.approx(1.0, abs=0.07)
        divided = rectified(scores, allowed, "relu_length", None)
        assert divided.sum(-1).mean().item() == pytest.approx(0.3989, abs=0.02)
    equal = rectified(
        torch.full((1, 1, 9), 2.5), torch.ones(1, 9, dtype=torch.bool), "relu_length", None
    )
    torch.testing.assert_close(equal.sum(-1), torch.tensor([[2.5]]))


def test_a_rectified_row_counts_what_it_may_see():
    scores = torch.ones(4, 4)
    allowed = torch.ones(4, 4, dtype=torch.bool).tril()
    found = rectified(scores, allowed, "relu_length", None)
    torch.testing.assert_close(found.sum(-1), torch.ones(4))
    assert not found.triu(1).any()


def test_rela_is_half_sparse_at_the_start_and_nothing_gives_zero():
    torch.manual_seed(0)
    cell = Attention(32, 4, normaliser="rela", positions="none")
    x = torch.randn(4, 200, 32)
    q, k, _ = cell._split(x, torch.arange(200)[None])
    allowed = torch.ones(200, 200, dtype=torch.bool).tril()
    weights = rectified(q @ k.transpose(-1, -2), allowed, "rela", None)
    assert (weights[..., allowed] == 0).float().mean().item() == pytest.approx(0.5, abs=0.05)
    nothing = torch.zeros(1, 3, 32, requires_grad=True)
    y = cell(nothing)[0]
    assert not y.any()
    (slope,) = torch.autograd.grad(y.sum(), nothing)
    assert slope.isfinite().all()


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
    slopes = alibi_slopes(3)
    bias = sloped(slopes, torch.float64) if alibi else None
    distance = torch.arange(past, past + length)[:, None] - torch.arange(past + length)
    lowered = (slopes[:, None, None] if alibi else 0) * -distance.double()
    for pattern, got in (
        ("window", window_attention(q, k, v, window, bias, False)),
        ("power", power_attention(q, k, v, bias, False)),
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
