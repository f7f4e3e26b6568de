"""Features let through, or changed, as a summary of everything before says."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.aaren import Aaren
from archsearch.errors import ArchitectureError
from archsearch.kernels.one_type import mix

OPEN = 2.0  # sigmoid(2) = 0.88: nearly everything passes at the start
SMALL = 0.02


class FeatureGate(Cell):
    """y_t is x_t gated by s_t, a softmax attention over x_1 ... x_t.

    ``mode`` "se": y = sigmoid(W_2 relu(W_1 s) + b) x (squeeze and excitation, Hu et al. 2018,
    arXiv 1709.01507, equations 3 and 4, with attention in place of the mean). "film": y =
    (1 + c) x + d, [c, d] = W_2 relu(W_1 s) + b (Perez et al. 2018, arXiv 1709.07871, equation 2).
    "mix": y = g x + (1 - g) s with g = sigmoid(W_2 [x; s] + b). W_1 goes to W / ``squeeze``
    features. b is 2 at the start, 0 for film, and W_2 small, so that y is nearly x.

    The summary has a trained query per head and is carried on in sums
    (:class:`archsearch.cells.linear.aaren.Aaren`), whose state this cell's is: it does not grow.
    A gate between stream and layer sees one position alone and keeps no state, so this is a cell;
    under the gate ``multiplicative`` its output gates the stream itself.
    """

    def __init__(self, width: int, mode: str = "se", heads: int = 4, squeeze: int = 4) -> None:
        super().__init__(width)
        if squeeze > width:
            raise ArchitectureError(f"squeeze {squeeze} leaves none of {width} features")
        self.mode = mode
        self.summary = Aaren(width, heads)
        self.inner = nn.Linear(width, width // squeeze) if mode != "mix" else None
        inputs = 2 * width if self.inner is None else width // squeeze
        self.outer = nn.Linear(inputs, 2 * width if mode == "film" else width)
        nn.init.normal_(self.outer.weight, std=SMALL)
        nn.init.constant_(self.outer.bias, 0.0 if mode == "film" else OPEN)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        s, state = self.summary(x, state)
        return self._gated(x, s), state

    def initial_state(self, batch: int) -> State:
        return self.summary.initial_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        s, state = self.summary.step(x, state)
        return self._gated(x, s), state

    def _gated(self, x: Tensor, s: Tensor) -> Tensor:
        if self.inner is None:
            return mix(torch.sigmoid(self.outer(torch.cat([x, s], -1))), x, s)
        said = self.outer(torch.relu(self.inner(s)))
        if self.mode == "film":
            scale, shift = said.chunk(2, -1)
            return torch.addcmul(x + shift, scale, x)
        return torch.sigmoid(said) * x
