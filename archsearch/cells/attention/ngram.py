"""n-gram heads: what followed the last n positions whenever they stood here before."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from archsearch.cells.attention.hash_codes import HashCodes
from archsearch.cells.cell import Cell, State, split_width
from archsearch.kernels.memories.following import following
from archsearch.kernels.projections.projected import projected


class NGram(Cell):
    """y_i = W_1 x_i + the mean of W_0 x_{j+1} over all earlier places that look like this one.

    Those are the j with j + 1 < i whose last n codes are those up to i; zero where there is none
    (Akyurek et al. 2024, arXiv 2401.12973, section 5). There codes are tokens; a cell sees
    vectors, so here they are :class:`HashCodes`: the same for equal vectors, and among
    ``buckets`` ^ ``rounds`` codes now and then for others, the more so the closer they point. In a
    first layer without positions this is equality of tokens, further up of what lower layers made
    of them. Each of the ``heads`` hashes by itself and answers with its share of W_0 x; one head
    is the published one. State: codes (B, S, H) and W_0 x (B, S, W) of all positions seen.
    """

    role = "attention"

    def __init__(
        self, width: int, order: int = 1, heads: int = 1, buckets: int = 32, rounds: int = 2
    ) -> None:
        super().__init__(width)
        self.order, self.heads = order, heads
        self.head_size = split_width(width, heads)
        self.codes = HashCodes(width, heads, buckets, rounds)
        self.register_buffer(
            "places", (buckets**rounds) ** torch.arange(order).flip(0), persistent=False
        )
        self.follow = nn.Linear(width, width, bias=False)
        self.own = nn.Linear(width, width, bias=False)

    def _grams(self, codes: Tensor) -> Tensor:
        """One number (B, H, S) for the last n codes (B, S, H) of each position, -1 before there
        are as many."""
        if codes.shape[1] < self.order:
            return torch.full_like(codes, -1).transpose(1, 2)
        found = (codes.unfold(1, self.order, 1) * self.places).sum(-1)
        return pad(found.transpose(1, 2), (self.order - 1, 0), value=-1)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        old_codes, old_values = self.initial_state(len(x)) if state is None else state
        codes = torch.cat([old_codes, self.codes(x)], 1)
        values = torch.cat([old_values, projected(self.follow, x)], 1)
        by_head = values.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, S, d)
        means = following(by_head, self._grams(codes), x.shape[1])
        return means.transpose(1, 2).flatten(2) + projected(self.own, x), (codes, values)

    def initial_state(self, batch: int) -> State:
        codes = self.codes.places.new_zeros(batch, 0, self.heads)
        return codes, self.zeros(batch, 0, self.width)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state
