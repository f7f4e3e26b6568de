"""What a network learns from a batch does not depend on what stands beyond its sequences' ends."""

import numpy as np
import pytest
import torch

from archsearch.blocks.declared import BLOCKS
from archsearch.blocks.structure.chosen import highest
from archsearch.build import build
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.sparsity.declared import SPARSITY
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.signature import Signature
from archsearch.tasks.task import Batch
from archsearch.train.declared import TRAINING
from archsearch.train.loss import model_loss
from archsearch.train.probing import probing
from archsearch.train.tensors import Tensors, tensors

CATALOG = Catalog((*CELLS, *BLOCKS, *DEPTH, *SPARSITY, *TRAINING))
WIDTH, LENGTHS = 8, (6, 3, 1, 6)
CODES = Block(Layer("rnn"), channel=Layer.of("codebook", codes=8))
ROUTED = Block(Layer.of("routing", heads=2, clusters=2, commitment=0.5))
DEPTHS = Layer.of("mixture_of_depths", capacity=0.5, every=1)
NARROWED = {"loops": 3, "halting": Layer.of("narrowed", weight=1.0)}
PONDERED = {"loops": 3, "halting": Layer("ponder")}
TRAINED = {name: Layer.of("adamw", checkpointing=name) for name in ("blocks", "sqrt")}

NETWORKS = {
    "codebook": Architecture(WIDTH, (Stage((CODES,)),)),
    "routing": Architecture(WIDTH, (Stage((ROUTED,)),)),
    "balanced": Architecture(
        WIDTH, (Stage((CODES,), loops=3, halting=Layer.of("routed", balance=1.0)),)
    ),
    "narrowed": Architecture(WIDTH, (Stage((CODES,), **NARROWED),)),
    "depths": Architecture(WIDTH, (Stage((CODES, ROUTED), connections=DEPTHS),)),
    "depths in loops": Architecture(
        WIDTH, (Stage((CODES, CODES), connections=DEPTHS, **NARROWED),)
    ),
    "depths of all exits": Architecture(
        WIDTH, (Stage((CODES,), **PONDERED), Stage((CODES,), connections=DEPTHS, **PONDERED))
    ),
    "recomputed blocks": Architecture(
        WIDTH, (Stage((CODES, ROUTED)),), training=TRAINED["blocks"]
    ),
    "recomputed segments": Architecture(
        WIDTH, (Stage((CODES, ROUTED, CODES)),), training=TRAINED["sqrt"]
    ),
    "reversible": Architecture(WIDTH, (Stage((CODES,), connections=Layer("reversible")),)),
    "slices": Architecture(
        WIDTH, (Stage((CODES,), loops=2, tie=Layer.of("sliced", slices=2)),)
    ),
}  # fmt: skip


def signature(every_step: bool) -> Signature:
    return Signature("values", 3, "class", 4, every_step=every_step, length=6)


def batch(time: int, every_step: bool, beyond: float) -> Tensors:
    """The same sequences in ``time`` steps, with numbers of the size ``beyond`` behind them."""
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(4, 6, 3, generator=generator, dtype=torch.float64)
    answers = torch.randint(4, (4, 6), generator=generator)
    lengths = torch.tensor(LENGTHS)
    mask = torch.arange(time) < lengths[:, None]
    inputs = beyond * torch.randn(4, time, 3, generator=generator, dtype=torch.float64)
    targets = torch.zeros(4, time, dtype=torch.long)
    inputs[mask] = real[mask[:, :6]]
    targets[mask] = answers[mask[:, :6]]
    if every_step:
        return Tensors(inputs, lengths, targets, mask)
    return Tensors(inputs, lengths, answers[:, 0], None)


def learned(given: Architecture, every_step: bool, time: int, beyond: float):
    """Gradients and buffers after one training step's passes."""
    model = build(given, CATALOG, signature(every_step), seed=0).double().train()
    torch.manual_seed(3)
    model_loss(model, batch(time, every_step, beyond), signature(every_step)).backward()
    slopes = {name: parameter.grad for name, parameter in model.named_parameters()}
    return slopes | dict(model.named_buffers())


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_padding_teaches_nothing(name: str, every_step: bool) -> None:
    given = NETWORKS[name]
    expected = learned(given, every_step, 6, 1.0)
    assert any(slopes is not None and slopes.any() for slopes in expected.values())
    for time, beyond in ((6, 50.0), (11, 1.0)):
        got = learned(given, every_step, time, beyond)
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("share", [0.125, 0.5, 1.0])
def test_of_each_row_as_many_are_chosen_as_if_it_were_alone(share: float) -> None:
    scores = torch.randn(5, 9, generator=torch.Generator().manual_seed(2))
    lengths = torch.tensor([9, 1, 4, 7, 2])
    real = torch.arange(9) < lengths[:, None]
    among = real & (scores < scores[real].quantile(0.9))
    among[:, 0] |= real[:, 0]
    for allowed in (None, real):
        chosen = highest(scores, share, allowed, real)
        assert not (chosen & ~real).any()
        for row, length in enumerate(lengths.tolist()):
            alone = highest(scores[row : row + 1, :length], share)
            assert torch.equal(chosen[row : row + 1, :length], alone)
    few = highest(scores, 0.1, among, real)
    assert (few.sum(1) == 1).all()
    assert not (few & ~among).any()


class Padded:
    """A task whose batches have a sequence of each of the lengths."""

    signature = signature(every_step=False)

    def batch(self, rng: np.random.Generator, size: int, difficulty: float) -> Batch:
        lengths = np.array(LENGTHS)
        inputs = rng.normal(size=(4, 6, 3)).astype(np.float32)
        inputs[np.arange(6) >= lengths[:, None]] = 0
        return Batch(inputs, lengths, rng.integers(4, size=4))


def test_who_watches_a_probe_sees_no_padding() -> None:
    model = build(NETWORKS["codebook"], CATALOG, Padded.signature, seed=0)
    seen = []
    stage = model.stages[0]
    handle = stage.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    cut = probing(model, Padded(), 4, seed=0)(0)
    assert sorted(seen) == [(1, 1, WIDTH), (1, 3, WIDTH), (2, 6, WIDTH)]
    handle.remove()
    drawn = tensors(Padded().batch(np.random.default_rng([0, 17, 0]), 4, 1.0), torch.device("cpu"))
    torch.testing.assert_close(cut, model_loss(model.eval(), drawn, Padded.signature))
