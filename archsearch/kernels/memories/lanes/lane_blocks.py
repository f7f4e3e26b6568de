"""Products of small matrices that stay in the registers of the processor, sixteen rows at once.

The rows of a block are :class:`archsearch.kernels.lanes.Lanes`. Places are counted as there, and
not checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, overload

from archsearch.kernels.lane_functions import share
from archsearch.kernels.lanes import ROUNDED_ONCE, WIDTH, Lanes, _alike, _function, splat
from archsearch.kernels.sums import add_products, even_parts, held


@intrinsic
def multiply(
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
) -> Any:
    """Write the sums over s < ``depth`` of a[i, s] b[s, :] to the rows i < ``WIDTH`` of c.

    Row i of a begins at ``at`` + i ``down``, its numbers ``along`` apart, so that a may be read
    turned; rows of b and c, of ``WIDTH`` numbers, lie ``below`` and ``under`` apart.
    """
    return types.void(a, at, down, along, b, bt, below, c, ct, under, depth), _code(False)


@intrinsic
def accumulate(
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
) -> Any:
    """Add to c what :func:`multiply` would write."""
    return types.void(a, at, down, along, b, bt, below, c, ct, under, depth), _code(True)


def _code(added: bool) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        number = context.get_value_type(kinds[0].dtype)
        lanes, size = ir.VectorType(number, WIDTH), int(kinds[0].dtype.bitwidth // 8)

        def whole(place: int) -> Any:
            return context.cast(builder, values[place], kinds[place], types.intp)

        def start(place: int) -> Any:
            data = context.make_array(kinds[place])(context, builder, values[place]).data
            return cgutils.gep(builder, data, whole(place + 1))

        def wide(data: Any, at: Any) -> Any:
            return builder.bitcast(cgutils.gep(builder, data, at), lanes.as_pointer())

        a, b, c = start(0), start(4), start(7)
        down, along, below, under, depth = map(whole, (2, 3, 6, 9, 10))
        rows = [[wide(c, builder.mul(under, under.type(i)))] for i in range(WIDTH)]
        across = [builder.mul(down, down.type(i)) for i in range(WIDTH)]

        def first(place: Any) -> Any:
            return builder.load(place, align=size) if added else ir.Constant(lanes, [0.0] * WIDTH)

        def factors(s: Any) -> list[Any]:
            here = cgutils.gep(builder, a, builder.mul(s, along))
            return [cgutils.gep(builder, here, i) for i in across]

        def vectors(s: Any) -> list[Any]:
            return [wide(b, builder.mul(s, below))]

        add_products(builder, rows, first, factors, vectors, depth, size)
        return context.get_dummy_value()

    return code


@intrinsic
def accumulate_lower(
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
) -> Any:
    """Add to c the sums over s <= i < ``WIDTH`` of a[i, s] b[s, :], arrays as in :func:`multiply`.

    What is above the diagonal is not read: a missing number there stays there. c lies elsewhere
    than a and b.
    """
    return types.void(a, at, down, along, b, bt, below, c, ct, under), _triangle(
        lambda s: range(s, WIDTH)
    )


@intrinsic
def accumulate_upper(
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
) -> Any:
    """The same over i <= s < ``WIDTH``."""
    return types.void(a, at, down, along, b, bt, below, c, ct, under), _triangle(
        lambda s: range(s + 1)
    )


def _triangle(rows_of: Callable[[int], range]) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        number = context.get_value_type(kinds[0].dtype)
        lanes, size = ir.VectorType(number, WIDTH), int(kinds[0].dtype.bitwidth // 8)

        def start(place: int) -> Any:
            data = context.make_array(kinds[place])(context, builder, values[place]).data
            at = context.cast(builder, values[place + 1], kinds[place + 1], types.intp)
            return cgutils.gep(builder, data, at)

        def steps(place: int) -> list[Any]:
            apart = context.cast(builder, values[place], kinds[place], types.intp)
            return [builder.mul(apart, apart.type(i)) for i in range(WIDTH)]

        def wide(data: Any, at: Any) -> Any:
            return builder.bitcast(cgutils.gep(builder, data, at), lanes.as_pointer())

        a, b, c = start(0), start(4), start(7)
        down, along, below, under = map(steps, (2, 3, 6, 9))
        rows = [wide(c, at) for at in under]
        for part in even_parts(WIDTH, held(8 * size)):
            sums = {i: builder.load(rows[i], align=size) for i in range(WIDTH)[part]}
            for s in range(WIDTH):
                own = [i for i in rows_of(s) if i in sums]
                if not own:
                    continue
                other, here = (
                    builder.load(wide(b, below[s]), align=size),
                    cgutils.gep(builder, a, along[s]),
                )
                for i in own:
                    one = _alike(builder, lanes, builder.load(cgutils.gep(builder, here, down[i])))
                    product = builder.fmul(one, other, flags=ROUNDED_ONCE)
                    sums[i] = builder.fadd(product, sums[i], flags=ROUNDED_ONCE)
            for i, sum_ in sums.items():
                builder.store(sum_, rows[i], align=size)
        return context.get_dummy_value()

    return code


@intrinsic
def root(_typing: Any, lanes: Any) -> Any:
    """The square root of each number."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        bits = signature.return_type.dtype.bitwidth
        function = _function(builder, ir.FunctionType(kind, [kind]), f"llvm.sqrt.v{WIDTH}f{bits}")
        return builder.call(function, values)

    return lanes(lanes), code


