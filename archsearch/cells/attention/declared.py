"""The attention cells: every step looks back at the steps themselves."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, flag, integer

_HEADS = integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads; divides the width")

CELLS: tuple[CellType, ...] = (
    CellType(
        "attention",
        "archsearch.cells.attention.attention:Attention",
        {
            "heads": _HEADS,
            "pattern": choice(
                *("full", "window", "power", "strided", "fixed", "chunked", "dilated"),
                search=("full", "window", "power", "strided"),
                doc="which earlier positions are seen",
            ),
            "window": integer(
                16,
                1,
                65536,
                search=(8, 16, 32),
                doc="positions seen, the own one included; of chunked, the size of a chunk",
            ).only_when(pattern=("window", "chunked", "dilated")),
            "stride": integer(
                8,
                1,
                65536,
                search=(4, 8, 16),
                doc="distance of the positions seen; of fixed, the size of a block",
            ).only_when(pattern=("strided", "fixed", "dilated")),
            "positions": choice(
                "rope", "none", "alibi", "relative", doc="how a head knows distances"
            ),
            "normaliser": choice(
                *("softmax", "relu_length", "reluformer", "rela"),
                doc="from scores to weights: a softmax, or a rectifier",
            ),
            "keys": choice(
                "own", "grouped", "single", doc="keys and values of each head, of two, or of all"
            ),
            "unit": flag(False, doc="queries and keys of unit size before they meet"),
        },
        doc="Causal attention over all earlier positions, or those of a sparse pattern.",
        source="Vaswani et al. 2017, arXiv 1706.03762; RoPE: arXiv 2104.09864; ALiBi: "
        "arXiv 2108.12409; patterns: arXiv 1904.10509, 2503.03588; rectifiers: arXiv 2104.07012, "
        "2302.06461, 2309.08586",
        cost="T^2",
    ),
)
