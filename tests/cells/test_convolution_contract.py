"""Every built-in convolution cell keeps the contract, on every declared choice."""

from __future__ import annotations

import pytest

from archsearch.cells.convolution.declared import CELLS
from archsearch.testing.cells import CellContract

# the first options are the defaults
pytestmark = pytest.mark.sampled(every=3, by="options")

DECLARED = {entry.name: entry for entry in CELLS}


class TestTCN(CellContract):
    cell_type = DECLARED["tcn"]

    def build(self, options, **kwargs):
        # in training channels are dropped at every call
        return super().build(options, **kwargs).eval()

    def parameters(self, width, options):
        gain = width if options["weight_norm"] else 0
        return 2 * options["layers"] * (width * width * options["kernel"] + width + gain)


class TestGatedConv(CellContract):
    cell_type = DECLARED["gated_conv"]

    def parameters(self, width, options):
        kernel, inner = options["kernel"], width // options["bottleneck"]
        gain = 2 if options["weight_norm"] else 1
        if options["bottleneck"] == 1:
            return options["layers"] * 2 * width * (width * kernel + gain)
        outputs = (width + 1) * inner + (inner * kernel + 1) * inner + (inner + 1) * width
        return options["layers"] * 2 * (outputs + (gain - 1) * (2 * inner + width))


class TestTrellis(CellContract):
    cell_type = DECLARED["trellis"]

    def build(self, options, **kwargs):
        # in training channels are dropped at every call
        return super().build(options, **kwargs).eval()

    def parameters(self, width, options):
        return 4 * width * (2 * options["kernel"] * width + 1)


class TestFSMN(CellContract):
    cell_type = DECLARED["fsmn"]

    def parameters(self, width, options):
        hidden = options["expand"] * width
        return hidden * (2 * width + 1) + options["order"] * width


class TestDilatedFSMN(CellContract):
    cell_type = DECLARED["dilated_fsmn"]

    def parameters(self, width, options):
        depth = options["depth"]
        taps = options["order"] * width * depth * (depth + 1) // 2
        gated = 3 * width * (width + 1) if options["gated"] else 0
        return width * (2 * width + 1) + taps + depth * (width + 1) + gated


class TestFMLP(CellContract):
    cell_type = DECLARED["fmlp"]
    leak = 1e-9

    def parameters(self, width, options):
        count = options["reach"] // 2 + 1
        kept = {"all": count, "low": (count + 1) // 2, "high": count // 2, "stop": 9 + 8}
        return 2 * kept[options["band"]] * width


class TestTCNCA(CellContract):
    cell_type = DECLARED["tcnca"]

    def parameters(self, width, options):
        size = options["query_size"]
        convolved = 2 * options["layers"] * width * (width * options["kernel"] + 1)
        bias = {"distance": options["chunk"], "rotary": 2 * size, "none": 0}[options["bias"]]
        attention = size * (width + 1) + 4 * size + bias
        return convolved + attention + 4 * width * (width + 1) + width * width
