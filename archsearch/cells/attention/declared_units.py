"""Attention with one gated head, alone or behind a mixer of its own."""

from __future__ import annotations

from dataclasses import replace

from archsearch.spec.catalog import CellType, choice, flag, integer, real

_EXPAND = real(2.0, 0.25, 16.0, search=(1.0, 2.0), doc="width of gate and values per width")
_QUERY_SIZE = integer(32, 1, 1024, search=(16, 32, 64), doc="features of queries and keys")

CELLS: tuple[CellType, ...] = (
    CellType(
        "gau",
        "archsearch.cells.attention.gau:GAU",
        {
            "expand": _EXPAND,
            "query_size": _QUERY_SIZE,
            "normaliser": choice(
                *("relu2", "laplace", "softmax"),
                doc="from scores to weights; all but softmax divide by the keys in sight",
            ),
            "pattern": choice("full", "window", doc="which earlier positions are seen"),
            "window": integer(
                16, 1, 65536, search=(8, 16, 32), doc="positions seen, the own one included"
            ).only_when(pattern="window"),
            "bias": flag(True, doc="a learned bias of each distance"),
        },
        doc="A gated attention unit: one head with gated values, a channel mixer of its own.",
        source="Hua et al. 2022, arXiv 2202.10447; bias and Laplace: Ma et al. 2022, "
        "arXiv 2209.10655",
        cost="T^2",
    ),
    CellType(
        "seqboat",
        "archsearch.cells.attention.seqboat:SeqBoat",
        {
            "dims": integer(8, 1, 256, search=(4, 8, 16), doc="moving averages of each channel"),
            "window": integer(
                16, 1, 65536, search=(8, 16, 32), doc="active positions that one sees"
            ),
            "expand": replace(_EXPAND, default=1.0),
            "query_size": _QUERY_SIZE,
            "normaliser": choice(
                *("softmax", "relu2", "laplace"),
                doc="from scores to weights; all but softmax divide by the keys in sight",
            ),
            "temperature": real(
                1.0,
                0.01,
                100.0,
                search=(0.3, 0.4, 1.0),
                doc="of the choice to be active at the start, over the root of the width",
            ),
        },
        doc="Sparse modular activation: moving averages choose which positions attend at all.",
        source="Ren et al. 2023, arXiv 2306.11197; averages: Ma et al. 2022, arXiv 2209.10655",
    ),
)
