"""Products of small matrices, a tile of the result at a time in the registers of the processor.

Matrices are read where they lie, an element or a row apart as the caller says, and are added up in
tiles of ``TALL`` rows and one or two times ``WIDTH`` columns. Places are counted in numbers from
the start of a contiguous array, and are not checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import ROUNDED_ONCE, WIDTH, _alike
from archsearch.kernels.sums import add_products

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

        def place(i: int) -> Any:
            data = context.make_array(kinds[i])(context, builder, values[i]).data
            return builder.gep(data, [whole(i + 1)])

        def whole(i: int) -> Any:
            return context.cast(builder, values[i], kinds[i], types.intp)

        given = [place(0), whole(2), whole(3), place(4), whole(6), place(7), whole(9), whole(10)]
        given.append(context.cast(builder, values[11], kinds[11], y.dtype))
        function = _function(builder.module, number, y.dtype.bitwidth // 8, wide, adds)
        builder.call(function, given)
        return context.get_dummy_value()

    arguments = (a, a_at, a_row, a_column, b, b_at, b_row, y, y_at, y_row, count, share)
    return types.void(*arguments, across, joined), code


def _function(module: Any, number: Any, size: int, wide: int, adds: int) -> Any:
    """A tile as a function of its own, compiled once however many products there are."""
    name = f"archsearch_tile_{size}_{wide}_{adds}"
    if name in module.globals:
        return module.globals[name]
    place, whole = number.as_pointer(), ir.IntType(64)
    kind = ir.FunctionType(
        ir.VoidType(), [place, whole, whole, place, whole, place, whole, whole, number]
    )
    function = ir.Function(module, kind, name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    builder = ir.IRBuilder(function.append_basic_block())
    first, down, along, second, below, target, under, count, share = function.args
    lanes = ir.VectorType(number, WIDTH)

    def vector(at: Any) -> Any:
        return builder.bitcast(at, lanes.as_pointer())

    rows = [builder.gep(first, [builder.mul(down, whole(r))]) for r in range(TALL)]
    places = [
        [
            vector(builder.gep(target, [builder.add(builder.mul(under, whole(r)), whole(c))]))
            for c in range(0, wide * WIDTH, WIDTH)
        ]
        for r in range(TALL)
    ]
    kept = _alike(builder, lanes, share)

    def before(place: Any) -> Any:
        if not adds:
            return ir.Constant(lanes, [0.0] * WIDTH)
        return builder.fmul(builder.load(place, align=size), kept, flags=ROUNDED_ONCE)

    def factors(s: Any) -> list[Any]:
        step = builder.mul(s, along)
        return [builder.gep(row, [step]) for row in rows]

    def vectors(s: Any) -> list[Any]:
        row = builder.gep(second, [builder.mul(s, below)])
        return [vector(builder.gep(row, [whole(c)])) for c in range(0, wide * WIDTH, WIDTH)]

    add_products(builder, places, before, factors, vectors, count, size)
    builder.ret_void()
    return function
