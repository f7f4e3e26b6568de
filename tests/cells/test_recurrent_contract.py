"""Every built-in recurrent cell keeps the contract, on every declared choice."""

from __future__ import annotations

import pytest

from archsearch.cells.recurrent.declared import CELLS
from archsearch.testing.cells import CellContract

# the first options are the defaults
pytestmark = pytest.mark.sampled(every=3, by="options")

DECLARED = {entry.name: entry for entry in CELLS}


class Evaluated(CellContract):
    """In training such a cell may leave things out at random, or be near its states only."""

    def build(self, options, **kwargs):
        return super().build(options, **kwargs).eval()


class TestRNN(Evaluated):
    cell_type = DECLARED["rnn"]

    def parameters(self, width, options):
        return width * (width + width // options["heads"] + 1)


class TestLSTM(Evaluated):
    cell_type = DECLARED["lstm"]

    def parameters(self, width, options):
        gates = 4 if options["forget"] == "own" else 3
        seeing = (gates - 1) * width if options["peephole"] else 0
        norms = 2 * gates * width + 2 * width if options["norm"] else 0
        heard = round(options.get("project", 1) * width // options["heads"])
        projected = heard * width if options.get("project", 1) < 1 else 0
        return gates * width * (width + heard + 1) + seeing + norms + projected


class TestGRU(Evaluated):
    cell_type = DECLARED["gru"]

    def parameters(self, width, options):
        after = width if options["reset"] == "after" else 0
        return 3 * width * (width + width // options["heads"] + 1) + after


class TestRHN(Evaluated):
    cell_type = DECLARED["rhn"]

    def parameters(self, width, options):
        gates = 2 if options["coupled"] else 3
        layers = 1 if options["shared"] else options["depth"]
        return gates * width * (width + layers * (width + 1))


class TestSLSTM(CellContract):
    cell_type = DECLARED["slstm"]

    def parameters(self, width, options):
        norm = 2 * width if options["norm"] else 0
        return 4 * width * (width + width // options["heads"] + 1) + norm


class TestParaGRU(Evaluated):
    cell_type = DECLARED["paragru"]

    def parameters(self, width, options):
        return 3 * width * (width // options["heads"] + 2)


class TestParaLSTM(CellContract):
    cell_type = DECLARED["paralstm"]

    def parameters(self, width, options):
        return 3 * width * (width // options["heads"] + 2) + 2 * width


class TestBidirectional(CellContract):
    cell_type = DECLARED["bidirectional"]

    def parameters(self, width, options):
        halves = options["merge"] == "concat"
        size = width // 2 if halves else width
        inner = {
            "gru": 3 * size * (2 * size + 1) + size,
            "lstm": 4 * size * (2 * size + 1),
            "rnn": size * (2 * size + 1),
            "rhn": 2 * size * (3 * size + 2),
            "s4d": 2 * size * (size + 1 + 32 + 1),
        }[options["inner"]]
        return 2 * inner + (width * width if halves else 0)


class TestLeakyRNN(CellContract):
    cell_type = DECLARED["leaky_rnn"]

    def parameters(self, width, options):
        constants = {"unit": width, "shared": 1, "fixed": 0}[options["timescales"]]
        return width * (2 * width + 1) + constants


class TestSparseRNN(CellContract):
    cell_type = DECLARED["sparse_rnn"]

    def parameters(self, width, options):
        return width * (width + 1 + round(options["density"] * width))


class TestODE(CellContract):
    cell_type = DECLARED["ode"]

    def parameters(self, width, options):
        if options["field"] == "gru":
            return 3 * width * (2 * width + 1)
        return width * (2 * width + 1) + width
