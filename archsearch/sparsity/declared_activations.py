"""How activations become zero, with every weight in place, as plain data."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType
from archsearch.spec.option import choice, flag, real

READ = real(0.5, 0.05, 1.0, search=(0.3, 0.5, 0.7), doc="the share of inputs that linear maps read")
THINNED = choice(
    *("stages", "channel", "attention"),
    search=(),
    doc="maps of cells and channel mixers, of channel mixers, of attention cells",
)

ACTIVATIONS = (
    LayerType(
        "teal",
        "archsearch.sparsity.activations:teal",
        {
            "density": READ,
            "allocation": choice(
                *("greedy", "uniform"), doc="by what the outputs suffer, or of all maps alike"
            ),
            "which": THINNED,
        },
        kind="sparsity",
        doc="No weight is zero: small inputs of linear maps are not read once trained.",
        source="Liu et al. 2024, arXiv 2408.14690",
    ),
    LayerType(
        "wina",
        "archsearch.sparsity.activations:wina",
        {"density": READ, "which": THINNED},
        kind="sparsity",
        doc="No weight is zero: inputs with little to say, by size and weights, are not read.",
        source="Chen et al. 2025, arXiv 2505.19427",
    ),
    LayerType(
        "r_sparse",
        "archsearch.sparsity.activations:r_sparse",
        {
            "density": READ,
            "rank": real(
                0.1, 0.0, 1.0, search=(0.05, 0.1, 0.25), doc="of that map, as a share of the full"
            ),
            "which": THINNED,
        },
        kind="sparsity",
        doc="No weight is zero: small inputs pass a map of low rank once trained.",
        source="Zhang et al. 2025, arXiv 2504.19449",
    ),
    LayerType(
        "relufied",
        "archsearch.sparsity.activations:relufied",
        {
            "at": real(
                0.5, 0.0, 1.0, search=(0.0, 0.25, 0.5), doc="when, as a fraction of training"
            ),
            "shift": real(
                0.0, 0.0, 10.0, search=(0.0, 0.5, 1.0), doc="what a unit must exceed not to be zero"
            ),
            "inputs": flag(False, doc="also of what the maps read of the stream"),
        },
        kind="sparsity",
        doc="No weight is zero: activations of channel mixers become rectifiers.",
        source="Mirzadeh et al. 2023, arXiv 2310.04564",
    ),
)
