"""How weights become zero during training, as plain data."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, choice, integer, real
from archsearch.spec.domains import FloatRange

SPARSITY = (
    LayerType(
        "none",
        "archsearch.sparsity.sparsify:dense",
        kind="sparsity",
        doc="Every weight is trained and kept.",
    ),
    LayerType(
        "magnitude",
        "archsearch.sparsity.magnitude:magnitude",
        {
            "density": real(
                0.5,
                0.005,
                1.0,
                search=FloatRange(0.05, 1.0, log=True),
                doc="the share of prunable weights that is left at the end",
            ),
            "begin": real(0.25, 0.0, 1.0, doc="when pruning begins, as a fraction of training"),
            "end": real(0.75, 0.0, 1.0, doc="when the density is reached, likewise"),
            "updates": integer(20, 1, 1000, doc="how many times weights are pruned in between"),
            "which": choice(
                "stages",
                "all",
                search=(),
                doc="matrices of the stages only, or of the embedding and the head as well",
            ),
        },
        kind="sparsity",
        doc="The smallest weights of each matrix go, along a cubic schedule, for good.",
        source="Zhu and Gupta 2017, arXiv 1710.01878",
    ),
)
