"""The diagonal linear recurrence h_t = a_t h_{t-1} + b_t, real or complex, in three orders of work.

The order is chosen by the number of elements per step: few elements leave a sequential loop
waiting on its own overhead, many make every extra pass over memory more dear than the loop.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# elements per step up to which the odd-even recursion, and then the blocks, beat the plain loop
RECURSION_LIMIT = 512
BLOCK_LIMIT = 2048
SHORTEST_BLOCKED = 128
SHORTEST_RECURSED = 64


def linear_scan_reference(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """One multiply and add per step; the definition that :func:`linear_scan` is compared with."""
    a = a.expand_as(b)
    h, states = h0, []
    for step in range(b.shape[1]):
        h = a[:, step] * h + b[:, step]
        states.append(h)
    return torch.stack(states, 1)


def linear_scan(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """All states of h_t = a_t h_{t-1} + b_t.

    ``b`` is (B, T, ...), ``h0`` (B, ...), and ``a`` has as many dimensions as ``b``, each equal
    or one. Returns (B, T, ...). The gradient is a scan in the other direction (Martin & Cundy
    2018, arXiv 1709.04057), so only the states are kept.
    """
    h = _Scan.apply(a.transpose(0, 1), b.transpose(0, 1), h0)
    return h.transpose(0, 1)  # type: ignore[no-any-return]


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
        h = _solve(a, b, h0)  # (T, B, ...)
        ctx.save_for_backward(a, h, h0)
        return h

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, h, h0 = ctx.saved_tensors
        decay = a.conj().resolve_conj()
        db = _solve_backwards(decay, dh)
        first = (db[:1] * h0.conj()).sum_to_size(1, *a.shape[1:])
        rest = db[1:] * h[:-1].conj()
        if len(a) == 1:
            da = first + rest.sum_to_size(a.shape) if len(h) > 1 else first
        else:
            da = torch.cat([first, rest.sum_to_size(len(rest), *a.shape[1:])])
        return da, db, (decay[0] * db[0]).expand_as(h0)


def _solve(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    elements = math.prod(b.shape[1:])
    if elements <= RECURSION_LIMIT and len(b) >= SHORTEST_RECURSED:
        start = a[0] * h0 + b[0]
        return _recurse(a.expand(len(b), *a.shape[1:]), torch.cat([start[None], b[1:]]))
    if elements <= BLOCK_LIMIT and len(b) >= SHORTEST_BLOCKED:
        return _block(a, b, h0)
    return _loop(a, b, h0)


def _solve_backwards(a: Tensor, b: Tensor) -> Tensor:
    """g_t = b_t + a_{t+1} g_{t+1}, from nothing after the end."""
    elements = math.prod(b.shape[1:])
    if len(b) < SHORTEST_RECURSED or elements > BLOCK_LIMIT:
        return _loop_backwards(a, b)
    shifted = a if len(a) == 1 else torch.cat([a[1:], a[:1]]).flip(0)
    return _solve(shifted, b.flip(0), torch.zeros_like(b[0])).flip(0)


def _loop(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    # a fresh time-major result: with one row or one step a transposed copy may alias its input
    out = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    factors = a.unbind(0) if len(a) > 1 else [a[0]] * len(b)
    h = h0
    for factor, term, state in zip(factors, b.unbind(0), out.unbind(0), strict=True):
        h = torch.addcmul(term, factor, h, out=state)
    return out


def _loop_backwards(a: Tensor, b: Tensor) -> Tensor:
    out = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    factors = a.unbind(0)[:0:-1] if len(a) > 1 else [a[0]] * (len(b) - 1)
    terms, states = b.unbind(0)[::-1], out.unbind(0)[::-1]
    g = states[0].copy_(terms[0])
    for factor, term, state in zip(factors, terms[1:], states[1:], strict=True):
        g = torch.addcmul(term, factor, g, out=state)
    return out


def _block(a: Tensor, b: Tensor, h0: Tensor) -> Tensor:
    """Blocks of about sqrt(T) steps scanned side by side, then joined by their carries."""
    length = math.isqrt(len(b))
    blocks = len(b) // length
    cut = blocks * length
    out = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    local = out[:cut].unflatten(0, (blocks, length))
    terms = b[:cut].unflatten(0, (blocks, length))
    if len(a) > 1:
        factors = a[:cut].unflatten(0, (blocks, length))
    else:
        factors = a[:, None].expand(1, length, *a.shape[1:])
    products = torch.empty(factors.shape, dtype=a.dtype, device=a.device)
    local[:, 0] = terms[:, 0]
    products[:, 0] = factors[:, 0]
    for step in range(1, length):
        torch.addcmul(terms[:, step], factors[:, step], local[:, step - 1], out=local[:, step])
        torch.mul(factors[:, step], products[:, step - 1], out=products[:, step])
    carry = h0
    for block in range(blocks):
        local[block].addcmul_(products[block if len(a) > 1 else 0], carry)
        carry = local[block, -1]
    if cut < len(b):
        out[cut:] = _loop(a[cut:] if len(a) > 1 else a, b[cut:], carry)
    return out


def _recurse(a: Tensor, b: Tensor) -> Tensor:
    """Odd steps from the scan of neighbour pairs, even steps from the odd one before."""
    if len(b) == 1:
        return b
    odd_a, odd_b = a[1::2], b[1::2]
    pairs = len(odd_b)
    out = torch.empty(b.shape, dtype=b.dtype, device=b.device)
    odd = _recurse(odd_a * a[0::2][:pairs], torch.addcmul(odd_b, odd_a, b[0::2][:pairs]))
    out[1::2] = odd
    out[0] = b[0]
    if len(b) > 2:
        later = b[2::2]
        out[2::2] = torch.addcmul(later, a[2::2], odd[: len(later)])
    return out
