"""Memories in lanes that hold several values per position, moved by any transition."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad, softplus

from archsearch.kernels.memories.lanes.gated_lanes import STEEPNESS
from archsearch.kernels.memories.lanes.lane_memory import lane_memory


def above_zero(strength: Tensor) -> Tensor:
    """The strength x' with tanh(5 x') = s(5 x), a factor in (0, 1) in place of (-1, 1)."""
    return softplus(STEEPNESS * strength + math.log(2)) / (2 * STEEPNESS)


def moved(strength: Tensor, shares: Tensor) -> Tensor:
    """The transition (..., J, J) of strengths (..., J), divided by shares (..., J^2) if any."""
    factor = torch.tanh(STEEPNESS * strength)
    if not shares.shape[-1]:
        return torch.diag_embed(factor)
    return shares.unflatten(-1, (factor.shape[-1], -1)).softmax(-2) * factor[..., None, :]


def turned(strength: Tensor, angles: Tensor) -> Tensor:
    """The transition U diag(tanh(5 strength)) V of strengths (..., J), angles (..., J (J - 1))."""
    factor = torch.tanh(STEEPNESS * strength)
    first, last = (rotation(part, factor.shape[-1]) for part in angles.chunk(2, -1))
    return (first * factor[..., None, :]) @ last


def rotation(angles: Tensor, lanes: int) -> Tensor:
    """(..., J, J), the product of a rotation by each angle (..., J (J - 1) / 2) in its plane.

    The planes are those of lanes 1, 0; 2, 0; 2, 1; 3, 0 and so on. Every rotation is such a
    product, and whatever the angles it is one to rounding.
    """
    found = torch.eye(lanes, dtype=angles.dtype, device=angles.device)
    cosines, sines = angles.cos()[..., None, None] - 1, angles.sin()[..., None, None]
    place = 0
    for i in range(lanes):
        for j in range(i):
            within, across = angles.new_zeros(2, lanes, lanes)
            within[i, i] = within[j, j] = across[i, j] = 1.0
            across[j, i] = -1.0
            turn = cosines[..., place, :, :] * within + sines[..., place, :, :] * across
            found, place = found + found @ turn, place + 1
    return found


def several_values(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
    memory: Tensor,
) -> tuple[Tensor, Tensor]:
    """What is read at every position, and the memories that are left.

    o_t[o] = sum_j mark_t[o, j] C_{t-1}[j]' q_t + (q_t . k_t) sum_w direct_t[o, w] v_t[w], then
    C_t[i] = sum_j transition_t[i, j] C_{t-1}[j] + k_t sum_w source_t[w, i] v_t[w]'. ``q``, ``k``
    are (B, T, H, K), ``v`` (B, T, H, N, V), ``source`` and ``mark`` (B, T, H, N, J),
    ``transition`` (B, T, H, J, J), ``direct`` (B, T, H, N, N), ``memory`` (B, H, J, K, V). Returns
    (B, T, H, N, V) and the memories.

    A memory of one value serves: each position becomes N that read and N that write, of which one
    does both and moves what is held.
    """
    length, more = q.shape[1], v.shape[3] - 1
    slots = 2 * more + 1
    stay = torch.eye(memory.shape[2], dtype=q.dtype, device=q.device)
    stay = stay.expand(*transition.shape[:3], more, -1, -1)
    moves = torch.cat([stay, transition[:, :, :, None], stay], 3)
    parts = [part[:, :, :, None].expand(-1, -1, -1, slots, -1) for part in (q, k)]
    parts += [pad(v, (0, 0, more, 0)), pad(source, (0, 0, more, 0)), moves]
    parts += [pad(mark, (0, 0, 0, more)), q.new_zeros(1, 1, 1, slots).expand(*q.shape[:3], -1)]
    laid = [part.transpose(2, 3).flatten(1, 2) for part in parts]
    found, memory = lane_memory(*laid, memory)  # (B, T slots, H, V)
    found = found.unflatten(1, (length, slots))[:, :, : more + 1].transpose(2, 3)
    return found + (q * k).sum(-1)[..., None, None] * (direct @ v), memory


def several_once(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
    memory: Tensor,
) -> tuple[Tensor, Tensor]:
    """One position of :func:`several_values`, without the dimension of time."""
    found = torch.einsum("bhoj,bhk,bhjkv->bhov", mark, q, memory)
    found = found + (q * k).sum(-1)[..., None, None] * (direct @ v)
    memory = torch.einsum("bhij,bhjkv->bhikv", transition, memory)
    return found, memory + torch.einsum("bhwi,bhk,bhwv->bhikv", source, k, v)
