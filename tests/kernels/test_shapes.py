"""Of inputs whose shapes disagree a loop reads nothing: torch refuses them, or broadcasts."""

from __future__ import annotations

import pytest
import torch
from test_recorded import KERNELS, ROWS, SIZE, STEPS, VECTORS
from torch import nn

from archsearch.kernels.attention.causal_attention import causal_attention
from archsearch.kernels.attention.distance_attention import distance_attention
from archsearch.kernels.attention.stretch_attention import all_before, stretch_attention
from archsearch.kernels.convolutions.causal_convolution import causal_convolution
from archsearch.kernels.memories.descent.descent_memory import Memory, Rates, descent_memory
from archsearch.kernels.memories.descent.descent_rule import Rule
from archsearch.kernels.memories.following import following
from archsearch.kernels.memories.messages import messages
from archsearch.kernels.memories.taylor.taylor_attention import taylor_attention
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.projections.parts import parts
from archsearch.kernels.recurrences.attentive.attentive import Maps, attentive
from archsearch.kernels.recurrences.gated import lstm, slstm
from archsearch.kernels.recurrences.graph_steps import Apply, Product, Program, graph_steps
from archsearch.kernels.recurrences.ode_states import ode_states
from archsearch.kernels.recurrences.recurrence import gru
from archsearch.kernels.scans.linear_scan import linear_scan
from archsearch.kernels.scans.state_space import diagonal_state_space

STREAMS, STATE = (2, 3, 5, 64), (2, 3, SIZE)
PROGRAM = Program(
    6, (3,), (5,), (Product(0, 1, ((3, 0),)), Apply("tanh", 4, (0,)), Apply("mix", 5, (1, 4, 2)))
)


def turned_attention(projected, turns, added):
    return causal_attention(projected, torch.view_as_complex(turns), added, 4, 2)


def distant_attention(q, k, v, added):
    return distance_attention(q, k, v, added, False, (0, 1, 3))


def attention_in_stretches(q, k, v, added):
    return stretch_attention(q, k, v, added, False, 4, all_before(q.device))


def dilated_convolution(x, weight, bias):
    return causal_convolution(x, weight, bias, 2, True)


def messages_of_two_maps(own, rows, ages, *weights):
    maps = []
    for weight, bias in (weights[:2], weights[2:]):
        maps.append(nn.Linear(1, 1))
        maps[-1].weight, maps[-1].bias = nn.Parameter(weight), nn.Parameter(bias)
    return messages(own, rows, ages, maps)


def last_followers(values, grams):
    return following(values, (-20 * grams).long(), STEPS)


def written_twice(mixed, own, twice, memory):
    return taylor_attention(mixed.abs(), own.abs(), (-10 * twice).long(), memory.abs())


def learned_network(q, k, v, step, log_keep, log_momentum, *state):
    now, speed, anchor, (share, anchor_share), start = (
        state[at : at + 2] for at in range(0, len(state), 2)
    )
    memory = Memory(now, speed, anchor, share, anchor_share)
    rates = Rates(step, log_keep, log_momentum, None)
    return descent_memory(q, k, v, rates, memory, start, None, 4, Rule())


def learned_from_the_middle(q, k, v, step, log_keep, bound, matrix, share, start, position):
    memory = Memory((matrix,), (), (matrix,), share, share)
    rates, at = Rates(step, log_keep, None, bound), (0 * position).long()
    return descent_memory(q, k, v, rates, memory, (start,), at, 4, Rule(outliers=True))


def three_parts(x, weight):
    return parts(x, weight, [24, 16, 8])


def own_forgetting(drives, h, c, matrix, peepholes):
    return lstm(drives, (h, c), matrix, peepholes, "own", True)


def coupled_forgetting(drives, h, c, matrix, peepholes):
    return lstm(drives, (h, c), matrix, peepholes, "coupled", True)


def exponential_gates(drives, h, c, n, m, matrix):
    return slstm(drives, (h, c, 1 - n, m), matrix, True)


def small_graph(streams, states, matrices):
    return graph_steps(streams, states, matrices, PROGRAM)


def gated_field(drives, h, matrix):
    return ode_states(drives, h, matrix, None, "rk4", 1)


def complex_memories(u, *pairs):
    return diagonal_state_space(u, *map(torch.view_as_complex, pairs))


