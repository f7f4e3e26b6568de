"""The GPU's scan against the loop that defines it, run step by step by Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

COMPARE = """
import itertools, torch
from archsearch.kernels.scans.linear_scan import linear_scan_reference
from archsearch.kernels.scans.scan_triton import linear_scan

shapes = [(1, 1, 1), (1, 7, 3), (2, 1, 5), (3, 9, 130), (2, 5, 2, 3)]
count = 0
for shape in shapes:
    for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        for shared in ((), (0, 1), (0,), (1, len(shape) - 1)):
            torch.manual_seed(0)
            size = [1 if at in shared else length for at, length in enumerate(shape)]
            a = torch.randn(size, dtype=dtype)
            b, h0 = torch.randn(shape, dtype=dtype), torch.randn(shape[:1] + shape[2:], dtype=dtype)
            b = b.transpose(0, 1).contiguous().transpose(0, 1)
            inputs = [part.requires_grad_() for part in (a / a.abs().clamp_min(1), b, h0)]
            inputs[0] = inputs[0].detach().requires_grad_()
            fast, slow = linear_scan(*inputs), linear_scan_reference(*inputs)
            torch.testing.assert_close(fast, slow)
            weight = torch.randn_like(slow)
            slopes = [torch.autograd.grad(found, inputs, weight) for found in (fast, slow)]
            for got, want in zip(*slopes):
                torch.testing.assert_close(got, want)
            count += 1
one = torch.ones(2, 3, 1, dtype=torch.bfloat16)
assert linear_scan(one, one, one[:, 0]).dtype == torch.bfloat16
assert linear_scan(one, one, one[:, 0])[0].flatten().tolist() == [2, 3, 4]
a, b, h0 = torch.rand(2, 3, 4), torch.rand(2, 3, 4), torch.rand(2, 4)
for unfit in ((a[:, :2], b, h0), (a[..., :3], b, h0), (a, b, h0[:, :3]), (a, b, h0[:1])):
    found = []
    for form in (linear_scan, linear_scan_reference):
        try:
            found.append(form(*unfit))
        except (RuntimeError, ValueError):
            found.append(None)
    assert (found[0] is None) == (found[1] is None)
    assert found[0] is None or torch.equal(*found)
    count += 1
print(count)
"""


SELECTIVE = """
from itertools import product
import torch
from archsearch.kernels.scans.selective.selective_scan import selective_scan
from archsearch.kernels.scans.selective.selective_triton import selective_scan as fast_scan

count = 0
sizes = ((1, 1, 1, 1), (2, 16, 5, 3), (2, 18, 70, 16), (1, 17, 3, 130))
for negative, (rows, steps, width, keys) in product((True, False), sizes):
    torch.manual_seed(0)
    delta = torch.rand(steps, rows, width).transpose(0, 1)
    u, memory = torch.randn(rows, steps, width), torch.randn(rows, width, keys)
    write, read = torch.randn(2, rows, steps, keys).unbind(0)
    given = (delta, u, write, read, 3 * torch.rand(width, keys), memory)
    known = [part.clone(memory_format=torch.preserve_format).requires_grad_() for part in given]
    found, weights = [], None
    for form in (fast_scan, selective_scan.plain):
        values = form(*known, negative)
        weights = weights or [torch.randn_like(value) for value in values]
        found.append([*values, *torch.autograd.grad(values, known, weights)])
    for one, other in zip(*found, strict=True):
        size = max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-6 * size)
    count += 1
assert all(part.dtype == torch.float64 for part in fast_scan(*(part.double() for part in given)))
assert all(part.dtype == torch.bfloat16 for part in fast_scan(*(part.bfloat16() for part in given)))
given[1][0, 12] = torch.nan
y, left = fast_scan(*given)
assert y[0, 12:].isnan().all() and not y[0, :12].isnan().any() and left.isnan().all()
try:
    fast_scan(*given[:5], memory[:, :2])
except (RuntimeError, ValueError):
    count += 1
print(count)
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize(
    ("code", "count"), [(COMPARE, 84), (SELECTIVE, 9)], ids=["linear", "selective"]
)
def test_equals_the_loop(code, count):
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == count
