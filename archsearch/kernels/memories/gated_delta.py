"""A matrix memory that fades and overwrites: S_t = (I - beta_t k_t k_t') alpha_t S_{t-1} + ..."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated
from archsearch.kernels.memories.delta_rule import spaced
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY
from archsearch.kernels.memories.lower_product import lower_product
from archsearch.kernels.one_type import one_type

CHUNK = 16


def gated_delta_reference(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition that :func:`gated_delta` is compared with."""
    decay = log_decay.clamp_min(SLOWEST_LOG_DECAY).exp()
    outputs = []
    for t in range(q.shape[1]):
        read, memory = overwrite_once(q[:, t], k[:, t], v[:, t], beta[:, t], decay[:, t], memory)
        outputs.append(read)
    return torch.stack(outputs, 1), memory


def overwrite_once(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position: q, k (B, H, K), v (B, H, V), beta and decay (B, H), memory (B, H, K, V)."""
    q, k, v, beta, decay, memory = one_type(q, k, v, beta, decay, memory)
    memory = decay[..., None, None] * memory
    change = beta[..., None] * (v - torch.einsum("bhk,bhkv->bhv", k, memory))
    memory = memory + k[..., None] * change[..., None, :]
    return torch.einsum("bhk,bhkv->bhv", q, memory), memory


@accelerated(
    cpu="archsearch.kernels.memories.memory_cpu:gated_delta",
    cuda="archsearch.kernels.memories.memory_triton:gated_delta",
)
def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """What S_t = (I - beta_t k_t k_t') alpha_t S_{t-1} + beta_t k_t v_t' answers, S_t' q_t.

    ``q``, ``k`` are (B, T, H, K) with ``k`` of length one or less, ``v`` (B, T, H, V), ``beta``
    and ``log_decay`` = log alpha <= 0 (B, T, H), ``memory`` (B, H, K, V). Decays below exp(-5)
    count as exp(-5). Where ``q`` is (B, T / n, H, K), the memory is asked after every n-th
    position. Returns the answers (B, T or T / n, H, V) and the memory that is left. The WY form of
    the delta rule with the decay between two positions on each of their products (Yang et al. 2024,
    arXiv 2412.06464, section 3.3).
    """
    length, each = k.shape[1], k.shape[1] // q.shape[1]
    q, k, v, both = (
        _chunks(x) for x in (spaced(q, each), k, v, torch.stack([beta, log_decay], -1))
    )
    beta, log_decay = both[..., :1], both[..., 1]  # (n, B, H, C, 1), (n, B, H, C)
    fallen = log_decay.clamp_min(SLOWEST_LOG_DECAY).cumsum(-1)
    between = (fallen[..., :, None] - fallen[..., None, :]).clamp_max(0.0).exp()  # (.., C, C)
    strength = beta * k
    met = ((strength @ k.mT) * between).tril(-1)
    wanted = torch.cat([beta * v, strength * fallen.exp()[..., None]], -1)
    solved = torch.linalg.solve_triangular(met, wanted, upper=False, unitriangular=True)
    targets, reads = solved.split([v.shape[-1], k.shape[-1]], -1)
    left = (fallen[..., -1:] - fallen).exp()
    writes = (k * left[..., None]).mT  # (n, B, H, K, C)
    kept = fallen[..., -1, None, None].exp()
    befores, changes = [], []
    for target, read, write, keep in zip(
        targets.unbind(0), reads.unbind(0), writes.unbind(0), kept.unbind(0), strict=True
    ):
        befores.append(memory)
        changes.append(target - read @ memory)
        memory = keep * memory + write @ changes[-1]
    scores = (q @ k.mT) * between
    out = (q * fallen.exp()[..., None]) @ torch.stack(befores)
    out = out + lower_product(scores, torch.stack(changes))
    return out.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, each - 1 : length : each], memory


def _chunks(x: Tensor) -> Tensor:
    """(B, T, H, D) as (n, B, H, C, D); the padding neither writes nor fades."""
    missing = -x.shape[1] % CHUNK
    if missing:
        x = pad(x, (0, 0, 0, 0, 0, missing))
    return x.unflatten(1, (-1, CHUNK)).permute(1, 0, 3, 2, 4)
