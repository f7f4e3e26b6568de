"""The stream of a deep Transformer keeps its variance, as the paper's own simulation finds."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from archsearch.blocks.structure.declared_structure import BALANCED
from archsearch.build import build
from archsearch.plugins import built_in
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog, CellType
from archsearch.spec.signature import Signature
from archsearch.testing.blocks import GateContract

WIDTH, LENGTH, ROWS = 128, 64, 4
TOKENS = Signature("tokens", 64, "class", 64, every_step=False, length=LENGTH)


class Encoder(nn.Module):
    """Attention to all positions, before and after: the mixer of the paper's encoder."""

    causal = False

    def __init__(self, width):
        super().__init__()
        self.key_heads = self.heads = 4
        self.head_size = width // self.heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def forward(self, x, state=None):
        parts = self.project(x).unflatten(-1, (3, self.heads, self.head_size))
        q, k, v = parts.permute(2, 0, 3, 1, 4)
        return self.output(scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)), state


class TestBalanced(GateContract):
    layer_type = BALANCED


CATALOG = Catalog([*built_in(), CellType("encoder", Encoder, causal=False)])


def network(copies, init, seed, gate="balanced"):
    block = Block(
        Layer("encoder"),
        Layer(gate),
        Layer.of("mlp", expand=4.0, activation="relu"),
        Layer("layernorm"),
    )
    stages = (Stage((block,), repeat=copies),)
    architecture = Architecture(WIDTH, stages, init=Layer(init))
    return build(CATALOG.complete_architecture(architecture), CATALOG, TOKENS, seed)


def tokens(seed):
    """Tokens of which two positions have the same one with the paper's probability, 0.221."""
    low, high = 0.0, 4.0
    for _ in range(50):
        share = torch.arange(1.0, 65) ** -((low + high) / 2)
        share /= share.sum()
        middle = (low + high) / 2
        low, high = (middle, high) if share.square().sum() < 0.221 else (low, middle)
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial(share, ROWS * LENGTH, True, generator=generator).view(ROWS, LENGTH)


def variance(copies, init="deepscale", seed=0, gate="balanced"):
    """Of the stream behind all blocks, over that before them."""
    model = network(copies, init, seed, gate)
    x = tokens(seed)
    with torch.no_grad():
        h = model.embed(x)
        y, _ = model.stages[0](h)
    return float(y.square().mean() / h.square().mean())


@pytest.mark.sampled(every=2)
@pytest.mark.parametrize(
    ("blocks", "seeds"), [(24, 8), (96, 3), pytest.param(192, 2, marks=pytest.mark.slow)]
)
def test_variance_stays_through_hundreds_of_blocks(blocks, seeds):
    found = [variance(blocks, seed=seed) for seed in range(seeds)]
    assert 0.95 < sum(found) / seeds < 1.11


def test_without_it_the_variance_falls_or_grows():
    assert variance(24, "default") < 0.6
    assert variance(24, "lecun") < 0.85
    assert variance(24, gate="additive") > 10


def test_a_balanced_gate_gets_the_share_of_the_depth():
    model = network(24, "deepscale", 0)
    shares = {round(float(block.cell.gate.share), 6) for block in model.stages[0].tie.body.blocks}
    assert shares == {round(2 / 48, 6)}
    state = model.state_dict()
    assert float(state["stages.0.tie.body.blocks.3.channel.gate.share"]) == pytest.approx(2 / 48)


def test_loops_count_as_depth():
    block = Block(Layer("gru"), Layer("balanced"), Layer("mlp"))
    architecture = Architecture(16, (Stage((block,), loops=5),), init=Layer("deepscale"))
    given = Signature("values", 3, "class", 4, every_step=False, length=8)
    model = build(CATALOG.complete_architecture(architecture), CATALOG, given, seed=0)
    assert float(model.stages[0].tie.body.blocks[0].cell.gate.share) == pytest.approx(2 / 10)
