"""Fixed loops: the same weights again and again, a state for each."""

import inspect

import pytest
import torch
from torch import nn

from archsearch.depth.declared import DEPTH
from archsearch.depth.loops import FixedDepth
from archsearch.depth.tie import Shared


class Leaky(nn.Module):
    """A linear map of a running, leaking sum."""

    def __init__(self, width):
        super().__init__()
        self.map = nn.Linear(width, width)

    def forward(self, x):
        state, seen = self.initial_state(x.shape[0]), []
        for x_t in x.unbind(1):
            y_t, state = self.step(x_t, state)
            seen.append(y_t)
        return torch.stack(seen, 1)

    def initial_state(self, batch):
        return torch.zeros(batch, self.map.in_features)

    def step(self, x_t, state):
        state = 0.9 * state + x_t
        return torch.tanh(self.map(state)), state


def stage(loops, embedding=False, width=3):
    torch.manual_seed(0)
    return FixedDepth(Shared(Leaky(width), width, loops, embedding), width, loops)


def randn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def test_loops_are_repeated_application():
    looped, x = stage(3), randn(2, 5, 3)
    body = looped.tie.body
    y, spent = looped(x)
    torch.testing.assert_close(y, body(body(body(x))))
    assert torch.equal(spent.loops, torch.full((2, 5), 3.0))
    assert not spent.cost.any()


def test_the_number_of_parameters_does_not_grow_with_the_loops():
    counts = {sum(p.numel() for p in stage(loops).parameters()) for loops in (1, 2, 7)}
    assert len(counts) == 1


@pytest.mark.parametrize("embedding", [False, True])
@pytest.mark.parametrize(("batch", "time"), [(2, 5), (1, 1)])
def test_a_stream_equals_the_whole(embedding, batch, time):
    looped, x = stage(3, embedding), randn(batch, time, 3)
    if embedding:
        nn.init.normal_(looped.tie.embedding)
    whole, _ = looped(x)
    state = looped.initial_state(batch)
    assert len(state) == 3
    for t in range(time):
        y_t, state = looped.step(x[:, t], state)
        torch.testing.assert_close(y_t, whole[:, t], rtol=1e-5, atol=1e-6)


def test_loop_embeddings_start_as_plain_sharing_and_then_tell_loops_apart():
    plain, marked, x = stage(2), stage(2, embedding=True), randn(1, 4, 3)
    assert torch.equal(plain(x)[0], marked(x)[0])
    y, _ = marked(x)
    y.sum().backward()
    assert (marked.tie.embedding.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("declared", DEPTH, ids=lambda declared: declared.name)
def test_every_declaration_builds_with_exactly_its_options(declared):
    construct = declared.implementation()
    options = {key: option.default for key, option in declared.options.items()}
    inner = Leaky(2) if declared.kind == "tie" else Shared(Leaky(2), 2, 2)
    assert isinstance(construct(inner, 2, 2, **options), nn.Module)
    accepted = set(inspect.signature(construct).parameters) - {"body", "tie", "width", "loops"}
    assert accepted == set(options)
