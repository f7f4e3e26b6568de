"""Activations against values known in closed form or by quadrature."""

import itertools
import math

import pytest
import torch

from archsearch.blocks.activations.activations import FUNCTIONS, MODULES, open_activation
from archsearch.blocks.activations.composed_activation import BINARY, UNARY
from archsearch.blocks.activations.declared_activations import BINARY as BINARY_NAMES
from archsearch.blocks.activations.declared_activations import FUNCTIONS as FUNCTION_NAMES
from archsearch.blocks.activations.declared_activations import MODULES as MODULE_NAMES
from archsearch.blocks.activations.declared_activations import UNARY as UNARY_NAMES
from archsearch.blocks.channels.channels import GLU, MLP
from archsearch.blocks.declared import CHANNELS
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage

# f(-1), f(1), f(2), f'(1), f'(-1)
KNOWN = {
    "relu": (0, 1, 2, 1, 0),
    "leaky_relu": (-0.01, 1, 2, 1, 0.01),
    "relu2": (0, 1, 4, 2, 0),
    "gelu": (-0.158655, 0.841345, 1.954500, 1.083315, -0.083315),
    "gelu_tanh": (-0.158808, 0.841192, 1.954598, 1.082964, -0.082964),
    "gelu_sigmoid": (-0.154204, 0.845796, 1.935659, 1.067782, -0.067782),
    "silu": (-0.268941, 0.731059, 1.761594, 0.927671, 0.072329),
    "mish": (-0.303401, 0.865098, 1.943959, 1.049036, 0.059217),
    "selu": (-1.111331, 1.050701, 2.101402, 1.050701, 0.646768),
    "softplus": (0.313262, 1.313262, 2.126928, 0.731059, 0.268941),
    "tanh": (-0.761594, 0.761594, 0.964028, 0.419974, 0.419974),
    "sigmoid": (0.268941, 0.731059, 0.880797, 0.196612, 0.196612),
    "laplace": (0.0, 0.850431, 0.999998, 0.824949, 0.0),
    "identity": (-1, 1, 2, 1, 1),
}
# of z ~ N(0, 1): E f(z), E f(z)^2, E f'(z)^2
MOMENTS = {
    "relu": (0.398942, 0.5, 0.5),
    "leaky_relu": (0.394953, 0.50005, 0.50005),
    "relu2": (0.5, 1.5, 2.0),
    "gelu": (0.282095, 0.425221, 0.455851),
    "silu": (0.206621, 0.355776, 0.379482),
    "mish": (0.240404, 0.452342, 0.479084),
    "selu": (0.0, 1.0, 1.071575),
    "tanh": (0.0, 0.394294, 0.464403),
    "sigmoid": (0.5, 0.293379, 0.044836),
}
MINIMA = {
    "gelu": (-0.751792, -0.169971),
    "gelu_tanh": (-0.752461, -0.170041),
    "silu": (-1.278465, -0.278465),
    "mish": (-1.192431, -0.308843),
}
# f'(0), where there is one
AT_ZERO = {"relu2": 0.0, "gelu": 0.5, "gelu_tanh": 0.5, "silu": 0.5, "mish": 0.6, "tanh": 1.0}
AT_ZERO |= {"sigmoid": 0.25, "identity": 1.0, "gelu_sigmoid": 0.5, "softplus": 0.5}
# the largest slope, and where it is; a bound of the interval where it is reached by the limit
STEEPEST = {
    "gelu": (1.12890, 2**0.5),
    "gelu_tanh": (1.12899, 1.4185),
    "silu": (1.09984, 2.3994),
    "mish": (1.08850, 1.4906),
    "tanh": (1.0, 0.0),
    "sigmoid": (0.25, 0.0),
    "selu": (1.758099, 0.0),
}
# the deviation of weights, times the root of their number, that keeps the second moment at 1
GAINS = {
    "relu": 1.41421,
    "leaky_relu": 1.41414,
    "relu2": 0.81650,
    "gelu": 1.53353,
    "silu": 1.67653,
    "mish": 1.48685,
    "selu": 1.0,
    "tanh": 1.59254,
    "sigmoid": 1.84623,
}
NAMES = (*FUNCTION_NAMES, *MODULE_NAMES)
ALL_OPTIONS = {
    "swish": [{"beta": 0.5}],
    "smelu": [{"beta": 0.1}],
    "gsmelu": [{"beta": 1.0}],
    "velu": [{"alpha": 0.1}],
    "crelu": [{"sparsity": 0.9, "contraction": 0.5}],
    "cst": [{"sparsity": 0.6, "contraction": 0.9}],
    "stochastic": [{"evaluated": value} for value in ("silu", "mean")],
    "rescu": [{"left": 0.1, "right": 1.0, "below": 0.2, "lift": 0.3}, {"bend": "smooth"}],
    "circa": [{"settled": "mean", "faults": value} for value in ("pos_zero", "neg_pass")],
    "composed": [{"first": "abs", "binary": value} for value in BINARY],
}
EVERY = [(name, options) for name in NAMES for options in ({}, *ALL_OPTIONS.get(name, ()))]


