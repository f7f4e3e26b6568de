"""Loops that each see a sequence in groups: first in slices, then in groups strewn over it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archsearch.blocks.padding import real_positions, some_positions
from archsearch.depth.tie import Projected


class Sliced(Projected):
    """Shared weights and a perceptron behind each loop, as ``projected``, on parts of the sequence.

    Loops 0, 2, .. see slices of ``slices`` steps, each of which begins anew. Loops 1, 3, .. see as
    many groups, of one step out of each slice: step j of slice i is in group i + j modulo
    ``slices``. Within a group the order of time stays, so that what is causal remains so (after the
    sliced group attention of Shen et al. 2021, arXiv 2111.05297, section 3.3, whose permutation is
    drawn anew at every call and looks ahead).
    """

    def __init__(self, body: nn.Module, width: int, loops: int, slices: int = 4) -> None:
        super().__init__(body, width, loops)
        self.slices = slices

    def forward(self, x: Tensor, loop: int, first: Tensor) -> Tensor:
        steps = torch.arange(x.shape[1], device=x.device)
        of = self._group(steps) if loop % 2 else steps // self.slices
        groups, lengths = of.unique(return_counts=True)
        places, parts, real = [], [], real_positions(x)
        # all groups of one length are a batch
        for length in lengths.unique().tolist():
            alike = groups[lengths == length]
            at = torch.stack([torch.nonzero(of == group).squeeze(1) for group in alike])
            inside, portion = None, at.numel() / x.shape[1]
            if real is not None:
                inside = real[:, at].flatten(0, 1)
                portion = float(inside.sum() / real.sum())
            with some_positions(inside, portion):
                y = self.body(x[:, at].flatten(0, 1)).unflatten(0, (-1, len(at)))
            places.append(at.flatten())
            parts.append(y.flatten(1, 2))
        y = torch.cat(parts, 1)[:, torch.cat(places).argsort()]
        return self.after(y, self.last(loop))

    def initial_state(self, batch: int) -> Any:
        count = torch.zeros(batch, dtype=torch.long, device=self.shares.device)
        return count, tuple(self.body.initial_state(batch) for _ in range(self.slices))

    def step(self, x_t: Tensor, state: Any, loop: int, first: Tensor) -> tuple[Tensor, Any]:
        count, groups = state
        now = int(count[0])
        at = int(self._group(count[0])) if loop % 2 else 0
        before = groups[at]
        if not loop % 2 and now % self.slices == 0:
            before = self.body.initial_state(len(x_t))
        y_t, after = self.body.step(x_t, before)
        groups = (*groups[:at], after, *groups[at + 1 :])
        return self.after(y_t, self.last(loop)), (count + 1, groups)

    def _group(self, step: Tensor) -> Tensor:
        return (step // self.slices + step) % self.slices
