"""The graph of the sparse network: drawn once, of the size that is asked for."""

from __future__ import annotations

import pytest
import torch

from archsearch.cells.recurrent.rnn import RNN
from archsearch.cells.recurrent.sparse_rnn import SparseRNN

WIDTH = 40


@pytest.mark.parametrize("graph", ["random", "small_world"])
@pytest.mark.parametrize(("density", "heard"), [(0.0, 1), (0.1, 4), (0.5, 20), (1.0, 40)])
def test_every_unit_hears_as_many_as_it_should(graph, density, heard):
    torch.manual_seed(0)
    cell = SparseRNN(WIDTH, density=density, graph=graph)
    assert cell.weight.shape == (WIDTH, heard)
    assert ((cell.matrix != 0).sum(1) == heard).all()
    assert (cell.sources.diff(dim=1) > 0).all()


def test_a_small_world_is_mostly_neighbours_and_a_random_one_is_not():
    torch.manual_seed(0)
    near = {}
    for graph in ("random", "small_world"):
        cell = SparseRNN(400, density=0.02, graph=graph)
        away = (cell.sources - torch.arange(400)[:, None] + 200) % 400 - 200
        near[graph] = ((away >= -4) & (away < 4)).float().mean().item()
    assert near["random"] < 0.06
    assert near["small_world"] == pytest.approx(0.9, abs=0.03)


def test_it_is_a_plain_network_with_that_matrix():
    torch.manual_seed(0)
    cell, plain = SparseRNN(WIDTH).double(), RNN(WIDTH).double()
    plain.input = cell.input
    with torch.no_grad():
        plain.recurrent.weight.copy_(cell.matrix)
    x = torch.randn(2, 15, WIDTH, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], plain(x)[0])


def test_training_keeps_the_graph_and_the_state_dict_carries_it():
    torch.manual_seed(0)
    cell = SparseRNN(WIDTH)
    before, graph = cell.matrix != 0, cell.sources.clone()
    optimizer = torch.optim.Adam(cell.parameters(), lr=0.1)
    cell(torch.randn(2, 9, WIDTH))[0].square().sum().backward()
    optimizer.step()
    assert torch.equal(cell.matrix != 0, before)
    other = SparseRNN(WIDTH)
    assert not torch.equal(other.sources, graph)
    other.load_state_dict(cell.state_dict())
    assert torch.equal(other.matrix, cell.matrix)


def test_the_matrix_neither_dies_nor_explodes_at_the_start():
    torch.manual_seed(0)
    radius = torch.linalg.eigvals(SparseRNN(400, density=0.1).matrix.detach()).abs().max()
    assert 0.8 < radius < 1.25


@pytest.mark.parametrize("graph", ["random", "small_world"])
@pytest.mark.parametrize("density", [0.0, 0.1, 0.25])
def test_rectified_states_do_not_run_away(graph, density):
    finite = 0
    for seed in range(10):
        torch.manual_seed(seed)
        cell = SparseRNN(32, density=density, graph=graph, activation="relu")
        assert torch.linalg.eigvals(cell.matrix.detach()).abs().max() < 1 + 1e-5
        with torch.no_grad():
            finite += bool(cell(torch.randn(1, 600, 32))[0].abs().max() < 1e6)
    # few active units together may still grow
    assert finite >= 9
