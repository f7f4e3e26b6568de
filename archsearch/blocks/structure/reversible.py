"""A stage whose inputs are rebuilt from its output, so that depth costs no memory in training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import get_device_states, set_device_states

from archsearch.blocks.padding import positions
from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.checkpointed import AsMet, learned_since, remembered
from archsearch.blocks.structure.connections import Apply, Connections
from archsearch.kernels.trained import once_differentiable


class Reversible(Connections):
    """Two streams, both x at first, whose mean goes on: y1 = x1 + F(x2), y2 = x2 + G(y1).

    F and G are what the halves of a block add to the stream they read, gate and norm included; a
    block without a channel mixer is F alone, after which the streams change places. Training
    keeps the two last streams and rebuilds the others backwards (Gomez et al. 2017, arXiv
    1707.04585, equations 6 to 8), in one more forward pass. Rounding grows with depth: not for
    half precision, and under autocast in single.
    """

    # connections are always given the width
    def __init__(self, blocks: Sequence[Block], width: int) -> None:
        super().__init__(blocks)

    def through(self, x: Tensor, apply: Apply) -> Tensor:
        raise TypeError("a reversible stage goes through halves of blocks")

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self(x.to(torch.promote_types(x.dtype, torch.float32)))
        halves = self._halves()
        parameters = [part for half in halves for part in half.parameters]
        if torch.is_grad_enabled() and (x.requires_grad or parameters):
            learning = list(self.blocks.modules()) if self.training else []
            return _Rebuilt.apply(halves, learning, self.training, x, *parameters)
        one = other = x
        for half in halves:
            one, other = other, one + half(other)
        return (one + other) / 2

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        one = other = x_t
        after = []
        for block, before in zip(self.blocks, state, strict=True):
            mixed, now = block.mix_step(other, before)
            after.append(now)
            one, other = other, one + (mixed - other)
            if block.channel is not None:
                one, other = other, one + (block.refine(other) - other)
        return (one + other) / 2, tuple(after)

    def _halves(self) -> list[Half]:
        halves = []
        for block in self.blocks:
            halves.append(Half(block.mix, trained(block.cell)))
            if block.channel is not None:
                halves.append(Half(block.refine, trained(block.channel)))
        return halves


@dataclass(frozen=True)
class Half:
    """What one half of a block adds to the stream that it reads, and its trained parameters."""

    apply: Callable[[Tensor], Tensor]
    parameters: tuple[Tensor, ...]

    def __call__(self, x: Tensor) -> Tensor:
        return self.apply(x) - x


def trained(module: nn.Module) -> tuple[Tensor, ...]:
    return tuple(part for part in module.parameters() if part.requires_grad)


class Noise:
    """The state of the random generators, here and on the devices of ``x``."""

    def __init__(self, x: Tensor) -> None:
        self.here, (self.devices, self.there) = torch.get_rng_state(), get_device_states(x)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Noise):
            return NotImplemented
        pairs = zip([self.here, *self.there], [other.here, *other.there], strict=True)
        return all(torch.equal(one, two) for one, two in pairs)

    __hash__ = None  # type: ignore[assignment]

    def restore(self) -> None:
        torch.set_rng_state(self.here)
        set_device_states(self.devices, self.there)


class _Rebuilt(torch.autograd.Function):
    """The mean of the streams after all halves; of every half only drawn numbers are kept."""

    @staticmethod
    def forward(
        ctx: FunctionCtx,
        halves: list[Half],
        learning: list[nn.Module],
        noisy: bool,
        x: Tensor,
        *_: Tensor,
    ) -> Tensor:
        one = other = x
        ctx.met = remembered(learning)  # type: ignore[attr-defined]
        ctx.known = positions()  # type: ignore[attr-defined]
        drawn: list[Noise | None] = []
        for half in halves:
            before = Noise(x) if noisy else None
            one, other = other, one + half(other)
            # nearly all halves draw nothing, and then there is nothing to draw again
            drawn.append(None if before is None or before == Noise(x) else before)
        ctx.halves, ctx.drawn = halves, drawn  # type: ignore[attr-defined]
        ctx.save_for_backward(one, other)
        return (one + other) / 2

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        one, other = ctx.saved_tensors
        of_one = of_other = gradient / 2
        found: list[Tensor | None] = []
        now = Noise(gradient)
        # what another loop of the same blocks has learned meanwhile
        learned = learned_since(ctx.met)
        for half, drawn in zip(reversed(ctx.halves), reversed(ctx.drawn), strict=True):
            if drawn is not None:
                drawn.restore()
            with torch.enable_grad(), AsMet(learned, ctx.known):
                read = one.detach().requires_grad_()
                added = half(read)
            inputs = (read, *half.parameters)
            of_read, *own = torch.autograd.grad(added, inputs, of_other, allow_unused=True)
            one, other = other - added.detach(), one
            of_one, of_other = of_other, of_one + of_read
            found[:0] = own
        now.restore()
        return None, None, None, of_one + of_other, *found
