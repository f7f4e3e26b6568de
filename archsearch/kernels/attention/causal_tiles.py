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
)
from archsearch.kernels.memories.lanes.lane_blocks import larger, multiply, smaller
from archsearch.kernels.transpose import transpose


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
    factor, none = splat(scale), splat(rows.dtype.type(0))
    whole = size - size % WIDTH
    for t in range(first, last):
        here, to, turn = at + t * across, (t - first) * wide, 2 * t * wide
        for c in range(0, whole, WIDTH):
            part = product(load(source, here + c), factor)
            store(rows, to + c, _rotated(part, turns, turn + 2 * c))
        if whole < size:
            part = product(load_some(source, here + whole, size - whole), factor)
            store(rows, to + whole, _rotated(part, turns, turn + 2 * whole))
    count = last - first
    for to in range(count * wide, (count + -count % WIDTH) * wide, WIDTH):
        store(rows, to, none)


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
    factor, whole = splat(scale), size - size % WIDTH
    for t in range(first, last):
        here, to, turn = (t - first) * wide, at + t * across, 2 * t * wide
        for c in range(0, whole, WIDTH):
            part = product(load(rows, here + c), factor)
            store(target, to + c, _rotated_back(part, turns, turn + 2 * c))
        if whole < size:
            part = _rotated_back(product(load(rows, here + whole), factor), turns, turn + 2 * whole)
            store_some(target, to + whole, size - whole, part)


@inlined
def _rotated(part: Any, turns: np.ndarray, at: int) -> Any:
    if turns.size == 0:
        return part
    return fused(part, load(turns, at), product(swapped(part), load(turns, at + WIDTH)))


@inlined
def _rotated_back(part: Any, turns: np.ndarray, at: int) -> Any:
    if turns.size == 0:
        return part
    return lessened(swapped(part), load(turns, at + WIDTH), product(part, load(turns, at)))


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
def in_powers(numbers: np.ndarray) -> None:
    """Make natural logarithms, whole lanes of them, those to the base of two."""
    factor = splat(numbers.dtype.type(LOG2_E))
    for at in range(0, numbers.size - numbers.size % WIDTH, WIDTH):
        store(numbers, at, product(load(numbers, at), factor))


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
) -> None:
    """Write the scores, in powers of two as queries and table are, of all keys up to the tile.

    The key at t has its distances from ``shift`` - t in the table on, if there is one.
    """
    one = splat(panel.dtype.type(1))
    for block in range(0, first + WIDTH, WIDTH):
        multiply(keys, block * wide, wide, 1, queries, 0, WIDTH, panel, block * WIDTH, WIDTH, size)
    if table.size > 0:
        for key in range(first + WIDTH):
            score = fused(load(panel, key * WIDTH), one, load(table, shift - key))
            store(panel, key * WIDTH, score)
    for at in range(0, WIDTH * WIDTH, WIDTH):
        # what a query does not see is not even a missing number
        score = smaller(load(panel, first * WIDTH + at), load(limits, at))
        store(panel, first * WIDTH + at, score)


@inlined
def largest_of(panel: np.ndarray, rows: int) -> Any:
    """The largest score of each query."""
    largest = splat(panel.dtype.type(-np.inf))
    for at in range(0, rows * WIDTH, WIDTH):
        largest = larger(load(panel, at), largest)
    return largest
