"""A graph of operations trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.recurrences import graph_loops
from archsearch.kernels.recurrences import graph_steps as plain
from archsearch.kernels.recurrences.graph_shapes import fits
from archsearch.kernels.recurrences.graph_steps import Product, Program
from archsearch.kernels.recurrences.recurrence_cpu import WIDEST
from archsearch.kernels.trained import SINGLE, arrays, once_differentiable, trained

MOST = 2**27  # numbers kept of all steps


def graph_steps(
    streams: Tensor, states: Tensor, matrices: Tensor, program: Program
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.recurrences.graph_steps.graph_steps`.

    Torch does what is only evaluated, recorded, in another precision, wide, or too much to keep.
    """
    inputs = (streams, states, matrices)
    size = program.slots * len(streams) * states[0].numel()
    wide = states.shape[-1] > WIDEST or size > MOST
    if wide or not trained(inputs, SINGLE) or not fits(*inputs, program):
        return plain.graph_steps.plain(*inputs, program)  # type: ignore[attr-defined,no-any-return]
    y, last = _Steps.apply(*inputs, coded(program), program)
    return y, last


def coded(program: Program) -> Tensor:
    """Rows of code, slot written, slots read (I, 5); of a product one row for every matrix."""
    rows = []
    for action in program.actions:
        if isinstance(action, Product):
            rows += [
                [graph_loops.LIN, action.out + at, slot, first + at, 0]
                for slot, first in action.reads
                for at in range(action.count)
            ]
        else:
            code = getattr(graph_loops, action.function.upper())
            # what is not read stands for itself
            rest = (3 - len(action.inputs)) * [action.out]
            rows.append([code, action.out, *action.inputs, *rest])
    return torch.tensor(rows, dtype=torch.float32)


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        streams: Tensor,
        states: Tensor,
        matrices: Tensor,
        code: Tensor,
        program: Program,
    ) -> tuple[Tensor, Tensor]:
        steps, batch, _ = streams.shape
        width = states.shape[-1]
        kept = streams.new_empty(steps, program.slots, batch, width)
        given = streams.unflatten(-1, (-1, width)).transpose(1, 2)
        kept[:, : given.shape[1]] = given
        ends = torch.tensor([program.leaves, program.roots], dtype=torch.float32)
        flat = kept.flatten(2)
        graph_loops.forward(*arrays(code, ends, matrices, states.flatten(1), flat))
        ctx.save_for_backward(matrices, code, ends, kept)
        ctx.given = given.shape[1]
        last = torch.stack([kept[-1, root] for root in program.roots])
        return kept[:, program.roots[0]].transpose(0, 1).contiguous(), last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Tensor | None, ...]:
        matrices, code, ends, kept = ctx.saved_tensors
        dkept = torch.zeros_like(kept)
        dstates = dlast.clone(memory_format=torch.contiguous_format)
        graph_loops.backward(
            *arrays(code, ends, matrices.transpose(1, 2), kept.flatten(2)),
            *arrays(dy.transpose(0, 1).flatten(1), dstates.flatten(1), dkept.flatten(2)),
        )
        dmatrices = torch.zeros_like(matrices)
        for kind, out, slot, matrix, _ in code.int().tolist():
            if kind == graph_loops.LIN:
                read, came = kept[:, slot].flatten(0, 1), dkept[:, out].flatten(0, 1)
                dmatrices[matrix].addmm_(read.t(), came)
        dstreams = dkept[:, : ctx.given].transpose(1, 2).flatten(2)
        return dstreams, dstates, dmatrices, None, None
