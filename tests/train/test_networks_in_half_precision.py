"""Networks of every kind of layer learn under autocast, and can be pickled."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch

from archsearch.blocks.declared import BLOCKS
from archsearch.build import build
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.errors import ArchitectureError
from archsearch.sparsity.declared import SPARSITY
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.signature import Signature
from archsearch.testing.variants import variants
from archsearch.train.declared import TRAINING
from archsearch.train.loss import model_loss
from archsearch.train.tensors import Tensors

CATALOG = Catalog((*CELLS, *BLOCKS, *DEPTH, *SPARSITY, *TRAINING))
ROWS, STEPS, WIDTH, CHANNELS, CLASSES = 4, 6, 16, 3, 4
BODY = (Block(Layer("attention"), channel=Layer("mlp")), Block(Layer("lstm")))
OF_BLOCKS = {"gate", "channel", "norm", "placement"}
OF_STAGES = {"connections": {}, "tie": {"loops": 3}, "halting": {"loops": 3}}
LAYERS = [
    (entry.kind, Layer.of(entry.name, **options))
    for entry in (*BLOCKS, *DEPTH, *SPARSITY)
    for options in variants(entry)
]
# its copies are of classes made for them
UNPICKLED = {"lora"}


def network(kind: str, layer: Layer) -> Architecture:
    if kind in OF_BLOCKS:
        return Architecture(WIDTH, (Stage(tuple(replace(b, **{kind: layer}) for b in BODY)),))
    if kind in OF_STAGES:
        return Architecture(WIDTH, (Stage(BODY, **{kind: layer}, **OF_STAGES[kind]),))
    return Architecture(WIDTH, (Stage(BODY),), **{kind: layer})


@pytest.mark.filterwarnings("ignore:Mismatch dtype")
@pytest.mark.sampled(every=8)
@pytest.mark.parametrize(("kind", "layer"), LAYERS, ids=str)
def test_learns_in_half_precision_and_is_pickled(kind, layer):
    signature = Signature("values", CHANNELS, "class", CLASSES, every_step=True, length=STEPS)
    try:
        model = build(network(kind, layer), CATALOG, signature, seed=0)
    except ArchitectureError:
        pytest.skip("is for other tasks")
    torch.manual_seed(0)
    x, lengths = torch.randn(ROWS, STEPS, CHANNELS), torch.tensor((6, 3, 1, 6))
    mask = torch.arange(STEPS) < lengths[:, None]
    batch = Tensors(x, lengths, torch.randint(CLASSES, (ROWS, STEPS)), mask)
    losses = []
    for half in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            losses.append(model_loss(model, batch, signature))
    losses[1].backward()
    slopes = [part.grad for part in model.parameters() if part.grad is not None]
    assert slopes
    assert all(slope.isfinite().all() for slope in slopes)
    torch.testing.assert_close(*losses, rtol=0.15, atol=0.15)
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        _, state = model.step(x[:, 0], model.initial_state(ROWS))
        model.step(x[:, 1], state)
    if layer.name not in UNPICKLED:
        same = pickle.loads(pickle.dumps(model))
        assert torch.equal(same(x)[0], model(x)[0])
