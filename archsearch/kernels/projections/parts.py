"""A linear map of every position whose outputs are wanted in parts."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from archsearch.kernels.choose import accelerated
from archsearch.kernels.projections.projection import projection


@accelerated(cpu="archsearch.kernels.projections.parts_cpu:parts")
def parts(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """x weight' for ``x`` (..., I), ``weight`` (O, I), split in ``sizes`` that sum to O."""
    return projection(x, weight, None).split(list(sizes), -1)
