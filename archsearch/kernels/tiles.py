"""Small matrices that compiled loops keep in the registers of the processor.

A tile is a number of rows of eight or sixteen numbers, both written out where it is made, so that
the compiler gives each row a register and writes a loop over rows out. One of one row counts for
every row of another:

    memory = fused(columns(key, 0, 16, 16), load(value, 0, 0, 1, 16), memory)
    answer = summed(product(columns(query, 0, 16, 16), memory))

adds the outer product of a key and a value to a memory and asks it. Places are counted in numbers
from the start of a contiguous array, and are not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from archsearch.kernels.lane_functions import _share
from archsearch.kernels.lanes import ROUNDED_ONCE

ACCUMULATORS = 4  # sums at once, none of which waits for another


class Tile(types.Type):
    """``rows`` rows of ``lanes`` numbers of a type."""

    def __init__(self, dtype: Any, rows: int, lanes: int) -> None:
        self.dtype, self.rows, self.lanes = dtype, rows, lanes
        super().__init__(name=f"Tile({dtype}, {rows}, {lanes})")


@register_model(Tile)
class _TileModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Tile) -> None:
        number = manager[kind.dtype].get_value_type()
        row = ir.VectorType(number, kind.lanes)
        super().__init__(manager, kind, ir.ArrayType(row, kind.rows))


@intrinsic
def load(_typing: Any, array: Any, at: Any, apart: Any, rows: Any, lanes: Any) -> Any:
    """The rows that begin at ``at`` and every ``apart`` numbers after it."""
    if not _written_out(rows, lanes):
        return None
    kind = Tile(array.dtype, rows.literal_value, lanes.literal_value)

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        places = _places(context, builder, signature, values, kind)
        loaded = [builder.load(place, align=_bytes(kind)) for place in places]
        return _together(context, builder, kind, loaded)

    return kind(array, at, apart, rows, lanes), code


@intrinsic
def store(_typing: Any, array: Any, at: Any, apart: Any, tile: Any) -> Any:
    """Write the rows to ``at`` and every ``apart`` numbers after it."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        places = _places(context, builder, signature, values, tile)
        for row, place in zip(_rows(builder, tile, values[3]), places, strict=True):
            builder.store(row, place, align=_bytes(tile))
        return context.get_dummy_value()

    return types.void(array, at, apart, tile), code


@intrinsic
def columns(_typing: Any, array: Any, at: Any, rows: Any, lanes: Any) -> Any:
    """The numbers from ``at`` on, each of them all along a row of its own."""
    if not _written_out(rows, lanes):
        return None
    kind = Tile(array.dtype, rows.literal_value, lanes.literal_value)

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        begin = context.cast(builder, values[1], signature.args[1], types.intp)
        vector = context.get_value_type(kind).element
        alike = ir.Constant(ir.VectorType(ir.IntType(32), kind.lanes), [0] * kind.lanes)
        spread = []
        for row in range(kind.rows):
            place = cgutils.gep(builder, data, builder.add(begin, ir.Constant(begin.type, row)))
            undefined = ir.Constant(vector, ir.Undefined)
            first = ir.Constant(ir.IntType(32), 0)
            one = builder.insert_element(undefined, builder.load(place), first)
            spread.append(builder.shuffle_vector(one, undefined, alike))
        return _together(context, builder, kind, spread)

    return kind(array, at, rows, lanes), code


@intrinsic
def product(_typing: Any, a: Any, b: Any) -> Any:
    """a b, number by number."""
    return _each(a, b), _rowwise(_multiplied)


