"""Other ways to compute h_t = a_t h_{t-1} + b_t in plain torch, each with its best gradient."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Solve = Callable[[Tensor, Tensor], Tensor]


def autograd_loop(a: Tensor, b: Tensor) -> Tensor:
    """One fused step after the other, (B, T, D); the gradient is left to torch."""
    h, states = torch.zeros_like(b[:, 0]), []
    for a_t, b_t in zip(a.unbind(1), b.unbind(1), strict=True):
        h = torch.addcmul(b_t, a_t, h)
        states.append(h)
    return torch.stack(states, 1)


def by(solve: Solve) -> Solve:
    """A scan (B, T, D) whose gradient is ``solve``, which is time-major, run from the end."""

    class Scan(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
            h = solve(a, b)
            ctx.save_for_backward(a, h)
            return h

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
            a, h = ctx.saved_tensors
            later = torch.cat([a[1:], a[:1]]).flip(0)
            db = solve(later, grads[0].flip(0)).flip(0)
            return torch.cat([torch.zeros_like(db[:1]), db[1:] * h[:-1]]), db

    def scan(a: Tensor, b: Tensor) -> Tensor:
        found: Tensor = Scan.apply(a.transpose(0, 1), b.transpose(0, 1))
        return found.transpose(0, 1)

    return scan


def loop(a: Tensor, b: Tensor) -> Tensor:
    """One fused step after the other into one result."""
    out = torch.empty(b.shape)
    h = out[0].copy_(b[0])
    for a_t, b_t, state in zip(a.unbind(0)[1:], b.unbind(0)[1:], out.unbind(0)[1:], strict=True):
        h = torch.addcmul(b_t, a_t, h, out=state)
    return out


def blelloch(a: Tensor, b: Tensor) -> Tensor:
    """Odd steps from the scan of neighbour pairs, even steps from the odd one before."""
    if len(b) == 1:
        return b
    odd_a, odd_b = a[1::2], b[1::2]
    pairs = len(odd_b)
    odd = blelloch(odd_a * a[0::2][:pairs], torch.addcmul(odd_b, odd_a, b[0::2][:pairs]))
    out = torch.empty(b.shape)
    out[1::2], out[0] = odd, b[0]
    if len(b) > 2:
        later = b[2::2]
        out[2::2] = torch.addcmul(later, a[2::2], odd[: len(later)])
    return out


def two_level(a: Tensor, b: Tensor) -> Tensor:
    """Blocks of about sqrt(T) steps scanned side by side, then joined by their carries."""
    length = math.isqrt(len(b))
    blocks = len(b) // length
    cut = blocks * length
    out = torch.empty(b.shape)
    local, terms, factors = (x[:cut].unflatten(0, (blocks, length)) for x in (out, b, a))
    products = torch.empty(factors.shape)
    local[:, 0], products[:, 0] = terms[:, 0], factors[:, 0]
    for step in range(1, length):
        torch.addcmul(terms[:, step], factors[:, step], local[:, step - 1], out=local[:, step])
        torch.mul(factors[:, step], products[:, step - 1], out=products[:, step])
    for block in range(1, blocks):
        local[block].addcmul_(products[block], local[block - 1, -1])
    for step in range(cut, len(b)):
        torch.addcmul(b[step], a[step], out[step - 1], out=out[step])
    return out


def kogge_stone(a: Tensor, b: Tensor) -> Tensor:
    """Every step joined with the one 1, 2, 4, ... before it: log T passes over everything."""
    reach = 1
    while reach < len(b):
        b = torch.cat([b[:reach], torch.addcmul(b[reach:], a[reach:], b[:-reach])])
        a = torch.cat([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b


RIVALS: dict[str, Solve] = {
    "loop, autograd": autograd_loop,
    "loop, own gradient": by(loop),
    "Blelloch": by(blelloch),
    "two-level": by(two_level),
    "Kogge-Stone": by(kogge_stone),
}
