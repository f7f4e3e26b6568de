"""One causal convolution over all channels, with a streaming state."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from archsearch.kernels.convolutions.causal_convolution import causal_convolution


class CausalConv(nn.Module):
    """y_t = b + sum_j W_j x_{t - j dilation}; with ``weight_norm`` a filter is gain * W / |W|.

    Weights start at N(0, std); the state is the last ``past`` = (kernel - 1) dilation inputs.
    """

    no_decay: ClassVar[frozenset[str]] = frozenset({"gain"})

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        dilation: int = 1,
        weight_norm: bool = False,
        std: float = 0.01,
    ) -> None:
        super().__init__()
        self.dilation, self.past = dilation, (kernel - 1) * dilation
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel).normal_(std=std))
        self.bias = nn.Parameter(torch.zeros(outputs))
        lengths = self.weight.detach().norm(dim=(1, 2), keepdim=True)
        self.gain = nn.Parameter(lengths) if weight_norm else None

    def _filter(self) -> Tensor:
        if self.gain is None:
            return self.weight
        # a filter may have been pruned as a whole
        length = self.weight.norm(dim=(1, 2), keepdim=True).clamp_min(1e-12)
        return self.gain * self.weight / length

    def forward(self, x: Tensor, past: Tensor, rectified: bool = False) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, outputs), or relu of them, and the new state.

        Both given the state (B, past, inputs).
        """
        x = torch.cat([past, x], 1)  # the past on the left, so that no output sees its future
        y = causal_convolution(x, self._filter(), self.bias, self.dilation, rectified)
        return y, x[:, x.shape[1] - self.past :]

    def step(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """The output (B, outputs) of one position."""
        seen = torch.cat([past, x[:, None]], 1)
        taps = seen[:, :: self.dilation]  # (B, kernel, inputs)
        return torch.einsum("bki,oik->bo", taps, self._filter()) + self.bias, seen[:, 1:]