@intrinsic
def row_sums(_typing: Any, array: Any, at: Any, apart: Any) -> Any:
    """The sums of the ``WIDTH`` rows that begin ``apart`` from ``at``, as lanes."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = signature.args
        data = context.make_array(kinds[0])(context, builder, values[0]).data
        kind = ir.VectorType(context.get_value_type(kinds[0].dtype), WIDTH)
        begin, step = (context.cast(builder, values[i], kinds[i], types.intp) for i in (1, 2))
        rows = []
        for i in range(WIDTH):
            place = cgutils.gep(builder, data, builder.add(begin, builder.mul(step, step.type(i))))
            place = builder.bitcast(place, kind.as_pointer())
            rows.append(builder.load(place, align=int(kinds[0].dtype.bitwidth // 8)))
        order = ir.VectorType(ir.IntType(32), WIDTH)
        even, odd = (ir.Constant(order, list(range(i, 2 * WIDTH, 2))) for i in (0, 1))
        # four times over, two rows are added in pairs of neighbours and joined to one
        while len(rows) > 1:
            rows = [
                builder.fadd(*(builder.shuffle_vector(one, other, part) for part in (even, odd)))
                for one, other in zip(rows[::2], rows[1::2], strict=True)
            ]
        return rows[0]

    return Lanes(array.dtype)(array, at, apart), code


@intrinsic
def larger(_typing: Any, a: Any, b: Any) -> Any:
    """The larger number of each two."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        a, b = values
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

    return a(a, b), code


@intrinsic
def smaller(_typing: Any, a: Any, b: Any) -> Any:
    """The smaller number of each two, ``b`` where one is missing."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        a, b = values
        return builder.select(builder.fcmp_ordered("<", a, b), a, b)

    return a(a, b), code


@intrinsic
def _powers(_typing: Any, lanes: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        function = _function(builder, ir.FunctionType(kind, [kind]), f"llvm.exp2.v{WIDTH}f64")
        return builder.call(function, values)

    return lanes(lanes), code


def raised(x: Any) -> Any:
    """2^x, in double precision number by number; compiled loops alone may call it."""
    raise NotImplementedError


@overload(raised)
def _raised(x: Any) -> Any:
    single = x.dtype == types.float32

    def short(x: Any) -> Any:
        # a comparison that is false lets a missing number through
        return share(smaller(splat(np.float32(127)), x))

    def long(x: Any) -> Any:
        return _powers(x)

    return short if single else long
