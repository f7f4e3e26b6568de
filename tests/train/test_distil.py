"""A small network learns what a large one computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from toy_task import SignTask, network

from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Layer
from archsearch.train.checkpoint import Checkpoint
from archsearch.train.declared import ADAMW
from archsearch.train.distil import Matching, mixture
from archsearch.train.fit import fit
from archsearch.train.tensors import Tensors

torch.set_num_threads(1)
CATALOG = load_catalog()


class Answer(nn.Module):
    """Says what its only parameter is, whatever it hears; keeps what it heard."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)
        self.heard: list[Tensor] = []
        self.taught: list[bool] = []

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.heard.append(x)
        self.taught.append(self.training)
        return self.value, torch.tensor(0.25)


def batch() -> Tensors:
    x = torch.arange(24.0).view(4, 3, 2)
    lengths = torch.tensor([1, 2, 3, 3])
    mask = torch.arange(3)[None] < lengths[:, None]
    return Tensors(x, lengths, torch.zeros(4, dtype=torch.long), mask)


def plain() -> Tensors:
    found = batch()
    return Tensors(found.inputs, found.lengths, found.targets, None)


def test_the_gradient_is_twice_the_difference_over_their_number() -> None:
    student, teacher = Answer(torch.randn(4, 3)), Answer(torch.randn(4, 3))
    found = Matching(teacher)(student, plain(), SignTask().signature)
    found.backward()
    difference = (student.value - teacher.value).detach()
    assert found.item() == pytest.approx(float(difference.square().mean()) + 0.25)
    assert torch.allclose(student.value.grad, 2 * difference / 12)
    assert teacher.value.grad is None
    assert teacher.taught == [False]
    assert teacher.training
    # function matching: the very same inputs, and not those of the batch
    assert torch.equal(student.heard[0], teacher.heard[0])
    assert not torch.equal(student.heard[0], plain().inputs)
    Matching(teacher, mixed=False)(student, plain(), SignTask().signature)
    assert torch.equal(student.heard[1], plain().inputs)


def test_steps_that_do_not_count_are_not_matched() -> None:
    student, teacher = Answer(torch.zeros(4, 3, 2)), Answer(torch.ones(4, 3, 2))
    with torch.no_grad():
        teacher.value[0, 2] = 100.0
    signature = SignTask(every_step=True).signature
    assert Matching(teacher, mixed=False)(student, batch(), signature).item() == 1.25
    # mixed with a longer one, the step counts
    assert Matching(teacher)(student, batch(), signature).item() > 100


def test_a_mixture_lies_between_two_sequences_and_is_as_long_as_the_longer() -> None:
    torch.manual_seed(0)
    whole, found = batch(), mixture(batch())
    share = (found.inputs - whole.inputs.flip(0)) / (whole.inputs - whole.inputs.flip(0))
    assert torch.allclose(share, share[:, :1, :1].expand_as(share), atol=1e-5)
    assert ((share > 0) & (share < 1)).all()
    assert len(set(share[:, 0, 0].tolist())) == 4
    assert found.lengths.tolist() == [3, 3, 3, 3]
    assert found.mask is not None
    assert found.mask.all()


def run(resume: Checkpoint | None = None) -> tuple[nn.Module, nn.Module, list[Checkpoint]]:
    task = SignTask()
    student = build(network(width=4), CATALOG, task.signature, 1)
    teacher = build(network(width=8), CATALOG, task.signature, 2)
    saved: list[Checkpoint] = []
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3 if resume is None else 4)
        training = ADAMW.complete(Layer.of("adamw", steps=60, batch=16, lr=0.02))
        fit(
            student,
            task,
            training,
            NONE,
            seed=5,
            report=lambda step, metrics: True,
            resume=resume,
            save=lambda take: saved.append(take().copied()),
            objective=Matching(teacher),
        )
    return student, teacher, saved


def test_the_student_comes_nearer_and_a_resumed_lesson_ends_in_the_same_bits() -> None:
    student, teacher, saved = run()
    again, _, _ = run(saved[22])
    for one, other in zip(student.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
    fresh = build(network(width=4), CATALOG, SignTask().signature, 1)
    untouched = build(network(width=8), CATALOG, SignTask().signature, 2)
    for one, other in zip(teacher.parameters(), untouched.parameters(), strict=True):
        assert torch.equal(one, other)
    x = torch.randn(64, 7, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = teacher(x)[0]
        before, after = ((net(x)[0] - wanted).square().mean() for net in (fresh, student))
    assert after < before / 4
