"""Linear memories that are the same at every step, chunk by chunk.

Inside a chunk the answer is a convolution with the memory's impulse response, written as one
triangular matrix product; between chunks only the memory travels. Unlike a convolution by Fourier
transform this keeps a memory from the start, leaves one at the end, and lets no position see a
later one even by rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated
from archsearch.kernels.scans.linear_scan import linear_scan

CHUNK = 32

# the memories (B, n, W, S) after each chunk, given what each adds, the first, and its length
Carry = Callable[[Tensor, Tensor, int], Tensor]


def diagonal_state_space_reference(
    u: Tensor, factor: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition of :func:`diagonal_state_space`."""
    outputs = []
    for u_t in u.unbind(1):
        memory = factor * memory + write * u_t[..., None]
        outputs.append((read * memory).sum(-1).real)
    return torch.stack(outputs, 1), memory


@accelerated(cpu="archsearch.kernels.scans.state_space_cpu:diagonal_state_space")
def diagonal_state_space(
    u: Tensor, factor: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """y_t = Re(read . m_t) of m_t = factor m_{t-1} + write u_t, one memory per channel.

    ``u`` is (B, T, W) and real; ``factor``, ``write`` and ``read`` are (W, M) and complex,
    ``memory`` (B, W, M). Returns (B, T, W) and the memory that is left.
    """
    chunk = min(CHUNK, u.shape[1])
    powers = factor[..., None].expand(-1, -1, chunk).cumprod(-1)  # (W, M, C): factor^1 ... C
    before = torch.cat([torch.ones_like(powers[..., :1]), powers[..., :-1]], -1)
    taps = ((read * write)[..., None] * before).sum(1).real
    written = torch.view_as_real(write[..., None] * before).flip(2)  # (W, M, C, 2)
    reads = torch.view_as_real((read[..., None] * powers).conj().resolve_conj())

    def carry(added: Tensor, start: Tensor, steps: int) -> Tensor:
        pairs = torch.view_as_complex(added.unflatten(-1, (-1, 2)).contiguous())
        first = torch.view_as_complex(start.unflatten(-1, (-1, 2)).contiguous())
        after = linear_scan(powers[None, None, ..., steps - 1], pairs, first)
        return torch.view_as_real(after).flatten(-2)

    pairs = torch.view_as_real(memory).flatten(-2)
    writes = written.transpose(1, 2).flatten(2)  # (W, C, 2 M)
    answers = reads.transpose(2, 3).flatten(1, 2)  # (W, 2 M, C)
    y, pairs = _in_chunks(u, taps, writes, answers, pairs, carry)
    return y, torch.view_as_complex(pairs.unflatten(-1, (-1, 2)).contiguous())


def dense_state_space_reference(
    u: Tensor, matrix: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """One position at a time; the definition of :func:`dense_state_space`."""
    outputs = []
    for u_t in u.unbind(1):
        memory = torch.einsum("wij,bwj->bwi", matrix, memory) + write * u_t[..., None]
        outputs.append((read * memory).sum(-1))
    return torch.stack(outputs, 1), memory


@accelerated(cpu="archsearch.kernels.scans.state_space_cpu:dense_state_space")
def dense_state_space(
    u: Tensor, matrix: Tensor, write: Tensor, read: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """y_t = read . m_t of m_t = matrix m_{t-1} + write u_t, one memory per channel.

    ``u`` is (B, T, W), ``matrix`` (W, N, N), ``write`` and ``read`` (W, N), ``memory`` (B, W, N),
    all real. Returns (B, T, W) and the memory that is left.
    """
    chunk = min(CHUNK, u.shape[1])
    powers = squares(matrix, chunk)
    turned = [power.mT for power in powers]
    reached = krylov(powers, write, chunk)  # (W, N, C)
    taps = torch.einsum("wn,wnc->wc", read, reached)
    answers = krylov(turned, torch.einsum("wij,wj->wi", turned[0], read), chunk)

    def carry(added: Tensor, start: Tensor, steps: int) -> Tensor:
        power, after = torch.linalg.matrix_power(turned[0], steps), []
        for one in added.unbind(1):
            start = torch.einsum("bwi,wij->bwj", start, power) + one
            after.append(start)
        return torch.stack(after, 1)

    return _in_chunks(u, taps, reached.flip(-1).mT, answers, memory, carry)


def squares(matrix: Tensor, most: int) -> list[Tensor]:
    """The powers 1, 2, 4, ... of ``matrix`` up to ``most``."""
    powers = [matrix]
    while 2 ** len(powers) <= most:
        powers.append(powers[-1] @ powers[-1])
    return powers


def krylov(powers: list[Tensor], vector: Tensor, count: int) -> Tensor:
    """vector, matrix vector, ... as columns (..., N, count), by the matrix's :func:`squares`."""
    columns = vector[..., None]
    for power in powers:
        if columns.shape[-1] < count:
            columns = torch.cat([columns, power @ columns], -1)
    return columns[..., :count]


def toeplitz(taps: Tensor) -> Tensor:
    """(..., C) as the matrix (..., C, C) of the causal convolution: taps[i - j] at (i, j)."""
    at = torch.arange(taps.shape[-1], device=taps.device)
    return taps[..., (at[:, None] - at).clamp_min(0)].tril()


def _in_chunks(
    u: Tensor, taps: Tensor, write: Tensor, read: Tensor, memory: Tensor, carry: Carry
) -> tuple[Tensor, Tensor]:
    chunk = taps.shape[-1]
    rest = u.shape[1] % chunk
    whole = u.shape[1] - rest
    y, memory = _equal_chunks(u[:, :whole], taps, write, read, memory, carry)
    if not rest:
        return y, memory
    last, memory = _equal_chunks(
        u[:, whole:], taps[:, :rest], write[:, -rest:], read[..., :rest], memory, carry
    )
    return torch.cat([y, last], 1), memory


def _equal_chunks(
    u: Tensor, taps: Tensor, write: Tensor, read: Tensor, memory: Tensor, carry: Carry
) -> tuple[Tensor, Tensor]:
    """``taps`` (W, C), ``write`` (W, C, S), ``read`` (W, S, C), ``memory`` (B, W, S)."""
    rows, chunk = len(u), taps.shape[-1]
    parts = u.unflatten(1, (-1, chunk)).permute(3, 0, 1, 2).flatten(1, 2)  # (W, B n, C)
    added = (parts @ write).unflatten(1, (rows, -1)).permute(1, 2, 0, 3)  # (B, n, W, S)
    after = carry(added, memory, chunk)
    before = torch.cat([memory[:, None], after[:, :-1]], 1)
    y = parts @ toeplitz(taps).mT + before.permute(2, 0, 1, 3).flatten(1, 2) @ read
    return y.unflatten(1, (rows, -1)).permute(1, 2, 3, 0).flatten(1, 2), after[:, -1]
