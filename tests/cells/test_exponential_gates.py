"""mLSTM and Aaren: how they start, and the attention that Aaren is."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.linear.aaren import Aaren
from archsearch.cells.linear.mlstm import MLSTM
from archsearch.errors import ArchitectureError


def test_mlstm_starts_with_gates_that_do_not_see_the_input():
    torch.manual_seed(0)
    cell = MLSTM(16, heads=4)
    c, u = torch.randn(2, 3, 5, 32).unbind(0)
    gate, log_forget = cell._split(c, u)[3:]
    expected = torch.sigmoid(torch.tensor([3.0, 4.0, 5.0, 6.0]))
    torch.testing.assert_close(log_forget.exp(), expected.expand(3, 5, 4))
    assert gate.abs().max() < 0.5
    assert torch.equal(gate, gate[:1, :1].expand_as(gate))


def test_mlstm_mixes_channels_in_blocks_of_four():
    torch.manual_seed(0)
    cell = MLSTM(16, heads=4)
    c = torch.randn(1, 32)
    changed = c.clone()
    changed[0, 5] += 1.0
    before, after = cell._split(c, c)[0].flatten(), cell._split(changed, c)[0].flatten()
    different = (before != after).nonzero().flatten().tolist()
    assert different == [4, 5, 6, 7]
    expected = torch.einsum("oi,i->o", cell.blocks[0, 1], c[0, 4:8])
    torch.testing.assert_close(before[4:8], expected)


def test_mlstm_reads_values_that_are_not_convolved():
    torch.manual_seed(0)
    cell = MLSTM(8, heads=2).double()
    x = torch.randn(1, 20, 8).double()
    u, _ = cell.project(x).chunk(2, -1)
    c, _ = cell.conv(u, cell.initial_state(1)[2])
    parts = cell._split(c, u)
    expected = torch.einsum("goi,btgi->btgo", cell.blocks[2], u.unflatten(-1, (4, 4)))
    torch.testing.assert_close(parts[2].flatten(2), expected.flatten(2))


def test_mlstm_asks_a_layer_with_a_hook_itself():
    torch.manual_seed(0)
    cell, x, asked = MLSTM(16, heads=2), torch.randn(2, 21, 16), []
    expected, kept = cell(x)
    cell.output.register_forward_hook(lambda *_: asked.append(1))
    y, left = cell(x)
    assert asked == [1]
    torch.testing.assert_close((y, *left), (expected, *kept), rtol=1e-4, atol=1e-5)


def test_mlstm_refuses_what_has_no_blocks_or_no_norm():
    with pytest.raises(ArchitectureError, match="inner width 10 is no multiple of 4"):
        MLSTM(5, heads=5)
    with pytest.raises(ArchitectureError, match="a head of size one has no norm"):
        MLSTM(4, heads=8)


@pytest.mark.parametrize(("rows", "steps"), [(1, 1), (2, 45)])
@pytest.mark.parametrize("temperature", [1.0, 0.1, 3.0])
def test_aaren_is_softmax_attention_with_one_query(temperature, rows, steps):
    torch.manual_seed(0)
    cell = Aaren(12, heads=3, temperature=temperature).double()
    x = torch.randn(rows, steps, 12).double().requires_grad_()
    k, v = cell.project(x).unflatten(-1, (6, 4)).transpose(1, 2).chunk(2, 1)
    q = cell.query[None, :, None].expand(rows, 3, steps, 4)
    read = scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.5 / temperature)
    results = cell(x)[0], cell.output(read.transpose(1, 2).flatten(2))
    weight = torch.cos(torch.arange(x.numel()).double()).view_as(x)
    wanted = [x, *cell.parameters()]
    slopes = (torch.autograd.grad((weight * y).sum(), wanted) for y in results)
    for got, expected in zip(*((y, *s) for y, s in zip(results, slopes, strict=True)), strict=True):
        torch.testing.assert_close(got, expected)


def test_aaren_starts_with_scores_of_the_size_that_is_asked_for():
    spread = {}
    for options in ({}, {"query_scale": 0.1}, {"temperature": 10.0}):
        torch.manual_seed(0)
        cell = Aaren(16, heads=2, **options)
        spread[str(options)] = cell._split(torch.randn(4, 50, 16))[0]
    plain, small, mild = spread.values()
    torch.testing.assert_close(small, 0.1 * plain)
    torch.testing.assert_close(mild, 0.1 * plain)


def test_aaren_with_a_small_query_starts_as_the_mean_and_a_cold_one_as_the_greatest():
    torch.manual_seed(0)
    x = torch.randn(1, 30, 8)
    mean = Aaren(8, heads=1, query_scale=0.001)
    values = mean._split(x)[1][..., :-1]
    count = torch.arange(1, 31)[:, None, None]
    expected = mean.output((values.cumsum(1) / count).flatten(2))
    torch.testing.assert_close(mean(x)[0], expected, rtol=1e-2, atol=1e-3)
    cold = Aaren(8, heads=1, temperature=0.01)
    with torch.no_grad():
        cold.query.mul_(100.0)
    scores, values = cold._split(x)
    first = scores.cummax(1).indices[0, :, 0]  # the best position so far
    torch.testing.assert_close(cold(x)[0][0], cold.output(values[0, first, 0, :-1]))


def test_aaren_bears_any_score():
    torch.manual_seed(0)
    cell = Aaren(8, heads=2)
    with torch.no_grad():
        cell.query.mul_(400.0)
    x = torch.randn(2, 300, 8)
    y, (sums, most) = cell(x)
    scores = cell._split(x)[0]
    assert scores.max() > 200
    assert scores.min() < -200
    assert y.isfinite().all()
    torch.testing.assert_close(most, scores.amax(1))
    # the largest weight is exactly one, so a sum is never lost
    assert (sums[..., -1] >= 1).all()


def test_aaren_weighs_alike_whatever_the_scores_have_in_common():
    torch.manual_seed(0)
    cell = Aaren(4, heads=1).double()
    x = torch.randn(1, 30, 4).double()
    values = cell._split(x)[1][..., :-1]
    with torch.no_grad():
        cell.query.zero_()
    # equal scores: the mean of the past
    mean = values.cumsum(1) / torch.arange(1, 31)[:, None, None]
    torch.testing.assert_close(cell(x)[0], cell.output(mean.flatten(2)))
