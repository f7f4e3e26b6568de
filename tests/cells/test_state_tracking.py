"""Which linear cells can track a state: what negative and several factors per position add."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.cells.linear.declared import CELLS
from archsearch.plugins import implementation

pytestmark = pytest.mark.slow

DECLARED = {entry.name: entry for entry in CELLS}
WIDTH, ROWS, SHORT, LONG = 32, 64, 40, 256
S3 = torch.tensor(list(permutations(range(3))))
# the number of the permutation that applies column after row
TABLE = torch.tensor([[S3.tolist().index(a[b].tolist()) for b in S3] for a in S3])


class Tagger(nn.Module):
    def __init__(self, cell, symbols):
        super().__init__()
        self.embed, self.cell = nn.Embedding(symbols, WIDTH), cell
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, symbols)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.cell(self.embed(x))[0]))


def parity(x: Tensor) -> Tensor:
    return x.cumsum(1) % 2


def words(x: Tensor) -> Tensor:
    """The product of all permutations so far."""
    found = [x[:, 0]]
    for x_t in x[:, 1:].unbind(1):
        found.append(TABLE[found[-1], x_t])
    return torch.stack(found, 1)


def accuracies(task, name, options, *, steps=700, seed=0):
    """Shares of right answers at 40 and 256 symbols, after lengths from 3 to 40 (a curriculum)."""
    torch.manual_seed(seed)
    symbols = 2 if task is parity else 6
    model = Tagger(implementation(DECLARED[name])(WIDTH, **options), symbols)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-3, steps)
    for step in range(steps):
        length = 3 + round((SHORT - 3) * min(1.0, step / (0.6 * steps)))
        x = torch.randint(0, symbols, (ROWS, length))
        loss = F.cross_entropy(model(x).flatten(0, 1), task(x).flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    found = []
    with torch.no_grad():
        for length in (SHORT, LONG):
            x = torch.randint(0, symbols, (256, length))
            found.append((model(x).argmax(-1) == task(x)).float().mean().item())
    return tuple(found)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


POSITIVE_AND_NEGATIVE = [
    ("mingru", {"negative": False}, {"negative": True}),
    ("minlstm", {"negative": False}, {"negative": True}),
    ("hgrn", {"negative": False}, {"negative": True}),
    ("hgrn2", {"negative": False}, {"negative": True}),
    ("gla", {"tau": 1.0, "negative": False}, {"tau": 1.0, "negative": True}),
    ("mamba", {"conv": 0, "negative": False}, {"conv": 0, "negative": True}),
    ("mamba2", {"negative": False}, {"negative": True}),
    ("deltanet", {"conv": 0, "beta_range": 1}, {"conv": 0, "beta_range": 2}),
    ("gated_deltanet", {"conv": 0, "beta_range": 1}, {"conv": 0, "beta_range": 2}),
]


@pytest.mark.parametrize(
    ("name", "positive", "negative"), POSITIVE_AND_NEGATIVE, ids=lambda part: str(part)
)
def test_parity_needs_negative_factors(name, positive, negative):
    short, long = accuracies(parity, name, negative)
    assert short > 0.98
    without_short, without_long = accuracies(parity, name, positive)
    assert without_short < 0.75
    assert long - without_long > 0.2


@pytest.mark.parametrize(
    "options", [{"lanes": 1, "conv": 0}, {"lanes": 2, "mode": "diffuse", "conv": 0}], ids=str
)
def test_plstm_counts_modulo_two_with_one_lane_or_two(options):
    short, long = accuracies(parity, "plstm", options)
    assert short > 0.98
    assert long > 0.9


def test_permutations_need_two_reflections_per_position():
    options = {"head_size": 8, "conv": 0}
    short, long = accuracies(words, "deltaproduct", {"steps": 2, "beta_range": 2} | options)
    assert short > 0.95
    assert long > 0.7
    for poor in ({"steps": 1, "beta_range": 2}, {"steps": 2, "beta_range": 1}):
        assert accuracies(words, "deltaproduct", poor | options)[0] < 0.6


def test_the_words_are_products_of_permutations():
    x = torch.randint(0, 6, (1, 5))
    product = torch.eye(3)
    for symbol in x[0]:
        product = product @ torch.eye(3)[S3[symbol]].mT
    reached = torch.eye(3)[S3[words(x)[0, -1]]].mT
    assert torch.equal(product, reached)
