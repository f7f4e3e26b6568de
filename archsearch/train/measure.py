"""What a model costs: figures that are the same everywhere, and times that are this machine's."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archsearch.sparsity.compaction import compact
from archsearch.spec.signature import Signature
from archsearch.tasks.task import Task
from archsearch.train.draws import undisturbed
from archsearch.train.flops import flops
from archsearch.train.judge import evaluating
from archsearch.train.loss import model_loss
from archsearch.train.savings import unsaved
from archsearch.train.tensors import device_of, tensors

MEGABYTE = 2.0**20
REPEATS = 5


@dataclass(frozen=True)
class Cost:
    """``figures`` may enter a search: they depend on the architecture and the task alone.

    ``params`` counts the trained numbers; ``flops`` are those of a forward pass for each time step
    (:mod:`archsearch.train.flops`); ``state`` is how many real numbers a stream carries after
    ``signature.length`` steps; those of :mod:`archsearch.train.savings` are of a model without
    zeros. ``timings`` are ``latency_ms`` of one whole sequence and ``step_ms``
    of one step of a stream, both medians, and ``peak_memory_mb`` (:func:`peak_memory`).
    """

    figures: dict[str, float]
    timings: dict[str, float]


def measure(model: nn.Module, task: Task, batch: int) -> Cost:
    """The cost of a model whose training has ``batch`` sequences per step."""
    signature = task.signature
    inputs = example(signature, device_of(model))
    with evaluating(model):
        seconds, state = stream(model, inputs)
        figures = {
            "params": float(sum(p.numel() for p in model.parameters() if p.requires_grad)),
            "flops": flops(model, inputs) / signature.length,
            "state": float(sum(numbers(part) for part in leaves(state))),
        }
        figures |= unsaved(model, figures["flops"])
        timings = latencies(model, inputs, seconds)
    return Cost(figures, timings | {"peak_memory_mb": peak_memory(model, task, batch)})


def latencies(model: nn.Module, inputs: Tensor, seconds: list[float]) -> dict[str, float]:
    """Milliseconds of one whole sequence, and of one step of a stream that took ``seconds``."""
    latency = median(timed(model, inputs) for _ in range(REPEATS))
    return {"latency_ms": 1000 * latency, "step_ms": 1000 * median(seconds)}


def compacted_latencies(model: nn.Module, task: Task) -> dict[str, float]:
    """Those of the model as it would be exported, without what its zeros left idle."""
    smaller, inputs = copy.deepcopy(model), example(task.signature, device_of(model))
    compact(smaller)
    with evaluating(smaller):
        return latencies(smaller, inputs, stream(smaller, inputs)[0])


def stream(model: nn.Module, inputs: Tensor) -> tuple[list[float], Any]:
    """Seconds of each step of one sequence, (1, time, ..), and the state after the last."""
    seconds = []
    with torch.inference_mode():
        state = model.initial_state(1)
        for x_t in inputs.unbind(1):  # (1, channels) or (1,)
            began = time.perf_counter()
            _, state = model.step(x_t, state)
            seconds.append(time.perf_counter() - began)
    return seconds, state


def timed(model: nn.Module, inputs: Tensor) -> float:
    """Seconds of one forward pass."""
    with torch.inference_mode():
        began = time.perf_counter()
        model(inputs)
        return time.perf_counter() - began


def peak_memory(model: nn.Module, task: Task, size: int) -> float:
    """Megabytes that one training step on ``size`` sequences holds when it holds most.

    Weights, a gradient and two moments for each, and whatever the forward pass keeps for the
    backward pass; results that live only inside one operation are not counted.
    """
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        # the tensor itself would make a cycle with the graph that saved it
        return tensor.detach()

    device = device_of(model)
    batch = tensors(task.batch(np.random.default_rng(0), size, 1.0), device)
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with undisturbed(device), hooks:
        # bound to a name, so that nothing kept is freed and its address used again
        total = model_loss(model, batch, task.signature)
    weights = {p.untyped_storage().data_ptr(): p.numel() * p.itemsize for p in model.parameters()}
    activations = sum(size for address, size in kept.items() if address not in weights)
    del total
    return (4 * sum(weights.values()) + activations) / MEGABYTE


def example(signature: Signature, device: torch.device) -> Tensor:
    """One made-up sequence of full length: (1, length, channels), or (1, length) of tokens."""
    generator = torch.Generator().manual_seed(0)
    length, channels = signature.length, signature.channels
    if signature.inputs == "tokens":
        return torch.randint(channels, (1, length), generator=generator).to(device)
    return torch.randn((1, length, channels), generator=generator).to(device)


def numbers(tensor: Tensor) -> int:
    """Real numbers in a tensor: a complex one is two, a counter or an index none."""
    parts = 2 if tensor.is_complex() else int(tensor.is_floating_point())
    return parts * tensor.numel()


def leaves(state: Any) -> Iterator[Tensor]:
    """The tensors of a nested state."""
    if isinstance(state, Tensor):
        yield state
    else:
        for part in state:
            yield from leaves(part)
