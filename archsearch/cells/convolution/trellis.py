"""TrellisNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.convolution.dropout import channel_mask
from archsearch.kernels.convolutions.trellis_levels import trellis_levels


class Trellis(Cell):
    """A deep convolution whose levels share their weights and all see the input again.

    At level i, with d its dilation: [i, f, g, o] = W_1 * x + W_2 * h^i + b with taps t - d and t,
    c^{i+1}_t = s(f) c^i_{t-d} + s(i) tanh(g), h^{i+1} = s(o) tanh(c^{i+1}); h^0 = c^0 = 0
    and y = h^levels (Bai, Kolter & Koltun 2019, arXiv 1810.06682, section 4). Dilations go
    through 1, 2, ..., 2^(cycle - 1) again and again. With W_1 on tap t and W_2 on tap t - d
    alone it is an LSTM that forgets all but its last ``levels`` inputs (their theorem 1). With a
    ``kernel`` of 3 the convolutions have a tap t - 2d, too; it is slower by more than its work.
    ``dropout`` is that share of the channels of h, which a ``forward`` in training drops before
    every W_2, the same at all positions and levels, scaling the others by 1 / (1 - dropout); such
    a training is slower, too. State: x for the (kernel - 1) d inputs before, and of each level but
    the first and last h for as many and c for d.
    """

    state_matrices = frozenset({"hidden"})

    def __init__(
        self, width: int, levels: int = 8, cycle: int = 1, kernel: int = 2, dropout: float = 0.0
    ) -> None:
        super().__init__(width)
        self.dilations = [2 ** (level % cycle) for level in range(levels)]
        self.kernel, self.dropout = kernel, dropout
        self.reach = 1 + (kernel - 1) * sum(self.dilations)
        # the oldest tap first
        self.inject = nn.Parameter(torch.empty(kernel, width, 4 * width).normal_(std=0.01))
        self.hidden = nn.Parameter(torch.empty(kernel, width, 4 * width).normal_(std=0.01))
        self.bias = nn.Parameter(torch.zeros(4 * width))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.initial_state(len(x)) if state is None else state
        return self._through(x, state, drops=self.training and self.dropout > 0)

    def _through(self, x: Tensor, state: State, drops: bool) -> tuple[Tensor, State]:
        past, *levels = state
        if self.kernel > 2 or drops:
            mask = channel_mask(x, self.dropout) if drops else None
            y, kept = self._levels(x, past, levels, mask)
        else:
            weights = self.inject, self.hidden, self.bias
            y, kept = trellis_levels(x, past, levels, *weights, self.dilations)
        return y, (torch.cat([past, x], 1)[:, x.shape[1] :], *kept)

    def _levels(
        self, x: Tensor, past: Tensor, levels: list[tuple[Tensor, Tensor]], mask: Tensor | None
    ) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], ...]]:
        """What the kernel computes, for any number of taps, h times a mask (B, 1, W) before W_2."""
        length, seen, kept = x.shape[1], torch.cat([past, x], 1), []
        injected = {
            spaced: self._read(seen, self.inject, spaced, length) + self.bias
            for spaced in sorted(set(self.dilations))
        }
        y, c = self._gated(injected[self.dilations[0]])
        for (h_past, c_past), dilation in zip(levels, self.dilations[1:], strict=True):
            h, c = torch.cat([h_past, y], 1), torch.cat([c_past, c], 1)
            kept.append((h[:, length:], c[:, length:]))
            heard = h if mask is None else h * mask
            gates = injected[dilation] + self._read(heard, self.hidden, dilation, length)
            y, c = self._gated(gates, c[:, :length])
        return y, tuple(kept)

    @staticmethod
    def _read(seen: Tensor, taps: Tensor, dilation: int, length: int) -> Tensor:
        """(B, T, 4 W): the taps (K, W, 4 W) of the last T of the positions (B, . + T, W)."""
        last = len(taps) - 1
        begins = (seen.shape[1] - length - (last - tap) * dilation for tap in range(len(taps)))
        parts = [seen[:, begin : begin + length] for begin in begins]
        return torch.cat(parts, -1) @ taps.flatten(0, 1)

    @staticmethod
    def _gated(gates: Tensor, c: Tensor | None = None) -> tuple[Tensor, Tensor]:
        i, f, g, o = gates.chunk(4, -1)
        new = torch.sigmoid(i) * torch.tanh(g)
        c = new if c is None else torch.sigmoid(f) * c + new
        return torch.sigmoid(o) * torch.tanh(c), c

    def initial_state(self, batch: int) -> State:
        def zeros(steps: int) -> Tensor:
            return self.zeros(batch, steps, self.width)

        before = self.kernel - 1
        levels = ((zeros(before * spaced), zeros(spaced)) for spaced in self.dilations[1:])
        return zeros(before * max(self.dilations)), *levels

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self._through(x[:, None], state, drops=False)
        return y[:, 0], state
