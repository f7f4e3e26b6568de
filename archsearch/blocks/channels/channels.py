"""What mixes the channels of one position: ``Channel(width, **options)``, (.., width) to the same.

A channel mixer never looks at another position, so it needs no state.
"""

from __future__ import annotations

from torch import Tensor, nn

from archsearch.blocks.activations.activations import open_activation
from archsearch.blocks.activations.clipped_activations import ClippedReLU
from archsearch.kernels.projections.projected import projected


class MLP(nn.Module):
    """Two linear maps with an activation between; 2 expand width^2 weights.

    ``options`` are those of the activation. One that is sparse starts the first map as it needs.
    """

    def __init__(
        self, width: int, expand: float = 2.0, activation: str = "gelu", **options: float | str
    ) -> None:
        super().__init__()
        hidden = hidden_units(width, expand)
        self.into = nn.Linear(width, hidden)
        self.out = nn.Linear(hidden, width)
        self.activation = open_activation(activation, hidden, **options)
        if isinstance(self.activation, ClippedReLU):
            self.activation.prepare(self.into)

    def forward(self, x: Tensor) -> Tensor:
        return projected(self.out, self.activation(projected(self.into, x)))


class GLU(nn.Module):
    """A gated linear unit: out(value(x) * activation(gate(x))); 3 expand width^2 weights.

    ``expand`` of 8/3 has the weights of an MLP with 4 (Shazeer 2020, arXiv 2002.05202). The first
    half of ``into`` is the value, the second the gate. ``options`` are those of the activation.
    """

    def __init__(
        self, width: int, expand: float = 2.0, activation: str = "silu", **options: float | str
    ) -> None:
        super().__init__()
        hidden = hidden_units(width, expand)
        self.into = nn.Linear(width, 2 * hidden)
        self.out = nn.Linear(hidden, width)
        self.activation = open_activation(activation, hidden, **options)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = projected(self.into, x).chunk(2, dim=-1)  # (.., hidden) each
        return projected(self.out, value * self.activation(gate))


def hidden_units(width: int, expand: float) -> int:
    """The nearest whole number to expand times width, at least one."""
    return max(1, round(expand * width))
