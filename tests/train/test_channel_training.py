"""Channel mixers in whole trainings: they learn, go on from a checkpoint, and can be measured."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_fit import trained
from test_resume import check
from toy_task import SignTask, network

from archsearch.blocks.declared import CHANNELS
from archsearch.build import build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Layer
from archsearch.train.judge import judge
from archsearch.train.measure import measure

torch.set_num_threads(1)

CATALOG = load_catalog()
MIXERS = [Layer(declared.name) for declared in CHANNELS if declared.name != "none"]
RANDOM = [Layer.of("mlp", activation=name) for name in ("circa", "stochastic")]


def with_channel(channel: Layer) -> Architecture:
    plain = network("rnn")
    block = replace(plain.stages[0].blocks[0], channel=channel)
    return replace(plain, stages=(replace(plain.stages[0], blocks=(block,)),))


@pytest.mark.parametrize("channel", [*MIXERS, *RANDOM], ids=str)
def test_it_learns_and_can_be_measured(channel: Layer) -> None:
    task = SignTask()
    model = build(with_channel(channel), CATALOG, task.signature, 0)
    assert measure(model, task, 4).figures["params"] > 0
    trained(task, model, steps=150, lr=0.02, batch=32, evaluations=1)
    assert judge(model, task, "test")["accuracy"] > 0.85


@pytest.mark.parametrize("channel", [Layer("codebook"), Layer("key_value"), *RANDOM], ids=str)
def test_it_goes_on_from_a_checkpoint_to_the_bit(channel: Layer) -> None:
    """Also where it draws in training, or has weights that are frozen."""
    check(SignTask(), with_channel(channel), 3)


def test_what_is_frozen_is_trained_by_nobody() -> None:
    task = SignTask()
    model = build(with_channel(Layer("key_value")), CATALOG, task.signature, 0)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    assert any("keys" in name for name in before)
    values = next(p.detach().clone() for name, p in model.named_parameters() if "values" in name)
    trained(task, model, steps=2, lr=0.02, batch=2)
    assert all(torch.equal(before[name], buffer) for name, buffer in model.named_buffers())
    now = next(p for name, p in model.named_parameters() if "values" in name)
    # few of them were looked up, and the others do not decay either
    assert 0 < (now != values).any(-1).float().mean() < 0.5
