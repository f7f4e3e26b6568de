"""Every built-in attention cell keeps the contract, on every declared choice."""

from __future__ import annotations

from dataclasses import replace

from archsearch.cells.attention.declared import CELLS
from archsearch.testing.cells import CellContract

DECLARED = {entry.name: entry for entry in CELLS}

# the patterns that have a path of their own, and nothing else to choose
SPARSE = replace(
    DECLARED["attention"],
    options={
        name: replace(option, search=("window", "power", "dilated") if name == "pattern" else None)
        for name, option in DECLARED["attention"].options.items()
    },
)


class TestAttention(CellContract):
    cell_type = DECLARED["attention"]

    def parameters(self, width, options):
        share = {"own": 1, "grouped": 1 / 2, "single": 1 / options["heads"]}[options["keys"]]
        count = (2 + 2 * (share if options["heads"] > 1 else 1)) * width * width
        count += 64 * options["heads"] if options["positions"] == "relative" else 0
        return count + {"rela": 2 * width, "reluformer": 1}.get(options["normaliser"], 0)


class TestLongAttention(TestAttention):
    """Long enough for the sparse patterns to take their own path."""

    steps = 131
    cell_type = SPARSE


def test_every_declared_cell_is_held_to_the_contract():
    held = {case.cell_type.name for case in CellContract.__subclasses__()}
    assert held >= set(DECLARED)
