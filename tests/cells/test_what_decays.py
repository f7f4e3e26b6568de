"""Scales, shifts, shares and biases mean something at zero: they neither decay nor are pruned."""

from __future__ import annotations

import pytest
import torch

from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.sparsity.roles import prunable
from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
SERIES = Signature("values", 3, "class", 4, every_step=False, length=9)
CELL = "stages.0.tie.body.blocks.0.cell.layer"
CHANNEL = "stages.0.tie.body.blocks.0.channel.layer"


def model(cell="gru", channel="none", **stage):
    layer = cell if isinstance(cell, Layer) else Layer(cell)
    made = Stage((Block(layer, channel=Layer(channel)),), **stage)
    architecture = CATALOG.complete_architecture(Architecture(16, (made,)))
    return build(architecture, CATALOG, SERIES, seed=0)


@pytest.mark.parametrize(
    ("made", "spared"),
    [
        ({"cell": "mlstm"}, {f"{CELL}.scale"}),
        ({"cell": Layer.of("attention", positions="relative")}, {f"{CELL}.bias"}),
        ({"cell": "routing"}, {f"{CELL}.bias"}),
        ({"cell": "gau"}, {f"{CELL}.unit.scale", f"{CELL}.unit.shift"}),
        ({"cell": "seqboat"}, {f"{CELL}.unit.scale", f"{CELL}.unit.shift"}),
        ({"cell": "tcnca"}, {f"{CELL}.scale", f"{CELL}.shift"}),
        (
            {"cell": Layer.of("lmu", learn="matrix")},
            {f"{CELL}.window.skew", f"{CELL}.window.damping", f"{CELL}.window.write"},
        ),
        (
            {"cell": Layer.of("tcn", weight_norm=True, layers=1)},
            {f"{CELL}.convolutions.{number}.gain" for number in (0, 1)},
        ),
        (
            {"cell": Layer.of("gated_conv", weight_norm=True, layers=1)},
            {f"{CELL}.convolutions.0.gain"},
        ),
        ({"channel": "relu_kan"}, {f"{CHANNEL}.starts", f"{CHANNEL}.ends"}),
        ({"loops": 2, "tie": Layer("projected")}, {"stages.0.tie.shares"}),
        ({"loops": 2, "tie": Layer("sliced")}, {"stages.0.tie.shares"}),
    ],
    ids=lambda part: "" if isinstance(part, set) else str(next(iter(part.values()))),
)
def test_what_is_no_matrix_keeps_its_size_and_its_numbers(made, spared):
    network = model(**made)
    assert spared <= set(dict(network.named_parameters()))
    assert spared <= network.no_decay()
    assert not spared & prunable(network)


def test_a_pruned_network_of_normed_filters_has_all_of_its_filters():
    torch.manual_seed(0)
    network = model(Layer.of("tcn", weight_norm=True, layers=1))
    # a share of the weights of every filter, and no filter as a whole
    masks = sparsify(network, Layer.of("magnitude", density=0.25, begin=0.0, end=0.0), 1)
    masks.before_step(1)
    masks.after_step(1, torch.optim.SGD(network.parameters(), 0.0))
    for part in network.get_submodule(CELL).convolutions:
        assert part.gain.all()
        assert part.weight.count_nonzero() == round(0.25 * part.weight.numel())
