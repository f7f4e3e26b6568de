"""The vanilla recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.cut import checked, read_before
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.cells.recurrent.noise import spared, spared_inputs, zones
from archsearch.kernels.one_type import mix
from archsearch.kernels.recurrences.vanilla import activated, vanilla

HIGHEST = 10.0  # that a GELU may give


class RNN(Cell):
    """h_t = phi(W x_t + U h_{t-1} + b), y_t = h_t (Elman 1990).

    phi is tanh, relu, or min(gelu, 10): a GELU clipped as in Wu et al. 2020, arXiv 2004.09602, so
    that no state grows for ever. U starts orthogonal, as ``scale`` times the identity with a
    near-zero W (with relu the IRNN of arXiv 1504.00941), or uniform within 1/sqrt(width). With
    several heads U is block-diagonal (arXiv 2412.07752). State: h (B, W).

    In training U reads m h_{t-1} and W reads m' x_t, with masks m and m' (B, W) drawn once for each
    row and call, of ``recurrent_dropout`` and ``input_dropout`` (Gal & Ghahramani 2016, arXiv
    1512.05287); a sequence that a state continues gets new ones. With ``zoneout`` p, h_t =
    d h_{t-1} + (1 - d) phi(..), where d (B, W) is drawn for each step and is one with probability p
    (Krueger et al. 2016, arXiv 1606.01305). In evaluation, and in a ``step``, which knows of no
    sequence, nothing is dropped and d = p.

    With ``cut`` the gradient of U h_{t-1} reaches U, but not h_{t-1}: :func:`read_before`.
    """

    state_matrices = frozenset({"recurrent"})

    def __init__(
        self,
        width: int,
        activation: str = "tanh",
        init: str = "orthogonal",
        scale: float = 1.0,
        heads: int = 1,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__(width)
        self.cut = checked(cut, recurrent_dropout, zoneout)
        self.activation = activation
        self.input_dropout, self.recurrent_dropout = input_dropout, recurrent_dropout
        self.zoneout = zoneout
        self.input = nn.Linear(width, width)
        self.recurrent = HeadwiseLinear(width, heads=heads)
        bound = width**-0.5
        nn.init.uniform_(self.input.weight, -bound, bound)
        nn.init.zeros_(self.input.bias)
        for block in self.recurrent.blocks():
            if init == "orthogonal":
                nn.init.orthogonal_(block)
            elif init == "identity":
                nn.init.eye_(block)
            else:
                nn.init.uniform_(block, -bound, bound)
        if init == "identity":
            nn.init.normal_(self.input.weight, std=0.001)
            with torch.no_grad():
                self.recurrent.weight.mul_(scale)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        if self.training:
            x = spared_inputs(x, self.input_dropout)
        y, after = self._whole(x, h)
        if not self.cut or not torch.is_grad_enabled():
            return y, after
        y = self._activated(self.input(x) + self.recurrent(read_before(h, y)))
        return y, (y[:, -1],)

    def _whole(self, x: Tensor, h: Tensor) -> tuple[Tensor, State]:
        noisy = self.training and (self.recurrent_dropout or self.zoneout)
        if noisy or self.activation == "gelu":
            return self._repeated(x, h)
        u = self.recurrent
        driven = u.apart(self.input(x.transpose(0, 1)))  # one product for all positions
        leak = h.new_full((1,), 1 - self.zoneout) if self.zoneout else None
        states, h = vanilla(driven, u.apart(h), u.matrix(), leak, self.activation)
        return u.together(states), (u.together(h),)

    def _repeated(self, x: Tensor, h: Tensor) -> tuple[Tensor, State]:
        u, states = self.recurrent, []
        driven, h = u.apart(self.input(x.transpose(0, 1))), u.apart(h)
        dropped = self.training and self.recurrent_dropout
        mask = spared(h, self.recurrent_dropout) if dropped else None
        steps, share = len(driven), self.zoneout
        stays = zones(h, steps, share, self.training) if share else [None] * steps
        matrix, advance = u.matrix(), torch.addmm if u.heads == 1 else torch.baddbmm
        for drive, stay in zip(driven, stays, strict=True):
            read = h if mask is None else h * mask
            new = self._activated(advance(drive, read, matrix))
            h = new if stay is None else mix(stay, h, new)
            states.append(h)
        return u.together(torch.stack(states, -2)), (u.together(h),)

    def _activated(self, drive: Tensor) -> Tensor:
        if self.activation == "gelu":
            return gelu(drive).clamp_max(HIGHEST)
        return activated(drive, self.activation)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        new = self._activated(self.input(x) + self.recurrent(h.detach() if self.cut else h))
        h = self.zoneout * h + (1 - self.zoneout) * new if self.zoneout else new
        return h, (h,)
