"""A memory that overwrites, of more keys than registers hold, trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.long_keys_loops import CHUNK, backward, forward
from archsearch.kernels.memories.memory_layout import apart, filled, laid
from archsearch.kernels.trained import arrays, flat, once_differentiable


def overwritten(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """As ``gated_delta``, of the share kept, (B or 1, T or 1, H), and not its logarithm."""
    return _Overwritten.apply(q, k, v, decay, beta, memory)  # type: ignore[no-any-return]


class _Overwritten(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor, first: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, heads, _, values = first.shape
        q, k, v = laid(q, WIDTH), laid(k, WIDTH), laid(v, WIDTH)
        decay, beta = decay.contiguous(), beta.contiguous()
        out = v.new_empty(rows, q.shape[1], heads, v.shape[3])
        written = v.new_empty(v.shape)
        memory = first.clone(memory_format=torch.contiguous_format)
        kept = v.new_empty(rows, heads, -(-v.shape[1] // CHUNK), q.shape[3], v.shape[3])
        given = (flat(q), flat(k), flat(v))
        forward(*given, *arrays(decay, beta, memory, out, written, kept), _places(q, k, v))
        ctx.save_for_backward(q, k, written, decay, beta, kept)
        return out[..., :values], memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        q, k, written, decay, beta, kept = ctx.saved_tensors
        keys, values = dleft.shape[-2:]
        dq, dk, dv, dbeta = (part.new_empty(part.shape) for part in (q, k, written, beta))
        wanted = ctx.needs_input_grad[3]
        ddecay = torch.empty_like(beta) if wanted else beta.new_empty(0, 0, 0)
        dmemory = dleft.clone(memory_format=torch.contiguous_format)
        known = (*arrays(filled(dout, WIDTH)), flat(q), flat(k), flat(written))
        found = arrays(decay, beta, kept, dmemory, dq, dk, dv, ddecay, dbeta)
        backward(*known, *found, _places(q, k, written))
        return (
            dq[..., :keys],
            dk[..., :keys],
            dv[..., :values],
            ddecay.sum_to_size(decay.shape) if wanted else None,
            dbeta,
            dmemory,
        )


def _places(q: Tensor, k: Tensor, v: Tensor) -> Any:
    """The shape of ``v``, the positions of ``q``, and how far positions lie apart."""
    return np.array([*v.shape, q.shape[1], apart(q)[1], apart(k)[1], apart(v)[1]])
