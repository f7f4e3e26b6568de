"""The gated recurrent unit over a whole sequence.

The plain form is torch's own, which on a CPU spends most of a training on calling many small
operations; one loop over the steps saves them. (Its LSTM is fused already, by oneDNN.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.recurrences.recurrence_cpu:gru")
def gru(
    x: Tensor, h0: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, inner_bias: Tensor
) -> Tensor:
    """All states h_t of r, z = s(W x_t + U h_{t-1} + b), n = tanh(W_n x_t + b_n + r (U_n h_{t-1} +
    b')), h_t = (1 - z) n + z h_{t-1} (Cho et al. 2014, as cuDNN and torch have it).

    ``x`` is (B, T, I), ``h0`` (B, W), ``weight`` (3 W, I) and ``recurrent`` (3 W, W) for r, z and
    n, ``bias`` (3 W,), ``inner_bias`` b' (W,). Returns (B, T, W).
    """
    biases = torch.cat([torch.zeros_like(bias[len(inner_bias) :]), inner_bias])
    weights = [weight, recurrent, bias, biases]
    # layers, dropout, training, bidirectional, batch first
    y, _ = torch.gru(x, h0[None], weights, True, 1, 0.0, True, False, True)
    return y
