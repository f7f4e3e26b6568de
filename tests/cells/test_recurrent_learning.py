"""What recurrent cells can learn, in minutes: to track a state, and to remember two numbers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from archsearch.cells.recurrent.declared import CELLS
from archsearch.plugins import implementation
from archsearch.tasks.groups import multiplication_table

pytestmark = pytest.mark.slow

DECLARED = {entry.name: entry for entry in CELLS}
WIDTH, ROWS, SHORT, LONG = 32, 64, 40, 256


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Network(nn.Module):
    """One cell between a linear embedding and a normalised linear read-out."""

    def __init__(self, name, options, inputs, outputs, width=WIDTH):
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.cell = implementation(DECLARED[name])(width, **options)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.norm(self.cell(self.embed(x))[0]))


def step(optimizer, model, loss):
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def words(table, rows, length):
    """Random elements of a group, one-hot, and the product of those so far."""
    drawn = torch.randint(0, len(table), (rows, length))
    products = [drawn[:, 0]]
    for element in drawn[:, 1:].unbind(1):
        products.append(table[products[-1], element])
    return F.one_hot(drawn, len(table)).float(), torch.stack(products, 1)


def accuracies(name, options, group, steps=1500):
    """Shares of right answers at 40 and 256 steps, after lengths from 3 to 40 (a curriculum)."""
    torch.manual_seed(0)
    table = torch.from_numpy(multiplication_table(group))
    model = Network(name, options, len(table), len(table))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, steps)
    for count in range(steps):
        length = 3 + round((SHORT - 3) * min(1.0, count / (0.6 * steps)))
        x, wanted = words(table, ROWS, length)
        step(optimizer, model, F.cross_entropy(model(x).flatten(0, 1), wanted.flatten()))
        schedule.step()
    found = []
    with torch.no_grad():
        for length in (SHORT, LONG):
            x, wanted = words(table, 256, length)
            found.append((model(x).argmax(-1) == wanted).float().mean().item())
    return tuple(found)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("rnn", {}),
        ("lstm", {}),
        ("gru", {}),
        ("gru", {"heads": 4}),
        ("rhn", {}),
        ("slstm", {}),
        ("paragru", {}),
        ("paralstm", {}),
        ("sparse_rnn", {}),
    ],
    ids=str,
)
def test_parity_is_learnt_and_keeps(name, options):
    short, long = accuracies(name, options, "Z2")
    assert short > 0.99
    assert long > 0.9


def test_a_clipped_diagonal_cannot_count_modulo_two():
    short, long = accuracies("paragru", {"clip": 0.5}, "Z2")
    assert short < 0.9
    assert long < 0.7


def test_the_permutations_of_three_are_learnt_and_keep():
    short, long = accuracies("gru", {}, "S3")
    assert short > 0.99
    assert long > 0.9


def error_of_adding(name, options, steps):
    """The mean squared error of the last hundred steps, at 100 positions; saying 1 scores 1/6."""
    torch.manual_seed(0)
    model = Network(name, options, 2, 1, width=64)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rows, losses = torch.arange(ROWS), []
    for _ in range(steps):
        values, marks = torch.rand(ROWS, 100), torch.zeros(ROWS, 100)
        marked = torch.randint(0, 50, (2, ROWS)) + torch.tensor([[0], [50]])
        marks[rows, marked] = 1.0
        said = model(torch.stack([values, marks], -1))[:, -1, 0]
        loss = F.mse_loss(said, values[rows, marked].sum(0))
        step(optimizer, model, loss)
        losses.append(loss.item())
    return sum(losses[-100:]) / 100


def test_gates_remember_two_numbers_and_a_plain_network_does_not():
    assert error_of_adding("gru", {}, 1500) < 0.02
    assert error_of_adding("lstm", {}, 2000) < 0.01
    assert error_of_adding("rnn", {}, 1500) > 0.14
