"""Sixteen numbers at once, which compiled loops keep in the registers of the processor.

A compiler makes vector instructions of a loop only where the loop is long and its arrays cannot
overlap. Memories of a small cell are neither, so their loops say what they want:

    sums = splat(zero)
    for i in range(rows):
        sums = fused(splat(weights[i]), load(table, i * WIDTH), sums)

Places are counted in numbers from the start of a contiguous array, and are not checked.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

WIDTH = 16
GROUP = 4  # lanes that :func:`turned` turns together

ROUNDED_ONCE = ("contract",)
# of 2^r, the highest power first: log(2)^k / k!
SERIES = [math.log(2.0) ** power / math.factorial(power) for power in range(7, -1, -1)]


class Lanes(types.Type):
    """``WIDTH`` numbers of a type."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, ir.VectorType(manager[kind.dtype].get_value_type(), WIDTH))


@intrinsic
def load(_typing: Any, array: Any, at: Any) -> Any:
    """The numbers at ``at`` and after it."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_place(context, builder, signature, values), align=_size(signature))

    return Lanes(array.dtype)(array, at), code


@intrinsic
def store(_typing: Any, array: Any, at: Any, lanes: Any) -> Any:
    """Write the numbers to ``at`` and after it."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        place = _place(context, builder, signature, values)
        builder.store(values[2], place, align=_size(signature))
        return context.get_dummy_value()

    return types.void(array, at, lanes), code


@intrinsic
def splat(_typing: Any, number: Any) -> Any:
    """The same number in every lane."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _alike(builder, context.get_value_type(signature.return_type), values[0])

    return Lanes(number)(number), code


@intrinsic
def repeated(_typing: Any, array: Any, at: Any) -> Any:
    """The number at ``at`` in every lane."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        at = context.cast(builder, values[1], signature.args[1], types.intp)
        number = builder.load(cgutils.gep(builder, data, at))
        return _alike(builder, context.get_value_type(signature.return_type), number)

    return Lanes(array.dtype)(array, at), code


@intrinsic
def product(_typing: Any, a: Any, b: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.fmul(*values, flags=ROUNDED_ONCE)

    return a(a, b), code


@intrinsic
def fused(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once where the processor can."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        a, b, c = values
        return builder.fadd(builder.fmul(a, b, flags=ROUNDED_ONCE), c, flags=ROUNDED_ONCE)

    return a(a, b, c), code


@intrinsic
def lessened(_typing: Any, a: Any, b: Any, c: Any) -> Any:
    """c - a b, rounded once where the processor can."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        a, b, c = values
        return builder.fsub(c, builder.fmul(a, b, flags=ROUNDED_ONCE), flags=ROUNDED_ONCE)

    return a(a, b, c), code


@intrinsic
def quotient(_typing: Any, a: Any, b: Any) -> Any:
    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.fdiv(*values)

    return a(a, b), code


@intrinsic
def power_of_two(_typing: Any, lanes: Any) -> Any:
    """2^x in single precision, within 2e-7 of its size; 2^-126 below that.

    2^n for the nearest whole n, times the series of 2^r for the rest, within half of zero.
    """

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        whole_kind = ir.VectorType(ir.IntType(32), WIDTH)

        def same(number: float) -> ir.Constant:
            return ir.Constant(kind, [ir.Constant(kind.element, number)] * WIDTH)

        def whole(number: int) -> ir.Constant:
            return ir.Constant(whole_kind, [_index(number)] * WIDTH)

        # comparisons that are false let a missing number through
        x = values[0]
        for sign, limit in (("<", -126.0), (">", 127.0)):
            outside = builder.fcmp_ordered(sign, x, same(limit))
            x = builder.select(outside, same(limit), x)
        rounding = ir.FunctionType(kind, [kind])
        n = builder.call(_function(builder, rounding, f"llvm.rint.v{WIDTH}f32"), [x])
        rest = builder.fsub(x, n)
        series = same(SERIES[0])
        for term in SERIES[1:]:
            product = builder.fmul(series, rest, flags=ROUNDED_ONCE)
            series = builder.fadd(product, same(term), flags=ROUNDED_ONCE)
        exponent = builder.add(builder.fptosi(n, whole_kind), whole(127))
        power = builder.bitcast(builder.shl(exponent, whole(23)), kind)
        return builder.fmul(series, power)

    return lanes(lanes), code


@intrinsic
def total(_typing: Any, lanes: Any) -> Any:
    """The sum over the lanes, in pairs."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        sums, count = values[0], WIDTH
        while count > 1:
            count //= 2
            halves = [
                builder.shuffle_vector(sums, sums, _indices(range(begin, begin + count)))
                for begin in (0, count)
            ]
            sums = builder.fadd(*halves)
        return builder.extract_element(sums, _index(0))

    return lanes.dtype(lanes), code


@intrinsic
def prefetch(_typing: Any, array: Any, at: Any) -> Any:
    """Ask for the numbers at ``at``, which need not exist, to be brought near."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        at = context.cast(builder, values[1], signature.args[1], types.intp)
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = _function(builder, kind, "llvm.prefetch.p0i8")
        place = builder.bitcast(cgutils.gep(builder, data, at), byte)
        # to be read, near, and data
        builder.call(function, [place, _index(0), _index(3), _index(1)])
        return context.get_dummy_value()

    return types.void(array, at), code


def _function(builder: Any, kind: ir.FunctionType, name: str) -> Any:
    return cgutils.get_or_insert_function(builder.module, kind, name)


@intrinsic
def turned(_typing: Any, lanes: Any, by: Any) -> Any:
    """In each group of four lanes, the number ``by`` places on, a whole number written out."""
    if not isinstance(by, types.IntegerLiteral):
        return None
    places = [at - at % GROUP + (at + by.literal_value) % GROUP for at in range(WIDTH)]

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.shuffle_vector(values[0], values[0], _indices(places))

    return lanes(lanes, by), code


def _alike(builder: Any, kind: ir.VectorType, number: Any) -> Any:
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, _index(0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), _indices([0] * WIDTH))


def _place(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    kind, position = signature.args[:2]
    data = context.make_array(kind)(context, builder, values[0]).data
    at = context.cast(builder, values[1], position, types.intp)
    lanes = ir.VectorType(context.get_value_type(kind.dtype), WIDTH)
    return builder.bitcast(cgutils.gep(builder, data, at), lanes.as_pointer())


def _size(signature: Any) -> int:
    """Bytes of a number, which is all that an array's place is a multiple of."""
    return int(signature.args[0].dtype.bitwidth // 8)


def _index(value: int) -> ir.Constant:
    return ir.Constant(ir.IntType(32), value)


def _indices(values: Any) -> ir.Constant:
    values = list(values)
    return ir.Constant(ir.VectorType(ir.IntType(32), len(values)), values)
