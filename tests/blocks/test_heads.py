"""Heads with an objective or answers of their own: against sklearn, closed forms and streams."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.metrics import hinge_loss

from archsearch.blocks.declared import HEADS
from archsearch.blocks.ends.margin_heads import MarginHead, TripletHead, hinges
from archsearch.blocks.ends.pointer_head import FAR, PointerHead
from archsearch.spec.signature import Signature
from archsearch.testing.blocks import variants

ONE = Signature("values", 3, "class", 4, every_step=False, length=7)
EACH = replace(ONE, every_step=True)


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("declared", HEADS, ids=lambda declared: declared.name)
@pytest.mark.parametrize("signature", [ONE, EACH])
def test_every_head_steps_as_it_reads(declared, signature):
    h = randn(3, 6, 8)
    for options in variants(declared):
        torch.manual_seed(0)
        head = declared.implementation()(signature, 8, **options).eval()
        whole = head(h)
        assert whole.shape == ((3, 6, 4) if signature.every_step else (3, 4))
        state = head.initial_state(3)
        for t in range(6):
            said, state = head.step(h[:, t], state)
            expected = whole[:, t] if signature.every_step else head(h[:, : t + 1])
            torch.testing.assert_close(said, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("declared", HEADS, ids=lambda declared: declared.name)
def test_steps_beyond_the_length_count_for_nothing(declared):
    h, lengths = randn(3, 6, 8), torch.tensor([1, 4, 6])
    for options in variants(declared):
        torch.manual_seed(0)
        head = declared.implementation()(ONE, 8, **options).eval()
        whole = head(h, lengths)
        for row, length in enumerate([1, 4, 6]):
            alone = head(h[row : row + 1, :length])[0]
            torch.testing.assert_close(whole[row], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("declared", HEADS, ids=lambda declared: declared.name)
def test_every_parameter_is_trained_by_its_objective(declared):
    targets = torch.tensor([0, 3, 2])
    for signature, options in product((ONE, EACH), variants(declared)):
        torch.manual_seed(0)
        head = declared.implementation()(signature, 8, **options)
        said = head(randn(3, 6, 8))
        said = said[:, -1] if signature.every_step else said
        objective = getattr(head, "objective", torch.nn.functional.cross_entropy)
        objective(said, targets).backward()
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name


@pytest.mark.parametrize("declared", HEADS, ids=lambda declared: declared.name)
def test_numbers_are_refused_in_words(declared):
    with pytest.raises(ValueError, match="this task asks for numbers"):
        declared.implementation()(replace(ONE, targets="value"), 8)


def test_the_hinge_of_the_best_other_class_is_sklearns():
    rng = np.random.default_rng(0)
    scores, targets = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
    found = hinges(torch.tensor(scores), torch.tensor(targets), "crammer_singer").mean()
    assert found.item() == pytest.approx(hinge_loss(targets, scores, labels=range(4)))


@pytest.mark.parametrize("power", [1, 2])
def test_one_against_the_rest_is_a_sum_of_two_class_hinges(power):
    """The L1 and L2 machines of the paper: targets are 1 for the class and -1 for the others."""
    rng = np.random.default_rng(1)
    scores, targets = rng.standard_normal((50, 4)), rng.integers(0, 4, 50)
    signs = np.where(np.arange(4) == targets[:, None], 1, -1)
    torch.manual_seed(0)
    head = MarginHead(ONE, 8, power=power, c=5.0).double()
    squared = head.project.weight.detach().square().sum().item()
    expected = (np.maximum(0, 1 - signs * scores) ** power).sum(1).mean() + squared / 10
    found = head.objective(torch.tensor(scores), torch.tensor(targets))
    assert found.item() == pytest.approx(expected)
    # 1/2 |W|^2 + C sum over a batch, in other units
    batch = 0.5 * squared + (5 / 50) * (np.maximum(0, 1 - signs * scores) ** power).sum()
    assert 5 * found.item() == pytest.approx(batch)


@pytest.mark.parametrize("form", ["one_vs_rest", "crammer_singer"])
@pytest.mark.parametrize("power", [1, 2])
def test_beyond_the_margin_there_is_no_gradient(form, power):
    head = MarginHead(ONE, 8, form=form, power=power)
    scores = torch.tensor([[2.0, -2.0, -1.5, -3.0], [0.3, 0.2, -2.0, -2.0]], requires_grad=True)
    head.objective(scores, torch.tensor([0, 0])).backward()
    assert not scores.grad[0].any()
    assert scores.grad[1, 0] < 0 < scores.grad[1, 1]


def test_a_triplet_head_measures_squared_distances_on_the_sphere():
    torch.manual_seed(0)
    head, h = TripletHead(ONE, 8, size=3).eval(), randn(5, 6, 8)
    z = head.embed(h)
    z = z / z.norm(dim=-1, keepdim=True)
    points = head.points / head.points.norm(dim=-1, keepdim=True)
    expected = -(z[:, None] - points).square().sum(-1)
    torch.testing.assert_close(head(h), expected)
    targets = torch.tensor([0, 1, 2, 3, 0])
    losses = []
    for row, target in zip(expected, targets, strict=True):
        far = min(-row[c] for c in range(4) if c != target)
        losses.append(max(0.0, (0.2 - row[target] - far).item()))
    assert head.objective(expected, targets).item() == pytest.approx(np.mean(losses))


def pointed(e, d, score):
    """One score by one, as in the paper."""
    return torch.tensor(
        [
            (score.value.weight[0] * torch.tanh(score.asked(one) + score.asking.weight @ d)).sum()
            for one in e
        ]
    )


@pytest.mark.parametrize("clip", [0.0, 10.0])
@pytest.mark.parametrize("glimpses", [0, 2])
def test_a_pointer_scores_every_step_it_has_seen(glimpses, clip):
    torch.manual_seed(0)
    head, h = PointerHead(EACH, 8, glimpses, clip).eval(), randn(2, 6, 8)
    with torch.no_grad():
        for score in head.scores:
            score.value.weight.mul_(5)
        said = head(h)
        for row, t in product(range(2), range(6)):
            seen = h[row, : min(t + 1, 4)]
            d = h[row, t]
            for score in head.scores[:-1]:
                d = pointed(seen, d, score).softmax(0) @ seen
            expected = pointed(seen, d, head.scores[-1])
            if clip:
                expected = 10 * torch.tanh(expected)
            torch.testing.assert_close(said[row, t, : len(seen)], expected, rtol=1e-4, atol=1e-5)
            assert (said[row, t, len(seen) :] == FAR).all()


@pytest.mark.parametrize("glimpses", [0, 1])
def test_what_is_not_there_is_never_pointed_at(glimpses):
    head = PointerHead(replace(ONE, outputs=9), 8, glimpses, pool="mean").eval()
    lengths = torch.tensor([1, 4, 6])
    shares = head(randn(3, 6, 8), lengths).softmax(-1)
    for row, length in zip(shares, lengths, strict=True):
        assert (row[:length] > 0).all()
        assert (row[length:] == 0).all()


def test_moving_the_steps_moves_the_answers():
    head, h = PointerHead(replace(ONE, outputs=6), 8, pool="mean").eval(), randn(2, 6, 8)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(head(h[:, order]), head(h)[:, order])
