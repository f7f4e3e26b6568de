"""The LSTM with layer norms inside its recurrence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from archsearch.cells.cell import State
from archsearch.cells.recurrent.noise import spared, zones
from archsearch.kernels.one_type import mix


class LSTMNorms(nn.Module):
    """Gates LN(W x_t) + LN(U h_{t-1}) + b, and h_t = s(o) tanh(LN(c_t)); c_t itself goes on as it
    is (Ba et al. 2016, arXiv 1607.06450, equations 20-22).

    The gates of a step are normed together, with a gain each; their shift is b alone, since three
    would be one. The memory's norm has both. Gains start at one.
    """

    def __init__(self, width: int, gates: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.ones(gates * width))
        self.recurrent = nn.Parameter(torch.ones(gates * width))
        self.memory = nn.LayerNorm(width)

    def driven(self, product: Tensor, bias: Tensor) -> Tensor:
        """LN(W x) + b from W x + b."""
        return layer_norm(product - bias, self.input.shape, self.input) + bias

    def heard(self, product: Tensor) -> Tensor:
        return layer_norm(product, self.recurrent.shape, self.recurrent)


def normed_steps(
    driven: Tensor,
    state: State,
    hear: Callable[[Tensor], Tensor],
    peepholes: Mapping[str, Tensor],
    norms: LSTMNorms,
    forget: str,
    squash: bool,
    dropout: float,
    zoneout: tuple[float, float],
    training: bool,
) -> tuple[Tensor, State]:
    """Outputs (B, T, W) and the last h and c; step by step, by torch's operations.

    ``driven`` (T, B, G W) is what :meth:`LSTMNorms.driven` gives, ``hear`` makes U h of h, and
    ``peepholes`` (W,) are those of the gates that have one. Other options as in
    :func:`archsearch.kernels.recurrences.gated.lstm` and
    :func:`archsearch.cells.recurrent.noise.noisy_steps`.
    """
    h, c = state
    steps, outputs = len(driven), []
    stays, keeps = (
        zones(part, steps, share, training) if share else [None] * steps
        for part, share in zip(state, zoneout, strict=True)
    )
    mask = spared(h, dropout) if training and dropout else None

    def opened(gate: str, drive: Tensor, memory: Tensor) -> Tensor:
        seen = peepholes.get(gate)
        return torch.sigmoid(drive if seen is None else torch.addcmul(drive, seen, memory))

    for drive, stay, keep in zip(driven, stays, keeps, strict=True):
        read = h if mask is None else h * mask
        *gates, g, o = (drive + norms.heard(hear(read))).split(h.shape[-1], -1)
        new = torch.tanh(g)
        if forget == "coupled":
            memory = mix(opened("f", gates[0], c), c, new)
        elif forget == "none":
            memory = c + opened("i", gates[0], c) * new
        else:
            i, f = opened("i", gates[0], c), opened("f", gates[1], c)
            memory = f * c + i * new
        normed = norms.memory(memory)
        y = opened("o", o, memory) * (torch.tanh(normed) if squash else normed)
        h = y if stay is None else mix(stay, h, y)
        c = memory if keep is None else mix(keep, c, memory)
        outputs.append(h)
    return torch.stack(outputs, 1), (h, c)
