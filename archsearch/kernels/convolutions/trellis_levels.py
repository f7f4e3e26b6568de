"""The levels of a TrellisNet, one after the other, with the same weights at each."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.convolutions.trellis_levels_cpu:trellis_levels")
def trellis_levels(
    x: Tensor,
    past: Tensor,
    levels: Sequence[tuple[Tensor, Tensor]],
    inject: Tensor,
    hidden: Tensor,
    bias: Tensor,
    dilations: Sequence[int],
) -> tuple[Tensor, tuple[tuple[Tensor, Tensor], ...]]:
    """[i, f, g, o] = W_1 * x + W_2 * h^l + b with taps t - d and t, c^{l+1}_t = s(f) c^l_{t-d} +
    s(i) tanh(g), h^{l+1} = s(o) tanh(c^{l+1}), h^0 = c^0 = 0; the last h (B, T, W).

    ``past`` (B, max d, W) is what came before ``x`` (B, T, W), ``levels`` h^l and c^l (B, d, W) of
    each level but the first; those of the end come back. ``inject`` and ``hidden`` (2, W, 4 W) are
    the taps of W_1 and W_2, ``bias`` is (4 W,) (Bai et al. 2019, arXiv 1810.06682, section 4).
    """
    length = x.shape[1]
    before, now = torch.cat([past, x], 1) @ inject[0], x @ inject[1] + bias
    injected: dict[int, Tensor] = {}
    kept: list[tuple[Tensor, Tensor]] = []
    h = c = torch.zeros_like(x)
    for level, dilation in enumerate(dilations):
        if dilation not in injected:
            begin = past.shape[1] - dilation
            injected[dilation] = now + before[:, begin : begin + length]
        gates = injected[dilation]
        c_before = c
        if level:
            h_past, c_past = levels[level - 1]
            h, c = torch.cat([h_past, h], 1), torch.cat([c_past, c], 1)
            gates = gates + h[:, :length] @ hidden[0] + h[:, dilation:] @ hidden[1]
            c_before = c[:, :length]
            kept.append((h[:, length:], c[:, length:]))
        h, c = _gated(gates, c_before)
    return h, tuple(kept)


def _gated(gates: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c
