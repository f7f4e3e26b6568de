"""What causal attention does with a tile of queries: take it, turn it, score it, give it back."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import LOG2_E
from archsearch.kernels.lanes import (
    WIDTH,
    Lanes,
    _alike,
    _function,
    _indices,
    _place,
    _size,
    fused,
    lessened,
    load,
    product,
    splat,
    store,
    transpose,
)
from archsearch.kernels.memories.lanes.lane_blocks import larger, multiply, smaller


@intrinsic
def load_some(_typing: Any, array: Any, at: Any, count: Any) -> Any:
    """The first ``count`` of the ``WIDTH`` numbers at ``at``, zeros in the other lanes."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature, values)
        kind = context.get_value_type(signature.return_type)
        mask, size = _first(context, builder, signature, values), ir.IntType(32)
        form = ir.FunctionType(kind, [place.type, size, mask.type, kind])
        name = f"llvm.masked.load.v{WIDTH}f{signature.args[0].dtype.bitwidth}.p0"
        none = ir.Constant(kind, [ir.Constant(kind.element, 0.0)] * WIDTH)
        align = ir.Constant(size, _size(signature))
        return builder.call(_function(builder, form, name), [place, align, mask, none])

    return Lanes(array.dtype)(array, at, count), code


@intrinsic
def store_some(_typing: Any, array: Any, at: Any, count: Any, lanes: Any) -> Any:
    """Write the first ``count`` lanes to ``at`` and after it."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature, values)
        mask, size = _first(context, builder, signature, values), ir.IntType(32)
        form = ir.FunctionType(ir.VoidType(), [values[3].type, place.type, size, mask.type])
        name = f"llvm.masked.store.v{WIDTH}f{signature.args[0].dtype.bitwidth}.p0"
        align = ir.Constant(size, _size(signature))
        builder.call(_function(builder, form, name), [values[3], place, align, mask])
        return context.get_dummy_value()

    return types.void(array, at, count, lanes), code


@inlined
def load_part(array: np.ndarray, at: int, count: int) -> Any:
    """As :func:`load_some`, of up to ``WIDTH`` numbers."""
    # a mask costs many times as much on processors without a register for it
    return load(array, at) if count == WIDTH else load_some(array, at, count)


@inlined
def store_part(array: np.ndarray, at: int, count: int, lanes: Any) -> None:
    """As :func:`store_some`, of up to ``WIDTH`` numbers."""
    if count == WIDTH:
        store(array, at, lanes)
    else:
        store_some(array, at, count, lanes)


@intrinsic
def swapped(_typing: Any, lanes: Any) -> Any:
    """Each two neighbours in turn."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.shuffle_vector(values[0], values[0], _indices([i ^ 1 for i in range(WIDTH)]))

    return lanes(lanes), code


def _first(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    """Which lanes come before the third argument."""
    count = context.cast(builder, values[2], signature.args[2], types.int32)
    kind = ir.VectorType(ir.IntType(32), WIDTH)
    return builder.icmp_signed("<", _indices(range(WIDTH)), _alike(builder, kind, count))


@inlined
def taken(
    source: np.ndarray,
    at: int,
    across: int,
    first: int,
    last: int,
    size: int,
    turns: np.ndarray,
    scale: Any,
    rows: np.ndarray,
    wide: int,
) -> None:
    """Positions ``first`` to ``last`` of a head that begins at ``at``, rotated and scaled, as rows.

    Rows are filled up with zeros to whole lanes, and so is their number. ``turns`` are those of
    :func:`spun`, of the same size, or empty.
    """
    none, factor = splat(rows.dtype.type(0)), splat(scale)
    for t in range(first, last + -(last - first) % WIDTH):
        here, to = at + t * across, (t - first) * wide
        for c in range(0, size, WIDTH):
            part, count = none, min(size - c, WIDTH)
            if t < last:
                part = product(load_part(source, here + c, count), factor)
                if turns.size > 0:
                    turn = 2 * (t * wide + c)
                    other = product(swapped(part), load(turns, turn + WIDTH))
                    part = fused(part, load(turns, turn), other)
            store(rows, to + c, part)


@inlined
def given_back(
    rows: np.ndarray,
    wide: int,
    first: int,
    last: int,
    size: int,
    turns: np.ndarray,
    scale: Any,
    target: np.ndarray,
    at: int,
    across: int,
) -> None:
    """The reverse of :func:`taken`: rotated back and scaled."""
    factor, one = splat(scale), splat(rows.dtype.type(1))
    for t in range(first, last):
        here, to = (t - first) * wide, at + t * across
        for c in range(0, size, WIDTH):
            part = product(load(rows, here + c), factor)
            if turns.size > 0:
                turn = 2 * (t * wide + c)
                other = product(swapped(part), load(turns, turn + WIDTH))
                part = lessened(one, other, product(part, load(turns, turn)))
            store_part(target, to + c, min(size - c, WIDTH), part)


@inlined
def spun(turns: np.ndarray, size: int, wide: int, spins: np.ndarray) -> None:
    """For each ``WIDTH`` features their cosines, then sines, of the sign that a rotation wants."""
    for t in range(turns.size // size):
        for i in range(size):
            at = 2 * (t * wide + i - i % WIDTH) + i % WIDTH
            spins[at] = turns[t * size + i - i % 2]
            sine = turns[t * size + i - i % 2 + 1]
            spins[at + WIDTH] = sine if i % 2 else -sine


@inlined
def across_lanes(rows: np.ndarray, wide: int, lanes: np.ndarray) -> None:
    """``WIDTH`` rows with one of them a lane: (wide, WIDTH)."""
    for c in range(0, wide, WIDTH):
        transpose(rows, c, wide, lanes, c * WIDTH, WIDTH)


@inlined
def scored(
    panel: np.ndarray,
    keys: np.ndarray,
    queries: np.ndarray,
    table: np.ndarray,
    shift: int,
    limits: np.ndarray,
    first: int,
    size: int,
    wide: int,
) -> Any:
    """Write the scores, in powers of two, of all keys up to the tile; the largest of each query.

    The key at t has its distances from ``shift`` - t in the table on, if there is one.
    """
    kind = panel.dtype.type
    one, log2_e = splat(kind(1)), splat(kind(LOG2_E))
    largest = splat(kind(-np.inf))
    for block in range(0, first + WIDTH, WIDTH):
        multiply(keys, block * wide, wide, 1, queries, 0, WIDTH, panel, block * WIDTH, WIDTH, size)
        for key in range(block, block + WIDTH):
            score = load(panel, key * WIDTH)
            if table.size > 0:
                score = fused(score, one, load(table, shift - key))
            score = product(score, log2_e)
            if block == first:
                # what a query does not see is not even a missing number
                score = smaller(score, load(limits, (key - first) * WIDTH))
            store(panel, key * WIDTH, score)
            largest = larger(score, largest)
    return largest
