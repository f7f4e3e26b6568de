"""A training that can be put down after any step and taken up again, equal to the last bit."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from archsearch.sparsity.masks import Masks
from archsearch.train.draws import CPU
from archsearch.train.tensors import device_of


class Mismatch(ValueError):
    """A checkpoint is of another training than the one that is to go on from it."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a training has after ``step`` and could not compute again.

    ``tensors`` are ``model.*`` (parameters and buffers), ``optimizer.N.*`` (moments and count of
    the N-th parameter), ``mask.*`` and ``random.*`` (the generators of the process, from which
    dropout draws). They may be those of the training itself, which its next step changes: write
    or :meth:`copied` them before. ``plain`` is JSON data: the generator of the batches, the curve
    so far, the losses since its last point.
    """

    step: int
    tensors: Mapping[str, Tensor]
    plain: Mapping[str, Any]

    def copied(self) -> Checkpoint:
        tensors = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        return Checkpoint(self.step, tensors, copy.deepcopy(dict(self.plain)))


@dataclass
class Training:
    """What one step of a training leaves to the next.

    ``batches`` is the generator that batches come from; ``highest_rate`` the learning rate after
    the warm-up, no number before it is known; ``norm`` the last norm of the gradient;
    ``loss`` and ``losses`` are the sum and the number of training losses since the last point of
    the ``curve``, which has (step, metrics).
    """

    model: nn.Module
    optimizer: Optimizer
    masks: Masks
    batches: np.random.Generator
    step: int = 0
    highest_rate: float = math.nan
    norm: float = math.nan
    loss: float = 0.0
    losses: int = 0
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)

    def checkpoint(self) -> Checkpoint:
        """Where the training stands; copies nothing large."""
        tensors = _named(self.model) | {f"mask.{k}": v for k, v in self.masks.state().items()}
        for number, parameter in enumerate(self._parameters()):
            for name, memory in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{number}.{name}"] = memory
        words, gauss = _generators(device_of(self.model))
        plain = {
            "batches": self.batches.bit_generator.state,
            "highest_rate": _or_none(self.highest_rate),
            "norm": _or_none(self.norm),
            "loss": self.loss,
            "losses": self.losses,
            "curve": [[step, dict(metrics)] for step, metrics in self.curve],
            "gauss": gauss,
        }
        return Checkpoint(self.step, tensors | words, plain)

    def restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint of the same model, optimizer and sparsity.

        Raises Mismatch, and changes nothing, where it is one of others.
        """
        fresh, parameters = self.checkpoint(), self._parameters()
        for name, tensor in saved.tensors.items():
            kind, _, rest = name.partition(".")
            like = fresh.tensors.get(name)
            if kind == "optimizer":
                number, _, memory = rest.partition(".")
                known = number.isdecimal() and int(number) < len(parameters)
                like = _like(parameters[int(number)], memory) if known else None
            if like is None or (like.shape, like.dtype) != (tensor.shape, tensor.dtype):
                raise Mismatch(f"the checkpoint's tensor {name} is of another training")
        if missing := sorted(fresh.tensors.keys() - saved.tensors.keys()):
            raise Mismatch(f"the checkpoint lacks the tensor {missing[0]}")
        try:
            plain = dict(saved.plain)
            batches = np.random.Generator(type(self.batches.bit_generator)())
            batches.bit_generator.state = plain["batches"]
            # a checkpoint of an earlier release has none, and then it was the given one
            highest_rate, norm = _or_nan(plain.get("highest_rate")), _or_nan(plain["norm"])
            loss, losses = float(plain["loss"]), int(plain["losses"])
            curve = [
                (int(step), {str(name): float(value) for name, value in metrics.items()})
                for step, metrics in plain["curve"]
            ]
            _set_generators(saved.tensors, plain["gauss"], device_of(self.model))
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise Mismatch(f"the checkpoint is malformed: {error!r}") from None

        self.step, self.batches = saved.step, batches
        self.highest_rate, self.norm = highest_rate, norm
        self.loss, self.losses, self.curve = loss, losses, curve
        with torch.no_grad():
            for name, tensor in _named(self.model).items():
                tensor.copy_(saved.tensors[name])
        masks = {k: v for k, v in saved.tensors.items() if k.startswith("mask.")}
        self.masks.restore({name.removeprefix("mask."): mask for name, mask in masks.items()})
        for name, tensor in saved.tensors.items():
            if name.startswith("optimizer."):
                number, memory = name.split(".")[1:]
                parameter = parameters[int(number)]
                own = torch.empty_like(_like(parameter, memory)).copy_(tensor)
                self.optimizer.state[parameter][memory] = own

    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.optimizer.param_groups for parameter in group["params"]]


def _named(model: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer, also those that a state dict leaves out."""
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {f"model.{name}": tensor.detach() for name, tensor in own.items()}


def _or_none(number: float) -> float | None:
    """What JSON can hold of it."""
    return number if math.isfinite(number) else None


def _or_nan(number: float | None) -> float:
    return math.nan if number is None else float(number)


def _like(parameter: Tensor, memory: str) -> Tensor:
    """A tensor of the shape and the layout of what AdamW remembers of a parameter."""
    if memory == "step":
        return torch.tensor(0.0, device=parameter.device)
    return parameter.detach()


def _generators(device: torch.device) -> tuple[dict[str, Tensor], list[Any]]:
    """The generators of the process: their words, and what is left of their last normal draw."""
    version, words, gauss = random.getstate()
    legacy: Any = np.random.get_state(legacy=False)
    tensors = {
        "random.torch": torch.get_rng_state(),
        "random.python": torch.tensor(words),
        "random.numpy": torch.from_numpy(legacy["state"]["key"].astype(np.int64)),
    }
    if device != CPU:
        tensors["random.device"] = torch.get_device_module(device).get_rng_state(device)
    left = [legacy["state"]["pos"], legacy["has_gauss"], legacy["gauss"]]
    return tensors, [version, gauss, *left]


def _set_generators(tensors: Mapping[str, Tensor], plain: list[Any], device: torch.device) -> None:
    version, gauss, *left = plain
    words = tuple(tensors["random.python"].tolist())
    key = tensors["random.numpy"].numpy().astype(np.uint32)
    for own_random, own_numpy, own_torch in (
        # on generators of no consequence first, so that a refusal changes nothing
        (random.Random(), np.random.RandomState(), torch.Generator()),
        (random, np.random, torch.default_generator),
    ):
        own_random.setstate((version, words, gauss))
        own_numpy.set_state(("MT19937", key, *left))
        own_torch.set_state(tensors["random.torch"])
    if device != CPU:
        torch.get_device_module(device).set_rng_state(tensors["random.device"], device)
