"""Products of matrices of any number of rows, whose sums stay in the registers of the processor.

Places are counted as in :mod:`archsearch.kernels.lanes`, and not checked.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from archsearch.kernels import sums
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH

ROWS, LANES = 4, 4  # of a tile: sixteen sums, none of which waits for another
SPAN = LANES * WIDTH
DEPTH = 64  # terms whose other factors, (DEPTH, SPAN), stay in the nearest cache


@intrinsic
def add_tile(
    _typing: Any,
    a: Any,
    at: Any,
    down: Any,
    along: Any,
    b: Any,
    bt: Any,
    below: Any,
    c: Any,
    ct: Any,
    under: Any,
    depth: Any,
    rows: Any,
    lanes: Any,
) -> Any:
    """Add the sums over s < ``depth`` of a[i, s] b[s, :] to the rows i < ``rows`` of c.

    Row i of a begins at ``at`` + i ``down``, its numbers ``along`` apart, so that a may be read
    turned; rows of b and c, ``lanes`` times ``WIDTH`` numbers, lie ``below`` and ``under`` apart.
    ``rows`` and ``lanes`` are written out.
    """
    if not all(isinstance(number, types.IntegerLiteral) for number in (rows, lanes)):
        return None
    high, wide = rows.literal_value, lanes.literal_value

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        kind = ir.VectorType(context.get_value_type(kinds[0].dtype), WIDTH)
        size = int(kinds[0].dtype.bitwidth // 8)

        def whole(place: int) -> Any:
            return context.cast(builder, values[place], kinds[place], types.intp)

        def start(place: int) -> Any:
            data = context.make_array(kinds[place])(context, builder, values[place]).data
            return cgutils.gep(builder, data, whole(place + 1))

        def row(data: Any, at: Any) -> list[Any]:
            place = builder.bitcast(cgutils.gep(builder, data, at), kind.as_pointer())
            return [builder.gep(place, [ir.Constant(at.type, i)]) for i in range(wide)]

        a, b, c = start(0), start(4), start(7)
        down, along, below, under, depth = map(whole, (2, 3, 6, 9, 10))
        places = [row(c, builder.mul(under, under.type(i))) for i in range(high)]
        across = [builder.mul(down, down.type(i)) for i in range(high)]

        def first(place: Any) -> Any:
            return builder.load(place, align=size)

        def factors(s: Any) -> list[Any]:
            here = cgutils.gep(builder, a, builder.mul(s, along))
            return [cgutils.gep(builder, here, far) for far in across]

        def vectors(s: Any) -> list[Any]:
            return row(b, builder.mul(s, below))

        sums.add_products(builder, places, first, factors, vectors, depth, size)
        return context.get_dummy_value()

    given = (a, at, down, along, b, bt, below, c, ct, under, depth, rows, lanes)
    return types.void(*given), code


@inlined
def add_products(
    a: np.ndarray, at: int, down: int, along: int, b: np.ndarray, bt: int, below: int,
    c: np.ndarray, ct: int, under: int, rows: int, depth: int, columns: int,
) -> None:  # fmt: skip
    """Add to c what :func:`add_tile` would, of any ``rows`` and ``columns``, a multiple of
    ``WIDTH``; all arrays are flat.
    """
    tiled, spanned = rows - rows % ROWS, columns - columns % SPAN
    for begin in range(0, depth, DEPTH):
        near = min(DEPTH, depth - begin)
        left, right = at + begin * along, bt + begin * below
        for column in range(0, spanned, SPAN):
            for row in range(0, tiled, ROWS):
                add_tile(
                    a, left + row * down, down, along, b, right + column, below,
                    c, ct + row * under + column, under, near, ROWS, LANES,
                )  # fmt: skip
            for row in range(tiled, rows):
                add_tile(
                    a, left + row * down, down, along, b, right + column, below,
                    c, ct + row * under + column, under, near, 1, LANES,
                )  # fmt: skip
        for column in range(spanned, columns, WIDTH):
            for row in range(0, tiled, ROWS):
                add_tile(
                    a, left + row * down, down, along, b, right + column, below,
                    c, ct + row * under + column, under, near, ROWS, 1,
                )  # fmt: skip
            for row in range(tiled, rows):
                add_tile(
                    a, left + row * down, down, along, b, right + column, below,
                    c, ct + row * under + column, under, near, 1, 1,
                )  # fmt: skip
