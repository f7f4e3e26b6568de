"""A matrix memory that overwrites: S_t = (I - beta_t k_t k_t') S_{t-1} + beta_t k_t v_t'."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.lower_product import lower_product

CHUNK = 16


def delta_rule_reference(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition that :func:`delta_rule` is compared with."""
    outputs = []
    for t in range(q.shape[1]):
        held = (k[:, t, :, :, None] * memory).sum(-2)  # (B, H, V)
        change = beta[:, t, :, None] * (v[:, t] - held)
        memory = memory + k[:, t, :, :, None] * change[:, :, None]
        outputs.append((q[:, t, :, :, None] * memory).sum(-2))
    return torch.stack(outputs, 1), memory


@accelerated(
    cpu="archsearch.kernels.memories.memory_cpu:delta_rule",
    cuda="archsearch.kernels.memories.memory_triton:delta_rule",
)
def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """What the memory answers at every position (S_t' q_t), and the memory that is left.

    ``q``, ``k`` are (B, T, H, K) with ``k`` of length one or less, ``v`` (B, T, H, V), ``beta``
    (B, T, H), ``memory`` (B, H, K, V). Where ``q`` is (B, T / n, H, K), the memory is asked after
    every n-th position. The product of a chunk's reflections has the WY form
    I - W'K, found by one triangular solve (Yang et al. 2024, arXiv 2406.06484, section 3.2).
    """
    length, each = k.shape[1], k.shape[1] // q.shape[1]
    q, k, v, beta = (
        _chunks(part) for part in (spaced(q, each), k, v, beta[..., None])
    )  # (n, B, H, C, ...)
    strength = beta * k
    met = (strength @ k.transpose(-1, -2)).tril(-1)  # (n, B, H, C, C)
    solved = torch.linalg.solve_triangular(
        met, torch.cat([beta * v, strength], -1), upper=False, unitriangular=True
    )
    targets, reads = solved.split([v.shape[-1], k.shape[-1]], -1)
    befores, changes = [], []
    for target, read, key in zip(
        targets.unbind(0), reads.unbind(0), k.transpose(-1, -2).unbind(0), strict=True
    ):
        befores.append(memory)
        changes.append(target - read @ memory)
        memory = memory + key @ changes[-1]
    scores = q @ k.transpose(-1, -2)
    out = q @ torch.stack(befores) + lower_product(scores, torch.stack(changes))  # (n, B, H, C, V)
    return out.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, each - 1 : length : each], memory


def spaced(q: Tensor, each: int) -> Tensor:
    """Every position of ``q`` (B, T, H, K) behind ``each`` - 1 without a query."""
    if each == 1:
        return q
    return pad(q[:, :, None], (0, 0, 0, 0, each - 1, 0)).flatten(1, 2)


def _chunks(x: Tensor) -> Tensor:
    """(B, T, H, D) as (n, B, H, C, D); the padding has no strength, so it writes nothing."""
    missing = -x.shape[1] % CHUNK
    if missing:
        x = pad(x, (0, 0, 0, 0, 0, missing))
    return x.unflatten(1, (-1, CHUNK)).permute(1, 0, 3, 2, 4)
