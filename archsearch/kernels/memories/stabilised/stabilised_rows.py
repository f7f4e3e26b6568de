"""What the loops of a stabilised memory do with the rows of a chunk of ``WIDTH`` positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, splat, store
from archsearch.kernels.transpose import transpose

LINE = 64  # bytes


@inlined
def blank(count: int, like: np.ndarray) -> np.ndarray:
    """Zeros that begin where a line of the cache does."""
    room = np.zeros(count + LINE // like.itemsize, like.dtype)
    begin = -room.ctypes.data % LINE // like.itemsize
    return room[begin : begin + count]


@inlined
def gather(
    x: np.ndarray, at: int, apart: int, size: int, count: int, y: np.ndarray, wide: int
) -> None:
    """Copy ``count`` rows of ``size`` to rows of ``wide``, and put zeros in the rest of a chunk."""
    for i in range(count):
        if size == wide:
            for c in range(0, wide, WIDTH):
                store(y, i * wide + c, load(x, at + i * apart + c))
        else:
            for c in range(size):
                y[i * wide + c] = x[at + i * apart + c]
            for c in range(size, wide):
                y[i * wide + c] = 0
    for i in range(count * wide, WIDTH * wide):
        y[i] = 0


@inlined
def scatter(
    x: np.ndarray, wide: int, count: int, y: np.ndarray, at: int, apart: int, size: int
) -> None:
    """Copy rows of ``wide`` to ``count`` shorter ones."""
    for i in range(count):
        if size == wide:
            for c in range(0, wide, WIDTH):
                store(y, at + i * apart + c, load(x, i * wide + c))
        else:
            for c in range(size):
                y[at + i * apart + c] = x[i * wide + c]


@inlined
def turn(x: np.ndarray, at: int, apart: int, rows: int, columns: int, y: np.ndarray) -> None:
    """Write x (rows, columns) turned, both sizes multiples of ``WIDTH``, its rows ``apart``."""
    for i in range(0, rows, WIDTH):
        for j in range(0, columns, WIDTH):
            transpose(x, at + i * apart + j, apart, y, j * rows + i, rows)


@inlined
def totals(x: np.ndarray, turned: np.ndarray) -> Any:
    """The sums (C,) of the rows of x (C, C)."""
    transpose(x, 0, WIDTH, turned, 0, WIDTH)
    one = splat(x.dtype.type(1))
    even, odd = load(turned, 0), load(turned, WIDTH)
    for i in range(2 * WIDTH, WIDTH * WIDTH, 2 * WIDTH):
        even = fused(one, load(turned, i), even)
        odd = fused(one, load(turned, i + WIDTH), odd)
    return fused(one, even, odd)


@inlined
def sound(x: np.ndarray, wide: int, limit: int) -> int:
    """How many of the first ``limit`` rows of a chunk come before one with a missing number."""
    one, nothing = splat(x.dtype.type(1)), splat(x.dtype.type(0))
    sums = nothing
    for i in range(0, limit * wide, WIDTH):
        sums = fused(nothing, load(x, i), sums)
    store(x, WIDTH * wide, fused(one, sums, nothing))
    for i in range(WIDTH * wide, WIDTH * wide + WIDTH):
        if x[i] != x[i]:
            break
    else:
        return limit
    for i in range(limit * wide):
        if x[i] * 0 != 0:
            return i // wide
    return limit


@inlined
def spoil(x: np.ndarray, begin: int, end: int) -> None:
    for i in range(begin, end):
        x[i] = np.nan


@inlined
def foresee(rows: np.ndarray, begin: int, count: int) -> None:
    """Ask for so many numbers, which need not exist, to be brought nearer."""
    for i in range(begin, begin + count, WIDTH):
        _foresee(rows, i)


@intrinsic
def _foresee(_typing: Any, array: Any, at: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        at = context.cast(builder, values[1], signature.args[1], types.intp)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(cgutils.gep(builder, data, at), byte)
        # to be read, into the second cache, for the first holds what is worked on, and data
        hints = [ir.Constant(number, hint) for hint in (0, 2, 1)]
        builder.call(function, [place, *hints])
        return context.get_dummy_value()

    return types.void(array, at), code


@intrinsic
def divisor(_typing: Any, sums: Any, least: Any) -> Any:
    """The size of a sum, or the least divisor if that is larger."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        size = _size(builder, values[0])
        return builder.select(builder.fcmp_ordered("<", size, values[1]), values[1], size)

    return sums(sums, least), code


@intrinsic
def direction(_typing: Any, sums: Any, least: Any) -> Any:
    """The slope of :func:`divisor` by the sum: its sign, or zero where the other is larger."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        sums, least = values
        nothing, one, other = (_alike(sums, number) for number in (0.0, 1.0, -1.0))
        sign = builder.select(builder.fcmp_ordered(">", sums, nothing), one, other)
        small = builder.fcmp_ordered("<", _size(builder, sums), least)
        return builder.select(small, nothing, sign)

    return sums(sums, least), code


@intrinsic
def inverse_root(_typing: Any, lanes: Any) -> Any:
    """One over the square root."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        kind = values[0].type
        name = f"llvm.sqrt.v{WIDTH}f{32 if lanes.dtype == types.float32 else 64}"
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind]), name
        )
        return builder.fdiv(_alike(values[0], 1.0), builder.call(function, [values[0]]))

    return lanes(lanes), code


def _size(builder: Any, x: Any) -> Any:
    negative = builder.fcmp_ordered("<", x, _alike(x, 0.0))
    return builder.select(negative, builder.fsub(_alike(x, 0.0), x), x)


def _alike(like: Any, number: float) -> ir.Constant:
    return ir.Constant(like.type, [ir.Constant(like.type.element, number)] * WIDTH)
