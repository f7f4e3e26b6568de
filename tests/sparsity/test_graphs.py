"""Recurrent matrices as random graphs, and which matrices a method is let at."""

import networkx
import pytest
import torch
from trained import masked, model

from archsearch.cells.declared import CELLS
from archsearch.sparsity.graphs import FAMILIES, adjacency, drawn, properties
from archsearch.sparsity.roles import prunable, roles
from archsearch.spec.architecture import Layer


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("units", [1, 2, 3, 4, 5, 20, 33])
def test_a_graph_has_about_the_edges_that_were_asked_for(family, units):
    graph = drawn(family, units, 0.3, 0.1, seed=1)
    assert graph.number_of_nodes() == units
    if units >= 20:
        assert networkx.density(graph) == pytest.approx(0.3, abs=0.06)
    joined = adjacency(graph)
    assert torch.equal(joined, joined.T)
    assert joined.diagonal().all()


def test_a_ring_without_moves_is_a_ring():
    joined = adjacency(drawn("watts_strogatz", 10, 2 / 9, 0.0, seed=0))
    near = (torch.arange(10)[:, None] - torch.arange(10)).remainder(10)
    assert torch.equal(joined, (near <= 1) | (near == 9))


def test_the_properties_of_a_star():
    found = properties(networkx.star_graph(4))
    assert found["nodes"] == 5
    assert found["edges"] == 4
    assert found["density"] == pytest.approx(0.4)
    assert found["average_path"] == pytest.approx(1.6)
    assert found["clustering"] == 0
    # the hub is between all pairs, the others between none
    assert found["betweenness_variance"] == pytest.approx(0.16)


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("gru", 3), ("lstm", 4)])
def test_the_gates_of_a_cell_have_one_graph(cell, gates):
    network = model(cell)
    masks = masked(network, Layer.of("graph", family="erdos_renyi", density=0.4))
    ((name, mask),) = masks.masks.items()
    assert name.endswith("recurrent.weight")
    first, *others = mask.chunk(gates)
    assert all(torch.equal(first, other) for other in others)
    assert 0.3 < float(first.double().mean()) < 0.7


def test_every_matrix_of_a_stage_has_the_role_it_plays():
    network = model("gru")
    found = {which: prunable(network, which) for which in ("input", "hidden", "channel")}
    cell = "stages.0.tie.body.blocks.0.cell.layer"
    assert found["input"] == {f"{cell}.input.weight"}
    assert found["hidden"] == {f"{cell}.recurrent.weight"}
    assert all(".channel.layer." in name for name in found["channel"])
    assert len(found["channel"]) == 2
    attention = prunable(network, "attention")
    assert {name.rsplit("layer.", 1)[1] for name in attention} == {
        "project.weight",
        "output.weight",
    }
    assert prunable(network) == attention.union(*found.values())


@pytest.mark.parametrize("declared", CELLS, ids=lambda declared: declared.name)
def test_what_a_cell_says_of_its_matrices_is_there(declared):
    cell = declared.implementation()(16)
    names = [name for name, _ in cell.named_parameters()]
    found = [
        any(name == start or name.startswith(f"{start}.") for name in names)
        for start in cell.state_matrices
    ]
    # another graph of operations may have no matrix for one of its states
    assert any(found) if declared.name == "graph" else all(found)
    assert cell.role in ("input", "attention")
    within = {role for name, role in roles(torch.nn.ModuleDict({"c": cell})).items()}
    assert ("hidden" in within) == any(
        getattr(part, "state_matrices", ()) for part in cell.modules()
    )
