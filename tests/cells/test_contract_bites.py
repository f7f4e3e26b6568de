"""Wrong cells: each breaks the one promise it was made to break, and keeps the others."""

from __future__ import annotations

import inspect
import itertools
import re
import threading

import pytest
import torch
from torch import nn

from archsearch.cells.cell import Cell
from archsearch.spec.catalog import CellType
from archsearch.spec.importing import unchanged
from archsearch.testing.cells import CellContract
from archsearch.testing.probe import Broken, Probe


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


class Misnaming(Sound):
    """What it wants to learn more slowly is no parameter."""

    def __init__(self, width):
        super().__init__(width)
        self.slower = {"speed": 0.1}


class Mixing(Sound):
    """Every row sees the mean of the batch."""

    def step(self, x, state):
        return super().step(x - x.mean(0), state)


class Reseeding(Sound):
    """It sets the seed of all that is built after it."""

    def __init__(self, width):
        torch.manual_seed(0)
        super().__init__(width)


class Narrowing(Sound):
    """Its state is of single precision, whatever its parameters are."""

    def initial_state(self, batch):
        return (self.zeros(batch, self.width).float(),)


class Staying(Sound):
    """Its state stays where tensors are made unless told otherwise."""

    def initial_state(self, batch):
        return (torch.zeros(batch, self.width, dtype=self.rate.dtype),)


class Learned(Sound):
    """Nothing is wrong with a state that is learned to begin with."""

    def __init__(self, width):
        super().__init__(width)
        self.start = nn.Parameter(torch.randn(width))

    def initial_state(self, batch):
        return (self.start.expand(batch, -1),)


class Turning(Sound):
    """Nor with a complex state that two ways to compute it round differently."""

    def initial_state(self, batch):
        return (torch.complex(*self.zeros(2, batch, self.width)),)

    def step(self, x, state):
        h = state[0] * torch.polar(torch.sigmoid(self.rate), self.rate) + self.input(x)
        return torch.tanh(h.real), (h,)

    def forward(self, x, state=None):
        (h,) = self.initial_state(len(x)) if state is None else state
        turned, states = torch.polar(torch.sigmoid(self.rate), self.rate), []
        for drive in self.input(x).to(h.dtype).unbind(1):
            h = torch.addcmul(drive, h, turned)
            states.append(h)
        return torch.tanh(torch.stack(states, 1).real), (h,)


WRONG = {
    Sound: set(),
    Learned: set(),
    # torch has no complex numbers of half precision
    Turning: {"half"},
    Peeking: {"g2"},
    Drifting: {"g1"},
    Dead: {"g4"},
    Misnaming: {"g4"},
    Mixing: {"g5"},
    Reseeding: {"g7"},
    Narrowing: {"shapes", "half"},
    Staying: {"shapes"},
}


class Dropping(Sound):
    def step(self, x, state):
        return super().step(nn.functional.dropout(x, 0.5), state)


class Listing(Sound):
    def step(self, x, state):
        h, state = super().step(x, state)
        return h, list(state)


class Counting(Sound):
    def initial_state(self, batch):
        return (*super().initial_state(batch), 0)

    def step(self, x, state):
        h, after = super().step(x, state)
        return h, (*after, state[1] + 1)


class Layered(Sound):
    def initial_state(self, batch):
        return (self.zeros(2, batch, self.width),)

    def step(self, x, state):
        h, _ = super().step(x, (state[0][0],))
        return h, (torch.stack([h, h]),)


class Complex(Sound):
    def __init__(self, width):
        super().__init__(width)
        self.turn = nn.Parameter(torch.randn(width, dtype=torch.cfloat))


class Lazy(Sound):
    def __init__(self, width):
        super().__init__(width)
        self.input = nn.LazyLinear(width)


class Frozen(Sound):
    def __init__(self, width):
        super().__init__(width)
        self.rate.requires_grad_(False)


class Normed(Sound):
    def __init__(self, width):
        super().__init__(width)
        self.input = nn.Sequential(self.input, nn.BatchNorm1d(width))


class Detached(Sound):
    @torch.no_grad()
    def step(self, x, state):
        return super().step(x, state)


class Keeping(Sound):
    def step(self, x, state):
        self.last, state = super().step(x, state)
        return self.last, state


class Setting(Sound):
    def __init__(self, width):
        torch.use_deterministic_algorithms(True)
        super().__init__(width)


class Lasting(Sound):
    ended = threading.Event()

    def __init__(self, width):
        super().__init__(width)
        threading.Thread(target=self.ended.wait, name="watcher").start()


TOLD = {
    Lazy: "has a lazy parameter 'input.weight': the width gives its size",
    Frozen: "has a parameter 'rate' that is not trained: make it a buffer",
    Normed: "has a batch norm 'input.1', in which rows of a batch see each other",
    Detached: "gives outputs without a gradient",
    Keeping: "keeps 'last' on itself with its gradient",
    Setting: "changes whether torch's algorithms are deterministic when it is built or called",
    Lasting: "leaves a thread running, 'watcher', that keeps every command from ending",
    Dropping: "answers the same input differently a second time",
    Listing: "a state is a tuple, got list",
    Counting: "a state holds tensors, got int",
    Layered: r"a state's first dimension is the batch, 3 here, got \(2, 3, 16\)",
    Complex: "has a complex parameter 'turn'",
}


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


@pytest.mark.parametrize("cell", TOLD, ids=lambda cell: cell.__name__.lower())
def test_what_makes_all_else_pointless_is_told_in_a_sentence(cell):
    torch.manual_seed(0)
    Lasting.ended.clear()
    checks = Probe(CellType(cell.__name__.lower(), cell)).promises()
    with unchanged(), pytest.raises(Broken, match=TOLD[cell]):
        list(look() for _, look in checks)
    Lasting.ended.set()
