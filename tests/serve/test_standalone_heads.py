"""Every head can be written out as plain PyTorch, and a bundle predicts with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from exported import TOKENS, VALUES, export, network

from archsearch.plugins import load_catalog
from archsearch.serve.standalone import write_standalone
from archsearch.spec.architecture import Layer

HEADS = load_catalog().names("head")


@pytest.mark.parametrize("head", HEADS)
def test_every_head_can_be_written_out(tmp_path: Path, head: str) -> None:
    torch.set_num_threads(1)
    for number, signature in enumerate((VALUES, replace(TOKENS, targets="class"))):
        architecture = replace(network("gru", width=8), head=Layer(head))
        bundle = export(tmp_path / f"best{number}", architecture, signature)
        write_standalone(bundle, tmp_path / f"plain{number}")
