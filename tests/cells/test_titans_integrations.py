"""Titans' memory beside attention, against both written out position by position."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu, normalize, silu

from archsearch.cells.memory.titans import Titans
from archsearch.errors import ArchitectureError
from archsearch.testing.states import flatten, rebuild

WIDTH, HEADS, SIZE = 8, 2, 4
SMALL = {"chunk": 2, "window": 4}
INTEGRATIONS = ("context", "gate", "layer")


class PlainMemory:
    """One sequence's memory, W or k + W_2 gelu(W_1 k) per head, whose inner slopes torch finds."""

    def __init__(self, cell):
        self.cell, self.count, self.inputs = cell, 0, [torch.zeros(3 * WIDTH).double()] * 3
        self.now = [[start[head] for start in cell.start] for head in range(HEADS)]
        self.speed = [[torch.zeros_like(part) for part in parts] for parts in self.now]

    def answer(self, weights, key):
        return weights[0] @ key if len(weights) == 1 else key + weights[1] @ gelu(weights[0] @ key)

    def told(self, answers):
        return self.cell.output(self.cell.norm(torch.stack(answers)).flatten())

    def recall(self, x):
        q = normalize(silu(self.cell.project.weight[:WIDTH] @ x).view(HEADS, SIZE), dim=-1)
        return self.told([self.answer(self.now[head], q[head]) for head in range(HEADS)])

    def remember(self, x):
        cell = self.cell
        self.inputs = [*self.inputs[-3:], cell.project.weight @ x]
        mixed = sum(tap * part for tap, part in zip(cell.conv.weight, self.inputs, strict=True))
        q, k, v = silu(mixed).view(3, HEADS, SIZE)
        q, k = normalize(q, dim=-1), normalize(k, dim=-1)
        rate = torch.sigmoid(cell.learn(x)) * cell.rate / cell.chunk
        keep, push = torch.sigmoid(cell.keep(x)), torch.sigmoid(cell.momentum(x))
        if self.count % cell.chunk == 0:
            # apart from what was read of the memory before
            self.anchor = [[part.clone() for part in parts] for parts in self.now]
        self.count += 1
        answers = []
        for head in range(HEADS):
            said = self.answer(self.anchor[head], k[head])
            error = said - v[head]
            if len(cell.start) == 2:
                error = error / error.norm().clamp_min(1.0)
            slopes = torch.autograd.grad(said, self.anchor[head], error, create_graph=True)
            for place, slope in enumerate(slopes):
                speed = push[head] * self.speed[head][place] - rate[head] * slope
                self.speed[head][place] = speed
                self.now[head][place] = keep[head] * self.now[head][place] + speed
            answers.append(self.answer(self.now[head], q[head]))
        return self.told(answers)


