"""A bundle made to loop: it answers as its stack where nothing is lost, and says what is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exported import VALUES, export

from archsearch.errors import InputError
from archsearch.serve.bundle import read_bundle
from archsearch.serve.shared import share
from archsearch.spec.architecture import Architecture, Block, Layer, Stage

STACK = Architecture(8, (Stage((Block(Layer("gru"), channel=Layer("mlp")),), repeat=4),))


def answers(path: Path, x: np.ndarray) -> torch.Tensor:
    with torch.no_grad():
        return read_bundle(path).model()(torch.from_numpy(x))[0]


def test_a_shared_bundle_answers_as_its_stack_where_the_rank_is_full(tmp_path: Path) -> None:
    stack = export(tmp_path / "stack", STACK)
    x = np.random.default_rng(0).normal(size=(2, 9, VALUES.channels)).astype(np.float32)
    expected = answers(tmp_path / "stack", x)
    full = Layer.of("lora", rank=64, rest=True)
    made, missing = share(stack, tmp_path / "full", loops=2, tie=full)
    assert made.architecture.stages[0].loops == 2
    assert max(missing.values()) < 1e-4
    torch.testing.assert_close(answers(tmp_path / "full", x), expected, rtol=1e-4, atol=1e-5)
    small, lost = share(stack, tmp_path / "small", loops=2, tie=Layer.of("lora", rank=1))
    assert max(lost.values()) > 0
    assert small.facts == {}
    assert not torch.allclose(answers(tmp_path / "small", x), expected, atol=1e-3)


def test_what_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    stack = export(tmp_path / "stack", STACK)
    with pytest.raises(InputError, match="expected one of cycle, sequence"):
        share(stack, tmp_path / "new", loops=2, pattern="round")
    with pytest.raises(InputError, match="4 layers cannot be shared out over 3 loops"):
        share(stack, tmp_path / "new", loops=3)
    assert not (tmp_path / "new").exists()
