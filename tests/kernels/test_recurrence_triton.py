"""The GPU's recurrences against torch's steps, run by Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

BEGIN = """
import torch

def same(fast, slow, inputs):
    "Values, and gradients of the first outputs, as many as have any."
    found, weights = [], None
    for form in (fast, slow):
        known = [part.clone().requires_grad_() for part in inputs]
        values = form(*known)
        moved = [value for value in values if value.requires_grad]
        weights = weights or [torch.randn_like(value) for value in moved]
        slopes = torch.autograd.grad(moved, known, weights, materialize_grads=True)
        found.append([*values, *slopes])
    for one, other in zip(*found, strict=True):
        size = max([1.0, *other.abs().flatten().tolist()])
        torch.testing.assert_close(one, other, rtol=1e-4, atol=4e-6 * size)
"""

GATED = """
from archsearch.kernels.recurrences import gated, gated_triton

for heads, batch, steps, size in ((1, 1, 1, 1), (2, 3, 5, 7), (1, 17, 4, 20)):
    torch.manual_seed(0)
    states = [torch.randn(heads, batch, size) for _ in range(4)]
    states[2] = states[2].abs() + 0.5
    for forget in ("own", "coupled", "none"):
        gates = 4 if forget == "own" else 3
        drives = torch.randn(heads, batch, steps, gates * size)
        matrix = 0.4 * torch.randn(heads, size, gates * size)
        peepholes = 0.3 * torch.randn(3, heads, size)
        for squash in (True, False):
            def lstm(form):
                def call(x, h, c, u, p):
                    y, last = form(x, (h, c), u, p, forget, squash)
                    return y, *last
                return call
            inputs = (drives.transpose(1, 2).contiguous().transpose(1, 2), *states[:2], matrix,
                      peepholes)
            same(lstm(gated_triton.lstm), lstm(gated.lstm.plain), inputs)
    drives = torch.randn(heads, batch, steps, 4 * size)
    matrix = 0.4 * torch.randn(heads, size, 4 * size)
    for sigmoid in (True, False):
        def slstm(form, *given):
            def call(x, u, *first):
                y, last = form(x, given or first, u, sigmoid)
                # no gradient comes from m
                return y, *last[:3], last[3].detach()
            return call
        same(slstm(gated_triton.slstm), slstm(gated.slstm.plain), (drives, matrix, *states))
        nothing = torch.zeros(heads, batch, size)
        start = (nothing, nothing, nothing, nothing - torch.inf)
        same(slstm(gated_triton.slstm, *start), slstm(gated.slstm.plain, *start), (drives, matrix))
double = torch.randn(1, 2, 3, 8, dtype=torch.float64)
zeros = torch.zeros(1, 2, 2, dtype=torch.float64)
factors = torch.zeros(1, 2, 8, dtype=torch.float64), torch.zeros(3, 1, 2, dtype=torch.float64)
assert gated_triton.lstm(double, (zeros, zeros), *factors, "own", True)[0].dtype == torch.float64
"""

DIAGONAL = """
from archsearch.kernels.recurrences import diagonal, diagonal_triton

for rows, steps, width in ((1, 1, 1), (2, 7, 5), (3, 4, 130)):
    torch.manual_seed(0)
    drives, bias = torch.randn(rows, steps, 3 * width), torch.randn(3 * width)
    h, c = torch.randn(rows, width), torch.randn(rows, width)
    def gru(form):
        return lambda *inputs: (form(*inputs),)
    inputs = (drives, bias, torch.randn(3, width), h)
    same(gru(diagonal_triton.diagonal_gru), gru(diagonal.diagonal_gru.plain), inputs)
    inputs = (drives, bias, torch.randn(5, width), h, c)
    same(diagonal_triton.diagonal_lstm, diagonal.diagonal_lstm.plain, inputs)
"""

GRAPH = """
from archsearch.kernels.recurrences import graph_triton
from archsearch.kernels.recurrences.graph_steps import (
    FUNCTIONS, Apply, Product, Program, graph_steps
)

COUNTS = {"add": 2, "subtract": 2, "multiply": 2, "max": 2, "min": 2, "mix": 3}
COUNTS |= {"clipped_multiply": 2, "clipped_mix": 3}

def check(program, given, products, steps=3, rows=3, width=5, scale=1.0):
    torch.manual_seed(0)
    states = torch.randn(len(program.roots), rows, width)
    streams = scale * torch.randn(steps, rows, given * width)
    inputs = (streams, states, 0.4 * torch.randn(products, width, width))
    forms = [lambda *known, form=form: form(*known, program)
             for form in (graph_triton.graph_steps, graph_steps.plain)]
    same(*forms, inputs)

gated = Program(
    9, (3, 4), (8, 7),
    (
        Product(0, 2, ((3, 0), (4, 2))), Apply("sigmoid", 5, (0,)), Apply("tanh", 6, (1,)),
        Apply("mix", 7, (5, 4, 6)), Apply("multiply", 8, (7, 2)),
    ),
)
for steps, rows, width in ((1, 1, 1), (4, 17, 5), (2, 2, 70)):
    check(gated, 3, 4, steps, rows, width)
for name in FUNCTIONS:
    count, scale = COUNTS.get(name, 1), 1.5e4 if "clip" in name else 1.0
    heard = Apply("add", 4, (0, 3))
    check(Program(6, (3,), (5,), (heard, Apply(name, 5, (4, 1, 2)[:count]))), 3, 0, 1, scale=scale)
# equals share a gradient, and a state takes the place of another
check(Program(4, (1,), (3,), (Apply("relu", 2, (0,)), Apply("max", 3, (2, 2)))), 1, 0)
check(Program(5, (1, 2), (4, 1), (Apply("add", 3, (0, 2)), Apply("tanh", 4, (3,)))), 1, 0)
"""

VANILLA = """
from archsearch.kernels.recurrences import vanilla_triton
from archsearch.kernels.recurrences.vanilla import vanilla

for heads, batch, steps, size in ((None, 1, 1, 1), (2, 17, 5, 7), (None, 3, 4, 33), (1, 2, 3, 70)):
    torch.manual_seed(0)
    apart = () if heads is None else (heads,)
    drives = torch.randn(steps, *apart, batch, size).transpose(0, -1).contiguous().transpose(0, -1)
    h, matrix = torch.randn(*apart, batch, size), 0.4 * torch.randn(*apart, size, size)
    for activation in ("tanh", "relu", "leaky_relu"):
        forms = [lambda *known, form=form: form(*known, activation)
                 for form in (vanilla_triton.vanilla, vanilla.plain)]
        for leak in (torch.rand(size), torch.rand(1)):
            same(*forms, (drives, h, matrix, leak))
        same(*(lambda *known, form=form: form(*known, None) for form in forms),
             (drives, h, matrix))
y, last = vanilla_triton.vanilla(drives.double(), h.double(), matrix.double(), None, "tanh")
assert y.dtype == last.dtype == torch.float64
missing, nothing = torch.full((1, 1, 4), torch.nan), torch.zeros(1, 4)
_, last = vanilla_triton.vanilla(missing, nothing, torch.eye(4), None, "relu")
assert last.isnan().all()
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize(
    "code", [GATED, DIAGONAL, GRAPH, VANILLA], ids=["gated", "diagonal", "graph", "vanilla"]
)
def test_equals_the_steps(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
