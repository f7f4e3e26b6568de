"""Activations in single precision that a compiler turns into vector instructions.

After Cephes (Moshier 1989): within 1e-7 of the exact value everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy import float32, int32

from archsearch.kernels.inlined import inlined


@inlined
def exponential(x: float32) -> float32:
    """2^n times a polynomial of what is left, which lies within half of log 2."""
    # comparisons, unlike min and max, let a missing number through
    x = float32(-87.0) if x < float32(-87.0) else x
    x = float32(88.0) if x > float32(88.0) else x
    whole = np.floor(x * float32(1.44269504) + float32(0.5))
    # log 2 in two parts, so that the difference keeps its bits
    rest = x - whole * float32(0.693359375) - whole * float32(-2.12194440e-4)
    sum_ = float32(1.9875691500e-4) * rest + float32(1.3981999507e-3)
    sum_ = sum_ * rest + float32(8.3334519073e-3)
    sum_ = sum_ * rest + float32(4.1665795894e-2)
    sum_ = sum_ * rest + float32(1.6666665459e-1)
    sum_ = sum_ * rest + float32(5.0000001201e-1)
    sum_ = sum_ * (rest * rest) + rest + float32(1.0)
    # the bits of 2^n: its exponent in the place of the exponent
    power = (int32(whole) + int32(127)) << int32(23)
    return sum_ * int32(power).view(float32)


@inlined
def logistic(x: float32) -> float32:
    return float32(1.0) / (float32(1.0) + exponential(-x))


@inlined
def hyperbolic(x: float32) -> float32:
    """tanh: a polynomial near zero, where the quotient would lose its bits."""
    size, square = abs(x), x * x
    sum_ = float32(-5.70498872745e-3) * square + float32(2.06390887954e-2)
    sum_ = sum_ * square + float32(-5.37397155531e-2)
    sum_ = sum_ * square + float32(1.33314422036e-1)
    sum_ = sum_ * square + float32(-3.33332819422e-1)
    near = sum_ * square * x + x
    far = float32(1.0) - float32(2.0) / (exponential(size + size) + float32(1.0))
    far = far if x >= 0 else -far
    return near if size < float32(0.625) else far
