"""Cells whose state are rows of the latest positions, asked several times or met in pairs."""

from __future__ import annotations

from archsearch.spec.catalog import CellType, choice, integer

CELLS: tuple[CellType, ...] = (
    CellType(
        "hops",
        "archsearch.cells.memory.hops:MemoryHops",
        {
            "hops": integer(3, 1, 16, search=(1, 2, 3, 6), doc="how often the memory is read"),
            "reach": integer(50, 1, 4096, search=(16, 50), doc="positions that are remembered"),
            "tying": choice(
                *("layerwise", "adjacent"),
                doc="the maps of all hops are one, or what one finds is where the next looks",
            ),
        },
        doc="A memory network: the latest inputs are read several times, each time asking anew.",
        source="Sukhbaatar et al. 2015, arXiv 1503.08895",
    ),
    CellType(
        "relational",
        "archsearch.cells.memory.relational:Relational",
        {
            "reach": integer(64, 1, 4096, search=(16, 64), doc="positions that messages come from"),
            "layers": integer(2, 1, 8, search=(1, 2), doc="of the perceptron that makes a message"),
        },
        doc="Messages between a position and each one before it, made of both, as a mean.",
        source="Palm, Paquet and Winther 2018, arXiv 1711.08028",
    ),
)
