"""Every built-in memory cell keeps the contract, on every declared choice."""

from __future__ import annotations

import pytest

from archsearch.cells.memory.declared import CELLS
from archsearch.testing.cells import CellContract

# the first options are the defaults
pytestmark = pytest.mark.sampled(every=3, by="options")

DECLARED = {entry.name: entry for entry in CELLS}


def memory_of(width, options):
    """Parameters of the memory's start and of everything around it but the rates."""
    size = width // options["heads"]
    matrices = size * width if options["depth"] == 1 else 2 * options["expand"] * size * width
    return matrices + 4 * width * width + 4 * 3 * width + size


def rate_of(width, options):
    return options["heads"] * (width + 1)


class TestTitans(CellContract):
    cell_type = DECLARED["titans"]

    def parameters(self, width, options):
        rates = 1 + options["momentum"] + options["forget"]
        around = 0
        if options["integration"] != "memory":
            around = 4 * width**2 + options["persistent"] * width
            around += 0 if options["integration"] == "layer" else 2 * width
        return memory_of(width, options) + rates * rate_of(width, options) + around


class TestMoneta(CellContract):
    cell_type = DECLARED["moneta"]

    def parameters(self, width, options):
        return memory_of(width, options) + 2 * rate_of(width, options)


class TestYaad(CellContract):
    cell_type = DECLARED["yaad"]

    def parameters(self, width, options):
        return memory_of(width, options) + 3 * rate_of(width, options)


class TestMemora(CellContract):
    cell_type = DECLARED["memora"]

    def parameters(self, width, options):
        return memory_of(width, options) + 2 * rate_of(width, options)