def turned(x, position):
    """Pairs of (H, d) turned by their angles."""
    rates = 10000.0 ** (-torch.arange(SIZE // 2).double() * 2 / SIZE)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.exp(1j * position * rates)).flatten(-2)


def attention(cell, query, position, keys):
    """Of one position over the tokens and over ``keys``, pairs of an input and its position."""
    weight = cell.attention.project.weight
    split = [(weight @ x).view(3, HEADS, SIZE) for x, _ in keys]
    k = [turned(part[1], at) for part, (_, at) in zip(split, keys, strict=True)]
    v = [part[2] for part in split]
    if cell.attention.tokens is not None:
        learned = [(weight @ token).view(3, HEADS, SIZE) for token in cell.attention.tokens]
        k, v = [*k, *(part[1] for part in learned)], [*v, *(part[2] for part in learned)]
    q = turned((weight[:WIDTH] @ query).view(HEADS, SIZE), position)
    weights = (torch.einsum("hd,shd->hs", q, torch.stack(k)) / SIZE**0.5).softmax(-1)
    return cell.attention.output(torch.einsum("hs,shd->hd", weights, torch.stack(v)).flatten())


def gated(cell, y, m):
    def scaled(x, scale):
        return x / (x.square().mean() + 1e-5).sqrt() * scale

    return scaled(y, cell.gate.near.weight) * torch.sigmoid(scaled(m, cell.gate.far.weight))


def plain(cell, x):
    memory, window, outputs = PlainMemory(cell), cell.attention.window, []
    match cell.integration:
        case "context":
            for begin in range(0, len(x), window):
                segment = x[begin : begin + window]
                found = [memory.recall(part) for part in segment]
                for i in range(len(segment)):
                    keys = [(segment[j], begin + j) for j in range(i + 1)]
                    keys += [(found[j], begin + j) for j in range(i + 1)]
                    y = attention(cell, segment[i], begin + i, keys)
                    outputs.append(gated(cell, y, memory.remember(y)))
        case kind:
            told = [memory.remember(part) for part in x]
            given = list(x) if kind == "gate" else told
            for i in range(len(x)):
                keys = [(given[j], j) for j in range(max(i - window + 1, 0), i + 1)]
                y = attention(cell, given[i], i, keys)
                outputs.append(gated(cell, y, told[i]) if kind == "gate" else y)
    return torch.stack(outputs)


@pytest.mark.parametrize("integration", INTEGRATIONS)
@pytest.mark.parametrize(("persistent", "depth"), [(0, 1), (3, 2)])
@pytest.mark.parametrize("shape", [(2, 11), (1, 1)])
def test_is_memory_and_attention_position_by_position(integration, persistent, depth, shape):
    torch.manual_seed(0)
    options = SMALL | {"persistent": persistent, "depth": depth, "integration": integration}
    cell = Titans(WIDTH, HEADS, **options).double()
    with torch.no_grad():
        for part in cell.parameters():
            part.add_(0.3 * torch.randn_like(part))
    x = torch.randn(*shape, WIDTH).double().requires_grad_()
    slope, runs = torch.randn_like(x), []
    for y in (cell(x)[0], torch.stack([plain(cell, row) for row in x])):
        wanted = (x, *cell.parameters())
        found = torch.autograd.grad(y, wanted, slope, allow_unused=True, materialize_grads=True)
        runs.append([y, *found])
    for got, want in zip(*runs, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_single_precision_where_loops_do_the_parts(integration):
    torch.manual_seed(0)
    cell = Titans(32, 2, integration=integration)
    exact = Titans(32, 2, integration=integration).double()
    exact.load_state_dict(cell.state_dict())
    x, runs = torch.randn(3, 37, 32), []
    slope = torch.randn_like(x)
    for model in (cell, exact):
        kind = next(model.parameters()).dtype
        y = model(x.to(kind))[0]
        runs.append([y, *torch.autograd.grad(y, list(model.parameters()), slope.to(kind))])
    for got, want in zip(*runs, strict=True):
        assert (got - want).norm() <= 1e-3 * want.norm()


@pytest.mark.parametrize("integration", INTEGRATIONS)
def test_cuts_within_segments_steps_and_rows_in_different_places(integration):
    torch.manual_seed(0)
    cell = Titans(WIDTH, HEADS, integration=integration, **SMALL).double()
    x = torch.randn(2, 19, WIDTH).double()
    y, left = cell(x)
    for cut in (1, 3, 4, 6, 13):
        first, state = cell(x[:, :cut])
        second, state = cell(x[:, cut:], state)
        torch.testing.assert_close(torch.cat([first, second], 1), y)
        for part, other in zip(flatten(state), flatten(left), strict=True):
            torch.testing.assert_close(part, other)
    # both have seen as many positions as the cache holds
    early, late = (list(flatten(cell(x[:, :count])[1])) for count in (7, 11))
    pieces = iter([torch.cat([one[:1], other[1:]]) for one, other in zip(early, late, strict=True)])
    state = rebuild(left, lambda _: next(pieces))
    rest = torch.stack([x[0, 7:15], x[1, 11:]])
    expected = torch.stack([y[0, 7:15], y[1, 11:]])
    torch.testing.assert_close(cell(rest, state)[0], expected)
    for t in range(8):
        y_t, state = cell.step(rest[:, t], state)
        torch.testing.assert_close(y_t, expected[:, t])


def test_a_context_ends_with_its_segment_and_a_window_with_its_length():
    """What a far position changes only the memory can tell."""
    torch.manual_seed(0)
    # three positions more by the memory's convolution of what attention says
    for integration, end in (("context", 11), ("gate", 9)):
        cell = Titans(WIDTH, HEADS, integration=integration, **SMALL).double()
        with torch.no_grad():
            cell.learn.bias.fill_(-1e3)  # nothing is learned
            cell.keep.bias.fill_(1e3)
        x = torch.randn(1, 13, WIDTH).double()
        changed = x.clone()
        changed[:, 5] += 1.0
        same = (cell(x)[0] == cell(changed)[0]).all(-1)[0]
        assert same.tolist() == [not 5 <= i < end for i in range(13)]


def test_a_segment_of_no_whole_chunks_is_refused():
    with pytest.raises(ArchitectureError, match="window 12 is no multiple of chunk 8; take a wi"):
        Titans(16, integration="context", window=12)
    Titans(16, integration="gate", window=12)


def test_alone_it_has_no_more_than_before():
    torch.manual_seed(0)
    alone = Titans(WIDTH, HEADS)
    torch.manual_seed(0)
    beside = Titans(WIDTH, HEADS, integration="gate")
    for name, part in alone.state_dict().items():
        assert torch.equal(beside.state_dict()[name], part)
    assert len(alone.initial_state(1)) == 6


def test_segments_are_exported():
    torch.manual_seed(0)
    cell, x = Titans(WIDTH, HEADS, integration="context", **SMALL).eval(), torch.randn(2, 7, WIDTH)
    program = torch.export.export(cell, (x,), strict=False)
    torch.testing.assert_close(program.module()(x)[0], cell(x)[0], rtol=1e-4, atol=1e-5)
