"""The GPU's matrix memories against the loops that define them, in Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

COMPARE = """
import itertools, torch
from torch.nn.functional import normalize
from archsearch.kernels.memories import delta_rule, gated_delta, linear_attention, memory_triton
from archsearch.kernels.memories import signed_attention

torch.manual_seed(0)
memory_triton.STRETCH = 4
count = 0


def compare(name, module, *inputs):
    global count
    slow, fast = getattr(module, name + "_reference"), getattr(memory_triton, name)
    inputs = [part.detach().requires_grad_() for part in inputs]
    found, wanted = fast(*inputs), slow(*inputs)
    weights = [torch.randn_like(part) for part in wanted]
    slopes = []
    for answer in (found, wanted):
        total = sum((part * weight).sum() for part, weight in zip(answer, weights))
        slopes.append(torch.autograd.grad(total, inputs))
    for got, want in zip((*found, *slopes[0]), (*wanted, *slopes[1]), strict=True):
        torch.testing.assert_close(got, want, msg=lambda text: f"{name}: {text}")
    count += 1


def draw(*shape):
    # a transposed view: positions do not lie one after the other
    return torch.randn(shape[1], shape[0], *shape[2:], dtype=torch.float64).transpose(0, 1)


for rows, steps, heads, keys, values in (
    (1, 1, 1, 1, 1), (2, 3, 2, 5, 3), (1, 4, 1, 4, 16), (1, 9, 2, 3, 17), (2, 5, 1, 8, 2)
):
    q, k = draw(rows, steps, heads, keys), normalize(draw(rows, steps, heads, keys), dim=-1)
    v, memory = draw(rows, steps, heads, values), draw(rows, heads, keys, values)
    beta = 2 * draw(rows, steps, heads).sigmoid()
    rate, rates = -draw(rows, steps, heads).exp(), -3 * draw(rows, steps, heads, keys).exp()
    one = draw(1, steps, heads).sigmoid().log()
    compare("linear_attention", linear_attention, q, k, v, rate, memory)
    compare("linear_attention", linear_attention, q, k, v, rates, memory)
    compare("linear_attention", linear_attention, q[:, :, :1], k[:, :, :1], v, one, memory)
    factors = draw(rows, steps, heads, keys).tanh()
    compare("signed_attention", signed_attention, q, k, v, factors, memory)
    compare("signed_attention", signed_attention, q, k, v, draw(rows, steps, heads).tanh(), memory)
    compare("delta_rule", delta_rule, q, k, v, beta, memory)
    compare("gated_delta", gated_delta, q, k, v, beta, rate, memory)

# the memory is asked after every third position
for name, module, more in (
    ("delta_rule", delta_rule, ()),
    ("gated_delta", gated_delta, (-draw(2, 6, 2).exp(),)),
):
    q, k, v = draw(2, 2, 2, 5), normalize(draw(2, 6, 2, 5), dim=-1), draw(2, 6, 2, 3)
    beta, memory = draw(2, 6, 2).sigmoid(), draw(2, 2, 5, 3)
    fast = getattr(memory_triton, name)(q, k, v, beta, *more, memory)
    plain = getattr(module, name).plain(q, k, v, beta, *more, memory)
    for got, want in zip(fast, plain, strict=True):
        torch.testing.assert_close(got, want)
    count += 1


def alike(name, module, *inputs):
    "What does not fit is done or refused as by torch, and nothing is read beyond an end."
    found = []
    for form in (getattr(memory_triton, name), getattr(module, name).plain):
        try:
            found.append(form(*inputs)[0])
        except (RuntimeError, ValueError):
            found.append(None)
    assert (found[0] is None) == (found[1] is None), name
    assert found[0] is None or torch.equal(*found), name


q, k, v, memory = draw(3, 6, 3, 5), draw(3, 6, 3, 5), draw(3, 6, 3, 3), draw(3, 3, 5, 3)
beta, rate = draw(3, 6, 3).sigmoid(), -draw(3, 6, 3).exp()
for name, module, given in (
    ("linear_attention", linear_attention, (rate,)),
    ("signed_attention", signed_attention, (rate.exp(),)),
    ("delta_rule", delta_rule, (beta,)),
    ("gated_delta", gated_delta, (beta, rate)),
):
    whole = (q, k, v, *given, memory)
    for at, part in enumerate(whole):
        for dim in range(part.ndim):
            less = part.narrow(dim, 0, part.shape[dim] - 1)
            alike(name, module, *whole[:at], less, *whole[at + 1 :])
            count += 1

half = [draw(1, 2, 1, 4).bfloat16() for _ in range(3)]
out, left = memory_triton.delta_rule(*half, draw(1, 2, 1).bfloat16(), draw(1, 1, 4, 4).bfloat16())
assert out.dtype == left.dtype == torch.bfloat16
print(count)
"""


@pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed")
def test_equal_the_loops():
    done = subprocess.run(
        [sys.executable, "-c", COMPARE],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["116"]
