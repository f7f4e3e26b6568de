"""A study whose trials are to train on GPUs, on a machine without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import run_in

SPACE = """
archsearch: 1
task: {name: parity, length: 12}
space:
  width: 16
  stages: [{blocks: [{cell: {choice: [gru, lru]}}]}]
search: {trials: 2}
confirm: none
execution: {cells: {lru: {gpus: 1}}}
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("backend", ["local", "inline"])
def test_it_is_refused_and_leaves_nothing(tmp_path: Path, backend: str) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    done = run_in(tmp_path)("run", "space.yaml", "--backend", backend, code=2)
    assert done.stderr.startswith("error: execution.gpus: torch sees no accelerator here;")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]
