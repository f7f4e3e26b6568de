"""How matrices share a density: published formulas, exact sums, and scores before training."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from trained import loss, masked, model

from archsearch.errors import ArchitectureError
from archsearch.sparsity.allocation import RULES, allocate, erdos_renyi
from archsearch.sparsity.masks import Setting
from archsearch.sparsity.saliency import saliency
from archsearch.spec.architecture import Layer

SHAPES = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6).map(
    lambda shapes: {f"w{k}": shape for k, shape in enumerate(shapes)}
)


def test_erdos_renyi_is_its_formula():
    found = erdos_renyi({"a": (100, 100), "b": (100, 1000)}, 0.1)
    assert [found[name] for name in "ab"] == pytest.approx([0.16923, 0.09308], abs=1e-5)
    small = {"a": (50, 50), "b": (50, 50), "c": (50, 50), "head": (2, 50)}
    found = erdos_renyi(small, 0.1)
    assert [found[name] for name in small] == pytest.approx([0.088, 0.088, 0.088, 1.0])


@given(SHAPES, st.floats(0.01, 1.0))
def test_the_parts_add_up_and_none_is_more_than_whole(shapes, density):
    sizes = {name: a * b for name, (a, b) in shapes.items()}
    scores = {name: torch.rand(shape) for name, shape in shapes.items()}
    for rule in RULES:
        try:
            counts = allocate(shapes, density, rule, scores)
        except ArchitectureError:
            assert rule == "uniform_plus"
            continue
        assert all(0 <= counts[name] <= sizes[name] for name in sizes)
        if rule != "uniform":
            assert sum(counts.values()) == round(density * sum(sizes.values()))


def test_uniform_plus_spares_both_ends():
    shapes = {"first": (10, 10), "a": (50, 50), "b": (50, 50), "last": (10, 10)}
    counts = allocate(shapes, 0.1, "uniform_plus")
    assert counts["first"] == 100
    assert counts["last"] == 20
    assert counts["a"] == counts["b"] == 200
    with pytest.raises(ArchitectureError, match="take a higher density or 'erk'"):
        allocate(shapes, 0.02, "uniform_plus")


def test_what_does_not_fit_at_the_end_is_told_at_the_start():
    layer = Layer.of("magnitude", density=0.05, allocation="uniform_plus")
    with pytest.raises(ArchitectureError, match="a fifth of the last matrix"):
        masked(model(), layer)


def test_global_keeps_the_highest_wherever_they_are():
    scores = {"a": torch.tensor([[5.0, 1.0]]), "b": torch.tensor([[4.0, 3.0], [2.0, 5.0]])}
    shapes = {name: tuple(score.shape) for name, score in scores.items()}
    assert allocate(shapes, 0.5, "global", scores) == {"a": 1, "b": 2}
    tied = {"a": torch.ones(1, 2), "b": torch.ones(2, 2)}
    assert allocate(shapes, 0.5, "global", tied) == {"a": 2, "b": 1}


def test_snip_is_the_weight_times_its_slope():
    network = model()
    weights = {name: p for name, p in network.named_parameters() if p.ndim == 2}
    found = saliency(Setting(network, 1, loss=lambda k: loss(network, k)), weights, "snip")
    network.zero_grad()
    loss(network, 0).backward()
    for name, weight in weights.items():
        assert torch.allclose(found[name], (weight * weight.grad).abs(), rtol=1e-5)


def test_grasp_is_the_weight_times_the_hessian_times_the_slope():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, y = torch.randn(32, 3).double(), torch.randint(2, (32,))

    def of_batch(number: int) -> torch.Tensor:
        return nn.functional.cross_entropy(network(x), y)

    weights = {name: p for name, p in network.named_parameters() if p.ndim == 2}
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    found = saliency(Setting(network, 1, loss=of_batch), weights, "grasp")
    wanted = list(weights.values())
    slopes = torch.autograd.grad(of_batch(0), wanted, create_graph=True)
    flow = sum((slope * slope.detach()).sum() for slope in slopes)
    bent = torch.autograd.grad(flow, wanted)
    for (name, weight), exact in zip(weights.items(), bent, strict=True):
        assert torch.allclose(found[name], weight * exact, rtol=1e-4, atol=1e-9)
        assert torch.equal(weight, before[name])


@pytest.mark.parametrize("allocation", ["snip", "grasp"])
def test_only_the_sizes_come_from_the_scores(allocation):
    one, other = (
        masked(model(), Layer.of("random", density=0.3, allocation=allocation), seed)
        for seed in (0, 1)
    )
    sizes = [{name: int(m.sum()) for name, m in masks.state().items()} for masks in (one, other)]
    assert sizes[0] == sizes[1]
    assert len(set(sizes[0].values())) > 2
    assert any(not torch.equal(m, other.state()[name]) for name, m in one.state().items())


def test_a_method_that_needs_data_says_so():
    with pytest.raises(ValueError, match="looks at data"):
        Setting(model(), 1).probe(0)
