"""The diagonal linear recurrence h_t = a_t h_{t-1} + b_t, real or complex."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated


def linear_scan_reference(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """One product and one sum per step, each rounded; the definition of :func:`linear_scan`."""
    kind = torch.promote_types(torch.promote_types(a.dtype, b.dtype), h0.dtype)
    working = torch.promote_types(kind, torch.float32)
    a, b, h = a.expand_as(b).to(working), b.to(working), h0.to(working)
    states = []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = _product(a_t, h) + b_t
        states.append(h)
    return torch.stack(states, 1).to(kind)


def _product(a: Tensor, h: Tensor) -> Tensor:
    # spelt out, since processors differ in how they round a complex product as a whole
    if not a.is_complex():
        return a * h
    return torch.complex(a.real * h.real - a.imag * h.imag, a.real * h.imag + a.imag * h.real)


@accelerated(
    cpu="archsearch.kernels.scans.scan_cpu:linear_scan",
    cuda="archsearch.kernels.scans.scan_triton:linear_scan",
)
def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """All states of h_t = a_t h_{t-1} + b_t.

    ``b`` is (B, T, ...), ``h0`` (B, ...), and ``a`` has as many dimensions as ``b``, each equal
    or one. Returns (B, T, ...), without gaps in memory, of the type that the three promote to;
    half precision is worked in single precision. The gradient is a scan in the other direction
    (Martin & Cundy 2018, arXiv 1709.04057), so only the states are kept. On the CPU the states
    are those of :func:`linear_scan_reference` to the last bit.
    """
    return linear_scan_reference(a, b, h0)
