"""Networks that grow into a size (Yuan et al. 2020, arXiv 2007.15353).

Units of a matrix are there by chance, each with a logit of its own that the loss and a budget move.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from archsearch.sparsity.allocation import allocate
from archsearch.sparsity.masks import Masks, Setting, largest
from archsearch.sparsity.patterns import Pattern
from archsearch.sparsity.roles import prunable

SAMPLE, JITTER = 4, 5  # what the random numbers are for
SHARPEST = 20.0  # the temperature of a unit that was there all along
SPREAD = 0.5  # of the logits at the start, so that units do not come all at once
PACE = 20.0  # how far a logit could move while the network grows
MEMORY = 0.99  # of the size of the slopes


class Growing(Masks):
    """Each unit is multiplied by m q: m is its share sigmoid(b s), q is drawn with that chance.

    ``s`` goes down the slope of the loss, and of the expected size times how far that is above the
    budget, relative to it: a network below it grows. The temperature ``b`` rises with the age of
    the unit, which counts the updates it was there for, so that late ones stay soft. At ``last``
    the units with the highest shares stay for good, exactly as many as ``density`` says; their
    shares are taken into their weights. A unit that is not there keeps its weights as they were.
    """

    def __init__(
        self,
        setting: Setting,
        names: Iterable[str],
        density: float,
        start: float,
        last: int,
        pattern: Pattern,
    ) -> None:
        super().__init__(setting.model, names, pattern)
        self.setting, self.density_asked, self.last = setting, density, last
        self._dense = {name: weight.detach().clone() for name, weight in self.weights.items()}
        self._logits, self._ages = {}, {}
        centre = torch.logit(torch.tensor(start, dtype=torch.float64), eps=1e-4)
        for place, (name, weight) in enumerate(self.weights.items()):
            units = pattern.units(weight.shape)
            drawn = torch.randn(units, dtype=torch.float64, generator=setting.random(JITTER, place))
            self._logits[name] = (centre + SPREAD * drawn).to(weight.device)
            self._ages[name] = torch.zeros_like(self._logits[name])
        self._slope = torch.zeros((), dtype=torch.float64)
        self._grown = torch.zeros((), dtype=torch.bool)
        self._falls: dict[str, Tensor] = {}
        self._appear(0)

    @property
    def grown(self) -> bool:
        return bool(self._grown)

    def _sharpness(self, name: str) -> Tensor:
        return 1 + (SHARPEST - 1) * self._ages[name] / self.last

    def shares(self, name: str) -> Tensor:
        """How much of each unit is there, and with what chance, (units,)."""
        return torch.sigmoid(self._sharpness(name) * self._logits[name])

    def expected(self) -> float:
        """The share of weights that is there on average."""
        sizes = {name: weight.numel() for name, weight in self.weights.items()}
        shares = (float(self.shares(name).mean()) * size for name, size in sizes.items())
        return sum(shares) / max(sum(sizes.values()), 1)

    @torch.no_grad()
    def before_step(self, step: int) -> None:
        """Finds where the logits go, and gives the optimizer the weights without their shares."""
        if not self.grown:
            for name, weight in self.weights.items():
                slope = torch.zeros_like(weight) if weight.grad is None else weight.grad
                of_share = slope * self._dense[name] * self.masks[name]
                self._falls[name] = self._by_unit(of_share)
                if weight.grad is not None:
                    weight.grad.mul_(self._whole(name, self.shares(name)))
                weight.copy_(self._dense[name])
        super().before_step(step)

    @torch.no_grad()
    def after_step(self, step: int, optimizer: Optimizer) -> None:
        if self.grown:
            super().after_step(step, optimizer)
            return
        for name, weight in self.weights.items():
            mask = self.masks[name]
            self._dense[name].copy_(torch.where(mask, weight, self._dense[name]))
            self._ages[name].add_(self.pattern.alive(mask))
        self._move(step)
        if step >= self.last:
            self._settle(optimizer)
        else:
            self._appear(step)

    def _move(self, step: int) -> None:
        """One step of all logits, by slopes over what those of units that are there are about."""
        if not self.weights:
            return
        there = [fall[self.pattern.alive(self.masks[name])] for name, fall in self._falls.items()]
        square = torch.cat(there).square().mean()
        self._slope.mul_(MEMORY).add_((1 - MEMORY) * square.cpu())
        size = max(float(self._slope / (1 - MEMORY**step)) ** 0.5, 1e-12)
        over = (self.expected() - self.density_asked) / self.density_asked
        pull = max(-1.0, min(1.0, over))
        for name, logits in self._logits.items():
            share = self.shares(name)
            bend = 4 * share * (1 - share)
            logits.sub_(PACE / self.last * bend * (self._falls[name] / size + pull))

    def _appear(self, step: int) -> None:
        """Draw which units are there at the next update; of every matrix at least one is."""
        for place, (name, weight) in enumerate(self.weights.items()):
            share = self.shares(name)
            generator = self.setting.random(SAMPLE, step, place)
            drawn = torch.rand(len(share), dtype=torch.float64, generator=generator)
            there = drawn.to(share.device) < share
            there[self._logits[name].argmax()] = True
            self.masks[name].copy_(self.pattern.mask(there, weight.shape))
            weight.data.copy_(self._dense[name] * self._whole(name, share) * self.masks[name])

    def _settle(self, optimizer: Optimizer) -> None:
        """Take the network as it is by then: so many weights, wherever shares are the highest."""
        whole = {name: self._whole(name, self.shares(name)) for name in self.weights}
        counts = allocate(self.shapes, self.density_asked, "global", whole)
        for name, weight in self.weights.items():
            share = self.shares(name)
            count = self.pattern.count(counts[name], weight.shape)
            stays = largest(share, torch.ones_like(share, dtype=torch.bool), count)
            self.masks[name].copy_(self.pattern.mask(stays, weight.shape))
            weight.copy_(self._dense[name] * whole[name])
        self._grown.fill_(value=True)
        super().after_step(self.last, optimizer)
        for name, weight in self.weights.items():
            for held in optimizer.state.get(weight, {}).values():
                if held.shape == weight.shape:
                    held.masked_fill_(~self.masks[name], 0)

    def _whole(self, name: str, by_unit: Tensor) -> Tensor:
        """What there is of each unit, for each of its weights."""
        weight = self.weights[name]
        return self.pattern.mask(by_unit, weight.shape).to(weight.dtype)

    def _by_unit(self, of_weights: Tensor) -> Tensor:
        """Sums over the weights of each unit, (units,)."""
        return self.pattern.sums(of_weights).double()

    def state(self) -> dict[str, Tensor]:
        found = super().state() | {"slope": self._slope.clone(), "grown": self._grown.clone()}
        for kind, tensors in self._kept().items():
            found |= {f"{kind}.{name}": tensor.clone() for name, tensor in tensors.items()}
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        super().restore(state)
        self._slope.copy_(state["slope"])
        self._grown.copy_(state["grown"])
        for kind, tensors in self._kept().items():
            for name, tensor in tensors.items():
                tensor.copy_(state[f"{kind}.{name}"])

    def _kept(self) -> dict[str, dict[str, Tensor]]:
        return {"dense": self._dense, "logits": self._logits, "ages": self._ages}


def grow(
    setting: Setting,
    density: float,
    start: float = 0.1,
    end: float = 0.75,
    which: str = "stages",
    pattern: str = "row",
    block: int = 4,
) -> Masks:
    """See :class:`Growing`; it is grown after a fraction ``end`` of the training."""
    last = max(1, round(end * setting.steps))
    names = prunable(setting.model, which)
    return Growing(setting, names, density, start, last, Pattern(pattern, block))
