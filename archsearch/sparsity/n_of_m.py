"""N of every M weights, the form that accelerators skip (Zhou et al. 2021, arXiv 2102.04010)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from archsearch.errors import ArchitectureError
from archsearch.sparsity.masks import Masks, Setting
from archsearch.sparsity.roles import prunable

DENSE = "dense."  # before the name of a matrix whose dense form is stored


class NofM(Masks):
    """The model computes with the largest n of every m weights, and all of them are trained.

    The gradient of the masked matrix goes to the dense one, with ``decay`` times each weight that
    is masked (SR-STE, equation 8); the mask follows the dense weights at every update. Inputs of a
    row are taken m by m, the last of them fewer where m does not divide them.
    """

    def __init__(
        self, setting: Setting, names: Iterable[str], n: int, m: int, decay: float
    ) -> None:
        super().__init__(setting.model, names)
        self.n, self.m, self.decay = n, m, decay
        self._dense = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self.begin({name: n_of_m(weight, n, m) for name, weight in self._dense.items()})

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Gives the optimizer the dense weights, and their gradient the decay of the masked."""
        for name, weight in self.weights.items():
            weight.copy_(self._dense[name])
            if weight.grad is not None:
                weight.grad.add_(weight.masked_fill(self.masks[name], 0), alpha=self.decay)

    @torch.no_grad()
    def after_step(self, step: int, optimizer: Optimizer) -> None:
        for name, weight in self.weights.items():
            self._dense[name].copy_(weight)
            self.masks[name].copy_(n_of_m(weight, self.n, self.m))
            weight.masked_fill_(~self.masks[name], 0)

    def state(self) -> dict[str, Tensor]:
        dense = {f"{DENSE}{name}": weight.clone() for name, weight in self._dense.items()}
        return super().state() | dense

    def restore(self, state: Mapping[str, Tensor]) -> None:
        super().restore(state)
        for name, weight in self._dense.items():
            weight.copy_(state[f"{DENSE}{name}"])


def n_of_m(weight: Tensor, n: int, m: int) -> Tensor:
    """The mask of the n largest absolute values of every m in a row; ties by position."""
    flat = weight.abs().reshape(len(weight), -1)
    rows, columns = flat.shape
    groups = -(-columns // m)
    padded = flat.new_full((rows, groups * m), -1.0)
    padded[:, :columns] = flat
    order = torch.sort(padded.view(-1, m), dim=1, descending=True, stable=True).indices[:, :n]
    mask = torch.zeros(rows * groups, m, dtype=torch.bool, device=weight.device)
    return mask.scatter_(1, order, value=True).view(rows, -1)[:, :columns].reshape(weight.shape)


def sr_ste(
    setting: Setting, n: int = 2, m: int = 4, decay: float = 2e-4, which: str = "stages"
) -> Masks:
    """See :class:`NofM`. Raises ArchitectureError where n is above m."""
    if n > m:
        raise ArchitectureError(f"sparsity 'n_of_m': n must not be above m, got {n} of {m}")
    return NofM(setting, prunable(setting.model, which), n, m, decay)
