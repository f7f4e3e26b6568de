"""Linear attention against its quadratic definition, and its random features against exp."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import elu, scaled_dot_product_attention

from archsearch.cells.attention.features import orthogonal, positive_features
from archsearch.cells.attention.linear_attention import LinearAttention
from archsearch.errors import ArchitectureError

FEATURES = ["elu1", "relu", "exp", "identity", "softmax"]


def built(features, width=12, heads=3, **options):
    torch.manual_seed(0)
    return LinearAttention(width, heads, features, **options).double()


def projected(cell, x):
    """Queries, keys and values (B, H, T, d)."""
    return (
        part.unflatten(-1, (cell.heads, -1)).transpose(1, 2)
        for part in cell.project(x).chunk(3, -1)
    )


def dense(cell, x):
    """All pairs of positions at once, from the words of the definition."""
    q, k, v = projected(cell, x)
    size = cell.head_size
    if cell.features == "exp":

        def mapped(part):
            scaled = part / size**0.25
            inner = torch.einsum("bhtd,hfd->bhtf", scaled, cell.directions)
            return torch.exp(inner - scaled.square().sum(-1, keepdim=True) / 2)
    else:
        mapped = {
            "elu1": lambda part: elu(part) + 1,
            "relu": torch.relu,
            "identity": lambda part: part,
            "softmax": lambda part: part.softmax(-1),
        }[cell.features]
    scores = (mapped(q) @ mapped(k).transpose(-1, -2)).tril()
    if cell.features == "identity":
        read = scores @ v / size**0.5
        read = read / torch.sqrt(read.square().mean(-1, keepdim=True) + 1e-5) * cell.norm.weight
    else:
        floor = 0 if cell.features == "exp" else 1e-6
        read = scores @ v / (scores.sum(-1, keepdim=True) + floor)
    return cell.output(read.transpose(1, 2).flatten(2))


@pytest.mark.parametrize("steps", [1, 2, 16, 37, 130])
@pytest.mark.parametrize("features", FEATURES)
def test_is_its_quadratic_form(features, steps):
    cell = built(features, count=8)
    if cell.norm is not None:
        torch.nn.init.normal_(cell.norm.weight)
    x = torch.randn(2, steps, 12, dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], dense(cell, x), rtol=1e-12, atol=1e-12)


def test_a_single_position_answers_with_its_own_value():
    """One weight, whatever its size, is all of the weight."""
    x = torch.randn(2, 1, 12, dtype=torch.float64)
    for features in ("elu1", "exp", "softmax"):
        cell = built(features)
        _, _, v = projected(cell, x)
        expected = cell.output(v.transpose(1, 2).flatten(2))
        torch.testing.assert_close(cell(x)[0], expected, rtol=1e-3, atol=1e-5)


def test_a_hand_worked_sum():
    """With elu(0) + 1 = 1 for the keys, every earlier value counts the same."""
    cell = built("elu1", width=2, heads=1)
    with torch.no_grad():
        cell.project.weight.zero_()
        cell.project.weight[4:] = torch.eye(2)
        cell.output.weight.copy_(torch.eye(2))
    x = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [5.0, 6.0]]], dtype=torch.float64)
    expected = torch.tensor([[[1.0, 0.0], [0.5, 1.5], [2.0, 3.0]]], dtype=torch.float64)
    torch.testing.assert_close(cell(x)[0], expected, rtol=1e-5, atol=0)


def test_rectified_queries_that_fit_nothing_read_zero():
    cell = built("relu", width=4, heads=1)
    with torch.no_grad():
        cell.project.weight[:4] = -cell.project.weight[4:8].abs()
    x = torch.rand(1, 9, 4, dtype=torch.float64).requires_grad_()
    y = cell(x)[0]
    assert not y.any()
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert slope.isfinite().all()


def test_random_features_estimate_exp_without_bias():
    """The mean over many draws; each pair within four of its standard errors."""
    torch.manual_seed(0)
    x, y = (torch.randn(2, 50, 1, 4, dtype=torch.float64) / 2).unbind(0)
    directions = orthogonal(20_000, 4, 4).double()
    f = positive_features(x.expand(-1, 20_000, -1), directions).exp()
    g = positive_features(y.expand(-1, 20_000, -1), directions).exp()
    drawn = (f * g).mean(-1)  # (pairs, draws)
    error = drawn.std(1) / drawn.shape[1] ** 0.5
    assert ((drawn.mean(1) - (x * y).sum(-1)[:, 0].exp()).abs() < 4 * error).all()


def test_directions_are_orthogonal_and_as_long_as_normal_vectors():
    torch.manual_seed(0)
    drawn = orthogonal(400, 10, 4)
    assert drawn.shape == (400, 10, 4)
    for block in drawn.split(4, 1):
        inner = block @ block.transpose(1, 2)
        apart = inner - torch.diag_embed(inner.diagonal(dim1=1, dim2=2))
        assert apart.abs().max() < 1e-5
    # each component of a direction by itself: mean 0, variance 1
    assert drawn.mean((0, 1)).abs().max().item() < 0.07
    assert drawn.square().mean((0, 1)).sub(1).abs().max().item() < 0.1


def test_many_random_features_come_near_softmax_attention():
    errors = []
    for count in (4, 64, 4096):
        cell = built("exp", width=8, heads=2, count=count)
        x = torch.randn(4, 30, 8, dtype=torch.float64) / 2
        q, k, v = projected(cell, x)
        read = scaled_dot_product_attention(q, k, v, is_causal=True)
        expected = cell.output(read.transpose(1, 2).flatten(2))
        errors.append(((cell(x)[0] - expected).norm() / expected.norm()).item())
    assert errors[0] > 1.5 * errors[1] > 6 * errors[2]
    assert errors[2] < 0.08


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_inputs_of_any_size_give_numbers(features, scale):
    cell = built(features).float()
    x = (scale * torch.randn(1, 200, 12)).requires_grad_()
    y = cell(x)[0]
    (slope,) = torch.autograd.grad(y.square().sum(), x)
    assert y.isfinite().all()
    assert slope.isfinite().all()


def test_the_state_does_not_grow_and_features_are_drawn_once():
    cell = built("exp", count=5)
    _, state = cell(torch.randn(2, 50, 12, dtype=torch.float64))
    assert [part.shape for part in state] == [(2, 3, 5, 5)]
    assert "directions" in cell.state_dict()
    assert not any(name == "directions" for name, _ in cell.named_parameters())


def test_heads_must_fit():
    with pytest.raises(ArchitectureError, match="heads 5 do not divide width 12"):
        LinearAttention(12, heads=5)
