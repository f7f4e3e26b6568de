"""A graph of operations over a whole sequence on a GPU, in one launch forward and one back."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from archsearch.kernels.recurrences import graph_steps as plain
from archsearch.kernels.recurrences.graph_programs import backward_program, forward_program
from archsearch.kernels.recurrences.graph_shapes import fits
from archsearch.kernels.recurrences.graph_steps import Product, Program
from archsearch.kernels.trained import once_differentiable

ROWS = 16  # of a batch, for one program; the fewest that a GPU multiplies
TILE = 64  # columns at a time

Action = tuple[str, int, int, int, int, int]


def graph_steps(
    streams: Tensor, states: Tensor, matrices: Tensor, program: Program
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.recurrences.graph_steps.graph_steps`.

    In single precision; torch does what is in double.
    """
    inputs = (streams, states, matrices)
    kind = torch.promote_types(torch.promote_types(streams.dtype, states.dtype), matrices.dtype)
    if kind == torch.float64 or not streams.numel() or not fits(*inputs, program):
        return plain.graph_steps.plain(*inputs, program)  # type: ignore[attr-defined,no-any-return]
    y, last = _Steps.apply(*(part.float() for part in inputs), program)
    return y.to(kind), last.to(kind)


def actions(program: Program) -> tuple[Action, ...]:
    """What is done, the slot written, three read, and how many of them are meant.

    A product is one for every matrix, which is named in the place of the second slot.
    """
    found: list[Action] = []
    for action in program.actions:
        if isinstance(action, Product):
            found += [
                ("product", action.out + at, slot, first + at, slot, 1)
                for slot, first in action.reads
                for at in range(action.count)
            ]
        else:
            first, second, third = (*action.inputs, action.out, action.out)[:3]
            count = len(action.inputs)
            found.append((action.function, action.out, first, second, third, count))
    return tuple(found)


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, streams: Tensor, states: Tensor, matrices: Tensor, program: Program
    ) -> tuple[Tensor, Tensor]:
        steps, batch, _ = streams.shape
        width = states.shape[-1]
        kept = streams.new_empty(steps, program.slots, batch, width)
        given = streams.unflatten(-1, (-1, width)).transpose(1, 2)
        kept[:, : given.shape[1]] = given
        matrices = matrices.contiguous()
        forward_program[(triton.cdiv(batch, ROWS),)](
            kept, matrices, states.contiguous(), steps, batch, width, **settings(program, width)
        )
        ctx.save_for_backward(matrices, kept)
        ctx.program, ctx.given = program, given.shape[1]
        last = torch.stack([kept[-1, root] for root in program.roots])
        return kept[:, program.roots[0]].transpose(0, 1).contiguous(), last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        matrices, kept = ctx.saved_tensors
        steps, _, batch, width = kept.shape
        dkept = torch.zeros_like(kept)
        dstates = dlast.clone(memory_format=torch.contiguous_format)
        backward_program[(triton.cdiv(batch, ROWS),)](
            kept, matrices, dy.transpose(0, 1).contiguous(), dstates, dkept, steps, batch, width,
            **settings(ctx.program, width),
        )  # fmt: skip
        dmatrices = torch.zeros_like(matrices)
        for name, out, slot, matrix, *_ in actions(ctx.program):
            if name == "product":
                read, came = kept[:, slot].flatten(0, 1), dkept[:, out].flatten(0, 1)
                dmatrices[matrix].addmm_(read.t(), came)
        return dkept[:, : ctx.given].transpose(1, 2).flatten(2), dstates, dmatrices, None


def settings(program: Program, width: int) -> dict[str, Any]:
    """How a program is written out for states of a width."""
    tile = min(TILE, max(16, triton.next_power_of_2(width)))
    return {
        "ACTIONS": actions(program),
        "LEAVES": program.leaves,
        "ROOTS": program.roots,
        "SLOTS": program.slots,
        "ROWS": ROWS,
        "TILE": tile,
        "TILES": triton.cdiv(width, tile),
    }
