"""Several matrix memories side by side whose contents move from lane to lane at every step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.memories.lower_product import lower_product

CHUNK = 16


def lane_memory_reference(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
    memory: Tensor,
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition that :func:`lane_memory` is compared with."""
    outputs = []
    for t in range(q.shape[1]):
        now = (q[:, t], k[:, t], v[:, t], source[:, t], transition[:, t], mark[:, t], direct[:, t])
        read, memory = pass_once(*now, memory)
        outputs.append(read)
    return torch.stack(outputs, 1), memory


def pass_once(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    source: Tensor,
    transition: Tensor,
    mark: Tensor,
    direct: Tensor,
    memory: Tensor,
) -> tuple[Tensor, Tensor]:
    """One position, without the dimension of time."""
    read = torch.einsum("bhj,bhk,bhjkv->bhv", mark, q, memory)
    read = read + (direct * (q * k).sum(-1))[..., None] * v
    memory = torch.einsum("bhij,bhjkv->bhikv", transition, memory)
    return read, memory + torch.einsum("bhi,bhk,bhv->bhikv", source, k, v)


def lane_memory(
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

    o_t = sum_j mark_t[j] C_{t-1}[j]' q_t + direct_t (q_t . k_t) v_t, then
    C_t[i] = sum_j transition_t[i, j] C_{t-1}[j] + source_t[i] k_t v_t'. ``q``, ``k`` are
    (B, T, H, K), ``v`` (B, T, H, V), ``source`` and ``mark`` (B, T, H, J), ``transition``
    (B, T, H, J, J), ``direct`` (B, T, H), ``memory`` (B, H, J, K, V). Returns (B, T, H, V) and the
    memories.
    """
    length = q.shape[1]
    lanes = source.shape[-1]
    stay = torch.eye(lanes, dtype=q.dtype, device=q.device)
    # padding keeps every lane as it is: the identity less itself is what is padded with zeros
    transition = _chunks((transition - stay).flatten(-2)).unflatten(-1, (lanes, lanes)) + stay
    q, k, v, source, mark = (_chunks(part) for part in (q, k, v, source, mark))
    direct = _chunks(direct[..., None])  # (B, n, H, C, 1)
    between, reach, arrived, through = _paths(source, transition, mark)
    scores = (q @ k.mT) * (between + torch.diag_embed(direct[..., 0]))
    # what a chunk writes into each lane (B, n, H, J, K, V)
    written = (arrived[..., None] * k[..., None, :, :]).mT @ v[..., None, :, :]
    before = []
    for move, add in zip(through.unbind(1), written.unbind(1), strict=True):
        before.append(memory)
        memory = torch.einsum("bhij,bhjkv->bhikv", move, memory) + add
    found = torch.einsum("bnhcj,bnhck,bnhjkv->bnhcv", reach, q, torch.stack(before, 1))
    out = lower_product(scores, v) + found
    return out.transpose(2, 3).flatten(1, 2)[:, :length], memory


def _paths(
    source: Tensor, transition: Tensor, mark: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """How much gets from where to where within a chunk.

    From position to later position (.., C, C), from before the chunk to a position (.., C, J),
    from a position to behind the chunk (.., J, C), and through all of it (.., J, J).
    """
    through = torch.eye(source.shape[-1], dtype=source.dtype, device=source.device)
    through = through.expand(*source.shape[:-2], -1, -1)
    arrived = source.new_zeros(*source.shape[:-2], source.shape[-1], 0)
    between, reach = [], []
    for i in range(CHUNK):
        row = mark[..., i, None, :]
        between.append(pad((row @ arrived)[..., 0, :], (0, CHUNK - i)))
        reach.append((row @ through)[..., 0, :])
        step = transition[..., i, :, :]
        arrived = torch.cat([step @ arrived, source[..., i, :, None]], -1)
        through = step @ through
    return torch.stack(between, -2), torch.stack(reach, -2), arrived, through


def _chunks(x: Tensor) -> Tensor:
    """(B, T, H, D) as (B, n, H, C, D)."""
    missing = -x.shape[1] % CHUNK
    if missing:
        x = pad(x, (0, 0, 0, 0, 0, missing))
    return x.unflatten(1, (-1, CHUNK)).transpose(2, 3)
