"""Costs against closed forms, the same every time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from toy_task import SignTask, network

from archsearch.build import Model, build
from archsearch.cells.declared import CELLS
from archsearch.plugins import load_catalog
from archsearch.spec.signature import Signature
from archsearch.train.flops import flops
from archsearch.train.measure import example, leaves, measure, numbers, peak_memory
from archsearch.train.savings import SAVINGS

torch.set_num_threads(1)


def built(cell: str, task: SignTask, width: int = 8, **options: object) -> Model:
    return build(network(cell, width, **options), load_catalog(), task.signature, 0)


def ends(width: int, length: int) -> int:
    """Operations of the embedding, per sequence, and of the head, once."""
    return 2 * length * 2 * width + 2 * width * 2


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
@pytest.mark.parametrize(("width", "length"), [(8, 7), (5, 1)])
def test_recurrent_flops(cell: str, gates: int, width: int, length: int) -> None:
    """Every gate is a matrix times the input and one times the last output: 2 W^2 each."""
    task = SignTask(length=length)
    found = measure(built(cell, task, width), task, 4).figures["flops"]
    recurrence = length * gates * 2 * (width * width + width * width)
    assert found * length == pytest.approx(recurrence + ends(width, length))


def test_attention_flops() -> None:
    """Four projections, and scores and values over all pairs of steps (Vaswani et al. 2017)."""
    task, width, length = SignTask(length=6), 8, 6
    model = built("attention", task, width, heads=2)
    projections, pairs = 4 * 2 * width * width * length, 2 * 2 * length * length * width
    found = flops(model.eval(), example(task.signature, torch.device("cpu")))
    assert found == projections + pairs + ends(width, length)


@pytest.mark.parametrize("size", [16, 17])
def test_transform_flops(size: int) -> None:
    """5 n log2 n for n complex numbers, half for n real ones, per row and channel."""

    class Filter(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.fft.irfft(torch.fft.rfft(x, size, 1), size, 1) + torch.fft.fft(x).real

    found = flops(Filter(), torch.zeros(3, size, 4))
    whole = 5 * 3 * size * 4 * math.log2(4)
    assert found == pytest.approx(2 * 2.5 * 3 * 4 * size * math.log2(size) + whole, abs=3)


@pytest.mark.parametrize("cell", [entry.name for entry in CELLS])
def test_every_cell_is_counted(cell: str) -> None:
    """At least the projections that are visible as matrices in its parameters, taps aside."""
    task = SignTask()
    model = built(cell, task)
    figures = measure(model, task, 4).figures
    shaped = [(name, p.numel()) for name, p in model.stages.named_parameters() if p.ndim >= 2]
    matrices = [size for name, size in shaped if not name.endswith("taps")]
    assert figures["flops"] >= 2 * max(matrices, default=0)
    assert figures["params"] == sum(p.numel() for p in model.parameters())
    assert figures == measure(built(cell, task), task, 4).figures


@pytest.mark.parametrize(
    ("cell", "options", "floats"),
    [("rnn", {}, 8), ("gru", {}, 8), ("lstm", {}, 16), ("lru", {"state": 16}, 32)],
)
def test_recurrent_state(cell: str, options: dict[str, int], floats: int) -> None:
    task = SignTask()
    found = measure(built(cell, task, 8, **options), task, 4).figures["state"]
    pooled = sum(numbers(part) for part in leaves(built(cell, task).head.initial_state(1)))
    assert found == floats + pooled


@pytest.mark.parametrize("length", [1, 6])
def test_the_state_of_attention_grows_with_time(length: int) -> None:
    task = SignTask(every_step=True, length=length)
    found = measure(built("attention", task, 8, heads=2), task, 4).figures["state"]
    assert found == 2 * length * 8


def test_timings_are_of_this_machine_and_apart() -> None:
    task = SignTask()
    cost = measure(built("gru", task), task, 4)
    assert set(cost.figures) == {"params", "flops", "state", *SAVINGS}
    assert set(cost.timings) == {"latency_ms", "step_ms", "peak_memory_mb"}
    assert all(value > 0 for value in cost.timings.values())


def test_memory_grows_with_the_batch_and_not_below_the_weights() -> None:
    task = SignTask(length=20)
    model = built("lstm", task, 16)
    weights = 4 * 4 * sum(p.numel() for p in model.parameters()) / 2**20
    small, large = peak_memory(model, task, 32), peak_memory(model, task, 320)
    assert weights < small
    assert (large - weights) / (small - weights) == pytest.approx(10, rel=0.2)
    assert small == peak_memory(model, task, 32)


def test_measuring_leaves_the_model_as_it_was() -> None:
    task = SignTask()
    model = built("gru", task)
    before = [p.detach().clone() for p in model.parameters()]
    state = torch.get_rng_state()
    measure(model, task, 4)
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_examples_are_what_the_signature_asks() -> None:
    tokens = example(Signature("tokens", 5, "class", 5, True, 9), torch.device("cpu"))
    assert tokens.shape == (1, 9)
    assert tokens.dtype == torch.int64
    assert 0 <= tokens.min() <= tokens.max() < 5
    assert example(Signature("values", 3, "value", 1, False, 9), torch.device("cpu")).shape == (
        1,
        9,
        3,
    )
