"""What is seen of each weight's input and output equals what can be worked out by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from trained import loss, model

from archsearch.sparsity.observed import Observed


def seen_by_hand(x, y):
    """Correlations (out, in), root mean squares (in,) of rows of x and y."""
    x, y = x.flatten(0, -2).double(), y.flatten(0, -2).double()
    joint = torch.corrcoef(torch.cat([x, y], 1).T)
    return joint[x.shape[1] :, : x.shape[1]].abs(), x.square().mean(0).sqrt()


@pytest.mark.parametrize("shape", [(9, 4), (3, 5, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_map(shape, bias):
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3, bias=bias), torch.randn(shape) + 1
    observed = Observed({"w": layer.weight})
    with observed:
        y = layer(x)
    correlation, norm = seen_by_hand(x, y.detach())
    assert torch.allclose(observed.correlation("w"), correlation, atol=1e-6)
    assert torch.allclose(observed.norm("w"), norm.expand(3, 4), atol=1e-6)
    rows = x.flatten(0, -2).double()
    assert torch.allclose(observed.mean("w"), rows.mean(0).expand(3, 4), atol=1e-6)
    variance = rows.var(0, correction=0).expand(3, 4)
    assert torch.allclose(observed.variance("w"), variance, atol=1e-6)


def test_parts_of_a_matrix_and_several_uses_add_up():
    torch.manual_seed(0)
    weight, x, z = nn.Parameter(torch.randn(6, 4)), torch.randn(5, 4), torch.randn(7, 4)
    observed = Observed({"w": weight})
    with observed:
        upper, lower = weight.split(3)
        F.linear(x, upper)
        F.linear(z, upper)
        lower @ z.T
    both = torch.cat([x, z]).double().square().mean(0).sqrt()
    assert torch.allclose(observed.norm("w")[:3], both.expand(3, 4), atol=1e-6)
    single = z.double().square().mean(0).sqrt()
    assert torch.allclose(observed.norm("w")[3:], single.expand(3, 4), atol=1e-6)


def test_heads_that_are_multiplied_together():
    torch.manual_seed(0)
    weight, x = nn.Parameter(torch.randn(2, 4, 3)), torch.randn(2, 5, 4)
    observed = Observed({"w": weight})
    with observed:
        torch.bmm(x, weight)
    norm = x.double().square().mean(1).sqrt()[..., None].expand(2, 4, 3)
    assert torch.allclose(observed.norm("w"), norm, atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn", "gla", "deltanet", "mamba"])
def test_every_matrix_of_a_model_is_seen(cell):
    network = model(cell)
    weights = {
        name: p
        for name, p in network.named_parameters()
        if p.ndim == 2 and name not in network.no_decay() and "conv." not in name
    }
    observed = Observed(weights)
    with torch.no_grad(), observed:
        loss(network, 0)
    assert [name for name in weights if not observed.seen(name)] == []


def test_what_was_not_seen_is_zero():
    weight = nn.Parameter(torch.randn(2, 2))
    observed = Observed({"w": weight})
    assert not observed.seen("w")
    assert not observed.correlation("w").any()
