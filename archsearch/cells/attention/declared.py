"""The attention cells: every step looks back at the steps themselves."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, integer

_HEADS = integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads; divides the width")

CELLS: tuple[CellType, ...] = (
    CellType(
        "attention",
        "archsearch.cells.attention.attention:Attention",
        {
            "heads": _HEADS,
            "pattern": choice(
                "full",
                "window",
                "power",
                doc="keys seen: all earlier ones, the last few, or those a power of two back",
            ),
            "window": integer(
                16, 1, 65536, search=(8, 16, 32), doc="keys seen, the own one included"
            ).only_when(pattern="window"),
            "positions": choice("rope", "none", "alibi", doc="how a head knows distances"),
        },
        doc="Causal softmax attention over all, recent, or exponentially spaced positions.",
        source="Vaswani et al. 2017, arXiv 1706.03762; RoPE: arXiv 2104.09864; ALiBi: "
        "arXiv 2108.12409; power: arXiv 2503.03588",
        cost="T^2",
    ),
)
