"""A pool and patterns with parts of their own, exported as plain PyTorch and streamed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from exported import export

from archsearch.serve.predictor import Predictor
from archsearch.serve.standalone import write_standalone
from archsearch.serve.stream import Stream
from archsearch.spec.architecture import Architecture, Block, Layer, Stage


@pytest.mark.parametrize(
    ("cell", "head"),
    [
        (Layer("gru"), Layer.of("linear", pool="lama", pool_heads=3, pool_rank=0.5)),
        (Layer.of("attention", pattern="perhead", keep=0.5), Layer.of("linear", pool="mean")),
        (Layer.of("linear_attention", features="exp"), Layer.of("linear", pool="lama")),
        (Layer.of("gau", pattern="window", window=3), Layer("linear")),
    ],
    ids=lambda layer: layer.name,
)
def test_it_is_written_out_and_streams(tmp_path: Path, cell: Layer, head: Layer) -> None:
    torch.set_num_threads(1)
    architecture = Architecture(width=16, stages=(Stage((Block(cell),), repeat=2),), head=head)
    bundle = export(tmp_path / "best", architecture)
    # refuses to write what does not give the very same answers
    write_standalone(bundle, tmp_path / "plain")
    assert {entry.name for entry in (tmp_path / "plain").iterdir()} == {
        "model.py",
        "model.safetensors",
    }
    inputs = np.random.default_rng(1).normal(size=(1, 9, 3)).astype(np.float32)
    stream, predictor = Stream(bundle), Predictor(bundle)
    for time in range(1, 10):
        answer = stream.push(inputs[0, time - 1])
        np.testing.assert_allclose(answer, predictor.predict(inputs[:, :time])[0], atol=2e-5)
