"""Every built-in attention cell keeps the contract, on every declared choice."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from archsearch.cells.attention.declared import CELLS
from archsearch.errors import InputError
from archsearch.testing.cells import CellContract

# the first options are the defaults
pytestmark = pytest.mark.sampled(every=3, by="options")

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

    def build(self, options, **kwargs):
        # in training a share of the keys below one is drawn at every call
        return super().build(options, **kwargs).eval()

    def parameters(self, width, options):
        share = {"own": 1, "grouped": 1 / 2, "single": 1 / options["heads"]}[options["keys"]]
        count = (2 + 2 * (share if options["heads"] > 1 else 1)) * width * width
        count += 64 * options["heads"] if options["positions"] == "relative" else 0
        return count + {"rela": 2 * width, "reluformer": 1}.get(options["normaliser"], 0)


class TestLongAttention(TestAttention):
    """Long enough for the sparse patterns to take their own path."""

    steps = 131
    cell_type = SPARSE


class TestLinearAttention(CellContract):
    cell_type = DECLARED["linear_attention"]

    def parameters(self, width, options):
        normed = width // options["heads"] if options["features"] == "identity" else 0
        return 4 * width * width + normed


class TestGAU(CellContract):
    cell_type = DECLARED["gau"]

    def parameters(self, width, options):
        values, size = int(width * options["expand"]), options["query_size"]
        far = min(64, options["window"]) if options["pattern"] == "window" else 64
        projected = (width + 1) * (2 * values + size) + (values + 1) * width
        return projected + 4 * size + far * options["bias"]


class TestNGram(CellContract):
    """On inputs that come again: among random ones hardly any two are alike."""

    cell_type = DECLARED["ngram"]

    def parameters(self, width, _options):
        return 2 * width * width

    def inputs(self, steps, dtype=torch.float64):
        words = torch.randn(3, self.width, dtype=dtype)
        return words[torch.randint(3, (self.rows, steps))]


class TestSeqBoat(CellContract):
    cell_type = DECLARED["seqboat"]
    # how many positions are packed together decides how a product is blocked, and so its rounding
    leak = 1e-13

    def parameters(self, width, options):
        values, size = int(width * options["expand"]), options["query_size"]
        unit = (width + 1) * (2 * values + size) + (values + 1) * width
        unit += 4 * size + min(64, options["window"])
        return unit + width * (4 * options["dims"] + 1) + (width + 1) * (width + 2) + 1


class TestFeedforwardAttention(CellContract):
    cell_type = DECLARED["feedforward_attention"]

    def parameters(self, width, options):
        length, hidden = options["length"], options["hidden"]
        return length * (2 * width * hidden + width) + hidden

    @pytest.mark.parametrize("scale", [1.0, 50.0])
    def test_g6_long_and_large_stays_finite(self, options, scale):
        """As long as it may be, and not one step longer."""
        cell = self.build(options, dtype=torch.float32)
        x = (scale * torch.randn(1, options["length"], self.width)).requires_grad_()
        y, state = cell(x)
        gradients = torch.autograd.grad(y.mean(), (x, *cell.parameters()))
        assert all(part.isfinite().all() for part in (y, *state, *gradients))
        with pytest.raises(InputError, match="give it a larger length"):
            cell.step(x[:, 0], state)


class TestRouting(CellContract):
    cell_type = DECLARED["routing"]

    def build(self, options, **kwargs):
        # in training centroids move with every sequence
        return super().build(options, **kwargs).eval()

    def parameters(self, width, options):
        return 4 * width * width + options["heads"] // 2 * options["window"]