MATRICES = (ROWS, 2, 2 * SIZE, SIZE), (ROWS, 2, SIZE, 2 * SIZE)
ALL = KERNELS | {
    turned_attention: ((ROWS, STEPS, 64), (STEPS, 4, 2), (4, STEPS)),
    distant_attention: (*((ROWS, 2, STEPS, SIZE),) * 3, (2, 3)),
    attention_in_stretches: (*((ROWS, STEPS, SIZE),) * 3, (ROWS, STEPS)),
    dilated_convolution: ((ROWS, 24, SIZE), (32, SIZE, 3), (32,)),
    messages_of_two_maps: (
        *((ROWS, STEPS, SIZE), (ROWS, 12, SIZE), (5, SIZE)),
        *2 * ((SIZE, SIZE), (SIZE,)),
    ),
    last_followers: ((ROWS, 2, STEPS, SIZE), (ROWS, 2, STEPS)),
    written_twice: ((ROWS, STEPS, 96), (ROWS, 4, 64), (ROWS,), (ROWS, 2, 153, SIZE + 1)),
    learned_network: (
        *(*((ROWS, 2, STEPS, SIZE),) * 3, *((ROWS, 2, STEPS),) * 3, *3 * MATRICES),
        *((ROWS, 2), (ROWS, 2), (2, 2 * SIZE, SIZE), (2, SIZE, 2 * SIZE)),
    ),
    learned_from_the_middle: (
        *(*((ROWS, 2, STEPS, SIZE),) * 3, *((ROWS, 2, STEPS),) * 3),
        *((ROWS, 2, SIZE, SIZE), (ROWS, 2), (2, SIZE, SIZE), (ROWS,)),
    ),
    gated_skip: (*((ROWS, STEPS, SIZE),) * 2, (SIZE,), (ROWS, STEPS, SIZE), (SIZE,)),
    three_parts: ((ROWS, SIZE, SIZE), (48, SIZE)),
    own_forgetting: (STREAMS, STATE, STATE, (2, SIZE, 64), (3, 2, SIZE)),
    coupled_forgetting: ((2, 3, 5, 48), STATE, STATE, (2, SIZE, 48), (3, 2, SIZE)),
    exponential_gates: (STREAMS, *4 * (STATE,), (2, SIZE, 64)),
    small_graph: ((5, 3, 48), (1, 3, SIZE), (1, SIZE, SIZE)),
    gated_field: ((5, 3, 48), (3, SIZE), (SIZE, 48)),
    gru: ((ROWS, 5, 12), (ROWS, SIZE), (48, 12), (48, SIZE), (48,), (SIZE,)),
    linear_scan: ((ROWS, 5, SIZE), (ROWS, 5, SIZE), (ROWS, SIZE)),
    complex_memories: ((*VECTORS[:2], SIZE), *3 * ((SIZE, 3, 2),), (ROWS, SIZE, 3, 2)),
}


def others(shape):
    """One dimension is one, or longer, by whole vectors where it was of some; or it is missing."""
    for at, size in enumerate(shape):
        for other in {1, size + (SIZE if size % SIZE == 0 else 1)} - {size}:
            yield *shape[:at], other, *shape[at + 1 :]
    yield shape[1:]


def found(kernel, inputs):
    try:
        return kernel(*inputs)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        return str(error)


@pytest.mark.parametrize("kernel", ALL, ids=lambda kernel: kernel.__name__)
def test_shapes_that_disagree_are_left_to_torch(kernel):
    torch.manual_seed(0)
    shapes = ALL[kernel]
    drawn = [-0.3 * torch.rand(shape) for shape in shapes]
    for at, shape in enumerate(shapes):
        for other in others(shape):
            inputs = list(drawn)
            inputs[at] = -0.3 * torch.rand(other)
            want = found(kernel, inputs)
            got = found(kernel, [part.clone().requires_grad_() for part in inputs])
            if isinstance(want, str):
                assert isinstance(got, str), f"{other} for {shape} at {at}: {want}"
                continue
            torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4, equal_nan=True)


# inputs, h, c, keys and values, what reads h; maps; what is added to scores
STEPPED = (
    *((ROWS, 5, SIZE), (ROWS, SIZE), (ROWS, SIZE), (ROWS, 4, 2 * SIZE), (ROWS, SIZE)),
    *((64, SIZE), (64,), (64, SIZE), (SIZE, SIZE), (48, SIZE), (SIZE, SIZE), (2, 3)),
)
# more steps, other numbers of steps before, heads and a window of other sizes
MEANT = {(ROWS, 6, SIZE), (ROWS, 1, 2 * SIZE), (ROWS, 5, 2 * SIZE), (1, 3), (2, 1), (2, 4)}


def test_steps_whose_shapes_disagree_are_taken_one_by_one():
    calls = []
    for at, shape in enumerate(STEPPED):
        for other in {*others(shape)} - MEANT:
            shapes = [*STEPPED[:at], other, *STEPPED[at + 1 :]]
            x, h, c, past, last, *maps = (torch.rand(part).requires_grad_() for part in shapes)
            state, given = ((h, c), past, last), Maps(*maps[:3], None, *maps[3:])
            calls.clear()
            attentive(x, state, given, "lstm", lambda *_: calls.append(1))
            assert calls == [1], f"{other} for {shape} at {at}"
