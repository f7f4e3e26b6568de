"""Products of small matrices, a tile of the result at a time in the registers of the processor.

Matrices are read where they lie, an element or a row apart as the caller says, and are added up in
tiles of ``TALL`` rows and one or two times ``WIDTH`` columns. Places are counted in numbers from
the start of a contiguous array, and are not checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from archsearch.kernels.lanes import ROUNDED_ONCE, WIDTH
from archsearch.kernels.vector_math import inlined

TALL = 8


@inlined
def multiply(
    a: np.ndarray,
    a_at: int,
    a_row: int,
    a_column: int,
    b: np.ndarray,
    b_at: int,
    b_row: int,
    y: np.ndarray,
    y_at: int,
    y_row: int,
    rows: int,
    columns: int,
    count: int,
) -> None:
    """Write a b to y (rows, columns), where a has ``count`` columns.

    ``rows`` is a multiple of ``TALL``, ``columns`` one of ``WIDTH``.
    """
    for r in range(0, rows, TALL):
        a_, y_ = a_at + r * a_row, y_at + r * y_row
        for c in range(0, columns - WIDTH, 2 * WIDTH):
            _tile(a, a_, a_row, a_column, b, b_at + c, b_row, y, y_ + c, y_row, count, 0.0, 2, 0)
        if columns % (2 * WIDTH):
            c = columns - WIDTH
            _tile(a, a_, a_row, a_column, b, b_at + c, b_row, y, y_ + c, y_row, count, 0.0, 1, 0)


@inlined
def join(
    share: float,
    a: np.ndarray,
    a_at: int,
    a_row: int,
    a_column: int,
    b: np.ndarray,
    b_at: int,
    b_row: int,
    y: np.ndarray,
    y_at: int,
    y_row: int,
    rows: int,
    columns: int,
    count: int,
) -> None:
    """Write share y + a b to y."""
    for r in range(0, rows, TALL):
        a_, y_ = a_at + r * a_row, y_at + r * y_row
        for c in range(0, columns - WIDTH, 2 * WIDTH):
            _tile(a, a_, a_row, a_column, b, b_at + c, b_row, y, y_ + c, y_row, count, share, 2, 1)
        if columns % (2 * WIDTH):
            c = columns - WIDTH
            _tile(a, a_, a_row, a_column, b, b_at + c, b_row, y, y_ + c, y_row, count, share, 1, 1)


@intrinsic
def _tile(
    _typing: Any,
    a: Any,
    a_at: Any,
    a_row: Any,
    a_column: Any,
    b: Any,
    b_at: Any,
    b_row: Any,
    y: Any,
    y_at: Any,
    y_row: Any,
    count: Any,
    share: Any,
    across: Any,
    joined: Any,
) -> Any:
    """``TALL`` rows of ``across`` vectors; ``across`` and ``joined`` are written out."""
    if not isinstance(across, types.IntegerLiteral) or not isinstance(joined, types.IntegerLiteral):
        return None
    wide, adds = across.literal_value, joined.literal_value

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        number = context.get_value_type(y.dtype)
        lanes, size = ir.VectorType(number, WIDTH), y.dtype.bitwidth // 8

        def data(i: int) -> Any:
            return context.make_array(kinds[i])(context, builder, values[i]).data

        def whole(i: int) -> Any:
            return context.cast(builder, values[i], kinds[i], types.intp)

        def vector(at: Any) -> Any:
            return builder.bitcast(at, lanes.as_pointer())

        def times(position: Any, factor: Any) -> Any:
            return builder.mul(position, factor)

        def spread(one: Any) -> Any:
            nothing = ir.Constant(lanes, ir.Undefined)
            first = builder.insert_element(nothing, one, ir.Constant(ir.IntType(32), 0))
            same = ir.Constant(ir.VectorType(ir.IntType(32), WIDTH), [0] * WIDTH)
            return builder.shuffle_vector(first, nothing, same)

        a_row_, a_column_, b_row_, y_row_ = whole(2), whole(3), whole(6), whole(9)
        rows = [
            builder.gep(
                data(0), [builder.add(whole(1), times(a_row_, ir.Constant(a_row_.type, r)))]
            )
            for r in range(TALL)
        ]
        second = builder.gep(data(4), [whole(5)])
        target = builder.gep(data(7), [whole(8)])
        places = [
            builder.gep(
                target,
                [
                    builder.add(
                        times(y_row_, ir.Constant(y_row_.type, r)),
                        ir.Constant(y_row_.type, c * WIDTH),
                    )
                ],
            )
            for r in range(TALL)
            for c in range(wide)
        ]
        sums = [cgutils.alloca_once(builder, lanes) for _ in places]
        if adds:
            kept = spread(context.cast(builder, values[11], kinds[11], y.dtype))
        for held, place in zip(sums, places, strict=True):
            if adds:
                before = builder.load(vector(place), align=size)
                builder.store(builder.fmul(before, kept, flags=ROUNDED_ONCE), held)
            else:
                builder.store(ir.Constant(lanes, [0.0] * WIDTH), held)
        with cgutils.for_range(builder, whole(10)) as loop:
            row = builder.gep(second, [times(loop.index, b_row_)])
            columns = [
                builder.load(
                    vector(builder.gep(row, [ir.Constant(b_row_.type, c * WIDTH)])), align=size
                )
                for c in range(wide)
            ]
            along = times(loop.index, a_column_)
            for r in range(TALL):
                factor = spread(builder.load(builder.gep(rows[r], [along])))
                for c in range(wide):
                    held = sums[r * wide + c]
                    part = builder.fmul(factor, columns[c], flags=ROUNDED_ONCE)
                    builder.store(builder.fadd(builder.load(held), part, flags=ROUNDED_ONCE), held)
        for held, place in zip(sums, places, strict=True):
            builder.store(builder.load(held), vector(place), align=size)
        return context.get_dummy_value()

    arguments = (a, a_at, a_row, a_column, b, b_at, b_row, y, y_at, y_row, count, share)
    return types.void(*arguments, across, joined), code
