"""Every built-in attention cell keeps the contract, on every declared choice."""

from __future__ import annotations

from archsearch.cells.attention.declared import CELLS
from archsearch.testing.cells import CellContract

DECLARED = {entry.name: entry for entry in CELLS}


class TestAttention(CellContract):
    cell_type = DECLARED["attention"]

    def parameters(self, width, options):
        return 4 * width * width


class TestLongAttention(TestAttention):
    """Long enough for the sparse patterns to take their own path."""

    steps = 131


def test_every_declared_cell_is_held_to_the_contract():
    held = {case.cell_type.name for case in CellContract.__subclasses__()}
    assert held >= set(DECLARED)
