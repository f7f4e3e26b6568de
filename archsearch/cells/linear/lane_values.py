"""Memories in lanes that hold several values per position, moved by any transition."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from archsearch.kernels.memories.lanes.gated_lanes import STEEPNESS, gated_lanes
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
    (B, T, H, N, V) and the memories. All is linear in v: a memory of one value serves for each
    output of each value.
    """
    heads, count, lanes = *v.shape[2:4], memory.shape[2]
    moves = _each(transition.flatten(-2)[..., None, None, :], count).unflatten(-1, (lanes, lanes))
    parts = [_each(part[..., None, None, :], count) for part in (q, k)]
    parts += [_each(v[:, :, :, None], count), _each(source[:, :, :, None], count), moves]
    parts += [_each(mark[:, :, :, :, None], count), direct.flatten(2)]
    return _together(*lane_memory(*parts, _apart(memory, count)), heads, count)


def several_gated(mixed: Tensor, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`several_values`, of projections as they come.

    ``mixed`` (B, T, (2 + N) H K) has queries, keys and values, ``gates`` (B, T, H P) for each head
    source and mark of each value and lane, strength of each lane, the direct path of each output
    and value, and the J^2 shares if there are any.
    """
    heads, lanes, size = memory.shape[1:4]
    count = mixed.shape[-1] // (heads * size) - 2
    q, k, v = mixed.split([heads * size, heads * size, count * heads * size], -1)
    values = [_each(part.unflatten(-1, (heads, 1, 1, size)), count) for part in (q, k)]
    values.append(_each(v.unflatten(-1, (heads, 1, count, size)), count))
    gates = gates.unflatten(-1, (heads, -1))
    both = count * lanes
    rest = gates.shape[-1] - 2 * both - lanes - count**2
    source, mark, strength, direct, shares = gates.split([both, both, lanes, count**2, rest], -1)
    parts = [source.unflatten(-1, (1, count, lanes)), mark.unflatten(-1, (count, 1, lanes))]
    parts += [strength[..., None, None, :], direct.unflatten(-1, (count, count, 1))]
    parts += [shares[..., None, None, :]]
    each = torch.cat([_each(part, count) for part in parts], -1).flatten(-2)
    found = gated_lanes(torch.cat(values, -2).flatten(-2), each, _apart(memory, count))
    return _together(*found, heads, count)


def _each(part: Tensor, count: int) -> Tensor:
    """(B, T, H, N or 1, N or 1, D), by output and value, as (B, T, H N N, D)."""
    return part.expand(-1, -1, -1, count, count, -1).flatten(2, 4)


def _apart(memory: Tensor, count: int) -> Tensor:
    """What was held (B, H, ...) as the first value's, for every output, (B, H N N, ...)."""
    none = torch.zeros_like(memory)[:, :, None].expand(-1, -1, count - 1, *memory.shape[2:])
    held = torch.cat([memory[:, :, None], none], 2)[:, :, None]
    return held.expand(-1, -1, count, -1, *memory.shape[2:]).flatten(1, 3)


def _together(read: Tensor, left: Tensor, heads: int, count: int) -> tuple[Tensor, Tensor]:
    """(B, T, H, N, K) and what is held, of each output and value."""
    shape = (heads, count, count)
    return read.unflatten(2, shape).sum(4), left.unflatten(1, shape)[:, :, 0].sum(2)


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
