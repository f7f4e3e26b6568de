"""Activations against values known in closed form or by quadrature."""

import pytest
import torch

from archsearch.blocks.activations import FUNCTIONS, activation_named
from archsearch.blocks.declared import ACTIVATIONS

# f(-1), f(1), f(2), f'(1), f'(-1)
KNOWN = {
    "relu": (0, 1, 2, 1, 0),
    "leaky_relu": (-0.01, 1, 2, 1, 0.01),
    "relu2": (0, 1, 4, 2, 0),
    "gelu": (-0.158655, 0.841345, 1.954500, 1.083315, -0.083315),
    "silu": (-0.268941, 0.731059, 1.761594, 0.927671, 0.072329),
    "mish": (-0.303401, 0.865098, 1.943959, 1.049036, 0.059217),
    "selu": (-1.111331, 1.050701, 2.101402, 1.050701, 0.646768),
    "softplus": (0.313262, 1.313262, 2.126928, 0.731059, 0.268941),
    "tanh": (-0.761594, 0.761594, 0.964028, 0.419974, 0.419974),
    "sigmoid": (0.268941, 0.731059, 0.880797, 0.196612, 0.196612),
    "identity": (-1, 1, 2, 1, 1),
}


def test_the_declared_names_are_the_functions():
    assert tuple(FUNCTIONS) == ACTIVATIONS
    assert set(KNOWN) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_and_slopes(name):
    x = torch.tensor([-1.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = activation_named(name)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    found = [*y.tolist(), slope[1].item(), slope[0].item()]
    assert found == pytest.approx(KNOWN[name], abs=1e-5)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_far_inputs_stay_finite(name, dtype):
    assert activation_named(name)(torch.tensor([-1e4, 1e4], dtype=dtype)).isfinite().all()


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"one of relu, .*, got 'swoosh'"):
        activation_named("swoosh")
