"""The diagonal linear recurrence on a GPU: every unit of every sequence has its own thread.

A step is one load of each input and one store, so the passes over memory are the least there are;
what is parallel is the batch and the units.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from archsearch.kernels.scans.linear_scan import linear_scan_reference
from archsearch.kernels.trained import once_differentiable

THREADS = 128


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.scans.linear_scan.linear_scan`."""
    pairs = zip(a.shape, b.shape, strict=False)
    fits = a.ndim == b.ndim and all(one in (1, size) for one, size in pairs)
    if not fits or h0.shape != (*b.shape[:1], *b.shape[2:]):
        return linear_scan_reference(a, b, h0)
    kind = torch.promote_types(torch.promote_types(a.dtype, b.dtype), h0.dtype)
    working = torch.promote_types(kind, torch.float32)
    # the expanded coefficients take no memory, and torch sums their gradient
    a = a.expand(a.shape[0], a.shape[1], *b.shape[2:])
    return _Scan.apply(a.to(working), b.to(working), h0.to(working)).to(kind)  # type: ignore[no-any-return]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        h = _run(a, b, h0, reverse=False)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        a, h, h0 = ctx.saved_tensors
        db = _run(a, dh, torch.zeros_like(h0), reverse=True)
        da = None
        if ctx.needs_input_grad[0]:
            before = torch.cat([h0[:, None], h[:, :-1]], 1)
            da = (db * before.conj()).sum_to_size(a.shape)
        return da, db, a[:, 0].conj() * db[:, 0]


def _run(a: Tensor, b: Tensor, start: Tensor, *, reverse: bool) -> Tensor:
    """h_t = a_t h_{t-1} + b_t from ``start``, or h_t = conj(a_{t+1}) h_{t+1} + b_t from the end."""
    b = b.contiguous().resolve_conj()
    out = torch.empty_like(b)
    batch, steps = b.shape[:2]
    units = b[:1, :1].numel()
    a = a.reshape(*a.shape[:2], units).resolve_conj()
    start = start.reshape(batch, units).contiguous().resolve_conj()
    strides = [a.stride(at) if a.shape[at] > 1 else 0 for at in range(3)]
    pairs = b.is_complex()
    if pairs:
        a, b, start = (torch.view_as_real(part) for part in (a, b, start))
    if b.numel():
        _scan[(batch, triton.cdiv(units, THREADS))](
            a,
            b,
            start,
            torch.view_as_real(out) if pairs else out,
            steps,
            units,
            *strides,
            REVERSE=reverse,
            PAIRS=pairs,
            THREADS=THREADS,
        )
    return out


@triton.jit
def _scan(
    a,
    b,
    start,
    out,
    steps,
    units,
    a_batch,
    a_step,
    a_unit,
    REVERSE: tl.constexpr,
    PAIRS: tl.constexpr,
    THREADS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * THREADS + tl.arange(0, THREADS)
    inside = unit < units
    wide: tl.constexpr = 2 if PAIRS else 1
    real = tl.load(start + (row * units + unit) * wide, inside)
    if PAIRS:
        imaginary = tl.load(start + (row * units + unit) * wide + 1, inside)
    for index in range(steps):
        t = steps - 1 - index if REVERSE else index
        # from the end, the first state to carry is zero, whatever it is multiplied by
        source = tl.minimum(t + 1, steps - 1) if REVERSE else t
        at = (row * a_batch + source * a_step + unit * a_unit) * wide
        to = ((row * steps + t) * units + unit) * wide
        factor = tl.load(a + at, inside)
        term = tl.load(b + to, inside)
        if PAIRS:
            turn = tl.load(a + at + 1, inside)
            turn = -turn if REVERSE else turn
            carried = factor * real - turn * imaginary
            imaginary = factor * imaginary + turn * real + tl.load(b + to + 1, inside)
            real = carried + term
            tl.store(out + to + 1, imaginary, inside)
        else:
            real = factor * real + term
        tl.store(out + to, real, inside)
