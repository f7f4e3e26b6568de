"""Dilated, densely connected feedforward sequential memory network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from archsearch.cells.cell import Cell, State
from archsearch.kernels.convolutions.depthwise import depthwise
from archsearch.kernels.norms.rectified_norm import rectified_norm
from archsearch.kernels.projections.projected import projected, untouched


class DilatedFSMN(Cell):
    """m_0 = W_2 relu(W_1 v + b); m_{i+1} = prelu(rms(sum_{k <= i} a_{ik} *_{2^i} m_k)) per channel.

    Each of ``depth`` memories filters all earlier ones with ``order`` taps, 2^i apart; without
    ``gated`` v = x and y = x + m_0 + m_depth, with it v = silu(W_v x), u = silu(W_u x) and
    y = W_o (u (v + m_0 + m_depth)) (Zhao et al. 2024, arXiv 2312.11825; causal taps, and the
    root mean square over channels in place of their norm over time, so that it can stream).
    State: the last (order - 1) 2^i values that memory i reads, (B, ., (i + 1) W).
    """

    def __init__(self, width: int, order: int = 10, depth: int = 2, gated: bool = True) -> None:
        super().__init__(width)
        self.depth, self.gated = depth, gated
        self.widen, self.project = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.memories = nn.ModuleList(
            _Memory(width, order, index + 1, 2**index) for index in range(depth)
        )
        self.reach = 1 + sum(memory.past for memory in self.memories)
        self.enter = nn.Linear(width, 2 * width) if gated else None
        self.output = nn.Linear(width, width) if gated else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        pasts = self.initial_state(len(x)) if state is None else state
        u, v = (None, x) if self.enter is None else silu(projected(self.enter, x)).chunk(2, -1)
        found, kept = [projected(self.project, projected(self.widen, v).relu())], []
        for memory, past in zip(self.memories, pasts, strict=True):
            new, past = memory(found, past)
            found.append(new)
            kept.append(past)
        y = v + found[0] + found[-1]
        if u is not None and self.output is not None:
            y = projected(self.output, u * y)
        return y, tuple(kept)

    def initial_state(self, batch: int) -> State:
        return tuple(
            self.zeros(batch, memory.past, memory.sources * self.width) for memory in self.memories
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state


class _Memory(nn.Module):
    """Channel c of the output reads channel c of each of ``sources`` inputs side by side."""

    def __init__(self, width: int, order: int, sources: int, dilation: int) -> None:
        super().__init__()
        self.sources, self.dilation, self.past = sources, dilation, (order - 1) * dilation
        bound = (order * sources) ** -0.5
        self.taps = nn.Parameter(torch.empty(order, sources * width).uniform_(-bound, bound))
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.activation = nn.PReLU()

    def forward(self, found: list[Tensor], past: Tensor) -> tuple[Tensor, Tensor]:
        pasts, taps = (part.chunk(self.sources, -1) for part in (past, self.taps))
        seen = [torch.cat(both, 1) for both in zip(pasts, found, strict=True)]
        summed = depthwise(seen[0], taps[0], self.dilation)
        for part, own in zip(seen[1:], taps[1:], strict=True):
            summed = summed + depthwise(part, own, self.dilation)
        after = torch.cat([part[:, found[0].shape[1] :] for part in seen], -1)
        return self._rectified(summed), after

    def _rectified(self, x: Tensor) -> Tensor:
        if untouched(self.norm, nn.RMSNorm) and untouched(self.activation, nn.PReLU):
            return rectified_norm(x, self.norm.weight, self.activation.weight)
        rectified: Tensor = self.activation(self.norm(x))
        return rectified
