"""Gates that see a summary of the past: nearly open at first, and moved by what came before."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.attention.declared_gates import CELLS
from archsearch.cells.attention.feature_gate import FeatureGate
from archsearch.errors import ArchitectureError
from archsearch.testing.cells import CellContract

MODES = ("se", "film", "mix")
WIDTH = 8


class TestFeatureGate(CellContract):
    cell_type = CELLS[0]

    def parameters(self, width, options):
        summary = width + 3 * width * width
        if options["mode"] == "mix":
            return summary + width * (2 * width + 1)
        inner = width // options["squeeze"]
        outputs = 2 * width if options["mode"] == "film" else width
        return summary + inner * (width + 1) + outputs * (inner + 1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(2)


@pytest.mark.parametrize("mode", MODES)
def test_it_starts_near_the_identity(mode: str) -> None:
    x = torch.randn(4, 50, WIDTH)
    y = FeatureGate(WIDTH, mode, heads=2)(x)[0]
    assert (y - x).norm() / x.norm() < 0.2
    assert (y - x).norm() > 0


@pytest.mark.parametrize("mode", MODES)
def test_it_is_what_its_equations_say(mode: str) -> None:
    cell = FeatureGate(WIDTH, mode, heads=2, squeeze=2).double()
    torch.nn.init.normal_(cell.outer.weight)
    x = torch.randn(2, 6, WIDTH, dtype=torch.float64)
    k, v = cell.summary.project(x).chunk(2, -1)
    expected = []
    for t in range(6):
        parts = []
        for head in range(2):
            at = slice(head * 4, head * 4 + 4)
            weights = torch.softmax(k[:, : t + 1, at] @ cell.summary.query[head] / 2, -1)
            parts.append((weights[..., None] * v[:, : t + 1, at]).sum(1))
        s, x_t = cell.summary.output(torch.cat(parts, -1)), x[:, t]
        if mode == "mix":
            g = torch.sigmoid(cell.outer(torch.cat([x_t, s], -1)))
            expected.append(g * x_t + (1 - g) * s)
            continue
        said = cell.outer(cell.inner(s).clamp(min=0))
        if mode == "se":
            expected.append(x_t / (1 + torch.exp(-said)))
        else:
            expected.append((1 + said[:, :WIDTH]) * x_t + said[:, WIDTH:])
    torch.testing.assert_close(cell(x)[0], torch.stack(expected, 1), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_it_learns_which_feature_counts_from_a_token_before(mode: str) -> None:
    # the first step says, in its last feature, which of two features is to be passed on
    cell = FeatureGate(WIDTH, mode, heads=1, squeeze=1)
    read = torch.nn.Linear(WIDTH, 1)
    optimizer = torch.optim.Adam([*cell.parameters(), *read.parameters()], 0.01)
    for _ in range(300):
        x = torch.randn(64, 6, WIDTH)
        first = torch.randint(2, (64,)).float()
        x[:, :, -2:] = 0
        x[:, 0] = 0
        x[:, 0, -2], x[:, 0, -1] = 4 * first, 4 * (1 - first)
        wanted = torch.where(first[:, None] > 0, x[:, 1:, 0], x[:, 1:, 1])
        loss = (read(cell(x)[0])[:, 1:, 0] - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # the mean of both features would leave an error of one half
    assert loss < 0.4


def test_a_squeeze_to_nothing_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="squeeze 64 leaves none of 8"):
        FeatureGate(WIDTH, squeeze=64)
