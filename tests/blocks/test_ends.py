"""Embedding, positions, norms, pools and heads, whole and in a stream."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from archsearch.blocks.ends.embed import LinearEmbed
from archsearch.blocks.ends.head import LinearHead
from archsearch.blocks.ends.pools import POOLS, Attended, KMax, Mean, open_pool
from archsearch.blocks.ends.positions import sinusoids
from archsearch.blocks.norms import LayerNorm, RMSNorm
from archsearch.spec.signature import Signature

VALUES = Signature("values", 3, "class", 4, every_step=False, length=7)
TOKENS = Signature("tokens", 5, "class", 4, every_step=False, length=7)


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def example(signature, batch, time):
    if signature.inputs == "values":
        return randn(batch, time, signature.channels)
    return torch.arange(batch * time).reshape(batch, time) % signature.channels


@pytest.mark.parametrize("width", [1, 7, 8])
def test_sinusoids_are_those_of_the_paper(width):
    waves = sinusoids(torch.tensor([0, 1, 10]), width)
    assert waves.shape == (3, width)
    for row, position in enumerate([0, 1, 10]):
        for feature in range(width):
            angle = torch.tensor(position / 10000 ** (2 * (feature // 2) / width))
            expected = torch.cos(angle) if feature % 2 else torch.sin(angle)
            torch.testing.assert_close(waves[row, feature], expected, rtol=1e-5, atol=1e-6)


def test_sinusoids_a_million_steps_in_still_differ_from_their_neighbours_as_at_the_start():
    near, far = (sinusoids(start + torch.arange(2), 16) for start in (0, 10**6))
    torch.testing.assert_close(near[0] @ near[1], far[0] @ far[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("signature", [VALUES, TOKENS])
@pytest.mark.parametrize("positions", ["none", "sinusoidal"])
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 5)])
def test_an_embedding_steps_as_it_reads(signature, positions, batch, time):
    embed = LinearEmbed(signature, 5, positions=positions)
    x = example(signature, batch, time)
    whole = embed(x)
    assert whole.shape == (batch, time, 5)
    state = embed.initial_state(batch)
    for t in range(time):
        h_t, state = embed.step(x[:, t], state)
        torch.testing.assert_close(h_t, whole[:, t])


def test_positions_tell_equal_inputs_apart():
    same = torch.ones(1, 4, 3)
    plain, placed = (LinearEmbed(VALUES, 6, kind)(same) for kind in ("none", "sinusoidal"))
    assert torch.equal(plain[:, 0], plain[:, 3])
    assert (placed[:, 0] - placed[:, 3]).abs().max() > 0.1


def test_norms_are_torchs():
    x = randn(2, 3, 8) * 5 + 1
    torch.testing.assert_close(
        RMSNorm(8)(x), x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-6)
    )
    torch.testing.assert_close(LayerNorm(8)(x), functional.layer_norm(x, (8,)))


@pytest.mark.parametrize("norm", [RMSNorm, LayerNorm])
def test_norms_of_zeros_and_of_large_half_precision_stay_finite(norm):
    zeros = torch.zeros(1, 8, requires_grad=True)
    norm(8)(zeros).sum().backward()
    assert zeros.grad.isfinite().all()
    large = torch.full((1, 8), 1e4, dtype=torch.float16)
    large[0, 0] = -1e4
    # the square of 1e4 is beyond half precision
    assert norm(8).half()(large).abs().max() > 0.5


NAMES = (*POOLS, "attention")


@pytest.mark.parametrize("pool", NAMES)
def test_pools_read_real_steps_only(pool):
    h = randn(3, 6, 2)
    lengths = torch.tensor([1, 4, 6])
    reader = open_pool(pool, 2)
    pooled = reader(h, lengths)
    for row, length in enumerate([1, 4, 6]):
        real = h[row, :length]
        few = real.sort(0, descending=True).values[:4].mean(0)
        expected = {"last": real[-1], "mean": real.mean(0), "max": real.amax(0), "kmax": few}
        # an attention that has learned nothing yet is the mean
        expected = expected.get(pool, real.mean(0))
        torch.testing.assert_close(pooled[row], expected)
    torch.testing.assert_close(reader(h, None), reader(h, torch.full((3,), 6)))


@pytest.mark.parametrize("pool", [*NAMES, "lama"])
@pytest.mark.parametrize("filling", [torch.nan, torch.inf])
def test_what_stands_beyond_the_length_need_be_no_number(pool, filling):
    signature = Signature("values", 1, "class", 2, every_step=False, length=5)
    head, h, lengths = LinearHead(signature, 4, pool), randn(2, 5, 4), torch.tensor([3, 5])
    said = head(h, lengths)
    h[0, 3:] = filling
    assert torch.equal(head(h, lengths), said)


def test_an_attending_pool_is_a_softmax_over_real_steps():
    torch.manual_seed(0)
    pool, h = Attended(8), randn(2, 5, 8)
    with torch.no_grad():
        pool.query.normal_(std=3.0)
    scores = (h.unflatten(-1, (4, 2)) * pool.query).sum(-1) / 2**0.5
    expected = (scores.softmax(1)[..., None] * h.unflatten(-1, (4, 2))).sum(1).flatten(1)
    torch.testing.assert_close(pool(h, None), expected)
    state = pool.start(h[:, 0])
    for t in range(5):
        pooled, state = pool.step(100 * h[:, t], state)
        torch.testing.assert_close(pooled, pool(100 * h[:, : t + 1], None))


def test_the_largest_few_are_those_there_are():
    pool, h = KMax(), torch.tensor([[[3.0], [1.0], [2.0]]])
    assert pool(h, None).item() == 2.0
    assert pool(h, torch.tensor([1])).item() == 3.0


def test_a_running_mean_in_half_precision_does_not_stand_still():
    pool, h_t = Mean(), torch.ones(1, 1, dtype=torch.bfloat16)
    state = pool.start(h_t)
    for _ in range(1000):
        pooled, state = pool.step(h_t, state)
    assert pooled.dtype == torch.bfloat16
    assert pooled.item() == 1.0


@pytest.mark.parametrize("pool", NAMES)
@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 5)])
def test_a_head_steps_as_it_reads(pool, every_step, batch, time):
    signature = replace(VALUES, every_step=every_step)
    head = LinearHead(signature, 6, pool=pool).eval()
    h = randn(batch, time, 6)
    whole = head(h)
    assert whole.shape == ((batch, time, 4) if every_step else (batch, 4))
    state = head.initial_state(batch)
    for t in range(time):
        prediction, state = head.step(h[:, t], state)
        expected = whole[:, t] if every_step else head(h[:, : t + 1])
        torch.testing.assert_close(prediction, expected, rtol=1e-5, atol=1e-6)


def test_dropout_acts_in_training_only():
    head, h = LinearHead(VALUES, 64, dropout=0.5), randn(2, 3, 64)
    assert not torch.equal(head(h), head(h))
    head.eval()
    assert torch.equal(head(h), head(h))
