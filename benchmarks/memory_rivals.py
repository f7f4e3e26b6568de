"""The matrix memories' kernels beside plain torch, in chunks and step by step, on small sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from archsearch.kernels.memories.delta_rule import delta_rule, delta_rule_reference
from archsearch.kernels.memories.linear_attention import (
    linear_attention,
    linear_attention_reference,
)

Forms = dict[str, Callable[..., Any]]


def gated_forms(rows: int, steps: int, heads: int, size: int) -> tuple[Forms, list[Tensor]]:
    """Gated linear attention with a rate per key channel, and its inputs."""
    q, k, v, gate = (torch.randn(rows, steps, heads, size) for _ in range(4))
    memory = torch.zeros(rows, heads, size, size)
    return _forms(linear_attention, linear_attention_reference), [
        q * size**-0.5,
        k,
        v,
        logsigmoid(gate) / 16,
        memory,
    ]


def delta_forms(rows: int, steps: int, heads: int, size: int) -> tuple[Forms, list[Tensor]]:
    """The delta rule with keys of length one, and its inputs."""
    q, k, v = (torch.randn(rows, steps, heads, size) for _ in range(3))
    beta = torch.rand(rows, steps, heads)
    memory = torch.zeros(rows, heads, size, size)
    return _forms(delta_rule, delta_rule_reference), [
        normalize(q, dim=-1),
        normalize(k, dim=-1),
        v,
        beta,
        memory,
    ]


def _forms(kernel: Any, reference: Callable[..., Any]) -> Forms:
    return {"kernel": kernel, "chunkwise": kernel.plain, "step loop": reference}
