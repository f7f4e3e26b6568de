"""Every built-in cell keeps the contract, on every declared choice."""

from __future__ import annotations

import pytest

from archsearch.cells.declared import CELLS
from archsearch.testing.cells import CellContract

DECLARED = {entry.name: entry for entry in CELLS}


class TestRNN(CellContract):
    cell_type = DECLARED["rnn"]

    def parameters(self, width, options):
        return width * (2 * width + 1)


class TestLSTM(CellContract):
    cell_type = DECLARED["lstm"]

    def parameters(self, width, options):
        return 4 * width * (2 * width + 1)


class TestGRU(CellContract):
    cell_type = DECLARED["gru"]

    def parameters(self, width, options):
        return 3 * width * (2 * width + 1) + (width if options["reset"] == "after" else 0)


class TestLRU(CellContract):
    cell_type = DECLARED["lru"]

    def parameters(self, width, options):
        return options["state"] * (4 * width + 3) + width


class TestGLA(CellContract):
    cell_type = DECLARED["gla"]

    def parameters(self, width, options):
        keys, values = int(width * options["expand_k"]), int(width * options["expand_v"])
        mixed = 2 * keys + values
        gate = 16 * width + 17 * keys
        return (
            width * (mixed + 2 * values)
            + gate
            + options["conv"] * mixed
            + values // options["heads"]
        )


class TestRetention(CellContract):
    cell_type = DECLARED["retention"]

    def parameters(self, width, options):
        return width * (2 * width + 3 * int(width * options["expand_v"]))


class TestDeltaNet(CellContract):
    cell_type = DECLARED["deltanet"]

    def parameters(self, width, options):
        size = options["heads"] * options["head_size"]
        return (
            4 * width * size
            + 3 * options["conv"] * size
            + options["heads"] * (width + 1)
            + options["head_size"]
        )


class TestAttention(CellContract):
    cell_type = DECLARED["attention"]

    def parameters(self, width, options):
        return 4 * width * width


class TestLongAttention(TestAttention):
    """Long enough for the sparse patterns to take their own path."""

    steps = 131


class TestTCN(CellContract):
    cell_type = DECLARED["tcn"]

    def parameters(self, width, options):
        gain = width if options["weight_norm"] else 0
        return 2 * options["layers"] * (width * width * options["kernel"] + width + gain)


def test_every_declared_cell_is_held_to_the_contract():
    held = {case.cell_type.name for case in CellContract.__subclasses__()}
    assert held >= set(DECLARED)


@pytest.mark.parametrize("entry", CELLS, ids=lambda entry: entry.name)
def test_a_declaration_tells_its_source_and_its_options(entry):
    assert entry.source
    assert all(option.doc for option in entry.options.values())
