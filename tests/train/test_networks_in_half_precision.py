"""Networks of every kind of layer learn under autocast, and can be pickled."""

from __future__ import annotations

import pickle

import pytest
import torch

from archsearch.blocks.declared import BLOCKS
from archsearch.build import build
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.errors import ArchitectureError
from archsearch.sparsity.declared import SPARSITY
from archsearch.spec.catalog import Catalog
from archsearch.spec.signature import Signature
from archsearch.testing.networks import network_around, settings_of
from archsearch.train.declared import TRAINING
from archsearch.train.loss import model_loss
from archsearch.train.tensors import Tensors

CATALOG = Catalog((*CELLS, *BLOCKS, *DEPTH, *SPARSITY, *TRAINING))
ROWS, STEPS, CHANNELS, CLASSES = 4, 6, 3, 4
LAYERS = list(settings_of(*BLOCKS, *DEPTH, *SPARSITY))


@pytest.mark.filterwarnings("ignore:Mismatch dtype")
@pytest.mark.sampled(every=8)
@pytest.mark.parametrize(("kind", "layer"), LAYERS, ids=str)
def test_learns_in_half_precision_and_is_pickled(kind, layer):
    signature = Signature("values", CHANNELS, "class", CLASSES, every_step=True, length=STEPS)
    try:
        model = build(network_around(kind, layer), CATALOG, signature, seed=0)
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
    same = pickle.loads(pickle.dumps(model))
    assert torch.equal(same(x)[0], model(x)[0])
