"""A perceptron made at every position: its code is of one length, and it starts at a plain one."""

import pytest
import torch
from torch import nn

from archsearch.blocks.channels.channels import MLP
from archsearch.blocks.channels.hyper_channels import HyperMLP, on_circles

TARGETS = ("rows", "low_rank", "full")


def test_a_code_is_of_one_length_whatever_it_holds():
    z = torch.cat([torch.zeros(1, 5), torch.rand(50, 5), 100 * torch.randn(50, 5)]).double()
    lengths = on_circles(z).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((101,), 5**0.5, dtype=torch.float64))
    known = on_circles(torch.tensor([0.0, 1.0, 1 / 3], dtype=torch.float64))
    assert known.tolist() == pytest.approx([1, 0, 0.75**0.5, 0, 1, 0.5], abs=1e-12)


@pytest.mark.parametrize("target", TARGETS)
def test_without_the_network_it_is_a_perceptron(target):
    torch.manual_seed(0)
    mixer, plain, x = HyperMLP(6, target=target), MLP(6), torch.randn(3, 4, 6)
    plain.load_state_dict(mixer.state_dict(), strict=False)
    near = (mixer(x) - plain(x)).norm() / plain(x).norm()
    assert 1e-4 < near < 0.3
    nn.init.zeros_(mixer.change.weight)
    assert torch.equal(mixer(x), plain(x))


@pytest.mark.parametrize("target", TARGETS)
def test_the_first_map_is_its_own_and_what_the_code_makes(target):
    torch.manual_seed(0)
    mixer, x = HyperMLP(5, expand=3.0, code=2, target=target, rank=2).double(), torch.randn(5)
    x = x.double()
    encoded = on_circles(torch.sigmoid(mixer.code(x)))
    made, weight = mixer.change(encoded), mixer.into.weight
    match target:
        case "rows":
            weight = (1 + made)[:, None] * weight
        case "low_rank":
            weight = weight + mixer.up.weight @ torch.diag(made) @ mixer.down.weight
        case "full":
            weight = weight + made.view(15, 5)
    expected = mixer.out(nn.functional.gelu(weight @ x + mixer.into.bias))
    torch.testing.assert_close(mixer(x), expected)


def test_what_the_network_makes_has_not_the_scale_of_the_code():
    torch.manual_seed(0)
    mixer, z = HyperMLP(8, code=4), torch.rand(2000, 4)
    spread = [mixer.change(on_circles(by * z)).square().mean().sqrt().item() for by in (0.01, 1.0)]
    assert spread[0] == pytest.approx(spread[1], rel=0.3)
    raw = nn.Linear(4, 16, bias=False)
    spread = [raw(by * z).square().mean().sqrt().item() for by in (0.01, 1.0)]
    assert spread[1] == pytest.approx(100 * spread[0], rel=1e-3)


def test_it_learns_a_product_that_no_code_of_the_same_scale_would_hide():
    """Trained on a code a hundred times smaller, the loss falls the same."""

    def fitted(by):
        torch.manual_seed(0)
        mixer = HyperMLP(2, expand=8.0)
        with torch.no_grad():
            mixer.code.weight.mul_(by)
            mixer.out.weight.mul_(0.1)
        optimiser = torch.optim.Adam(mixer.parameters(), 0.01)
        for _ in range(300):
            x = torch.randn(128, 2)
            loss = (mixer(x)[:, 0] - x[:, 0] * x[:, 1]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return loss.item()

    plain, small = fitted(1.0), fitted(0.01)
    assert plain < 0.1
    assert small < 0.2