@intrinsic
def fused(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once where the processor can."""

    def code(builder: Any, a: Any, b: Any, c: Any) -> Any:
        return builder.fadd(_multiplied(builder, a, b), c, flags=ROUNDED_ONCE)

    return _each(a, b, c), _rowwise(code)


@intrinsic
def lessened(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """c - a b, rounded once where the processor can."""

    def code(builder: Any, a: Any, b: Any, c: Any) -> Any:
        return builder.fsub(c, _multiplied(builder, a, b), flags=ROUNDED_ONCE)

    return _each(a, b, c), _rowwise(code)


@intrinsic
def less(_typing: Any, a: Any, b: Any) -> Any:
    """a - b, number by number."""

    def code(builder: Any, a: Any, b: Any) -> Any:
        return builder.fsub(a, b, flags=ROUNDED_ONCE)

    return _each(a, b), _rowwise(code)


@intrinsic
def plus(_typing: Any, a: Any, b: Any) -> Any:
    """a + b, number by number."""

    def code(builder: Any, a: Any, b: Any) -> Any:
        return builder.fadd(a, b, flags=ROUNDED_ONCE)

    return _each(a, b), _rowwise(code)


@intrinsic
def quotient(_typing: Any, a: Any, b: Any) -> Any:
    """a / b, number by number."""

    def code(builder: Any, a: Any, b: Any) -> Any:
        return builder.fdiv(a, b)

    return _each(a, b), _rowwise(code)


@intrinsic
def larger(_typing: Any, a: Any, b: Any) -> Any:
    """The larger of a and b, b where one of them is missing."""

    def code(builder: Any, a: Any, b: Any) -> Any:
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return _each(a, b), _rowwise(code)


@intrinsic
def share(_typing: Any, tile: Any) -> Any:
    """2^x of sixteen lanes that are not positive, as in ``lane_functions``."""
    return _each(tile), _rowwise(_share)


@intrinsic
def summed(_typing: Any, tile: Any) -> Any:
    """The sum of the rows, a tile of one row."""
    kind = Tile(tile.dtype, 1, tile.lanes)

    def code(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        rows = _rows(builder, tile, values[0])
        while len(rows) > 1:
            count = min(ACCUMULATORS, len(rows) // 2)
            sums = rows[:count]
            for at, row in enumerate(rows[count:]):
                sums[at % count] = builder.fadd(sums[at % count], row, flags=ROUNDED_ONCE)
            rows = sums
        return _together(context, builder, kind, rows)

    return kind(tile), code


@intrinsic
def total(_typing: Any, tile: Any) -> Any:
    """The sum over the numbers of a tile of one row, in pairs."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        (sums,), count = _rows(builder, tile, values[0]), tile.lanes
        while count > 1:
            count //= 2
            kind = ir.VectorType(ir.IntType(32), count)
            halves = [
                builder.shuffle_vector(
                    sums, sums, ir.Constant(kind, list(range(begin, begin + count)))
                )
                for begin in (0, count)
            ]
            sums = builder.fadd(*halves)
        return builder.extract_element(sums, ir.Constant(ir.IntType(32), 0))

    return tile.dtype(tile), code


def _written_out(*numbers: Any) -> bool:
    return all(isinstance(number, types.IntegerLiteral) for number in numbers)


def _multiplied(builder: Any, a: Any, b: Any) -> Any:
    return builder.fmul(a, b, flags=ROUNDED_ONCE)


def _each(*tiles: Any) -> Any:
    """What a function of the numbers of the tiles gives: as many rows as the largest has."""
    return max(tiles, key=lambda tile: tile.rows)(*tiles)


def _rowwise(function: Callable[..., Any]) -> Callable[..., Any]:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = signature.return_type
        tiles = [
            _rows(builder, tile, value) * (kind.rows // tile.rows)
            for tile, value in zip(signature.args, values, strict=True)
        ]
        found = [function(builder, *row) for row in zip(*tiles, strict=True)]
        return _together(context, builder, kind, found)

    return code


def _rows(builder: Any, kind: Tile, tile: Any) -> list[Any]:
    return [builder.extract_value(tile, row) for row in range(kind.rows)]


def _together(context: Any, builder: Any, kind: Tile, rows: list[Any]) -> Any:
    tile = ir.Constant(context.get_value_type(kind), ir.Undefined)
    for at, row in enumerate(rows):
        tile = builder.insert_value(tile, row, at)
    return tile


def _places(context: Any, builder: Any, signature: Any, values: Any, kind: Tile) -> list[Any]:
    data = context.make_array(signature.args[0])(context, builder, values[0]).data
    begin, apart = (context.cast(builder, values[i], signature.args[i], types.intp) for i in (1, 2))
    pointer = context.get_value_type(kind).element.as_pointer()
    places = []
    for row in range(kind.rows):
        at = builder.add(begin, builder.mul(apart, ir.Constant(apart.type, row)))
        places.append(builder.bitcast(cgutils.gep(builder, data, at), pointer))
    return places


def _bytes(kind: Tile) -> int:
    """Bytes of a number, which is all that an array's place is a multiple of."""
    return int(kind.dtype.bitwidth // 8)
