"""Attention whose past is summed up in a state of fixed size."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, integer

CELLS: tuple[CellType, ...] = (
    CellType(
        "linear_attention",
        "archsearch.cells.attention.linear_attention:LinearAttention",
        {
            "heads": integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads"),
            "features": choice(
                *("elu1", "relu", "exp", "identity", "softmax"),
                doc="of queries and keys; exp: random ones that estimate softmax attention",
            ),
            "count": integer(
                32, 1, 4096, search=(16, 32, 64), doc="random features of each head"
            ).only_when(features="exp"),
        },
        doc="Linear attention: products of features instead of a softmax, summed up in a state.",
        source="Katharopoulos et al. 2020, arXiv 2006.16236; exp: Choromanski et al. 2020, "
        "arXiv 2009.14794; identity: Qin et al. 2022, arXiv 2210.10340",
    ),
    CellType(
        "feedforward_attention",
        "archsearch.cells.attention.feedforward_attention:FeedforwardAttention",
        {
            "length": integer(
                128, 1, 65536, search=(128, 512), doc="the most steps that a sequence may have"
            ),
            "hidden": integer(32, 1, 4096, search=(16, 32, 64), doc="hidden units of the net"),
        },
        doc="A feed-forward net over the whole past, of bounded length, in the place of attention.",
        source="Bozic et al. 2023, arXiv 2311.10642, made causal",
    ),
)
