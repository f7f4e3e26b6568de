"""Memories that are the same at every step, trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.scans import dense_loops as dense
from archsearch.kernels.scans import diagonal_loops as diagonal
from archsearch.kernels.scans import state_space
from archsearch.kernels.trained import arrays, fit, once_differentiable, trained

CHUNK = 16  # of a dense memory
NATIVE = (torch.float32, torch.float64)


def diagonal_state_space(
    u: Tensor, factor: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.scans.state_space.diagonal_state_space`."""
    inputs = (factor, write, read, memory)
    pairs = [torch.view_as_real(part.resolve_conj()) for part in inputs if part.is_complex()]
    fits = len(pairs) == len(inputs) and u.shape[-1] % WIDTH == 0 and factor.shape[1] > 0
    if not fits or not trained((u, *pairs), NATIVE) or not fit("btw wm wm wm bwm", u, *inputs):
        return state_space.diagonal_state_space.plain(u, *inputs)  # type: ignore[attr-defined,no-any-return]
    # channels last: (M, 2, W) and (B, M, 2, W)
    y, left = _Diagonal.apply(u, *(part.movedim(-3, -1) for part in pairs))
    return y, torch.view_as_complex(left.movedim(-1, -3).contiguous())


def dense_state_space(
    u: Tensor, matrix: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.scans.state_space.dense_state_space`."""
    inputs = (u, matrix, write, read, memory)
    plain: Any = state_space.dense_state_space.plain  # type: ignore[attr-defined]
    whole = u.shape[1] - u.shape[1] % CHUNK
    fits = whole and u.shape[-1] % WIDTH == 0
    if not fits or not trained(inputs, NATIVE) or not fit("btw wnn wn wn bwn", *inputs):
        return plain(*inputs)  # type: ignore[no-any-return]
    powers = state_space.squares(matrix, CHUNK)
    turned = [power.mT for power in powers]
    reached = state_space.krylov(powers, write, CHUNK)  # (W, N, C)
    taps = torch.einsum("wn,wnc->cw", read, reached)
    first = torch.einsum("wij,wj->wi", turned[0], read)
    answers = state_space.krylov(turned, first, CHUNK)
    y, left = _Dense.apply(u[:, :whole], taps, reached, answers, powers[-1], memory.mT)
    if whole == u.shape[1]:
        return y, left.mT
    last, memory = plain(u[:, whole:], matrix, write, read, left.mT)
    return torch.cat([y, last], 1), memory


class _Dense(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        taps: Tensor,
        reached: Tensor,
        answers: Tensor,
        power: Tensor,
        first: Tensor,
    ) -> tuple[Tensor, Tensor]:
        u, first = u.contiguous(), first.contiguous()
        # channels last: (C, N, W), (C, N, W), (N, N, W)
        write, read = reached.flip(-1).permute(2, 1, 0), answers.permute(2, 1, 0)
        system = [part.contiguous() for part in (taps, write, read, power.permute(1, 2, 0))]
        memory, y = first.clone(), torch.empty_like(u)
        kept = u.new_empty(len(u), u.shape[1] // CHUNK, *first.shape[1:])
        dense.forward(*arrays(u, *system, memory, y, kept))
        ctx.save_for_backward(u, *system, kept)
        return y, memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dleft: Tensor) -> tuple[Tensor, ...]:
        u, *system, kept = ctx.saved_tensors
        du, dmemory = torch.empty_like(u), dleft.clone(memory_format=torch.contiguous_format)
        found = [torch.zeros_like(part) for part in system]
        dense.backward(*arrays(dy.contiguous(), u, *system, kept, dmemory, du, *found))
        dtaps, dwrite, dread, dpower = found
        # products of matrices that do not lie in one piece are slow
        dreached, danswers = dwrite.permute(2, 1, 0).flip(-1), dread.permute(2, 1, 0)
        slopes = (part.contiguous() for part in (dreached, danswers, dpower.permute(2, 0, 1)))
        return du, dtaps, *slopes, dmemory


class _Diagonal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        u, factor, write, read, first = (part.contiguous() for part in inputs)
        memory, y = first.clone(), torch.empty_like(u)
        chunks = -(-u.shape[1] // diagonal.CHUNK)
        kept = u.new_empty(len(u), chunks, *factor.shape)
        diagonal.forward(*arrays(u, factor, write, read, memory, y, kept))
        ctx.save_for_backward(u, factor, write, read, kept)
        return y, memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dleft: Tensor) -> tuple[Tensor, ...]:
        u, factor, write, read, kept = ctx.saved_tensors
        du, dmemory = torch.empty_like(u), dleft.clone(memory_format=torch.contiguous_format)
        found = tuple(map(torch.zeros_like, (factor, write, read)))
        known = (dy.contiguous(), u, factor, write, read, kept)
        diagonal.backward(*arrays(*known, dmemory, du, *found))
        return du, *found, dmemory
