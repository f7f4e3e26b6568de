"""What convolutions can copy, in seconds: what lies within their reach, and nothing beyond it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsearch.cells.convolution.declared import CELLS
from archsearch.plugins import implementation

pytestmark = pytest.mark.slow

DECLARED = {entry.name: entry for entry in CELLS}
SYMBOLS, LENGTH, GAP, WIDTH = 4, 4, 16, 32
BLANK, DISTANCE = SYMBOLS, LENGTH + GAP  # steps from a symbol to where it is to be said


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def sequences(rows):
    """Inputs (rows, time): symbols, blanks and a request; the symbols (rows, LENGTH)."""
    symbols = torch.randint(0, SYMBOLS, (rows, LENGTH))
    x = torch.full((rows, DISTANCE + LENGTH), BLANK)
    x[:, :LENGTH] = symbols
    x[:, DISTANCE] = BLANK + 1
    return x, symbols


def share_copied(name, options, steps=600):
    """The share of symbols that are said right at the end, after training."""
    torch.manual_seed(0)
    embed, head = nn.Embedding(SYMBOLS + 2, WIDTH), nn.Linear(WIDTH, SYMBOLS)
    cell = implementation(DECLARED[name])(WIDTH, **options)
    model = nn.ModuleList([embed, cell, head])

    def said(x):
        return head(cell(embed(x))[0][:, -LENGTH:])

    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        x, symbols = sequences(32)
        loss = F.cross_entropy(said(x).flatten(0, 1), symbols.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with torch.no_grad():
        x, symbols = sequences(500)
        return (said(x).argmax(-1) == symbols).float().mean().item()


# a symbol lies 20 steps back: blocks of 3 taps reach back by 28 and 12, levels of 2 by 35 and 15
@pytest.mark.parametrize(
    ("name", "enough", "short"),
    [
        ("tcn", {"layers": 3}, {"layers": 2}),
        ("trellis", {"levels": 15, "cycle": 3}, {"levels": 7, "cycle": 3}),
    ],
)
def test_what_is_within_reach_is_copied_and_what_is_not_is_guessed(name, enough, short):
    assert share_copied(name, enough) > 0.98
    assert share_copied(name, short) < 1.3 / SYMBOLS
