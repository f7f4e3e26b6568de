"""How a stage is used more than once in depth, as plain data: tying and halting."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, flag, real
from archsearch.spec.domains import FloatRange

TIES = (
    LayerType(
        "shared",
        "archsearch.depth.tie:Shared",
        {
            "embedding": flag(
                False, doc="add a learned vector to the input of each loop, zero at the start"
            ),
        },
        kind="tie",
        doc="Every loop has the same weights.",
        source="Dehghani et al. 2018, arXiv 1807.03819",
    ),
)

HALTING = (
    LayerType(
        "none",
        "archsearch.depth.loops:FixedDepth",
        kind="halting",
        doc="Every position passes through the stage as often as it is looped.",
    ),
    LayerType(
        "act",
        "archsearch.depth.act:AdaptiveDepth",
        {
            "threshold": real(
                0.01, 0.0001, 0.5, doc="a position stops once it has halted up to this rest"
            ),
            "weight": real(
                0.01,
                0.0,
                1.0,
                search=FloatRange(0.001, 0.1, log=True),
                doc="what the loss pays per loop and position",
            ),
        },
        kind="halting",
        doc="Each position decides how many loops it needs; the answer is their weighted sum.",
        source="Graves 2016, arXiv 1603.08983",
    ),
)

DEPTH = TIES + HALTING
