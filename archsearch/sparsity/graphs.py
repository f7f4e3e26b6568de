"""Recurrent matrices with the connections of a random graph."""

from __future__ import annotations

from typing import Any

import networkx
import numpy as np
import torch
from torch import Tensor

from archsearch.sparsity.masks import Masks, Setting
from archsearch.sparsity.roles import prunable

GRAPH = 3000  # what its random numbers are for
SMALLEST = 4  # units below which all are joined
FAMILIES = ("watts_strogatz", "barabasi_albert", "erdos_renyi")


def random_graph(
    setting: Setting, family: str = "watts_strogatz", density: float = 0.25, rewire: float = 0.1
) -> Masks:
    """Each matrix that reads the state before joins the units that a graph of its own joins.

    A unit always hears itself, and the gates of a cell have the same graph. A matrix whose rows are
    no multiple of its columns joins no units to themselves, and is left as it is.
    """
    named = dict(setting.model.named_parameters())
    square = [
        name
        for name in prunable(setting.model, "hidden")
        if named[name].shape[0] % named[name][0].numel() == 0
    ]
    masks = Masks(setting.model, square)
    found = {}
    for place, (name, weight) in enumerate(masks.weights.items()):
        rows, units = weight.shape[0], weight[0].numel()
        seed = int(setting.random(GRAPH, place).initial_seed() % 2**32)
        joined = adjacency(drawn(family, units, density, rewire, seed))
        found[name] = joined.repeat(rows // units, 1).reshape(weight.shape).to(weight.device)
    masks.begin(found)
    return masks


def drawn(family: str, units: int, density: float, rewire: float, seed: int) -> Any:
    """An undirected graph with about ``density`` of all pairs joined.

    ``watts_strogatz`` begins as a ring and has a share ``rewire`` of its edges moved (Watts and
    Strogatz 1998), ``barabasi_albert`` grows by preferential attachment (Barabasi and Albert 1999),
    ``erdos_renyi`` has its number of edges anywhere (Erdos and Renyi 1959).
    """
    if units < SMALLEST:
        return networkx.complete_graph(units)
    edges = round(density * units * (units - 1) / 2)
    if family == "watts_strogatz":
        near = min(max(2, 2 * round(density * (units - 1) / 2)), max(units - 1, 0))
        return networkx.watts_strogatz_graph(units, near, rewire, seed=seed)
    if family == "barabasi_albert":
        # m new edges for each unit after the first m: m (n - m) in all, of which one root is wanted
        root = (units - np.sqrt(max(units**2 - 4 * edges, 0))) / 2
        each = min(max(1, round(root)), units - 1)
        return networkx.barabasi_albert_graph(units, each, seed=seed)
    return networkx.gnm_random_graph(units, edges, seed=seed)


def adjacency(graph: Any) -> Tensor:
    """Which units hear which, (units, units); each hears itself."""
    joined = torch.from_numpy(networkx.to_numpy_array(graph) > 0)
    return joined | torch.eye(len(joined), dtype=torch.bool)


def properties(graph: Any) -> dict[str, float]:
    """What studies of random-graph networks relate to accuracy (arXiv 2407.20601, section 5)."""
    parts = [graph.subgraph(part) for part in networkx.connected_components(graph)]
    widest = max(parts, key=len)
    between = list(networkx.betweenness_centrality(graph).values())
    close = list(networkx.closeness_centrality(graph).values())
    return {
        "nodes": float(graph.number_of_nodes()),
        "edges": float(graph.number_of_edges()),
        "density": float(networkx.density(graph)),
        "components": float(len(parts)),
        "clustering": float(networkx.average_clustering(graph)),
        "average_path": float(networkx.average_shortest_path_length(widest)),
        "betweenness_variance": float(np.var(between)),
        "closeness_variance": float(np.var(close)),
    }
