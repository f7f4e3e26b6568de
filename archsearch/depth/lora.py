"""Loops that share their matrices up to a difference of low rank."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn


class LowRank(nn.Module):
    """W to W + up down, for W (outputs, inputs); up starts at zero."""

    no_decay = ("up", "down")

    def __init__(self, outputs: int, inputs: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down

    @torch.no_grad()
    def approximate(self, difference: Tensor) -> None:
        """Take up the best approximation of this rank (Eckart and Young 1936)."""
        u, s, v = torch.linalg.svd(difference, full_matrices=False)
        rank = min(len(self.down), len(s))
        self.up.zero_()
        self.up[:, :rank] = u[:, :rank] * s[:rank]
        self.down[:rank] = v[:rank]


class Difference(nn.Module):
    """w to w + d, for a parameter that is no linear map; d starts at zero."""

    no_decay = ("added",)

    def __init__(self, like: Tensor) -> None:
        super().__init__()
        self.added = nn.Parameter(torch.zeros_like(like))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.added


class LoRA(nn.Module):
    """Every loop has the shared matrices plus a product of its own of two narrow ones.

    W_l = W + B_l A_l for every linear map of the body (Bae et al. 2024, arXiv 2410.20672, section
    2.3), B starting at zero, so that the network begins as the plainly shared one. ``rank`` is cut
    to the smaller side of a matrix. With ``rest`` a loop also has a difference of its own for each
    other parameter (biases, norms, kernels), of full size.
    """

    def __init__(
        self, body: nn.Module, width: int, loops: int, rank: int = 4, rest: bool = False
    ) -> None:
        super().__init__()
        self.body, self.loops = body, loops
        self.others = tuple(others(body)) if rest else ()
        self.rest = nn.ModuleList(
            nn.ModuleList(Difference(body.get_parameter(name)) for name in self.others)
            for _ in range(loops if rest else 0)
        )
        self.differences = nn.ModuleList(
            nn.ModuleList(
                LowRank(*linear.weight.shape, min(rank, *linear.weight.shape))
                for linear in linears(body)
            )
            for _ in range(loops)
        )
        # copies that share all weights, out of the sight of what lists modules and parameters
        self._twins: tuple[nn.Module, ...] = ()
        self._twin()
        # what is loaded may take the place of the parameters that the copies share
        self.register_load_state_dict_post_hook(_twin_again)

    @property
    def bodies(self) -> tuple[nn.Module, ...]:
        """What is applied in each loop, with weights in common."""
        return self._twins

    def forward(self, x: Tensor, loop: int, first: Tensor) -> Tensor:
        return self._twins[min(loop, self.loops - 1)](x)

    def initial_state(self, batch: int) -> Any:
        return self.body.initial_state(batch)

    def step(self, x_t: Tensor, state: Any, loop: int, first: Tensor) -> tuple[Tensor, Any]:
        return self._twins[min(loop, self.loops - 1)].step(x_t, state)

    def train(self, mode: bool = True) -> LoRA:
        super().train(mode)
        for twin in self._twins:
            twin.train(mode)
        return self

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> LoRA:
        super()._apply(fn, recurse)
        self._twin()
        return self

    def __getstate__(self) -> dict[str, Any]:
        # the copies' types are made when they are, so that none could be found again by its name
        return self.__dict__ | {"_twins": ()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._twin()

    def _twin(self) -> None:
        shared = {id(part): part for part in (*self.body.parameters(), *self.body.buffers())}
        twins = []
        for loop, differences in enumerate(self.differences):
            twin = copy.deepcopy(self.body, dict(shared))
            maps = list(linears(twin))
            if self.others:
                for name, own in zip(self.others, self.rest[loop], strict=True):
                    place, _, last = name.rpartition(".")
                    differ(twin.get_submodule(place), last, own)
            for linear, difference in zip(maps, differences, strict=True):
                differ(linear, "weight", difference)
            twins.append(twin.train(self.training))
        self._twins = tuple(twins)


def _twin_again(tie: LoRA, _: object) -> None:
    tie._twin()


def linears(body: nn.Module) -> Iterator[nn.Linear]:
    """The linear maps of a body, always in the same order."""
    return (module for module in body.modules() if isinstance(module, nn.Linear))


def others(body: nn.Module) -> Iterator[str]:
    """Names of the parameters of a body that are not the matrix of a linear map."""
    matrices = {id(linear.weight) for linear in linears(body)}
    return (name for name, part in body.named_parameters() if id(part) not in matrices)


def differ(module: nn.Module, name: str, change: nn.Module) -> None:
    """From now on a parameter of this one module reads as ``change`` of it.

    Parametrisations of torch would do, but refuse names such as ``values``.
    """
    own = f"{name}_difference"
    # one that is parametrised is no parameter, but what the module's class computes
    computed = getattr(type(module), name, None)
    if not any(part.endswith("_difference") for part in module._modules):
        module.__class__ = type(type(module).__name__, (type(module),), {})

    def read(self: nn.Module) -> Tensor:
        plain = self._parameters[name] if computed is None else computed.fget(self)
        return self._modules[own](plain)  # type: ignore[no-any-return,misc]

    setattr(type(module), name, property(read))
    # a part of the module, so that what asks it for its parameters hears of these, too
    module.add_module(own, change)
