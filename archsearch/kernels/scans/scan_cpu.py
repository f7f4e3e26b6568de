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
from torch.autograd.function import once_differentiable
from torch.library import Library, register_autograd, register_fake

from archsearch.kernels.scans.scan_loops import backward, forward
from archsearch.kernels.trained import recorded

NATIVE = (torch.float32, torch.float64, torch.complex64, torch.complex128)

OPERATORS = Library("archsearch", "FRAGMENT")
OPERATORS.define("linear_scan(Tensor a, Tensor b, Tensor h0) -> Tensor")
OPERATORS.define(
    "linear_scan_gradients(Tensor dh, Tensor a, Tensor h, Tensor h0, bool with_a)"
    " -> (Tensor, Tensor, Tensor)"
)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.scans.linear_scan.linear_scan`."""
    kind = b.dtype
    if not (a.dtype == kind == h0.dtype and kind in NATIVE):
        kind = torch.promote_types(torch.promote_types(a.dtype, kind), h0.dtype)
        working = torch.promote_types(kind, torch.float32)
        a, b, h0 = a.to(working), b.to(working), h0.to(working)
    # whoever records what is done sees one operator; called directly, it costs half as much
    scan = torch.ops.archsearch.linear_scan.default if recorded(b) else _Scan.apply
    return scan(a, b, h0).to(kind)  # type: ignore[no-any-return]


def _states(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    h = torch.empty(b.shape, dtype=b.dtype)
    if b.numel():
        plan = _plan(a.shape, b.shape)
        forward(plan.shared(a), plan.whole(b), plan.start(h0), plan.whole(h))
    return h


def _gradients(
    dh: Tensor, a: Tensor, h: Tensor, h0: Tensor, with_a: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Those for a (no elements without ``with_a``), b and h0, given that for the states."""
    db, dh0 = torch.empty(h.shape, dtype=h.dtype), torch.empty(h0.shape, dtype=h0.dtype)
    plan = _plan(a.shape, h.shape)
    fresh = torch.empty if plan.coefficients == plan.shape else torch.zeros
    sums = fresh(plan.coefficients if with_a else (0, 0, 0, 0), dtype=h.dtype)
    if not h.numel():
        return sums.new_zeros(a.shape if with_a else (0, 0, 0, 0)), db, dh0.zero_()
    backward(
        plan.shared(a),
        plan.whole(h),
        plan.start(h0),
        plan.whole(dh),
        sums.numpy(),
        plan.whole(db),
        plan.start(dh0),
    )
    return plan.summed(sums, a.shape) if with_a else sums, db, dh0


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        h = _states(a, b, h0)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        with_a = ctx.needs_input_grad[0]
        da, db, dh0 = _gradients(dh, *ctx.saved_tensors, with_a)
        return da if with_a else None, db, dh0


OPERATORS.impl("linear_scan", _states, "CPU")
OPERATORS.impl("linear_scan_gradients", _gradients, "CPU")


@register_fake("archsearch::linear_scan")
def _(_a: Tensor, b: Tensor, _h0: Tensor) -> Tensor:
    return b.new_empty(b.shape)


@register_fake("archsearch::linear_scan_gradients")
def _(_dh: Tensor, a: Tensor, h: Tensor, h0: Tensor, with_a: bool) -> tuple[Tensor, Tensor, Tensor]:
    da = a.new_empty(a.shape if with_a else (0, 0, 0, 0))
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
    coefficients: tuple[int, ...]
    spread: tuple[int, ...] | None

    def whole(self, x: Tensor) -> np.ndarray:
        return self._array(x, self.shape)

    def shared(self, a: Tensor) -> np.ndarray:
        return self._array(a if self.spread is None else a.expand(self.spread), self.coefficients)

    def start(self, x: Tensor) -> np.ndarray:
        batch, _, rows, units = self.shape
        return x.contiguous().numpy(force=True).reshape(batch, rows, units)

    def summed(self, sums: Tensor, shape: torch.Size) -> Tensor:
        """The gradient of ``a`` from the array of it."""
        return sums.view(self.spread or shape).sum_to_size(shape)

    def _array(self, x: Tensor, shape: tuple[int, ...]) -> np.ndarray:
        return x.contiguous().numpy(force=True).reshape(shape)


@lru_cache(maxsize=256)
def _plan(a: torch.Size, b: torch.Size) -> _Plan:
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
    return _Plan(
        (*b[:2], math.prod(sizes[:cut]), math.prod(sizes[cut:])),
        (*a[:2], math.prod(own[:cut]), math.prod(own[cut:])),
        spread,
    )
