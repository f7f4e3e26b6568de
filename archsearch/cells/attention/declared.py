"""The attention cells: every step looks back at the steps themselves."""

from __future__ import annotations

from archsearch.cells.attention.declared_chosen import CELLS as CHOSEN
from archsearch.cells.attention.declared_gates import CELLS as GATES
from archsearch.cells.attention.declared_kernels import CELLS as KERNELS
from archsearch.cells.attention.declared_units import CELLS as UNITS
from archsearch.spec.catalog import CellType, choice, flag, integer, real

_HEADS = integer(4, 1, 64, search=(1, 2, 4, 8), doc="independent heads; divides the width")

ATTENTION: tuple[CellType, ...] = (
    CellType(
        "attention",
        "archsearch.cells.attention.attention:Attention",
        {
            "heads": _HEADS,
            "pattern": choice(
                *("full", "window", "power", "strided", "fixed", "chunked", "dilated", "perhead"),
                search=("full", "window", "power", "strided", "perhead"),
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
            "keep": real(
                1.0,
                0.01,
                1.0,
                search=(1.0, 0.5, 0.25),
                doc="share of the keys that a call in training looks at, drawn anew",
            ).added_later(),
            "block": integer(8, 1, 65536, search=(4, 8, 16), doc="positions that go together")
            .only_when(pattern="perhead")
            .added_later(),
            "select": real(
                0.5,
                0.01,
                1.0,
                search=(0.25, 0.5),
                doc="share of the blocks of keys that a head keeps",
            )
            .only_when(pattern="perhead")
            .added_later(),
            "dense": integer(
                100,
                1,
                10**9,
                doc="training steps that see everything, before each head chooses",
            )
            .only_when(pattern="perhead")
            .added_later(),
        },
        doc="Causal attention over all earlier positions, or those of a sparse pattern.",
        source="Vaswani et al. 2017, arXiv 1706.03762; RoPE: arXiv 2104.09864; ALiBi: "
        "arXiv 2108.12409; patterns: arXiv 1904.10509, 2503.03588, perhead 2509.24014; rectifiers: "
        "arXiv 2104.07012, 2302.06461, 2309.08586; keep: Hussain et al. 2023, arXiv 2306.01705",
        cost="T^2",
    ),
)

CELLS: tuple[CellType, ...] = ATTENTION + KERNELS + UNITS + CHOSEN + GATES
