"""What the zeros of a model save: four figures that are never multiplied by one another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.sparsity.activity import ACTIVITY, Activity
from archsearch.sparsity.compaction import compact
from archsearch.sparsity.masks import Masks
from archsearch.sparsity.observed import Observed
from archsearch.sparsity.packing import size_of
from archsearch.train.draws import CPU, undisturbed
from archsearch.train.flops import flops
from archsearch.train.judge import evaluating
from archsearch.train.tensors import device_of

# the share of weights left: of the prunable ones, of all parameters; what a machine that skips
# zeros would compute for a time step; the weights of an export
SAVINGS = ("density", "density_all", "sparse_flops", "bytes")
# with what is told of activations
TOLD = (*SAVINGS, *ACTIVITY)
ACTIVE = 6000  # the batch that they are counted on
aten = torch.ops.aten


class Uses(Observed):
    """Also counts how often a convolution uses each of its weights."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        if func is aten.convolution.default and not args[6]:
            name = self.name_of(args[1])
            if name is not None:
                self.sums[name]["count"] += out.numel() / out.shape[1]
        return out


class Savings:
    """The figures of a model while it is pruned; ``inputs`` are one sequence of full length.

    They are counted on the processor, since an accelerator's operations are others.

    With ``probe``, the loss on batches by number, also what of its activations is zero on one.

    ``sparse_flops`` are those of :mod:`archsearch.train.flops` for each time step, without the
    products with weights that are zero, where a matrix is multiplied as it is stored: a theoretical
    number. ``bytes`` are those of the tensors that an export has, compacted and packed.
    """

    def __init__(
        self,
        model: nn.Module,
        masks: Masks,
        inputs: Tensor,
        probe: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.model, self.masks, self.length = model, masks, inputs.shape[1]
        self.probe = probe
        counted = model if device_of(model) == CPU else copy.deepcopy(model).to(CPU)
        weights = {
            name: parameter
            for name, parameter in counted.named_parameters()
            if parameter.ndim >= 2 and not parameter.is_complex()
        }
        observed = Uses(weights)
        with undisturbed(CPU), evaluating(counted), torch.no_grad():
            self.flops = flops(counted, inputs)
            with observed:
                counted(inputs)
        self.uses = {name: observed.uses(name) for name in weights}

    def figures(self) -> dict[str, float]:
        prunable, overall = self.masks.density()
        return self._activity() | {
            "density": round(prunable, 6),
            "density_all": round(overall, 6),
            "sparse_flops": (self.flops - self._skipped()) / self.length,
            "bytes": float(exported_bytes(self.model)),
        }

    def _activity(self) -> dict[str, float]:
        if self.probe is None:
            return {}
        seen = Activity(self.model)
        with seen.noted(), torch.no_grad():
            self.probe(ACTIVE)
        return seen.figures()

    def _skipped(self) -> float:
        # a multiplication and an addition for every use
        return sum(
            2 * float(uses[self.model.get_parameter(name) == 0].sum())
            for name, uses in self.uses.items()
        )


def exported_bytes(model: nn.Module) -> int:
    """Bytes of the tensors of the model once it is compacted and packed."""
    smaller = copy.deepcopy(model)
    compact(smaller)
    return size_of(smaller.state_dict())


def unsaved(model: nn.Module, flops_of_a_step: float) -> dict[str, float]:
    """The figures of a model without a sparsity, which is exported as it is."""
    state = model.state_dict().values()
    size = sum(part.numel() * part.itemsize for part in state)
    values = (1.0, 1.0, flops_of_a_step, float(size))
    return dict(zip(SAVINGS, values, strict=True))
