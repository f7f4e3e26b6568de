"""Every built-in linear cell keeps the contract, on every declared choice."""

from __future__ import annotations

import pytest

from archsearch.cells.linear.declared import CELLS
from archsearch.testing.cells import CellContract

# the first options are the defaults
pytestmark = pytest.mark.sampled(every=3, by="options")

DECLARED = {entry.name: entry for entry in CELLS}


class TestLRU(CellContract):
    cell_type = DECLARED["lru"]

    def parameters(self, width, options):
        return options["state"] * (4 * width + 2 + options["gamma"]) + width


class TestGLA(CellContract):
    cell_type = DECLARED["gla"]

    def parameters(self, width, options):
        keys, values = int(width * options["expand_k"]), int(width * options["expand_v"])
        mixed = 2 * keys + values
        gate = options["rank"] * (width + keys) + keys
        return (
            width * (mixed + 2 * values)
            + gate
            + options["conv"] * mixed
            + values // options["heads"]
        )


class TestRetention(CellContract):
    cell_type = DECLARED["retention"]

    def parameters(self, width, options):
        rates = options["heads"] if options["decay"] == "learned" else 0
        return width * (2 * width + 3 * int(width * options["expand_v"])) + rates


class TestDeltaNet(CellContract):
    cell_type = DECLARED["deltanet"]

    def parameters(self, width, options):
        keys = options["heads"] * options["head_size"]
        values = int(options["expand_v"] * keys)
        return (
            (width + options["conv"]) * (2 * keys + values)
            + (1 + options["output_gate"]) * width * values
            + options["heads"] * (width + 1)
            + values // options["heads"]
        )


class TestMinGRU(CellContract):
    cell_type = DECLARED["mingru"]

    def parameters(self, width, options):
        size = int(width * options["expand"])
        return 2 * size * (width + 1) + size * width + options["conv"] * width


class TestMinLSTM(CellContract):
    cell_type = DECLARED["minlstm"]

    def parameters(self, width, options):
        size = int(width * options["expand"])
        return 3 * size * (width + 1) + size * width + options["conv"] * width


class TestHGRN(CellContract):
    cell_type = DECLARED["hgrn"]

    def parameters(self, width, options):
        size = int(width * options["expand"])
        gates = size // 2 if options["rotate"] else size
        own = gates * (width + 1) + (gates if options["rotate"] else 0)
        answers = (2 + options["output_gate"]) * size * width + size
        return answers + own + options["conv"] * width


class TestHGRN2(CellContract):
    cell_type = DECLARED["hgrn2"]

    def parameters(self, width, options):
        return width * ((4 + options["output_gate"]) * width + 2 + options["conv"])


class TestMamba(CellContract):
    cell_type = DECLARED["mamba"]

    def parameters(self, width, options):
        size, state, rank = int(width * options["expand"]), options["state"], -(-width // 16)
        selected = size * (rank + 2 * state) + (rank + 1) * size
        return 3 * width * size + options["conv"] * size + selected + size * (state + 1)


class TestMamba2(CellContract):
    cell_type = DECLARED["mamba2"]

    def parameters(self, width, options):
        size, state, heads = int(width * options["expand"]), options["state"], options["heads"]
        projected = width * (2 * size + 2 * state + heads)
        return projected + options["conv"] * (size + 2 * state) + 3 * heads + size + size * width


class TestGatedDeltaNet(CellContract):
    cell_type = DECLARED["gated_deltanet"]

    def parameters(self, width, options):
        heads = options["heads"]
        keys = heads * options["head_size"]
        values = int(keys * options["expand_v"])
        gates = 2 * heads * (width + 1) + heads
        mixed = 2 * keys + values
        return (width + options["conv"]) * mixed + gates + 2 * values * width + values // heads


class TestDeltaProduct(CellContract):
    cell_type = DECLARED["deltaproduct"]

    def parameters(self, width, options):
        heads, steps = options["heads"], options["steps"]
        keys = heads * options["head_size"]
        values = int(options["expand_v"] * keys)
        gates = steps * heads * (width + 1)
        if options["fade"]:
            gates += heads * (width + 2)
        mixed = (1 + steps) * keys + steps * values
        answers = (1 + options["output_gate"]) * width * values + values // heads
        return (width + options["conv"]) * mixed + gates + answers


class TestS4D(CellContract):
    cell_type = DECLARED["s4d"]

    def parameters(self, width, options):
        rates = width * options["state"] if options["train_rates"] else 0
        return width * options["state"] + rates + 2 * width + 2 * width * (width + 1)


class TestLSSL(CellContract):
    cell_type = DECLARED["lssl"]

    def parameters(self, width, options):
        state = options["state"]
        rank = {"legs": 1, "legt": 2}[options["init"]]
        matrix = state * (state + rank) if options["train_matrix"] else 0
        return width * (state + 2) + matrix + 2 * width * (width + 1)


class TestLMU(CellContract):
    cell_type = DECLARED["lmu"]

    def parameters(self, width, options):
        channels, order = options["channels"], options["order"]
        size = channels * order
        own = {"none": 0, "theta": 1, "matrix": order * (order + 3)}[options["learn"]]
        if options["form"] == "parallel":
            return own + channels * (width + 1) + width * (size + width + 1)
        return own + channels * (2 * width + size) + width * (size + 2 * width)


class TestMLSTM(CellContract):
    cell_type = DECLARED["mlstm"]

    def parameters(self, width, options):
        size, heads = int(width * options["expand"]), options["heads"]
        gates = 2 * heads * (3 * size + 1)
        mixed = 3 * (4 if options["blocks"] == "four" else size)
        return 3 * width * size + (options["conv"] + mixed + 2) * size + gates


class TestAaren(CellContract):
    cell_type = DECLARED["aaren"]

    def parameters(self, width, options):
        return width * (3 * width + 1)


class TestPLSTM(CellContract):
    cell_type = DECLARED["plstm"]

    def parameters(self, width, options):
        heads, lanes = options["heads"], options["lanes"]
        values = options["values"]
        between = {"propagate": lanes**2, "orthogonal": lanes * (lanes - 1)}
        gates = (2 * values + 1) * lanes + values**2 + between.get(options.get("mode"), 0)
        gates *= heads * (width + 1)
        around = (2 + 3 * values) * width**2 + (2 + values) * options["conv"] * width
        return around + gates + width // heads


class TestPrefixAttention(CellContract):
    cell_type = DECLARED["prefix_attention"]

    def parameters(self, width, options):
        kinds = 2 if options["prefix"] else 1
        keys = (1 + kinds) * options["heads"] * options["feature_size"]
        return width * keys + (1 + kinds) * width**2
