"""What passes through a model while it runs: zeros, and units that are zero for all inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from archsearch.sparsity.thinned import Thinned

ACTIVITY = ("activation_sparsity", "dead_units")


class Activity:
    """Notes what the linear maps of the stages read, in all forward passes inside :meth:`noted`.

    A hidden unit of a channel mixer is dead if it is zero at every position (dynamic dead neurons,
    Liu et al. 2023, arXiv 2212.06145).
    """

    def __init__(self, model: nn.Module) -> None:
        ends = (getattr(model, "embed", None), getattr(model, "head", None))
        self._ends = {id(part) for end in ends if end is not None for part in end.modules()}
        self._outs: set[int] = set()
        self.alive: dict[int, Tensor] = {}
        self.idle, self.all = 0.0, 0.0

    @contextmanager
    def noted(self) -> Iterator[None]:
        handle = register_module_forward_pre_hook(self._note)
        try:
            yield
        finally:
            handle.remove()

    def figures(self) -> dict[str, float]:
        """The share of products with inputs that are zero, and the share of units that are dead."""
        units = sum(part.numel() for part in self.alive.values())
        alive = sum(int(part.sum()) for part in self.alive.values())
        shares = (self.idle / max(self.all, 1), 1 - alive / units if units else 0.0)
        return {name: round(share, 6) for name, share in zip(ACTIVITY, shares, strict=True)}

    def _note(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        out = getattr(module, "out", None)
        if isinstance(out, nn.Linear) and hasattr(module, "activation"):
            # it is called next, and may be another module in each loop
            self._outs.add(id(out))
        if not isinstance(module, nn.Linear) or id(module) in self._ends:
            return
        with torch.no_grad():
            x = inputs[0].detach()
            if isinstance(module, Thinned) and not module.training:
                x = module.thin(x)
            zero = x.flatten(0, -2) == 0  # (positions, inputs)
        self.idle += float(zero.sum()) * module.out_features
        self.all += float(zero.numel()) * module.out_features
        if id(module) in self._outs:
            before = self.alive.get(id(module), torch.zeros_like(zero[0]))
            self.alive[id(module)] = before | ~zero.all(0)
