"""Hierarchically gated recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, spread
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.errors import ArchitectureError
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.scans.linear_scan import linear_scan


class HGRN(Cell):
    """h_t = a_t h_{t-1} + (1 - p_t) silu(W_c x_t), p_t = g + (1 - g) s(W_p x_t + b_p).

    y_t = W_o (rms(h_t) silu(W_g x_t)), or W_o rms(h_t) without ``output_gate``. The share p_t that
    a unit keeps never falls below the ``lower_bound`` g; higher layers are meant to have a higher
    one (Qin et al. 2023, arXiv 2311.04823, section 3). A cell does not know its layer, so g is an
    option of each layer where the paper trains one per layer. a_t = p_t, or 2 p_t - 1 where
    ``negative``; where ``rotate``, the units are the halves of complex ones that share a gate and
    turn by a trained angle per step, at first by one radian down to 1e-4 geometrically. State:
    h (B, units), or (B, units / 2, 2), and the convolution's (B, conv - 1, W).
    """

    def __init__(
        self,
        width: int,
        expand: float = 1.0,
        lower_bound: float = 0.0,
        rotate: bool = False,
        conv: int = 0,
        negative: bool = False,
        conv_start: str = "uniform",
        output_gate: bool = True,
    ) -> None:
        super().__init__(width)
        self.size, self.lower_bound = int(width * expand), lower_bound
        self.rotate, self.negative = rotate, negative
        if rotate and self.size % 2:
            raise ArchitectureError(
                f"rotate needs an even number of units, not {self.size}; take another width"
            )
        self.gates = self.size // 2 if rotate else self.size
        self.conv = ShortConv(width, conv, conv_start)
        self.opened = output_gate
        # candidate, output gate
        self.project = nn.Linear(width, (1 + output_gate) * self.size, bias=False)
        self.gate = nn.Linear(width, self.gates)
        self.norm = nn.RMSNorm(self.size, eps=1e-5)
        self.output = nn.Linear(self.size, width, bias=False)
        nn.init.zeros_(self.gate.bias)
        if rotate:
            exponents = torch.arange(self.gates) / self.gates
            self.angle = nn.Parameter(10000.0**-exponents)

    def _coefficients(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """The factor of the state, what is added to it, and the output gate before its silu."""
        candidate, opened = self.project(x), None
        if self.opened:
            candidate, opened = candidate.chunk(2, -1)
        left = (1 - self.lower_bound) * torch.sigmoid(-full(self.gate(x)))  # 1 - p
        factor = spread(1 - left, self.negative)
        candidate = full(silu(candidate))
        if self.rotate:
            angle = full(self.angle)
            candidate = torch.view_as_complex(candidate.unflatten(-1, (-1, 2)))
            factor = torch.polar(torch.ones_like(angle), angle) * factor
        return factor, left * candidate, opened

    def _answer(self, h: Tensor, opened: Tensor | None, x: Tensor) -> Tensor:
        h = h.flatten(-2) if self.rotate else h
        read = gated_norm(h[..., None, :], self.norm.weight, opened)
        return self.output(read.to(x.dtype if opened is None else opened.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, recent = self.initial_state(len(x)) if state is None else state
        x, recent = self.conv(x, recent)
        factor, added, opened = self._coefficients(x)
        if self.rotate:
            h = linear_scan(factor, added, torch.view_as_complex(full(h)))
            h = torch.view_as_real(h)
        else:
            h = linear_scan(factor, added, h)
        return self._answer(h, opened, x), (h[:, -1], recent)

    def initial_state(self, batch: int) -> State:
        recent = self.zeros(batch, max(self.conv.taps - 1, 0), self.width)
        pairs = (2,) if self.rotate else ()
        return self.zeros(batch, self.gates, *pairs), recent

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, recent = state
        x, recent = self.conv.step(x, recent)
        factor, added, opened = self._coefficients(x)
        if self.rotate:
            h = torch.view_as_real(factor * torch.view_as_complex(full(h)) + added)
        else:
            h = factor * h + added
        return self._answer(h, opened, x), (h, recent)
