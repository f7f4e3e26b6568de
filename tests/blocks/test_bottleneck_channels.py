"""Codes and nearest keys: which are chosen, what is learned, and what stays as it was."""

import pytest
import torch
from torch import nn

from archsearch.blocks.added_loss import with_loss
from archsearch.blocks.channels.bottleneck_channels import Codebook, KeyValue


def chosen(mixer: Codebook, h: torch.Tensor) -> torch.Tensor:
    alike = nn.functional.cosine_similarity(h[:, None], mixer.codes, dim=-1)
    return alike.topk(mixer.active).indices


@pytest.mark.parametrize("active", [1, 3])
def test_what_is_passed_on_is_a_sum_of_the_nearest_codes(active):
    torch.manual_seed(0)
    mixer, x = Codebook(6, codes=20, active=active).eval(), torch.randn(30, 6)
    with torch.no_grad():
        # a long code is not nearer than a short one
        mixer.codes.mul_(torch.linspace(0.1, 10, 20)[:, None])
    expected = mixer.out(mixer.codes[chosen(mixer, mixer.into(x))].sum(1))
    torch.testing.assert_close(mixer(x), expected)
    assert len(torch.unique(mixer(x).round(decimals=4), dim=0)) <= (20 if active == 1 else 30)


def test_more_active_codes_than_there_are_is_all_of_them():
    torch.manual_seed(0)
    mixer = Codebook(4, codes=3, active=8).eval()
    torch.testing.assert_close(mixer(torch.randn(4)), mixer.out(mixer.codes.sum(0)))


@pytest.mark.parametrize("commitment", [0.0, 0.7])
def test_its_losses_are_part_of_the_gradient_as_if_they_had_been_added(commitment):
    torch.manual_seed(0)
    mixer, x = Codebook(5, codes=7, commitment=commitment).double(), torch.randn(4, 3, 5).double()
    wanted = torch.randn(4, 3, 5).double()
    # the training loss itself is the same with and without them
    loss = (mixer(x) - wanted).square().mean()
    assert loss.item() == pytest.approx((mixer.eval()(x) - wanted).square().mean().item())
    found = torch.autograd.grad(loss, list(mixer.parameters()))
    plain = (mixer(x) - wanted).square().mean()
    h = mixer.into(x)
    q = mixer.codes[chosen(mixer, h.flatten(0, 1))[:, 0]].view_as(h)
    losses = (q - h.detach()).square().mean() + commitment * (h - q.detach()).square().mean()
    expected = torch.autograd.grad(plain + losses, list(mixer.parameters()))
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_an_added_loss_counts_once_however_large_the_gradient_beside_it():
    y, dear = torch.ones(3, requires_grad=True), torch.tensor(2.0, requires_grad=True)
    (100 * with_loss(y, dear**2)).sum().backward()
    assert y.grad.tolist() == [100, 100, 100]
    assert dear.grad.item() == 4


def test_codes_move_to_what_there_is():
    torch.manual_seed(0)
    mixer = Codebook(2, codes=8, commitment=0.0).train()
    places = torch.tensor([[2.0, 0.0], [0.0, 2.0], [-2.0, -2.0]])
    for part in (mixer.into, mixer.out):
        nn.init.eye_(part.weight)
        nn.init.zeros_(part.bias)
    optimiser = torch.optim.Adam([mixer.codes], 0.05)
    for _ in range(200):
        y = mixer(places[torch.randint(3, (32,))] + 0.01 * torch.randn(32, 2))
        optimiser.zero_grad()
        # the task asks for nothing
        (0 * y).sum().backward()
        optimiser.step()
    torch.testing.assert_close(mixer.eval()(places), places, rtol=0, atol=0.05)


def test_values_are_those_of_the_nearest_keys():
    torch.manual_seed(0)
    mixer, x = KeyValue(6, heads=3, keys=10), torch.randn(20, 6)
    expected = torch.zeros(20, 6)
    for row in range(20):
        for head in range(3):
            view = mixer.views[head] @ x[row]
            nearest = (mixer.keys[head] - view / view.norm()).norm(dim=-1).argmin()
            expected[row] += mixer.values[head, nearest].detach() / 3
    torch.testing.assert_close(mixer(x), expected)
    torch.testing.assert_close(mixer(7 * x), expected)


def test_only_values_are_learned_and_only_those_looked_up_change():
    torch.manual_seed(0)
    mixer, x = KeyValue(6, heads=2, keys=50), torch.randn(5, 6, requires_grad=True)
    assert [name for name, _ in mixer.named_parameters()] == ["values"]
    before = mixer.values.detach().clone()
    optimiser = torch.optim.SGD(mixer.parameters(), 0.1)
    (mixer(x) - 3).square().mean().backward()
    optimiser.step()
    assert x.grad is None
    changed = (mixer.values != before).any(-1).sum(-1)
    assert changed.tolist() == [len(row.unique()) for row in looked_up(mixer, x).T]
    assert changed.max() <= 5


def looked_up(mixer: KeyValue, x: torch.Tensor) -> torch.Tensor:
    views = torch.einsum("hsw,bw->bhs", mixer.views, x.detach())
    return torch.einsum("hks,bhs->bhk", mixer.keys, views).argmax(-1)


def test_learning_one_class_leaves_what_was_learned_of_another():
    """Its point: one pair of classes after the other, without forgetting the first."""
    torch.manual_seed(0)
    centres = 3 * torch.randn(4, 16)

    def accuracy_of_the_first(net):
        optimiser = torch.optim.SGD(net.parameters(), 0.3)
        for classes in ((0, 1), (2, 3)):
            for _ in range(150):
                y = torch.tensor(classes)[torch.randint(2, (32,))]
                x = centres[y] + 0.3 * torch.randn(32, 16)
                optimiser.zero_grad()
                nn.functional.cross_entropy(net(x)[:, :4], y).backward()
                optimiser.step()
        y = torch.randint(2, (400,))
        x = centres[y] + 0.3 * torch.randn(400, 16)
        return (net(x)[:, :4].argmax(-1) == y).float().mean().item()

    bottleneck = KeyValue(16, heads=16, keys=64)
    nn.init.zeros_(bottleneck.values)
    assert accuracy_of_the_first(bottleneck) > 0.9
    assert accuracy_of_the_first(nn.Linear(16, 16)) < 0.6
