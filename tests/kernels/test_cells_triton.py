"""Whole cells whose kernels are those of a GPU, run by Triton's interpreter on a CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

CELLS = """
from archsearch.kernels import choose

accelerated, find, used = choose.accelerated, choose._find, set()

def as_on_a_gpu(**places):
    return accelerated(**({"cpu": places["cuda"]} if "cuda" in places else {}))

def noted(place, compiler):
    used.add(place)
    return find(place, "triton")

choose.accelerated, choose._find = as_on_a_gpu, noted

import os
import torch
from archsearch.cells.declared import CELLS
from archsearch.plugins import implementation
from archsearch.testing.states import flatten

reached = set()
for cell in CELLS:
    sizes = {"length": 8} if "length" in cell.options else {}
    for name, value in (("", None), ("heads", 2), ("negative", True), ("activation", "relu")):
        others = {name: value} if name in cell.options else {}
        if name and not others:
            continue
        found, weights = [], None
        for kernels in ("", "plain"):
            os.environ["ARCHSEARCH_KERNELS"] = kernels
            used.clear()
            choose._found.clear()
            torch.manual_seed(0)
            model = implementation(cell)(16, **sizes, **others)
            x = torch.randn(2, 5, 16).transpose(0, 1).contiguous().transpose(0, 1).requires_grad_()
            y, state = model(x[:, :3])
            z, state = model(x[:, 3:], state) if cell.has_step else model(x)
            values = [y, z, *(part for part in flatten(state) if part.requires_grad)]
            weights = weights or [torch.randn_like(value) for value in values]
            known = [x, *model.parameters()]
            slopes = torch.autograd.grad(values, known, weights, materialize_grads=True)
            found.append([*values, *slopes])
            if not used:
                break
            reached.add(cell.name)
        for one, other in zip(*found, strict=True) if len(found) > 1 else ():
            size = max(1.0, other.abs().max().item())
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * size, msg=cell.name)
print(" ".join(sorted(reached)))
"""

ON_A_GPU = """
    aaren deltanet deltaproduct gated_deltanet gla graph hgrn hgrn2 leaky_rnn linear_attention lru
    lstm mamba mamba2 mingru minlstm paragru paralstm prefix_attention retention rhn rnn s4d slstm
    sparse_rnn
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_cells_on_kernels_of_a_gpu_equal_their_plain_forms() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CELLS],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) >= set(ON_A_GPU.split())
