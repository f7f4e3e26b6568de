"""Four wrong cells: each breaks the one promise it was made to break, and keeps the others."""

from __future__ import annotations

import inspect
import itertools
import re

import pytest
import torch
from torch import nn

from archsearch.cells.cell import Cell
from archsearch.spec.catalog import CellType
from archsearch.testing.cells import CellContract


class Sound(Cell):
    """A leaky average with nothing wrong; the others depart from it in one line each."""

    def __init__(self, width):
        super().__init__(width)
        self.input = nn.Linear(width, width)
        self.rate = nn.Parameter(torch.randn(width))

    def initial_state(self, batch):
        return (self.zeros(batch, self.width),)

    def step(self, x, state):
        keep = torch.sigmoid(self.rate)
        h = keep * state[0] + (1 - keep) * torch.tanh(self.input(x))
        return h, (h,)


class Peeking(Sound):
    """A thousand-billionth of the whole sequence leaks into every output."""

    def forward(self, x, state=None):
        y, state = super().forward(x, state)
        return y + 1e-12 * x.mean(1, keepdim=True), state


class Drifting(Sound):
    """Step by step, the state forgets a thousandth more than in forward."""

    def step(self, x, state):
        return super().step(x, (0.999 * state[0],))

    def forward(self, x, state=None):
        exact = Sound(self.width).to(x.dtype)
        exact.input, exact.rate = self.input, self.rate
        return exact(x, state)


class Dead(Sound):
    """A parameter that nothing reads."""

    def __init__(self, width):
        super().__init__(width)
        self.idle = nn.Parameter(torch.randn(width))


class Mixing(Sound):
    """Every row sees the mean of the batch."""

    def step(self, x, state):
        return super().step(x - x.mean(0), state)


WRONG = {Sound: set(), Peeking: {"g2"}, Drifting: {"g1"}, Dead: {"g4"}, Mixing: {"g5"}}


def broken_promises(contract):
    """The middle word of every test of the contract that fails, over all its parameters."""
    broken = set()
    for name, test in inspect.getmembers(contract, inspect.ismethod):
        if not name.startswith("test_"):
            continue
        marks = [
            mark.args for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"
        ]
        names = [re.split(r", *", keys) if isinstance(keys, str) else keys for keys, _ in marks]
        if "options" in inspect.signature(test).parameters:
            marks.append(("options", [{}]))
            names.append(["options"])
        for values in itertools.product(*(cases for _, cases in marks)):
            given = {}
            for keys, value in zip(names, values, strict=True):
                given |= dict(zip(keys, value if len(keys) > 1 else [value], strict=True))
            torch.manual_seed(0)
            try:
                test(**given)
            except AssertionError:
                broken.add(name.split("_")[1])
    return broken


@pytest.mark.parametrize("cell", WRONG, ids=lambda cell: cell.__name__.lower())
def test_each_wrong_cell_breaks_its_own_promise_only(cell):
    class Contract(CellContract):
        cell_type = CellType(cell.__name__.lower(), cell, doc=cell.__doc__)

    assert broken_promises(Contract()) == WRONG[cell]
