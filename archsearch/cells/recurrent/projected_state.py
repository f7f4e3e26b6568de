"""A recurrent matrix that reads a projection of the state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.kernels.projections.projection import projection


class ProjectedState(HeadwiseLinear):
    """U P h with P (rank, W), so that U (gates W, rank) reads fewer numbers than the state has.

    The recurrent projection of Sak et al. 2014, arXiv 1402.1128. Over a whole sequence the product
    U P stands for the matrix, which costs as much as a few steps. P starts with orthogonal rows.
    """

    def __init__(self, width: int, gates: int, rank: int) -> None:
        super().__init__(width, gates)
        self.in_features = rank
        self.weight = nn.Parameter(torch.empty(gates * width, rank))
        self.down = nn.Parameter(nn.init.orthogonal_(torch.empty(rank, width)))
        self.reset_parameters()

    def forward(self, h: Tensor) -> Tensor:
        return projection(projection(h, self.down, None), self.weight, None)

    def whole(self) -> Tensor:
        return self.weight @ self.down