def opened(name, units=4, dtype=torch.float64, **options):
    found = open_activation(name, units, **options)
    return found.to(dtype).eval() if isinstance(found, torch.nn.Module) else found


def test_the_declared_names_are_the_functions():
    assert tuple(FUNCTIONS) == FUNCTION_NAMES
    assert tuple(MODULES) == MODULE_NAMES
    assert tuple(UNARY) == UNARY_NAMES
    assert tuple(BINARY) == BINARY_NAMES
    assert set(KNOWN) == set(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTION_NAMES)
def test_values_and_slopes(name):
    x = torch.tensor([-1.0, 1.0, 2.0], dtype=torch.float64, requires_grad=True)
    y = opened(name)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    found = [*y.tolist(), slope[1].item(), slope[0].item()]
    assert found == pytest.approx(KNOWN[name], abs=1e-5)


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    edges = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    z = ((edges[1:] + edges[:-1]) / 2).requires_grad_()
    weight = torch.exp(-z.detach().square() / 2) / math.sqrt(2 * math.pi) * (edges[1] - edges[0])
    y = opened(name)(z)
    (slope,) = torch.autograd.grad(y.sum(), z)
    found = [(weight * part).sum().item() for part in (y, y.square(), slope.square())]
    assert found == pytest.approx(MOMENTS[name], abs=2e-6)


@pytest.mark.parametrize("name", GAINS)
def test_weights_of_the_gain_keep_the_second_moment(name):
    assert MOMENTS[name][1] ** -0.5 == pytest.approx(GAINS[name], abs=1e-5)
    torch.manual_seed(0)
    x = torch.randn(400, 2000)
    x = torch.randn(2000, 2000) @ opened(name, dtype=torch.float32)(x).T
    assert (GAINS[name] * x / 2000**0.5).square().mean().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", AT_ZERO)
def test_slopes_at_zero(name):
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(opened(name)(x).sum(), x)
    assert slope.item() == pytest.approx(AT_ZERO[name], abs=1e-12)


@pytest.mark.parametrize("name", STEEPEST)
def test_largest_slopes(name):
    x = torch.linspace(-4, 4, 800_001, dtype=torch.float64)
    x = (x[x < 0] if name == "selu" else x).requires_grad_()
    (slope,) = torch.autograd.grad(opened(name)(x).sum(), x)
    value, place = STEEPEST[name]
    assert slope.max().item() == pytest.approx(value, abs=2e-5)
    assert x[slope.argmax()].item() == pytest.approx(place, abs=1e-4)


def test_selu_ends_at_its_asymptote():
    x = torch.tensor([-50.0], dtype=torch.float64)
    assert opened("selu")(x).item() == pytest.approx(-1.758099, abs=1e-6)


@pytest.mark.parametrize("name", MINIMA)
def test_minima(name):
    x = torch.linspace(-3, 0, 300_001, dtype=torch.float64)
    y = opened(name)(x)
    place, value = MINIMA[name]
    assert y.min().item() == pytest.approx(value, abs=1e-6)
    assert x[y.argmin()].item() == pytest.approx(place, abs=2e-5)


@pytest.mark.parametrize(("name", "options"), EVERY)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_far_inputs_stay_finite(name, options, dtype):
    x = torch.tensor([[-1e4, 1e4, 0.0, 1.0]], dtype=dtype)
    assert opened(name, dtype=dtype, **options)(x).isfinite().all()


@pytest.mark.parametrize(("name", "options"), EVERY)
def test_slopes_are_those_of_the_function(name, options):
    torch.manual_seed(0)
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(opened(name, **options), x)


@pytest.mark.parametrize("channel", [MLP, GLU])
@pytest.mark.parametrize(("name", "options"), EVERY)
def test_every_activation_trains_in_a_channel_mixer(channel, name, options):
    torch.manual_seed(0)
    mixer = channel(6, activation=name, **options)
    mixer(torch.randn(5, 7, 6)).square().sum().backward()
    for parameter in mixer.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.any()


@pytest.mark.parametrize("mixer", [entry for entry in CHANNELS if "activation" in entry.options])
@pytest.mark.parametrize("name", NAMES)
def test_a_declared_layer_has_the_options_of_its_activation(mixer, name):
    from archsearch.spec.architecture import Layer

    options = dict(mixer.complete(Layer.of(mixer.name, activation=name)).options)
    mixer.implementation()(6, **options)
    plain = dict(mixer.complete(Layer.of(mixer.name, activation="relu")).options)
    assert (set(options) > set(plain)) == (name in MODULES and name not in ("polyrelu", "polynorm"))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"one of relu, .*, got 'swoosh'"):
        open_activation("swoosh", 3)


