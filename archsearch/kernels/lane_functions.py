"""Functions of sixteen numbers at once, in single precision, beside those of ``lanes``."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from archsearch.kernels.lanes import ROUNDED_ONCE, WIDTH, Lanes, _indices, _place

LOG2_E = 1.4426950408889634
# 2^r = 1 + r q(r) within half of zero, to 1e-7; log(1 + e) = 2 s p(s^2) of s = e / (2 + e), to
# 4e-9: the polynomials whose largest relative error is least, the highest power first
POWER = (0.001326472731307149, 0.009671512991189957, 0.05550733581185341, 0.24022242426872253)
POWER += (0.6931470036506653,)
LOGARITHM = (0.2817833423614502, 0.27960601449012756, 0.40024909377098083, 0.6666631698608398)
LOGARITHM += (2.0,)
# added to a number below 2^22 it leaves the nearest whole number in the lowest bits
ROUNDER = 1.5 * 2.0**23


@intrinsic
def share(_typing: Any, lanes: Any) -> Any:
    """2^x of x that is not positive, within 2e-7 of its size; 2^-126 below that."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _share(builder, values[0])

    return lanes(lanes), code


@intrinsic
def positive_part(_typing: Any, lanes: Any) -> Any:
    """The larger of x and zero."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return _at_least(builder, values[0], 0.0)

    return lanes(lanes), code


@intrinsic
def softplus(_typing: Any, lanes: Any) -> Any:
    """log(1 + e^x), within 2e-6 of its size; 2^-126 where that is less."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        x = values[0]
        e = _fallen(builder, x)
        part = builder.fdiv(e, builder.fadd(e, _same(x, 2.0)))
        square = builder.fmul(part, part)
        logarithm = builder.fmul(part, _polynomial(builder, square, LOGARITHM))
        return builder.fadd(_at_least(builder, x, 0.0), logarithm)

    return lanes(lanes), code


@intrinsic
def sigmoid(_typing: Any, lanes: Any) -> Any:
    """1 / (1 + e^-x), the slope of :func:`softplus`, small values to their last bits."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        x = values[0]
        e, one = _fallen(builder, x), _same(x, 1.0)
        above = builder.select(builder.fcmp_ordered("<", x, _same(x, 0.0)), e, one)
        return builder.fdiv(above, builder.fadd(e, one))

    return lanes(lanes), code


@intrinsic
def hyperbolic(_typing: Any, lanes: Any) -> Any:
    """tanh within 1e-6 of its size: -e / (2 + e) of e = exp(-2 |x|) - 1, and the sign."""

    def code(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        x = values[0]
        negative = builder.fcmp_ordered("<", x, _same(x, 0.0))
        below = builder.select(negative, x, builder.fsub(_same(x, 0.0), x))
        rest, scale = _split(builder, builder.fmul(below, _same(x, 2 * LOG2_E)))
        power = builder.fmul(rest, _polynomial(builder, rest, POWER))
        gone = builder.fmul(scale, power, flags=ROUNDED_ONCE)
        gone = builder.fadd(gone, builder.fsub(scale, _same(x, 1.0)), flags=ROUNDED_ONCE)
        size = builder.fdiv(gone, builder.fsub(_same(x, -2.0), gone))
        return builder.select(negative, builder.fsub(_same(x, 0.0), size), size)

    return lanes(lanes), code


@intrinsic
def totals(_typing: Any, array: Any, at: Any) -> Any:
    """The sums of ``WIDTH`` rows of as many numbers that lie one after the other from ``at``."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        begin = _place(context, builder, signature, values)
        align = signature.args[0].dtype.bitwidth // 8
        rows = [
            builder.load(builder.gep(begin, [ir.Constant(ir.IntType(64), row)]), align=align)
            for row in range(WIDTH)
        ]
        half = WIDTH // 2
        # rows that are a half apart share lanes, halves of which are summed
        while half:
            kept = [
                [
                    start + place + WIDTH * part
                    for start in range(0, WIDTH, 2 * half)
                    for part in (0, 1)
                    for place in range(side, side + half)
                ]
                for side in (0, half)
            ]
            rows = [
                builder.fadd(
                    *(builder.shuffle_vector(one, other, _indices(places)) for places in kept)
                )
                for one, other in zip(rows[:half], rows[half:], strict=True)
            ]
            half //= 2
        return rows[0]

    return Lanes(array.dtype)(array, at), code


def _same(like: Any, number: float) -> ir.Constant:
    return ir.Constant(like.type, [ir.Constant(like.type.element, number)] * WIDTH)


def _at_least(builder: Any, x: Any, limit: float) -> Any:
    # a comparison that is false lets a missing number through
    least = _same(x, limit)
    return builder.select(builder.fcmp_ordered("<", x, least), least, x)


def _polynomial(builder: Any, x: Any, terms: tuple[float, ...]) -> Any:
    sums = _same(x, terms[0])
    for term in terms[1:]:
        sums = builder.fmul(sums, x, flags=ROUNDED_ONCE)
        sums = builder.fadd(sums, _same(x, term), flags=ROUNDED_ONCE)
    return sums


def _split(builder: Any, x: Any) -> tuple[Any, Any]:
    """x, not positive, as what is left of the nearest whole number n, and 2^n."""
    whole = ir.VectorType(ir.IntType(32), WIDTH)
    x = _at_least(builder, x, -126.0)
    moved = builder.fadd(x, _same(x, ROUNDER))
    rest = builder.fsub(x, builder.fsub(moved, _same(x, ROUNDER)))
    places = ir.Constant(whole, [ir.Constant(whole.element, 23)] * WIDTH)
    exponent = builder.shl(builder.bitcast(moved, whole), places)
    one = builder.bitcast(_same(x, 1.0), whole)
    return rest, builder.bitcast(builder.add(one, exponent), x.type)


def _share(builder: Any, x: Any) -> Any:
    rest, scale = _split(builder, x)
    power = builder.fmul(rest, _polynomial(builder, rest, POWER), flags=ROUNDED_ONCE)
    return builder.fmul(builder.fadd(power, _same(x, 1.0), flags=ROUNDED_ONCE), scale)


def _fallen(builder: Any, x: Any) -> Any:
    """e^-|x|."""
    size = _same(x, 0.0)
    negative = builder.fcmp_ordered("<", x, size)
    below = builder.select(negative, x, builder.fsub(size, x))
    return _share(builder, builder.fmul(below, _same(x, LOG2_E)))
