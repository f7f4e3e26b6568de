"""Cells that gate features by what attention found, as plain data."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, integer

CELLS: tuple[CellType, ...] = (
    CellType(
        "feature_gate",
        "archsearch.cells.attention.feature_gate:FeatureGate",
        {
            "mode": choice(
                *("se", "film", "mix"),
                doc="features let through, scaled and shifted, or mixed with the summary",
            ),
            "heads": integer(4, 1, 64, search=(1, 2, 4), doc="independent heads of the summary"),
            "squeeze": integer(
                4, 1, 64, search=(2, 4, 8), doc="the width over that between the two maps"
            ).only_when(mode=("se", "film")),
        },
        doc="Features gated by an attention over all that came before.",
        source="Hu et al. 2018, arXiv 1709.01507; film: Perez et al. 2018, arXiv 1709.07871",
    ),
)
