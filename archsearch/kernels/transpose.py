"""Turns small matrices within the registers of the processor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from archsearch.kernels.lanes import WIDTH, _indices
from archsearch.kernels.registers import registers

LANE = 128  # bits that a processor shuffles cheaply, however long its registers


@intrinsic
def transpose(
    _typing: Any, source: Any, at: Any, across: Any, target: Any, to: Any, along: Any
) -> Any:
    """Write a square of ``WIDTH`` rows, ``across`` apart from ``at``, with its columns as rows.

    They come to lie ``along`` apart from ``to``, elsewhere than the square.
    """

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        number = context.get_value_type(signature.args[0].dtype)
        bits = int(signature.args[0].dtype.bitwidth)
        size = min(WIDTH, registers()[1] // bits)
        kind = ir.VectorType(number, size).as_pointer()

        def places(array: int, row: int, column: int) -> Iterator[Any]:
            kinds = signature.args[array : array + 3]
            data = context.make_array(kinds[0])(context, builder, values[array]).data
            begin, apart = (
                context.cast(builder, values[array + 1 + i], kinds[1 + i], types.intp)
                for i in range(2)
            )
            for i in range(row, row + size):
                far = builder.add(builder.mul(apart, apart.type(i)), apart.type(column))
                yield builder.bitcast(cgutils.gep(builder, data, builder.add(begin, far)), kind)

        for row in range(0, WIDTH, size):
            for column in range(0, WIDTH, size):
                rows = [builder.load(place, align=bits // 8) for place in places(0, row, column)]
                turned = _turned(builder, rows, LANE // bits)
                for part, place in zip(turned, places(3, column, row), strict=True):
                    builder.store(part, place, align=bits // 8)
        return context.get_dummy_value()

    return types.void(source, at, across, target, to, along), code


def _turned(builder: Any, rows: list[Any], lane: int) -> list[Any]:
    """The columns of a square whose rows are vectors, in lanes of so many numbers."""
    size, half = len(rows), lane // 2
    while half:
        dealt = []
        for first in range(0, size, lane):
            # rows that are half a lane apart are dealt out one by one in turn
            for i in range(first, first + lane // 2):
                both = rows[i], rows[i + lane // 2]
                for begin in (0, lane // 2):
                    order = [
                        at + begin + place // 2 + size * (place % 2)
                        for at in range(0, size, lane)
                        for place in range(lane)
                    ]
                    dealt.append(builder.shuffle_vector(*both, _indices(order)))
        rows, half = dealt, half // 2
    apart = lane
    while apart < size:
        swapped = list(rows)
        for i in range(size):
            if i & apart == 0:
                both = rows[i], rows[i + apart]
                low = [j if j & apart == 0 else size + j - apart for j in range(size)]
                high = [j + apart if j & apart == 0 else size + j for j in range(size)]
                swapped[i] = builder.shuffle_vector(*both, _indices(low))
                swapped[i + apart] = builder.shuffle_vector(*both, _indices(high))
        rows, apart = swapped, 2 * apart
    return rows
