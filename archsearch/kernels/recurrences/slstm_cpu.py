"""The sLSTM trained on one core of a CPU, in one loop forward and one back.

Vectors hold the units of one head, or of as many as fit, whose matrix then is zero between heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.recurrences.gated import State
from archsearch.kernels.recurrences.gated import slstm as accelerated_slstm
from archsearch.kernels.recurrences.gated_cpu import untrained
from archsearch.kernels.recurrences.gated_slopes import of_matrix
from archsearch.kernels.recurrences.slstm_loops import KEPT, backward, forward
from archsearch.kernels.trained import arrays, once_differentiable

GATES = 4
plain: Any = accelerated_slstm.plain  # type: ignore[attr-defined]


def slstm(drives: Tensor, state: State, matrix: Tensor, sigmoid: bool) -> tuple[Tensor, State]:
    """See :func:`archsearch.kernels.recurrences.gated.slstm`."""
    if untrained((drives, *state, matrix), "hbtg hbs hbs hbs hbs hsg", GATES):
        return plain(drives, state, matrix, sigmoid)  # type: ignore[no-any-return]
    heads, size = matrix.shape[:2]
    together = max(n for n in range(1, max(1, WIDTH // size) + 1) if heads % n == 0)
    of_units = (_joined(part, together, 1) for part in state)
    weights, kind = _diagonal(matrix, together), torch.tensor([float(sigmoid)])
    y, *last = _SLSTM.apply(_joined(drives, together, GATES), *of_units, weights, kind)
    return _parted(y, together, size), tuple(_parted(part, together, size) for part in last)


def _joined(x: Tensor, together: int, parts: int) -> Tensor:
    """(H, .., n S) as (H / G, .., n P): G heads side by side, P the next multiple of ``WIDTH``."""
    size = x.shape[-1] // parts
    if together > 1:
        apart = x.unflatten(-1, (parts, size)).unflatten(0, (-1, together))
        x, size = apart.movedim(1, -2).flatten(-3), together * size
    missing = -size % WIDTH
    return pad(x.unflatten(-1, (parts, size)), (0, missing)).flatten(-2) if missing else x


def _parted(x: Tensor, together: int, size: int) -> Tensor:
    """(H / G, .., P) as (H, .., S)."""
    if together == 1:
        return x[..., :size]
    heads = x[..., : together * size].unflatten(-1, (together, size))
    return heads.movedim(-2, 1).flatten(0, 1)


def _diagonal(matrix: Tensor, together: int) -> Tensor:
    """(H, S, 4 S) as (H / G, P, 4 P), with G heads along the diagonal."""
    heads = matrix.unflatten(-1, (GATES, -1)).unflatten(0, (-1, together))  # (H / G, G, S, 4, S)
    own = torch.eye(together, dtype=matrix.dtype)[:, None, None, :, None]
    blocks = (heads.unsqueeze(-2) * own).flatten(-2).flatten(1, 2)  # (H / G, G S, 4, G S)
    missing = -blocks.shape[1] % WIDTH
    return pad(blocks, (0, missing, 0, 0, 0, missing)).flatten(-2)


class _SLSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        h0: Tensor,
        c0: Tensor,
        n0: Tensor,
        m0: Tensor,
        matrix: Tensor,
        kind: Tensor,
    ) -> tuple[Tensor, ...]:
        heads, batch, steps, size = *drives.shape[:3], h0.shape[-1]
        y = drives.new_empty(heads, batch, steps, size)
        kept = drives.new_empty(heads, batch, steps, KEPT * size)
        state = [part.clone(memory_format=torch.contiguous_format) for part in (h0, c0, n0, m0)]
        for head in range(heads):
            forward(
                *arrays(drives[head], matrix[head], kind, *(part[head] for part in state)),
                *arrays(y[head], kept[head]),
            )
        ctx.save_for_backward(h0, c0, n0, matrix, y, kept)
        ctx.mark_non_differentiable(state[3])
        return y, *state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *dstate: Tensor) -> tuple[Tensor | None, ...]:
        h0, c0, n0, matrix, y, kept = ctx.saved_tensors
        ddrives = y.new_empty(*y.shape[:3], matrix.shape[-1])
        dh, dc, dn = (part.clone(memory_format=torch.contiguous_format) for part in dstate[:3])
        recurrent = matrix.transpose(1, 2)
        for head in range(len(y)):
            backward(
                *arrays(dy[head], c0[head], n0[head], recurrent[head], kept[head]),
                *arrays(ddrives[head], dh[head], dc[head], dn[head]),
            )
        # exp(m) is a factor of both c and n
        dm = dc * c0 + dn * n0
        return ddrives, dh, dc, dn, dm, of_matrix(h0, y, ddrives), None