def test_approximations_of_gelu_are_as_near_as_known():
    x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    exact = opened("gelu")(x)
    apart = [(opened(name)(x) - exact).abs().max().item() for name in ("gelu_tanh", "gelu_sigmoid")]
    assert apart == pytest.approx([4.73e-4, 2.03e-2], rel=5e-3)


def test_swish_is_silu_aptx_and_relu():
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)[:, None]
    torch.testing.assert_close(opened("swish", 1)(x), torch.nn.functional.silu(x))
    aptx = (1 + torch.tanh(x)) * x / 2
    torch.testing.assert_close(opened("swish", 1, beta=2.0)(x), aptx, rtol=0, atol=2e-15)
    torch.testing.assert_close(opened("swish", 1, beta=1e4)(x), x.relu(), rtol=0, atol=1e-4)


def test_aptx_has_the_digest_of_swish():
    def named(**options):
        blocks = (Block(Layer("gru"), channel=Layer.of("mlp", **options)),)
        given = Architecture(width=8, stages=(Stage(blocks),))
        return load_catalog().complete_architecture(given).digest

    assert named(activation="aptx") == named(activation="swish", beta=2.0)
    assert named(activation="aptx") != named(activation="swish")


def test_aptx_has_its_known_values_and_is_as_near_to_mish_as_known():
    aptx = opened("swish", 1, beta=2.0)
    x = torch.tensor([[-1.0], [1.0], [2.0], [0.0]], dtype=torch.float64, requires_grad=True)
    y = aptx(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y[:3, 0].tolist() == pytest.approx([-0.119203, 0.880797, 1.964028], abs=1e-6)
    assert slope[:, 0].tolist()[:2] == pytest.approx([-0.090784, 1.090784], abs=1e-6)
    assert slope[3].item() == 0.5
    x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)[:, None].requires_grad_()
    y = aptx(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y.min().item() == pytest.approx(-0.139232, abs=1e-6)
    assert x[y.argmin()].item() == pytest.approx(-0.639232, abs=1e-4)
    assert slope.max().item() == pytest.approx(1.09984, abs=1e-5)
    assert x[slope.argmax()].item() == pytest.approx(1.1997, abs=1e-4)
    mish = opened("mish")(x)
    assert (y - mish).abs().max().item() == pytest.approx(0.228, abs=5e-4)
    halves = [(x < 0, 1.0, 0.036), (x > 0, 2.0, 0.025)]
    for side, beta, gap in halves:
        near = opened("swish", 1, beta=beta)(x)
        assert (near - mish).abs()[side].max().item() == pytest.approx(gap, abs=1e-3)


def test_smelu_bends_between_minus_beta_and_beta():
    x = torch.tensor([-2, -0.5, 0, 0.5, 2], dtype=torch.float64, requires_grad=True)
    y = opened("smelu")(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert y.tolist() == pytest.approx([0, 0.0625, 0.25, 0.5625, 2])
    assert slope.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1])


def test_general_smelu_is_its_closed_form():
    a = b = 0.3
    low, high = 0.01, 1.0
    x = torch.linspace(-1, 1, 2000, dtype=torch.float64, requires_grad=True)
    y = opened("gsmelu", beta=0.3)(x)
    # section 4 of arXiv 2010.09931 with t = -low a
    curve = (high - low) / (2 * (a + b)) * x**2 + (a * high + b * low) / (a + b) * x
    curve = curve - low * a + a**2 * (high + low) / (2 * (a + b)) + a * b * low / (a + b)
    inside = x.abs() < 0.3
    torch.testing.assert_close(y[inside], curve[inside])
    torch.testing.assert_close(y[x < -a], low * x[x < -a])
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert slope[x > b].unique().tolist() == pytest.approx([1.0])
    # no jump in the slope: it never changes faster than on the bend
    assert slope.diff().abs().max() < 1.01 * 0.99 / 0.6 * 2 / 1999


def test_velu_is_its_published_code():
    row = torch.tensor([[-2.0, -1, 0, 1, 2]], dtype=torch.float64)
    found = opened("velu", 5)(row)[0]
    # its arcsine ends a little before the code's does
    assert found[1:4].tolist() == pytest.approx([-0.044600, 0, 1.011644], abs=1e-6)
    assert found[[0, 4]].tolist() == pytest.approx([-0.009925, 2.102563], abs=1.2e-3)


