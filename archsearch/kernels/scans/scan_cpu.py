"""The diagonal linear recurrence on one core of a CPU: one pass forward, one pass back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.library import Library, register_autograd, register_fake

from archsearch.kernels.compiled import Loop
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.scans import scan_lanes, scan_loops
from archsearch.kernels.scans.linear_scan import linear_scan_reference
from archsearch.kernels.trained import once_differentiable, recorded, transformed

NATIVE = (torch.float32, torch.float64, torch.complex64, torch.complex128)
NOTHING: tuple[int, ...] = (0, 0, 0, 0)

OPERATORS = Library("archsearch", "FRAGMENT")
OPERATORS.define("linear_scan(Tensor a, Tensor b, Tensor h0) -> Tensor")
OPERATORS.define(
    "linear_scan_gradients(Tensor dh, Tensor a, Tensor h, Tensor h0, bool with_a)"
    " -> (Tensor, Tensor, Tensor)"
)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.scans.linear_scan.linear_scan`."""
    if transformed():
        return linear_scan_reference(a, b, h0)
    kind = b.dtype
    if not (a.dtype == kind == h0.dtype and kind in NATIVE):
        kind = torch.promote_types(torch.promote_types(a.dtype, kind), h0.dtype)
        working = torch.promote_types(kind, torch.float32)
        a, b, h0 = a.to(working), b.to(working), h0.to(working)
    # whoever records what is done sees one operator; called directly, it costs half as much
    scan = torch.ops.archsearch.linear_scan.default if recorded(b) else _Scan.apply
    h: Tensor = scan(a, b, h0)
    return h if h.dtype == kind else h.to(kind)


def _states(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    h = _fresh(b)
    if b.numel():
        plan = _plan(a.shape, b.shape, b.dtype)
        plan.forward(plan.shared(a), plan.whole(b), plan.start(h0), plan.whole(h))
    return h


def _gradients(
    dh: Tensor, a: Tensor, h: Tensor, h0: Tensor, with_a: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Those for a (no elements without ``with_a``), b and h0, given that for the states."""
    db, dh0 = _fresh(h), _fresh(h0)
    if not h.numel():
        return h.new_zeros(a.shape if with_a else NOTHING), db, dh0.zero_()
    plan = _plan(a.shape, h.shape, h.dtype)
    # the loop in lanes always finds the gradient of a
    backward = plan.backward if with_a else scan_loops.backward
    sizes = plan.coefficients if with_a else NOTHING
    da = _fresh(h) if sizes == plan.shape else h.new_zeros(sizes)
    backward(
        plan.shared(a),
        plan.whole(h),
        plan.start(h0),
        plan.whole(dh),
        da.numpy().reshape(sizes),
        plan.whole(db),
        plan.start(dh0),
    )
    return plan.summed(da, a.shape) if with_a else da, db, dh0


def _fresh(like: Tensor) -> Tensor:
    # where caches are cold, sizes handed over from Python would cost twice as much again
    return torch.empty_like(like, memory_format=torch.contiguous_format)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        h = _states(a, b, h0)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        # gradients are on where a second derivative is asked for
        return (_slopes_once if torch.is_grad_enabled() else _slopes)(ctx, dh)


def _slopes(ctx: Any, dh: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    with_a = ctx.needs_input_grad[0]
    da, db, dh0 = _gradients(dh, *ctx.saved_tensors, with_a)
    return da if with_a else None, db, dh0


_slopes_once = once_differentiable(_slopes)

OPERATORS.impl("linear_scan", _states, "CPU")
OPERATORS.impl("linear_scan_gradients", _gradients, "CPU")


@register_fake("archsearch::linear_scan")
def _(_a: Tensor, b: Tensor, _h0: Tensor) -> Tensor:
    return b.new_empty(b.shape)


@register_fake("archsearch::linear_scan_gradients")
def _(_dh: Tensor, a: Tensor, h: Tensor, h0: Tensor, with_a: bool) -> tuple[Tensor, Tensor, Tensor]:
    da = a.new_empty(a.shape if with_a else NOTHING)
    return da, h.new_empty(h.shape), h0.new_empty(h0.shape)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    a, _, h0 = inputs
    ctx.save_for_backward(a, output, h0)


def _differentiate(ctx: Any, dh: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
    with_a = ctx.needs_input_grad[0]
    found = torch.ops.archsearch.linear_scan_gradients.default(dh, *ctx.saved_tensors, with_a)
    return found[0] if with_a else None, found[1], found[2]


register_autograd("archsearch::linear_scan", _differentiate, setup_context=_save)


@dataclass(frozen=True)
class _Plan:
    """How tensors become arrays: ``shape`` is that of the states, ``coefficients`` that of ``a``.

    ``spread`` is what ``a`` is expanded to before, where its shared dimensions lie among others.
    """

    shape: tuple[int, ...]
    state: tuple[int, ...]
    coefficients: tuple[int, ...]
    spread: tuple[int, ...] | None
    forward: Loop
    backward: Loop

    def whole(self, x: Tensor) -> np.ndarray:
        return self._array(x, self.shape)

    def shared(self, a: Tensor) -> np.ndarray:
        return self._array(a if self.spread is None else a.expand(self.spread), self.coefficients)

    def start(self, x: Tensor) -> np.ndarray:
        batch, _, rows, units = self.shape
        if x.shape != self.state:
            raise ValueError(f"a state of shape {tuple(x.shape)} does not fit: {self.state}")
        return x.contiguous().numpy(force=True).reshape(batch, rows, units)

    def summed(self, sums: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of ``a`` from the array of it."""
        if sums.shape == shape:
            return sums
        return sums.view(self.spread or shape).sum_to_size(shape)

    def _array(self, x: Tensor, shape: tuple[int, ...]) -> np.ndarray:
        return x.contiguous().numpy(force=True).reshape(shape)


@lru_cache(maxsize=256)
def _plan(a: torch.Size, b: torch.Size, kind: torch.dtype) -> _Plan:
    """A step falls in rows and units, and coefficients are shared or not in all of either."""
    if len(a) != len(b) or any(x not in (1, y) for x, y in zip(a, b, strict=True)):
        raise ValueError(f"coefficients of shape {tuple(a)} do not fit terms of {tuple(b)}")
    sizes, own = b[2:], a[2:]
    kinds = [(at, x == y) for at, (x, y) in enumerate(zip(own, sizes, strict=True)) if y > 1]
    cuts = [one[0] for before, one in pairwise(kinds) if before[1] != one[1]]
    spread = None
    if len(cuts) > 1:
        own, cuts, spread = sizes, [], (*a[:2], *sizes)
    cut = cuts[0] if cuts else 0
    shape = *b[:2], math.prod(sizes[:cut]), math.prod(sizes[cut:])
    coefficients = *a[:2], math.prod(own[:cut]), math.prod(own[cut:])
    loops: Any = scan_loops.forward, scan_loops.backward
    if coefficients == shape and not kind.is_complex and shape[3] % WIDTH == 0:
        loops = scan_lanes.forward, scan_lanes.backward
    return _Plan(shape, (b[0], *sizes), coefficients, spread, *loops)
