"""Sums of numbers times vectors, of which loops keep as many at once as the processor has room for.

A tile of sums is read and written once, however many products it is made of, if all of it is in
registers, and at every product if not: a quarter of the speed. Thirty-two registers of sixteen
numbers hold four times what sixteen of eight do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from archsearch.kernels.lanes import ROUNDED_ONCE, WIDTH, _alike
from archsearch.kernels.registers import registers


def held(bits: int) -> int:
    """How many sums of ``WIDTH`` numbers of so many bits there is room for beside their factors."""
    count, size = registers()
    each = WIDTH * bits // size
    return max(1, (count - each - 1) // each)


def even_parts(count: int, most: int) -> list[slice]:
    """As few parts of ``count`` as have at most ``most`` each, none much smaller than another."""
    parts = -(-count // most)
    ends = [count * part // parts for part in range(parts + 1)]
    return [slice(begin, end) for begin, end in itertools.pairwise(ends)]


def add_products(
    builder: Any,
    places: list[list[Any]],
    first: Callable[[Any], Any],
    factors: Callable[[Any], list[Any]],
    vectors: Callable[[Any], list[Any]],
    depth: Any,
    align: int,
) -> None:
    """Write first(place) + sum_s factors(s)[i] vectors(s)[c] to row i, column c of ``places``.

    All of these are what places code: ``first`` a vector's value before, ``factors`` and
    ``vectors`` where the numbers of all rows and the vectors of all columns lie at s < ``depth``.
    """
    kind = places[0][0].type.pointee
    rows, columns = len(places), len(places[0])
    room = held(32 if kind.element == ir.FloatType() else 64)
    wide = columns if rows * columns <= room else 1
    for across in even_parts(rows, room // wide):
        for column in range(0, columns, wide):
            here = across, slice(column, column + wide)
            _add(builder, kind, places, here, first, factors, vectors, depth, align)


def _add(
    builder: Any,
    kind: Any,
    places: list[list[Any]],
    part: tuple[slice, slice],
    first: Callable[[Any], Any],
    factors: Callable[[Any], list[Any]],
    vectors: Callable[[Any], list[Any]],
    depth: Any,
    align: int,
) -> None:
    across, along = part
    chosen = [row[along] for row in places[across]]
    sums = [[cgutils.alloca_once(builder, kind) for _ in row] for row in chosen]
    for row, parts in zip(chosen, sums, strict=True):
        for place, sum_ in zip(row, parts, strict=True):
            builder.store(first(place), sum_)
    with cgutils.for_range(builder, depth) as loop:
        others = [builder.load(place, align=align) for place in vectors(loop.index)[along]]
        for place, parts in zip(factors(loop.index)[across], sums, strict=True):
            one = _alike(builder, kind, builder.load(place))
            for other, sum_ in zip(others, parts, strict=True):
                product = builder.fmul(one, other, flags=ROUNDED_ONCE)
                total = builder.fadd(product, builder.load(sum_), flags=ROUNDED_ONCE)
                builder.store(total, sum_)
    for row, parts in zip(chosen, sums, strict=True):
        for place, sum_ in zip(row, parts, strict=True):
            builder.store(builder.load(sum_), place, align=align)
