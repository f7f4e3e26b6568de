"""PredFormer's gated block, put together from our parts, is the one written down plainly."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import silu

from archsearch.blocks.starts.maps import blocks
from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature
from archsearch.spec.spacefile import read_space

CATALOG = load_catalog()
WIDTH, HEADS, SURVIVE = 48, 4, 0.9
EVERY_STEP = Signature("values", 3, "value", 2, every_step=True, length=10)
FILE = Path(__file__).parents[2] / "search_spaces" / "predformer.yaml"
MIXERS = {
    "glu": Layer.of("glu", expand=2.6666667, activation="silu"),
    "mlp": Layer.of("mlp", expand=4.0, activation="gelu"),
}


class GatedBlock(nn.Module):
    """x + drop(MHSA(LN x)), then x + drop(W_2 (SiLU(W_g z) * W_x z)) with z = LN x."""

    def __init__(self, hidden):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.gate, self.value = nn.Linear(WIDTH, hidden), nn.Linear(WIDTH, hidden)
        self.back = nn.Linear(hidden, WIDTH)

    def drop(self, x):
        if not self.training:
            return x
        return x * torch.empty(len(x), 1, 1, dtype=x.dtype).bernoulli_(SURVIVE) / SURVIVE

    def attend(self, x):
        rows, length, _ = x.shape
        q, k, v = self.qkv(x).view(rows, length, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        later = torch.ones(length, length).triu(1).bool()
        weights = scores.masked_fill(later, -torch.inf).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(rows, length, WIDTH))

    def forward(self, x):
        x = x + self.drop(self.attend(self.norm1(x)))
        z = self.norm2(x)
        return x + self.drop(self.back(silu(self.gate(z)) * self.value(z)))


def network(channel="glu"):
    block = Block(
        Layer.of("attention", heads=HEADS, positions="none"),
        Layer.of("stochastic_depth", survive=SURVIVE),
        MIXERS[channel],
        Layer("layernorm"),
    )
    architecture = Architecture(
        WIDTH,
        (Stage((block,), repeat=2),),
        Layer.of("linear", positions="sinusoidal"),
        Layer("layernorm"),
        init=Layer.of("truncated_normal", std=0.02),
    )
    return CATALOG.complete_architecture(architecture)


def twin(block):
    """The plain block with the weights of ours."""
    cell, channel = block.cell, block.channel
    hidden = channel.layer.out.in_features
    plain = GatedBlock(hidden).double()
    pairs = [(plain.norm1, cell.norm), (plain.norm2, channel.norm)]
    pairs += [(plain.qkv, cell.layer.project), (plain.proj, cell.layer.output)]
    for ours, theirs in [*pairs, (plain.back, channel.layer.out)]:
        ours.load_state_dict(theirs.state_dict())
    into = channel.layer.into
    for part, rows in ((plain.value, slice(0, hidden)), (plain.gate, slice(hidden, None))):
        part.load_state_dict({"weight": into.weight[rows], "bias": into.bias[rows]})
    return plain


def test_values_and_gradients_are_those_of_the_plain_block():
    model = build(network(), CATALOG, EVERY_STEP, seed=0).double()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    (ours, _) = blocks(model)
    plain = twin(ours)
    x = torch.randn(6, 10, WIDTH, dtype=torch.float64)
    for training in (False, True):
        found = []
        for block in (ours.train(training), plain.train(training)):
            torch.manual_seed(3)
            given = x.clone().requires_grad_()
            y = block(given)
            found.append((y, *torch.autograd.grad(y.square().sum(), given)))
        for one, other in zip(*found, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_it_starts_as_the_original_does():
    for block in blocks(build(network(), CATALOG, EVERY_STEP, seed=0)):
        for linear in (block.cell.layer.project, block.channel.layer.into, block.channel.layer.out):
            assert linear.weight.abs().max() <= 0.04
            # cut at two deviations, 0.88 of the deviation is left
            assert 0.016 < linear.weight.detach().std() < 0.019
            assert linear.bias is None or not linear.bias.any()


def test_both_mixers_have_as_many_weights():
    counts = []
    for channel in MIXERS:
        model = build(network(channel), CATALOG, EVERY_STEP, seed=0)
        first = next(blocks(model)).channel.layer
        counts.append(first.into.weight.numel() + first.out.weight.numel())
    assert counts == [18432, 18432]


def test_the_search_space_has_it():
    file = read_space(FILE, CATALOG)
    assert file.space.contains(file.space.architecture(file.space.sample(random.Random(0))))
    training = Layer.of("adamw", lr=1e-3, steps=600, batch=64)
    assert file.space.contains(replace(network(), training=training))
    assert not file.space.contains(replace(network(), training=training, width=32))
