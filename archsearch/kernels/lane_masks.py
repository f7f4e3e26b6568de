"""Which of sixteen numbers are above zero, as sixteen bits."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from archsearch.kernels.lanes import WIDTH


@intrinsic
def above_zero(_typing: Any, lanes: Any) -> Any:
    """One bit for each number; that of a missing one is set."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.args[0])
        # false only where the comparison says no
        above = builder.fcmp_unordered(">", values[0], ir.Constant(kind, [0.0] * WIDTH))
        return builder.bitcast(above, ir.IntType(WIDTH))

    return types.int16(lanes), code


@intrinsic
def where(_typing: Any, bits: Any, lanes: Any) -> Any:
    """The numbers whose bits are set, zero in place of the others."""
    if bits != types.int16:
        return None

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = context.get_value_type(signature.return_type)
        chosen = builder.bitcast(values[0], ir.VectorType(ir.IntType(1), WIDTH))
        return builder.select(chosen, values[1], ir.Constant(kind, [0.0] * WIDTH))

    return lanes(bits, lanes), code