def test_polyrelu_and_polynorm_start_at_known_values():
    x = torch.tensor([-1, 0, 0.5, 1, 2], dtype=torch.float64)
    assert opened("polyrelu")(x).tolist() == pytest.approx([0, 0, 0.291667, 1, 4.666667], abs=1e-6)
    row = torch.tensor([[1.0, 2, 3, 4]], dtype=torch.float64)
    expected = [0.166683, 0.461432, 0.941450, 1.663938]
    assert opened("polynorm")(row)[0].tolist() == pytest.approx(expected, abs=1e-6)
    assert opened("polynorm")(7 * row)[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_polynorm_of_normal_features_has_a_known_size():
    torch.manual_seed(0)
    found = opened("polynorm")(torch.randn(200, 4096, dtype=torch.float64))
    # powers of a normal number: 3 / sqrt(15) between the first and the third, mean 1 / sqrt(3)
    mean, square = 1 / 27**0.5, (3 + 6 / 15**0.5) / 9
    assert found.mean().item() == pytest.approx(mean, abs=2e-3)
    assert found.square().mean().item() == pytest.approx(square, abs=2e-3)
    assert found.std().item() == pytest.approx(0.688, abs=5e-3)


@pytest.mark.parametrize(
    ("name", "start", "gain", "low", "high"),
    [
        ("selu", (0.0, 1.0), 1.0, 0.9, 1.1),
        ("selu", (1.0, 2.0), 1.0, 0.9, 1.1),
        ("selu", (0.0, 1.0), 2.0, 300.0, 3000.0),
        ("relu", (0.0, 1.0), 1.0, 0.0, 1e-10),
    ],
)
def test_fifty_layers_normalise_themselves(name, start, gain, low, high):
    """Weights of variance gain / inputs, from a mean and a deviation (arXiv 1706.02515)."""
    torch.manual_seed(0)
    mean, deviation = start
    x = mean + deviation * torch.randn(500, 512)
    for _ in range(50):
        x = opened(name, dtype=torch.float32)(x @ torch.randn(512, 512) * (gain / 512) ** 0.5)
    assert low <= x.var().item() <= high
    if name == "selu" and gain == 1:
        assert abs(x.mean().item()) < 0.05


def test_powers_do_not_overflow_in_half_precision():
    x = torch.tensor([[100.0, -100.0, 1.0, 2.0]], dtype=torch.float16)
    found = opened("polynorm", dtype=torch.float16)(x)
    assert found.dtype == torch.float16
    assert found.isfinite().all()


def test_stochastic_relu_draws_below_zero_in_training_only():
    torch.manual_seed(0)
    activation = open_activation("stochastic", 1, share=0.7).train()
    x = torch.full((200_000,), -1.0, requires_grad=True)
    y = activation(x)
    assert y.mean().item() == pytest.approx(-0.188259, abs=1e-3)
    assert y.unique().tolist() == pytest.approx([-0.268941, 0], abs=1e-6)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert torch.equal(slope != 0, y != 0)
    ends = {
        how: open_activation("stochastic", 1, evaluated=how).eval()(torch.tensor([-1.0, 2.0]))
        for how in ("relu", "silu", "mean")
    }
    assert ends["relu"].tolist() == [0, 2]
    assert ends["silu"].tolist() == pytest.approx([-0.268941, 2], abs=1e-6)
    assert ends["mean"].tolist() == pytest.approx([-0.188259, 2], abs=1e-6)


def test_the_list_of_the_paper_can_be_composed():
    x = torch.linspace(-3, 3, 61, dtype=torch.float64)[:, None]
    paper = {
        ("x", "sigmoid", "multiply"): x * torch.sigmoid(x),
        ("x", "sigmoid", "max"): torch.maximum(x, torch.sigmoid(x)),
        ("cos", "x", "subtract"): torch.cos(x) - x,
        ("x", "sin", "min"): torch.minimum(x, torch.sin(x)),
        ("x", "tanh", "max"): torch.maximum(x, torch.tanh(x)),
        ("sinc", "x", "add"): torch.where(x == 0, 1.0, torch.sin(x) / x) + x,
        ("x", "asinh", "gate"): torch.sigmoid(x) * torch.asinh(x),
    }
    for (first, second, binary), expected in paper.items():
        composed = opened("composed", 1, first=first, second=second, binary=binary)
        torch.testing.assert_close(composed(x), expected)


@pytest.mark.parametrize("binary", BINARY_NAMES)
def test_every_composition_is_finite_with_finite_slopes(binary):
    x = torch.linspace(-5, 5, 41)[:, None].requires_grad_()
    for first, second in itertools.product(UNARY_NAMES, UNARY_NAMES):
        composed = opened("composed", 1, torch.float32, first=first, second=second, binary=binary)
        y = composed(x)
        slopes = torch.autograd.grad(y.sum(), [x, *composed.parameters()], allow_unused=True)
        assert y.isfinite().all(), (first, second)
        assert all(s is None or s.isfinite().all() for s in slopes), (first, second)
