"""The compiled steps of a graph: outputs, last states and gradients of those that torch gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from archsearch.kernels.recurrences.graph_cpu import coded
from archsearch.kernels.recurrences.graph_steps import (
    FUNCTIONS,
    Apply,
    Product,
    Program,
    graph_steps,
)

WIDTH, ROWS = 5, 3
COUNTS = {"add": 2, "subtract": 2, "multiply": 2, "max": 2, "min": 2, "mix": 3}
COUNTS |= {"clipped_multiply": 2, "clipped_mix": 3}


def pair(program: Program, given: int, steps: int, scale: float = 1.0) -> tuple[list[Tensor], ...]:
    """What the compiled loops and the plain form give: outputs, states, and all gradients."""
    torch.manual_seed(0)
    products = [action for action in program.actions if isinstance(action, Product)]
    count = sum(action.count * len(action.reads) for action in products)
    inputs = [
        scale * torch.randn(steps, ROWS, given * WIDTH),
        torch.randn(len(program.roots), ROWS, WIDTH),
        0.4 * torch.randn(count, WIDTH, WIDTH),
    ]
    weights = torch.randn(ROWS, steps, WIDTH), torch.randn(len(program.roots), ROWS, WIDTH)
    results = []
    for form in (graph_steps, graph_steps.plain):
        known = [part.clone().requires_grad_() for part in inputs]
        y, last = form(*known, program)
        gradients = torch.autograd.grad(
            (y, last), known, weights, allow_unused=True, materialize_grads=True
        )
        results.append([y, last, *gradients])
    assert "_Steps" in type(graph_steps(*known, program)[0].grad_fn).__name__
    return tuple(results)


def assert_same(program: Program, given: int, steps: int = 9, scale: float = 1.0) -> None:
    fast, slow = pair(program, given, steps, scale)
    for one, other in zip(fast, slow, strict=True):
        size = max([1.0, *other.abs().flatten().tolist()])
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-6 * size)


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "clip" not in name])
def test_every_function(name: str) -> None:
    # three slots are given, the old state is slot 3
    count = COUNTS.get(name, 1)
    program = Program(
        6, (3,), (5,), (Apply("add", 4, (0, 3)), Apply(name, 5, (4, 1, 2)[:count])),
    )  # fmt: skip
    assert_same(program, 3)


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_what_is_no_number_stays_where_torch_leaves_it(name: str) -> None:
    program = Program(4, (2,), (3,), (Apply(name, 3, (0, 1, 1)[: COUNTS.get(name, 1)]),))
    streams = torch.tensor([[[torch.nan, 1.0], [1.0, torch.nan], [1.0, 1.0]]])  # one unit
    known = streams.requires_grad_(), torch.zeros(1, ROWS, 1), torch.zeros(0, 1, 1)
    fast, slow = (form(*known, program)[0] for form in (graph_steps, graph_steps.plain))
    assert torch.equal(fast.isnan(), slow.isnan()), name


@pytest.mark.parametrize("name", ["clip", "clipped_multiply", "clipped_mix"])
def test_bounds_and_their_gradients(name: str) -> None:
    count = COUNTS.get(name, 1)
    program = Program(
        6, (3,), (5,), (Apply(name, 4, (0, 1, 2)[:count]), Apply("mix", 5, (3, 4, 3)))
    )
    torch.manual_seed(1)
    plain = Program(6, (3,), (4,), program.actions[:1])
    # about half of the numbers lie beyond the bound
    assert_same(plain, 3, scale=1.5e4)


def test_equals_share_the_gradient() -> None:
    program = Program(4, (1,), (3,), (Apply("relu", 2, (0,)), Apply("max", 3, (2, 2))))
    assert_same(program, 1)
    doubled = Program(4, (1,), (3,), (Apply("multiply", 2, (0, 0)), Apply("add", 3, (2, 2))))
    assert_same(doubled, 1)


@pytest.mark.parametrize("steps", [1, 2, 17])
def test_products_of_several_slots_and_two_states(steps: int) -> None:
    # slots 0 and 1 are sums of products, 2 is given; h and c are slots 3 and 4
    program = Program(
        9,
        (3, 4),
        (8, 7),
        (
            Product(0, 2, ((3, 0), (4, 2))),
            Apply("sigmoid", 5, (0,)),
            Apply("tanh", 6, (1,)),
            Apply("mix", 7, (5, 4, 6)),
            Apply("multiply", 8, (7, 2)),
        ),
    )
    assert_same(program, 3, steps)


def test_a_state_that_takes_the_place_of_another() -> None:
    program = Program(5, (1, 2), (4, 1), (Apply("add", 3, (0, 2)), Apply("tanh", 4, (3,))))
    assert_same(program, 1)


def test_a_product_is_a_row_for_every_matrix() -> None:
    program = Program(5, (3,), (4,), (Product(1, 2, ((3, 0),)), Apply("sin", 4, (1,))))
    assert coded(program).tolist() == [[0, 1, 3, 0, 0], [0, 2, 3, 1, 0], [11, 4, 1, 4, 4]]
