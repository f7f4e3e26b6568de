"""Bends without a jump in value or slope, and rectifiers that mistake signs near zero."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from archsearch.blocks.activations.activations import open_activation
from archsearch.blocks.activations.bent_activations import CircaReLU

BENDS = [
    {},
    {"left": 0.3, "right": 0.3},
    {"left": 0.1, "right": 1.0, "below": 0.2, "lift": 0.3},
    {"left": 1.0, "right": 0.2, "below": -0.3, "above": 2.0, "lift": -1.0},
]


def line(first, last, count=2001):
    return torch.linspace(first, last, count, dtype=torch.float64)


def slopes(activation, x):
    x = x.clone().requires_grad_()
    y = activation(x)
    return y.detach(), torch.autograd.grad(y.sum(), x)[0]


@pytest.mark.parametrize("options", BENDS)
def test_the_parabola_is_its_closed_form(options):
    """Of slopes p left of -a and q right of b, with f(-a) = t: what a smooth join asks for."""
    chosen = {"left": 0.5, "right": 0.5, "below": 0.01, "above": 1.0, "lift": 0.0} | options
    a, b, p, q = (chosen[key] for key in ("left", "right", "below", "above"))
    t = chosen["lift"] - p * a
    x = line(-a, b)
    curve = (q - p) / (2 * (a + b)) * x**2 + (a * q + b * p) / (a + b) * x
    curve = curve + t + a**2 * (q + p) / (2 * (a + b)) + a * b * p / (a + b)
    rescu = open_activation("rescu", 1, **options)
    torch.testing.assert_close(rescu(x), curve)
    before, after = line(-5, -a), line(b, 5)
    torch.testing.assert_close(rescu(before), t + p * (before + a))
    torch.testing.assert_close(rescu(after), curve[-1] + q * (after - b))


@pytest.mark.parametrize("options", BENDS)
@pytest.mark.parametrize("bend", ["parabola", "smooth"])
def test_neither_value_nor_slope_jumps(options, bend):
    rescu = open_activation("rescu", 1, bend=bend, **options)
    x = line(-3, 3, 60_001)
    y, slope = slopes(rescu, x)
    gap = 6 / 60_000
    largest = slope.abs().max().item()
    assert y.diff().abs().max() <= largest * gap * 1.001
    # on the bend it changes by 1.5 of its rise over the length at most
    rise = abs(rescu.above - rescu.below) / (rescu.left + rescu.right)
    assert slope.diff().abs().max() <= 1.501 * rise * gap
    assert slope[0].item() == pytest.approx(rescu.below)
    assert slope[-1].item() == pytest.approx(rescu.above)
    if bend == "smooth":
        assert slope.diff().diff().abs().max() <= 6.01 * rise / (rescu.left + rescu.right) * gap**2


def test_it_holds_smelu_and_general_smelu():
    x = line(-3, 3)
    smelu = open_activation("smelu", 1, beta=1.0)
    torch.testing.assert_close(
        open_activation("rescu", 1, left=1.0, right=1.0, below=0.0)(x), smelu(x)
    )
    general = open_activation("gsmelu", 1, beta=0.3)
    torch.testing.assert_close(open_activation("rescu", 1, left=0.3, right=0.3)(x), general(x))


def test_a_smooth_bend_has_known_values():
    rescu = open_activation("rescu", 1, left=1.0, right=1.0, below=0.0, bend="smooth")
    y, slope = slopes(rescu, torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=torch.float64))
    # 2 (u^3 - u^4 / 2) and 3 u^2 - 2 u^3 at quarters
    assert y.tolist() == pytest.approx([0, 0.02734375, 0.1875, 0.52734375, 1])
    assert slope.tolist() == pytest.approx([0, 0.15625, 0.5, 0.84375, 1])


@pytest.mark.parametrize("faults", ["pos_zero", "neg_pass"])
def test_faults_fall_linearly_and_end_at_the_reach(faults):
    torch.manual_seed(0)
    circa = CircaReLU(1, reach=0.5, faults=faults).train()
    sign = 1 if faults == "pos_zero" else -1
    for size, rate in ((0.05, 0.9), (0.125, 0.75), (0.25, 0.5), (0.4, 0.2), (0.5, 0), (3.0, 0)):
        x = torch.full((40_000,), sign * size, requires_grad=True)
        y = circa(x)
        wrong = y == 0 if faults == "pos_zero" else y == x
        assert wrong.float().mean().item() == pytest.approx(rate, abs=0.01)
        # the branch that was drawn is the one that is learned through
        (slope,) = torch.autograd.grad(y.sum(), x)
        assert torch.equal(slope, (y != 0).float())
        other = circa(-x.detach())
        assert torch.equal(other, torch.relu(-x.detach()))


@pytest.mark.parametrize("faults", ["pos_zero", "neg_pass"])
def test_the_average_is_that_of_the_faults(faults):
    torch.manual_seed(0)
    x = line(-1, 1, 21).float()
    settled = CircaReLU(1, reach=0.5, faults=faults, settled="mean").eval()(x)
    drawn = CircaReLU(1, reach=0.5, faults=faults).train()(x.expand(20_000, 21)).mean(0)
    torch.testing.assert_close(settled, drawn, rtol=0, atol=0.01)
    assert torch.equal(CircaReLU(1, faults=faults).eval()(x), torch.relu(x))


def test_a_trained_network_bears_faults_up_to_the_spread_of_its_activations():
    """The claim of arXiv 2106.08475, on digits: faults near zero cost nothing, wide ones much."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    torch.manual_seed(0)
    first, second, third = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
    parameters = [p for layer in (first, second, third) for p in layer.parameters()]
    optimiser = torch.optim.Adam(parameters, 3e-3)

    def scores(x, activation):
        return third(activation(second(activation(first(x)))))

    for _ in range(200):
        rows = torch.randint(1200, (64,))
        optimiser.zero_grad()
        nn.functional.cross_entropy(scores(x[rows], torch.relu), y[rows]).backward()
        optimiser.step()

    def accuracy(reach):
        circa = CircaReLU(64, reach=reach).train()
        with torch.no_grad():
            return (scores(x[1200:], circa).argmax(1) == y[1200:]).float().mean().item()

    spread = second(torch.relu(first(x))).std().item()
    exact, mild, wild = accuracy(1e-6), accuracy(0.1 * spread), accuracy(20 * spread)
    assert exact > 0.85
    assert mild > exact - 0.02
    assert wild < exact - 0.3
