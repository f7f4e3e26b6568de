"""Linear maps by the quick library against plain torch, in values and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from archsearch.kernels.projections import projection_cpu
from archsearch.kernels.projections.projected import projected
from archsearch.kernels.projections.projection import projection


@pytest.fixture(autouse=True)
def _small_maps_go_the_same_way(monkeypatch):
    monkeypatch.setattr(projection_cpu, "LEAST", 0)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", [(1, 16), (3, 7, 64), (2, 70, 48), (2, 1, 24)], ids=str)
@pytest.mark.parametrize("outputs", [16, 36, 5])
def test_equals_plain_torch(shape, outputs, biased):
    torch.manual_seed(0)
    given = [torch.randn(shape), torch.randn(outputs, shape[-1])]
    given = [part.requires_grad_() for part in (*given, torch.randn(outputs))][: 2 + biased]
    exact = [part.detach().double().requires_grad_() for part in given]
    bias, exact_bias = (given[2], exact[2]) if biased else (None, None)
    got, want = projection(*given[:2], bias), projection.plain(*exact[:2], exact_bias)
    weight = torch.randn_like(want)
    found = torch.autograd.grad(got, given, weight.float())
    expected = torch.autograd.grad(want, exact, weight)
    for fast, slow in zip((got, *found), (want, *expected), strict=True):
        assert fast.dtype == torch.float32
        assert (fast - slow).abs().max() <= 1e-5 * slow.abs().max()


def test_inputs_may_lie_anyhow_in_memory():
    x, weight = torch.randn(5, 3, 64)[..., ::2].transpose(0, 1), torch.randn(32, 20).t()
    x, weight = x.requires_grad_(), weight.requires_grad_()
    slopes = torch.randn(3, 20, 5).transpose(1, 2)
    forms = (projection, projection.plain)
    for got, want in zip(
        *(torch.autograd.grad(form(x, weight, None), (x, weight), slopes) for form in forms),
        strict=True,
    ):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_an_input_that_is_not_trained_gets_no_slope():
    x, weight = torch.randn(2, 32), torch.randn(16, 32, requires_grad=True)
    projection(x, weight, None).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(16, -1))
    assert x.grad is None


def test_double_precision_goes_the_plain_way(monkeypatch):
    monkeypatch.setattr(projection_cpu, "_Projection", None)
    x = torch.randn(2, 16, dtype=torch.float64)
    layer = nn.Linear(16, 16).double()
    assert torch.equal(projected(layer, x), layer(x))


def test_maps_too_small_to_gain_go_the_plain_way(monkeypatch):
    monkeypatch.setattr(projection_cpu, "LEAST", 2 * 16 * 16)
    x, layer = torch.randn(2, 16), nn.Linear(16, 16)
    ways = [type(projected(layer, part).grad_fn).__name__ for part in (x[:1], x)]
    assert ways == ["AddmmBackward0", "_ProjectionBackward"]


def test_what_was_put_around_a_map_is_called():
    x, layer = torch.randn(2, 16), nn.Linear(16, 16)
    torch.testing.assert_close(projected(layer, x), layer(x))
    seen = []
    layer.register_forward_hook(lambda *given: seen.append(given))
    projected(layer, x)
    assert len(seen) == 1
    other, watched = nn.Linear(16, 16), []
    with register_module_forward_hook(lambda *given: watched.append(given)):
        projected(other, x)
    assert len(watched) == 1

    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    other = Doubled(16, 16)
    assert torch.equal(projected(other, x), other(x))
