"""Messages to each position from the latest ones, made of both, as a mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.memories.messages_cpu:messages")
def messages(own: Tensor, rows: Tensor, ages: Tensor, maps: Sequence[nn.Module]) -> Tensor:
    """mean_j f(own_t + rows_j + ages_{t-j}) over the latest R positions j, t included, (B, T, W).

    f is a rectifier and further linear ``maps``, W to W, each rectified. ``own`` is (B, T, W),
    ``rows`` (B, S + T, W) with those of ``own`` last, ``ages`` (R, W).
    """
    reach, past = len(ages), rows.shape[1] - own.shape[1]
    found = []
    # work and memory grow with the length and the reach, not with the square of the length
    for begin in range(0, own.shape[1], max(reach // 2, 16)):
        part = own[:, begin : begin + max(reach // 2, 16)]
        first, end = max(past + begin - (reach - 1), 0), past + begin + part.shape[1]
        at = torch.arange(past + begin, end, device=own.device)[:, None]
        far = at - torch.arange(first, end, device=own.device)
        seen = (far >= 0) & (far < reach)
        given = part[:, :, None] + rows[:, None, first:end] + ages[far.clamp(0, reach - 1)]
        message = torch.relu(given)
        for layer in maps:
            message = torch.relu(layer(message))  # (B, T, S, W)
        shares = seen.to(own.dtype) / seen.sum(-1, keepdim=True)
        found.append(torch.einsum("btsw,ts->btw", message, shares))
    return torch.cat(found, 1)
