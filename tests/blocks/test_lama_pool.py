"""Low-rank pooling against its bilinear forms, in any order, in a stream and in a head."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from archsearch.blocks.declared import ENDS
from archsearch.blocks.ends.head import LinearHead
from archsearch.blocks.ends.lama_pool import Lama
from archsearch.spec.architecture import Layer
from archsearch.spec.signature import Signature

VALUES = Signature("values", 3, "class", 4, every_step=False, length=7)
HEAD = ENDS[-1]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def test_every_head_is_a_bilinear_form_of_low_rank():
    pool, h = Lama(8, heads=3, rank=0.25).double(), randn(2, 11, 8)
    expected = []
    for head in range(3):
        form = pool.of_step @ torch.diag(pool.mix[:, head]) @ pool.of_context.T
        assert torch.linalg.matrix_rank(form) == 2
        weights = torch.einsum("btw,wv,v->bt", h, form, pool.context).softmax(1)
        expected.append(torch.einsum("bt,btw->bw", weights, h))
    torch.testing.assert_close(pool(h, None), torch.cat(expected, 1), rtol=1e-12, atol=1e-12)


def test_heads_start_apart_and_no_step_is_left_out():
    pool, h = Lama(16, heads=4, rank=0.25).double(), randn(1, 30, 16)
    weights = pool.scores(h).softmax(1)[0]  # (time, heads)
    apart = torch.cdist(weights.T, weights.T) + torch.eye(4)
    assert apart.min() > 0.05
    assert weights.min() > 1e-5


def test_the_order_of_the_steps_does_not_matter():
    pool, h = Lama(8, heads=2, rank=0.5).double(), randn(3, 12, 8)
    torch.testing.assert_close(pool(h[:, torch.randperm(12)], None), pool(h, None))


def test_steps_beyond_the_length_weigh_nothing():
    pool, h = Lama(6, heads=2, rank=0.5).double(), randn(3, 9, 6)
    lengths = torch.tensor([1, 4, 9])
    pooled = pool(h, lengths)
    for row, length in enumerate([1, 4, 9]):
        torch.testing.assert_close(pooled[row], pool(h[row : row + 1, :length], None)[0])
        changed = h.clone()
        changed[row, length:] = 1e6
        assert torch.equal(pool(changed, lengths), pooled)
    # one step alone is what every head sees
    torch.testing.assert_close(pooled[0], h[0, 0].repeat(2))


def test_a_stream_is_the_pool_of_what_was_seen_at_any_size():
    pool, h = Lama(8, heads=3, rank=0.25).double(), 300 * randn(2, 20, 8)
    state = pool.start(h[:, 0])
    for t in range(20):
        pooled, state = pool.step(h[:, t], state)
        torch.testing.assert_close(pooled, pool(h[:, : t + 1], None))
        assert all(len(part) == 2 for part in state)


def test_every_parameter_learns():
    pool = Lama(8, heads=3, rank=0.25).double()
    slopes = torch.autograd.grad(
        pool(randn(2, 9, 8), None).square().sum(), tuple(pool.parameters())
    )
    assert all(slope.isfinite().all() and slope.any() for slope in slopes)
    assert sum(part.numel() for part in pool.parameters()) == 8 + 2 * 8 * 2 + 2 * 3


@pytest.mark.parametrize("every_step", [False, True])
def test_a_head_reads_all_of_it(every_step):
    signature = replace(VALUES, every_step=every_step)
    layer = Layer.of("linear", pool="lama", pool_heads=8)
    head = LinearHead(signature, 6, **HEAD.settings(HEAD.complete(layer))).double().eval()
    assert head.project.in_features == (6 if every_step else 48)
    h = randn(3, 5, 6)
    whole, state = head(h), head.initial_state(3)
    for t in range(5):
        prediction, state = head.step(h[:, t], state)
        expected = whole[:, t] if every_step else head(h[:, : t + 1])
        torch.testing.assert_close(prediction, expected)


def test_a_head_without_it_is_written_as_it_was():
    for pool in ("last", "attention"):
        completed = HEAD.complete(Layer.of("linear", pool=pool))
        assert dict(completed.options) == {"pool": pool, "dropout": 0.0}
    completed = HEAD.complete(Layer.of("linear", pool="lama", pool_heads=4, pool_rank=0.5))
    assert HEAD.settings(completed)["pool_rank"] == 0.5
