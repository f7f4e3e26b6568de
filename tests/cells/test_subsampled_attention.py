"""Attention that is trained on a share of its keys: which they are, what they cost, how it ends."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archsearch.cells.attention import attention
from archsearch.cells.attention.attention import Attention, drawn
from archsearch.cells.attention.patterns import seen
from archsearch.train.flops import flops


def built(keep=0.5, **options):
    torch.manual_seed(0)
    cell = Attention(12, 3, window=5, stride=4, keep=keep, **options).double()
    if cell.bias is not None:
        torch.nn.init.normal_(cell.bias)
    return cell


def dense(cell, x, chosen):
    """The definition: weights over all pairs, those with keys neither drawn nor own left out."""
    steps = x.shape[1]
    q, k, v = cell._split(x, torch.arange(steps)[None])
    i, j = torch.arange(steps)[:, None], torch.arange(steps)
    there = torch.zeros(steps, dtype=torch.bool)
    there[chosen] = True
    allowed = seen(cell.pattern, i, j, cell.window, cell.stride) & (there | (i == j))
    scores = q @ k.mT / math.sqrt(cell.head_size)
    if cell.positions == "alibi":
        scores = scores - cell.slopes[:, None, None] * (i - j)
    if cell.positions == "relative":
        scores = scores + cell.bias[:, (i - j).clamp(0, 63)]
    if cell.normaliser == "softmax":
        weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
    else:
        count = allowed.sum(-1, keepdim=True).double()
        scale = {"relu_length": 1 / count, "reluformer": (2 / count).sqrt(), "rela": 1.0}
        weights = torch.relu(scores).masked_fill(~allowed, 0) * scale[cell.normaliser]
    out = (weights @ v).transpose(1, 2).flatten(2)
    return cell.output(out if cell.norm is None else cell.norm(out))


@pytest.mark.parametrize(
    "options",
    [
        *({"pattern": pattern} for pattern in ("full", "window", "power", "fixed", "chunked")),
        *({"positions": positions} for positions in ("none", "alibi", "relative")),
        *({"normaliser": kind} for kind in ("relu_length", "reluformer", "rela")),
    ],
    ids=str,
)
@pytest.mark.parametrize("steps", [1, 2, 41, 130])
def test_is_dense_attention_without_the_keys_left_out(options, steps, monkeypatch):
    cell = built(**options)
    chosen = drawn(steps, 0.5, torch.device("cpu"))
    monkeypatch.setattr(attention, "drawn", lambda *_: chosen)
    x = torch.randn(2, steps, 12, dtype=torch.float64, requires_grad=True)
    got, want = cell(x)[0], dense(cell, x, chosen)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-12)
    weight = torch.randn_like(want)
    fast, slow = (torch.autograd.grad(y, x, weight)[0] for y in (got, want))
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-11)


def test_keys_of_a_state_are_drawn_from_too(monkeypatch):
    cell = built()
    chosen = torch.tensor([0, 3, 8, 15, 16])
    x = torch.randn(2, 20, 12, dtype=torch.float64)
    state = cell.eval()(x[:, :12])[1]
    monkeypatch.setattr(attention, "drawn", lambda *_: chosen)
    got = cell.train()(x[:, 12:], state)[0]
    torch.testing.assert_close(got, dense(cell, x, chosen)[:, 12:])


def test_outside_training_all_keys_are_seen():
    cell = built(keep=0.25)
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    everything = torch.arange(40)
    trained = cell(x)[0]
    assert not torch.allclose(trained, cell(x)[0]), "drawn anew at every call"
    cell.eval()
    torch.testing.assert_close(cell(x)[0], dense(cell, x, everything))
    assert torch.equal(cell(x)[0], cell(x)[0])


def test_all_keys_are_the_attention_there_was():
    cell = built(keep=1.0)
    x = torch.randn(2, 40, 12, dtype=torch.float64)
    before = torch.get_rng_state()
    torch.testing.assert_close(cell(x)[0], dense(cell, x, torch.arange(40)))
    assert torch.equal(torch.get_rng_state(), before), "nothing is drawn"


def test_every_position_is_drawn_equally_often():
    """Chi-squared over 2000 draws of 5 of 20: without replacement its mean is 15, less 19."""
    torch.manual_seed(0)
    counts = torch.zeros(20)
    for _ in range(2000):
        chosen = drawn(20, 0.25, torch.device("cpu"))
        assert len(chosen.unique()) == 5
        counts[chosen] += 1
    expected = 2000 * 5 / 20
    assert ((counts - expected) ** 2 / expected).sum().item() < 36  # 1 in 100 of 19 degrees


def test_the_same_generator_draws_the_same_keys():
    cell = built()
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    state = torch.get_rng_state()
    first = cell(x)[0]
    torch.set_rng_state(state)
    assert torch.equal(cell(x)[0], first)


@pytest.mark.parametrize("keep", [0.5, 0.25])
def test_products_cost_their_share(keep):
    """Scores and values are two products over all pairs; the projections stay."""

    def counted(share):
        cell = built(keep=share, positions="none", normaliser="relu_length").float()
        with FlopCounterMode(display=False) as counter:
            cell(torch.randn(1, 200, 12))
        return counter.get_total_flops()

    projections = 2 * 200 * 4 * 12 * 12
    pairs = 2 * 2 * 200 * 200 * 12
    assert counted(1.0) == projections + pairs
    assert counted(keep) == projections + keep * pairs


def test_a_softmax_in_blocks_costs_its_share_and_one_block():
    """Queries go by 32, each of them with all keys drawn and with the 32 of its block."""
    cell = built(keep=0.25, positions="none").float()
    pairs = 2 * 2 * 192 * (48 + 32) * 12
    assert flops(cell, torch.randn(1, 192, 12)) == 2 * 192 * 4 * 12 * 12 + pairs


def test_a_pattern_of_each_head_is_kept_to(monkeypatch):
    cell = built(pattern="perhead", block=3, dense=1)
    cell.blocks.calls.fill_(1)
    cell.blocks.chosen.copy_(torch.rand(cell.blocks.chosen.shape) < 0.5)
    cell.blocks.chosen[:, 0] = True
    chosen = drawn(41, 0.5, torch.device("cpu"))
    monkeypatch.setattr(attention, "drawn", lambda *_: chosen)
    x = torch.randn(2, 41, 12, dtype=torch.float64)
    at = torch.arange(41)
    allowed = (at[:, None] >= at) & cell.blocks(at.view(1, 1, -1, 1), at.view(1, 1, 1, -1))[0]
    monkeypatch.setitem(globals(), "seen", lambda *_: allowed)
    torch.testing.assert_close(cell(x)[0], dense(cell, x, chosen))


def test_a_later_position_changes_nothing_while_training():
    cell = built(keep=0.25)
    x = torch.randn(2, 30, 12, dtype=torch.float64)
    changed = x.clone()
    changed[:, 17:] = 5.0
    torch.manual_seed(3)
    first = cell(x)[0]
    torch.manual_seed(3)
    assert torch.equal(cell(changed)[0][:, :17], first[:, :17])
