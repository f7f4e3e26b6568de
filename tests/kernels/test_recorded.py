"""Whoever records what is done sees plain torch operations, not the results of a loop."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.flop_counter import FlopCounterMode

from archsearch.kernels import choose
from archsearch.kernels.attention.squared_attention import squared_attention
from archsearch.kernels.convolutions.depthwise import depthwise
from archsearch.kernels.convolutions.short_convolution import short_convolution
from archsearch.kernels.convolutions.trellis_levels import trellis_levels
from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.memories.descent.descent_memory import Memory, Rates, descent_memory
from archsearch.kernels.memories.descent.descent_rule import Rule
from archsearch.kernels.memories.duality.duality_mixer import duality_mixer
from archsearch.kernels.memories.following import following
from archsearch.kernels.memories.gated_delta import gated_delta
from archsearch.kernels.memories.lanes.gated_lanes import gated_lanes
from archsearch.kernels.memories.lanes.lane_mixer import lane_mixer
from archsearch.kernels.memories.linear_attention import linear_attention
from archsearch.kernels.memories.positive.positive_attention import positive_attention
from archsearch.kernels.memories.signed_attention import signed_attention
from archsearch.kernels.memories.stabilised.mixer.stabilised_mixer import stabilised_mixer
from archsearch.kernels.memories.stabilised.stabilised_answer import gated_answer
from archsearch.kernels.memories.stabilised.stabilised_attention import stabilised_attention
from archsearch.kernels.memories.stabilised.stabilised_inputs import memory_inputs
from archsearch.kernels.memories.taylor.taylor_attention import taylor_attention
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.norms.rectified_norm import rectified_norm
from archsearch.kernels.norms.unit_length import unit_length
from archsearch.kernels.recurrences.block_product import block_product
from archsearch.kernels.recurrences.diagonal import diagonal_gru, diagonal_lstm
from archsearch.kernels.recurrences.ode_states import ode_states
from archsearch.kernels.scans.selective.selective_mixer import selective_mixer
from archsearch.kernels.scans.selective.selective_scan import selective_scan
from archsearch.kernels.scans.state_space import dense_state_space

ROWS, STEPS, HEADS, SIZE = 2, 9, 2, 16
VECTORS = (ROWS, STEPS, HEADS, SIZE)
MEMORY = (ROWS, HEADS, SIZE, SIZE)
CHANNELS = (ROWS, STEPS, SIZE)


def activated_convolution(x, recent, weight):
    return short_convolution(x, recent, weight, True)


def stabilised_memory(q, k, v, gate, log_forget, held, size):
    return stabilised_attention(q, k, v, gate, log_forget, (held, size))[0]


def scaled_inputs(c, u, blocks, weight, bias):
    return memory_inputs(c, u, blocks, weight, bias, 0.5)[3]  # gates, which all of it enters


def taylor_memory(mixed, own, memory):
    return taylor_attention(mixed, own, torch.tensor([2.0, 4.0]), memory.abs())


def learned_memory(q, k, v, step, log_keep, matrix, share, start):
    memory, rates = (
        Memory((matrix,), (), (matrix,), share, share),
        Rates(step, log_keep, None, None),
    )
    return descent_memory(q, k, v, rates, memory, (start,), None, 4, Rule())[0]


def two_levels(x, past, h, c, inject, hidden, bias):
    return trellis_levels(x, past, [(h, c)], inject, hidden, bias, (1, 2))


def leaky_states(drives, h, matrix, share):
    return ode_states(drives, h, matrix, share, "rk4", 1)


def many_heads(x, memory, recent, project, taps, bias, rate, *rest):
    # memories fade
    return duality_mixer(x, memory, recent, project, taps, bias, rate.abs(), *rest)[0]


def recalled(values):
    return following(values, torch.arange(STEPS).remainder(3).expand(values.shape[:3]), STEPS)


KERNELS = {
    squared_attention: ((ROWS, STEPS, 3 * SIZE), (2, SIZE), (2, SIZE), (5,)),
    recalled: ((ROWS, HEADS, STEPS, SIZE),),
    linear_attention: (VECTORS, VECTORS, VECTORS, VECTORS, MEMORY),
    positive_attention: ((ROWS, STEPS, 96), (ROWS, HEADS, SIZE, SIZE + 1)),
    signed_attention: (VECTORS, VECTORS, VECTORS, VECTORS, MEMORY),
    taylor_memory: ((ROWS, STEPS, 96), (ROWS, 4, 64), (ROWS, HEADS, 153, SIZE + 1)),
    delta_rule: (VECTORS, VECTORS, VECTORS, VECTORS[:3], MEMORY),
    gated_delta: (VECTORS, VECTORS, VECTORS, VECTORS[:3], VECTORS[:3], MEMORY),
    gated_lanes: ((ROWS, STEPS, 3 * SIZE), (ROWS, STEPS, 11), (ROWS, 1, 2, SIZE, SIZE)),
    learned_memory: (
        *((ROWS, HEADS, STEPS, SIZE),) * 3,
        *((ROWS, HEADS, STEPS),) * 2,
        *(MEMORY, MEMORY[:2], MEMORY[1:]),
    ),
    two_levels: (
        *(CHANNELS, *((ROWS, 2, SIZE),) * 3),
        *(*((2, SIZE, 4 * SIZE),) * 2, (4 * SIZE,)),
    ),
    leaky_states: ((STEPS, ROWS, SIZE), (ROWS, SIZE), (SIZE, SIZE), (SIZE,)),
    diagonal_gru: ((ROWS, STEPS, 3 * SIZE), (3 * SIZE,), (3, SIZE), (ROWS, SIZE)),
    diagonal_lstm: ((ROWS, STEPS, 3 * SIZE), (3 * SIZE,), (5, SIZE), *2 * [(ROWS, SIZE)]),
    lane_mixer: (
        *(CHANNELS, (ROWS, 3, 3 * SIZE), (ROWS, 1, 2, SIZE, SIZE), (3 * SIZE, SIZE)),
        *((4, 3 * SIZE), (11, SIZE), (11,), (SIZE,), (SIZE, SIZE), (SIZE, SIZE)),
    ),
    selective_scan: (CHANNELS, CHANNELS, CHANNELS, CHANNELS, (SIZE, SIZE), (ROWS, SIZE, SIZE)),
    selective_mixer: (
        *(CHANNELS, (ROWS, 3, SIZE), (ROWS, SIZE, SIZE), (2 * SIZE, SIZE), (4, SIZE)),
        *((1 + 2 * SIZE, SIZE), (SIZE, 1), (SIZE,), (SIZE, SIZE), (SIZE,), (SIZE, SIZE)),
    ),
    many_heads: (
        *(CHANNELS, MEMORY, (ROWS, 3, (HEADS + 2) * SIZE), (98, SIZE), (4, (HEADS + 2) * SIZE)),
        *((HEADS,), (HEADS,), (HEADS * SIZE,), (HEADS * SIZE,), (SIZE, HEADS * SIZE)),
    ),
    gated_norm: (VECTORS, (SIZE,), (ROWS, STEPS, HEADS * SIZE)),
    rectified_norm: (CHANNELS, (SIZE,), (1,)),
    block_product: (CHANNELS, (4, 4, 4)),
    stabilised_memory: (
        *(VECTORS, VECTORS, VECTORS, VECTORS[:3], VECTORS[:3]),
        *((ROWS, HEADS, SIZE, SIZE + 1), (ROWS, HEADS)),
    ),
    scaled_inputs: (CHANNELS, CHANNELS, (3, 4, 4, 4), (2, 3 * SIZE), (2,)),
    gated_answer: (
        *(VECTORS, (HEADS, SIZE), (ROWS, STEPS, HEADS * SIZE), (HEADS * SIZE,)),
        (ROWS, STEPS, HEADS * SIZE),
    ),
    stabilised_mixer: (
        *(CHANNELS, (ROWS, HEADS, SIZE, SIZE + 1), (ROWS, HEADS), (ROWS, 3, HEADS * SIZE)),
        *((2 * HEADS * SIZE, SIZE), (4, HEADS * SIZE), (3, 8, 4, 4), (2 * HEADS, 96)),
        *((2 * HEADS,), (HEADS, SIZE), (HEADS * SIZE,), (SIZE, HEADS * SIZE)),
    ),
    depthwise: (CHANNELS, (4, SIZE)),
    unit_length: (VECTORS,),
    activated_convolution: (CHANNELS, (ROWS, 3, SIZE), (4, SIZE)),
    dense_state_space: (
        *((ROWS, 16, SIZE), (SIZE, 2, 2), (SIZE, 2), (SIZE, 2)),
        (ROWS, SIZE, 2),
    ),
}
each = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.__name__)


def drawn(kernel, seed):
    torch.manual_seed(seed)
    # between -1 and 0, for which every kernel is stable
    return [(-0.3 * torch.rand(size)).requires_grad_() for size in KERNELS[kernel]]


def slopes(kernel):
    def run(*inputs):
        found = kernel(*inputs)
        first = found[0] if isinstance(found, tuple) else found
        return torch.autograd.grad(first.square().sum(), inputs)

    return run


@pytest.mark.sampled(every=4)
@each
def test_a_recording_holds_for_other_inputs(kernel):
    recorded = make_fx(slopes(kernel))(*drawn(kernel, 0))
    inputs = drawn(kernel, 1)
    for got, want in zip(recorded(*inputs), slopes(kernel)(*inputs), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@pytest.mark.sampled(every=5)
@each
# the compiler makes an instance of each function with a gradient of its own
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("called_before", [True, False])
def test_compiles_in_one_piece(kernel, called_before, monkeypatch):
    if called_before:
        kernel(*drawn(kernel, 1))
    else:
        monkeypatch.setattr(choose, "_found", {})
    torch.compiler.reset()  # all kernels are chosen by the same lines
    recorded = torch.compile(kernel, backend="eager", fullgraph=True)
    inputs = drawn(kernel, 1)
    torch.testing.assert_close(recorded(*inputs), kernel(*inputs), rtol=1e-4, atol=1e-5)


@each
def test_operations_are_counted_alike_whether_trained_or_evaluated(kernel):
    counts = []
    for wanted in (True, False):
        with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(wanted):
            kernel(*drawn(kernel, 0))
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[1]


@each
def test_the_plain_form_can_be_asked_for(kernel, monkeypatch):
    inputs = drawn(kernel, 0)
    fast = kernel(*inputs)
    monkeypatch.setenv("ARCHSEARCH_KERNELS", "plain")
    plain = kernel(*inputs)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)
    first = [found[0] if isinstance(found, tuple) else found for found in (fast, plain)]
    names = [type(found.grad_fn).__name__ for found in first]
    assert names[0] != names[1]
