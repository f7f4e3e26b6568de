"""Recurrences with a recurrent matrix that torch has no layer for, over whole sequences.

All arrays are apart by head (arXiv 2412.07752): drives (H, B, T, G S) are W x_t + b of the G gates
of each of H heads of size S, one gate after the other; ``matrix`` (H, S, G S) is U transposed;
states are (H, B, S). A dense cell has one head. All functions return the outputs (H, B, T, S).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from archsearch.kernels.choose import accelerated
from archsearch.kernels.one_type import mix

State = tuple[Tensor, ...]


@accelerated(
    cpu="archsearch.kernels.recurrences.gated_cpu:lstm",
    cuda="archsearch.kernels.recurrences.gated_triton:lstm",
)
def lstm(
    drives: Tensor, state: State, matrix: Tensor, peepholes: Tensor, forget: str, squash: bool
) -> tuple[Tensor, State]:
    """c_t = f c_{t-1} + i tanh(g), h_t = s(o) tanh(c_t), or s(o) c_t without ``squash``.

    The gates are i, f, g, o, each U h_{t-1} plus its drive. i and f also see P_i c_{t-1} and
    P_f c_{t-1}, o sees P_o c_t: ``peepholes`` is (3, H, S). With ``forget`` "coupled" i = 1 - f
    and the gates are f, g, o; with "none" f = 1 and they are i, g, o (Greff et al. 2015, arXiv
    1503.04069). ``state`` is h_0 and c_0; the last h and c come back with the outputs.
    """
    h, c = state
    of_i, of_f, of_o = peepholes.unsqueeze(2)
    outputs = []
    for drive in drives.unbind(2):
        *gates, g, o = torch.baddbmm(drive, h, matrix).chunk(4 if forget == "own" else 3, -1)
        new = torch.tanh(g)
        if forget == "coupled":
            c = mix(torch.sigmoid(torch.addcmul(gates[0], of_f, c)), c, new)
        elif forget == "none":
            c = torch.addcmul(c, torch.sigmoid(torch.addcmul(gates[0], of_i, c)), new)
        else:
            i, f = torch.addcmul(gates[0], of_i, c), torch.addcmul(gates[1], of_f, c)
            c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), new)
        h = torch.sigmoid(torch.addcmul(o, of_o, c)) * (torch.tanh(c) if squash else c)
        outputs.append(h)
    return torch.stack(outputs, 2), (h, c)


@accelerated(
    cpu="archsearch.kernels.recurrences.slstm_cpu:slstm",
    cuda="archsearch.kernels.recurrences.gated_triton:slstm",
)
def slstm(drives: Tensor, state: State, matrix: Tensor, sigmoid: bool) -> tuple[Tensor, State]:
    """c_t = F c_{t-1} + exp(i) tanh(z), n_t = F n_{t-1} + exp(i), h_t = s(o) c_t / n_t.

    The gates are i, f, z, o; F is s(f), or exp(f) unless ``sigmoid``. c and n are kept divided by
    exp(m_t), m_t = max(log F + m_{t-1}, i) (Beck et al. 2024, arXiv 2405.04517, appendix A).
    ``state`` is h, c, n and m; m is -inf before the first step.
    """
    h, c, n, m = state
    outputs = []
    for drive in drives.unbind(2):
        i, f, z, o = torch.baddbmm(drive, h, matrix).chunk(4, -1)
        kept = (F.logsigmoid(f) if sigmoid else f) + m
        # no h depends on m, so no gradient passes through it
        m = torch.maximum(kept, i).detach()
        keep, take = torch.exp(kept - m), torch.exp(i - m)
        c = torch.addcmul(keep * c, take, torch.tanh(z))
        n = torch.addcmul(take, keep, n)
        h = torch.sigmoid(o) * c / n
        outputs.append(h)
    return torch.stack(outputs, 2), (h, c, n, m)
