"""All states of one small linear system that many signals share, m_t = A m_{t-1} + B u_t."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 16


def window_memory_reference(u: Tensor, matrix: Tensor, write: Tensor, memory: Tensor) -> Tensor:
    """One position at a time; the definition that :func:`window_memory` is compared with."""
    states = []
    for u_t in u.unbind(1):
        memory = memory @ matrix.mT + write * u_t[..., None]
        states.append(memory)
    return torch.stack(states, 1)


def window_memory(u: Tensor, matrix: Tensor, write: Tensor, memory: Tensor) -> Tensor:
    """All m_t (B, T, D, N) of m_t = matrix m_{t-1} + write u_t, for each of D signals.

    ``u`` is (B, T, D), ``matrix`` (N, N), ``write`` (N,), ``memory`` (B, D, N). Inside a chunk
    the impulse response is one matrix, between chunks only the last state travels.
    """
    length, chunk = u.shape[1], min(CHUNK, u.shape[1])
    size = len(write)
    powers = _powers(matrix, chunk)  # (C, N, N): A^1 ... A^C
    response = torch.cat([write[None], powers[:-1] @ write])  # (C, N)
    at = torch.arange(chunk, device=u.device)
    distance = at[:, None] - at
    inside = response[distance.clamp_min(0)] * (distance >= 0)[..., None]  # (C, C, N): i, j, n
    missing = -length % chunk
    parts = torch.cat([u, u.new_zeros(len(u), missing, u.shape[2])], 1) if missing else u
    parts = parts.unflatten(1, (-1, chunk)).transpose(2, 3)  # (B, n, D, C)
    found = parts @ inside.transpose(0, 1).flatten(1)  # (B, n, D, C N)
    carried = powers.transpose(1, 2).transpose(0, 1).flatten(1)  # (N, C N)
    whole = []
    for part in found.unbind(1):
        whole.append((part + memory @ carried).unflatten(-1, (chunk, size)))
        memory = whole[-1][..., -1, :]
    # (B, n, D, C, N) to (B, T, D, N)
    return torch.stack(whole, 1).transpose(2, 3).flatten(1, 2)[:, :length]


def _powers(matrix: Tensor, count: int) -> Tensor:
    powers = matrix[None]
    while len(powers) < count:
        powers = torch.cat([powers, powers @ powers[-1]])
    return powers[:count]
