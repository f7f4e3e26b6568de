"""The HiPPO matrices: memories that keep a history as coefficients of Legendre polynomials."""

from __future__ import annotations

import torch
from torch import Tensor


def legs(size: int) -> tuple[Tensor, Tensor]:
    """A (N, N) and B (N,) of the scaled measure, in double precision.

    A_nk = -sqrt((2n + 1) (2k + 1)) below the diagonal, -(n + 1) on it, and 0 above;
    B_n = sqrt(2n + 1) (Gu et al. 2020, arXiv 2008.07669, theorem 2).
    """
    write = (2 * torch.arange(size).double() + 1).sqrt()
    matrix = -(write[:, None] * write).tril(-1)
    return matrix - torch.diag(torch.arange(size).double() + 1), write


def legs_factors(size: int) -> tuple[Tensor, Tensor, float]:
    """S (N, N) skew, P (N, 1) and c with legs A = S - P P' - c I."""
    write = legs(size)[1]
    below = (0.5 * write[:, None] * write).tril(-1)
    return below.mT - below, write[:, None] / 2**0.5, 0.5


def legt_factors(size: int) -> tuple[Tensor, Tensor, float]:
    """S (N, N) skew, P (N, 2) and c = 0 with the sliding window's A = S - P P' - c I.

    A_nk = -sqrt((2n + 1) (2k + 1)) on and below the diagonal, with the sign (-1)^(n - k) above
    (Gu et al. 2020, theorem 1, for a window of length one).
    """
    write = legs(size)[1]
    signs = (-1.0) ** torch.arange(size).double()
    below = (0.5 * (1 - signs[:, None] * signs) * write[:, None] * write).tril(-1)
    return below.mT - below, torch.stack([write, signs * write], 1) / 2**0.5, 0.0


def delay(order: int) -> tuple[Tensor, Tensor]:
    """A (N, N) and B (N,) of the Legendre memory of a window of length one.

    A_ij = (2i + 1) (-1 if i < j else (-1)^(i - j + 1)), B_i = (2i + 1) (-1)^i (Voelker, Kajic,
    Eliasmith 2019, NeurIPS); A = R A' R^-1 with the A' of :func:`legt_factors` and the diagonal R
    of :func:`legendre_basis`.
    """
    at = torch.arange(order).double()
    rate = 2 * at + 1
    signs = (-1.0) ** at
    lower = -signs[:, None] * signs
    shape = torch.where(at[:, None] < at, -torch.ones_like(lower), lower)
    return rate[:, None] * shape, rate * signs


def legendre_basis(order: int) -> Tensor:
    """R_i = sqrt(2i + 1) (-1)^i (N,)."""
    at = torch.arange(order).double()
    return (2 * at + 1).sqrt() * (-1.0) ** at


def held(matrix: Tensor, write: Tensor) -> tuple[Tensor, Tensor]:
    """A (N, N) and B (N,) of a step of one, over which the input is held."""
    order = len(write)
    both = torch.nn.functional.pad(torch.cat([matrix, write[:, None]], 1), (0, 0, 0, 1))
    stepped = torch.linalg.matrix_exp(both)
    return stepped[:order, :order], stepped[:order, order]


def sliding_window(order: int, theta: float) -> tuple[Tensor, Tensor]:
    """A (N, N) and B (N,) of the Legendre memory of the last ``theta`` steps, for steps of one."""
    matrix, write = delay(order)
    return held(matrix / theta, write / theta)
