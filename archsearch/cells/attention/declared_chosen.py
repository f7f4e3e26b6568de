"""Attention to positions that are chosen by what stands there."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, integer, real

CELLS: tuple[CellType, ...] = (
    CellType(
        "ngram",
        "archsearch.cells.attention.ngram:NGram",
        {
            "order": integer(
                1, 1, 3, search=(1, 2, 3), doc="positions in a row that must be alike"
            ),
            "heads": integer(
                1, 1, 64, search=(1, 4), doc="hashes that tell alike from different, each by itself"
            ),
            "buckets": choice(32, 16, 8, search=(32, 8), doc="codes of one round of a hash"),
            "rounds": integer(
                2, 1, 4, search=(1, 2, 3), doc="rounds that must agree; more tell more apart"
            ),
        },
        doc="n-gram heads: what followed whenever the last positions were like those now.",
        source="Akyurek et al. 2024, arXiv 2401.12973; codes: Andoni et al. 2015, arXiv 1509.02897",
        cost="T^2",
    ),
    CellType(
        "routing",
        "archsearch.cells.attention.routing:Routing",
        {
            "heads": integer(
                4, 1, 64, search=(2, 4, 8), doc="heads, half of them local; divides the width"
            ),
            "clusters": integer(8, 1, 1024, search=(4, 8, 16), doc="clusters of each routed head"),
            "window": integer(
                16, 1, 65536, search=(8, 16, 32), doc="positions that a local head sees"
            ),
            "decay": real(
                0.99,
                0.0,
                1.0,
                search=(0.9, 0.99, 0.999),
                doc="what a centroid keeps of itself at a training step",
            ),
            "commitment": real(
                0.0,
                0.0,
                10.0,
                search=(0.0, 1e-4, 1e-2),
                doc="pull of training on queries and keys to their centroids; 1e-4 in the paper",
            ).added_later(),
        },
        doc="Routing attention: keys and queries meet in clusters that training finds.",
        source="Roy et al. 2020, arXiv 2003.05997; each position to its nearest cluster, so that "
        "none sees a later one",
        cost="T^2",
    ),
)
