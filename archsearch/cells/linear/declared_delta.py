"""Matrix memories that overwrite what they hold for a key: the delta rule."""

from __future__ import annotations

from archsearch.cells.linear.declared_conv import ON_QKV, short_conv
from archsearch.spec.catalog import CellType, choice, flag, integer

_BETA = "writing strength in (0, 1) or (0, 2); 2 allows negative eigenvalues"
_HEAD_SIZE = integer(16, 1, 256, search=(8, 16, 32), doc="key and value width of each memory")
_ACTIVATION = choice("silu", "relu", "identity", doc="on queries, keys and values")
_NORM = (
    choice("l2", "sum", doc="what is one of each query and key: its length, or its sum")
    .only_when(activation="relu")
    .added_later()
)
_WIDER_VALUES = choice(1.0, 2.0, doc="value width over the key width").added_later()
_GATED = flag(False, doc="answers under a gate, silu of a projection of the input").added_later()

CELLS: tuple[CellType, ...] = (
    CellType(
        "deltanet",
        "archsearch.cells.linear.deltanet:DeltaNet",
        {
            "heads": integer(2, 1, 64, search=(1, 2, 4), doc="independent memories"),
            "head_size": _HEAD_SIZE,
            **short_conv(4, 0, at=ON_QKV),
            "beta_range": choice(1, 2, doc=_BETA),
            "activation": _ACTIVATION,
            "norm": _NORM,
            "expand_v": _WIDER_VALUES,
            "output_gate": _GATED,
        },
        doc="DeltaNet: a matrix memory that replaces what it holds for a key instead of adding.",
        source="Yang et al. 2024, arXiv 2406.06484; beta range: Grazzi et al. 2024, "
        "arXiv 2411.12537; norm sum: Schlag et al. 2021, arXiv 2102.11174",
    ),
    CellType(
        "gated_deltanet",
        "archsearch.cells.linear.gated_deltanet:GatedDeltaNet",
        {
            "heads": integer(2, 1, 64, search=(1, 2, 4), doc="independent memories"),
            "head_size": _HEAD_SIZE,
            "expand_v": choice(1.0, 2.0, doc="value width over the key width"),
            **short_conv(4, 0, at=ON_QKV),
            "beta_range": choice(1, 2, doc=_BETA),
            "activation": _ACTIVATION.added_later(),
            "norm": _NORM,
        },
        doc="Gated DeltaNet: a matrix memory that replaces what it holds for a key, and fades.",
        source="Yang et al. 2024, arXiv 2412.06464; beta range: Grazzi et al. 2024, "
        "arXiv 2411.12537",
    ),
    CellType(
        "deltaproduct",
        "archsearch.cells.linear.deltaproduct:DeltaProduct",
        {
            "heads": integer(2, 1, 64, search=(1, 2, 4), doc="independent memories"),
            "head_size": _HEAD_SIZE,
            "steps": integer(2, 1, 16, search=(1, 2, 3), doc="writes into the memory per position"),
            **short_conv(4, 0, at=ON_QKV),
            "beta_range": choice(2, 1, doc=_BETA),
            "fade": flag(False, doc="forget a given share of all of the memory per position"),
            "activation": _ACTIVATION.added_later(),
            "norm": _NORM,
            "expand_v": _WIDER_VALUES,
            "output_gate": _GATED,
        },
        doc="DeltaProduct: a matrix memory that each position rotates by several overwrites.",
        source="Siems et al. 2025, arXiv 2502.10297",
    ),
)
