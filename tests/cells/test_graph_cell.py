"""The graph cell: the contract on many graphs, and the cells that it can spell."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from archsearch.cells.cell import Cell
from archsearch.cells.linear.mingru import MinGRU
from archsearch.cells.recurrent.declared import CELLS
from archsearch.cells.recurrent.graph import GraphCell
from archsearch.cells.recurrent.gru import GRU
from archsearch.cells.recurrent.lstm import LSTM
from archsearch.cells.recurrent.rhn import RHN
from archsearch.cells.recurrent.rnn import RNN
from archsearch.spec.catalog import choice
from archsearch.spec.graph.form import normal_text
from archsearch.spec.graph.search import NAMED, Graphs, OpenGraph
from archsearch.testing.cells import CellContract

DECLARED = next(entry for entry in CELLS if entry.name == "graph")
WIDTH = 6

# gates in the order in which the cells beside them keep theirs
LSTM_TEXT = (
    "i = sigmoid(lin(x, h)); f = sigmoid(lin(x, h)); g = tanh(lin(x, h)); o = sigmoid(lin(x, h));"
    "c = f * c + i * g; h = o * tanh(c)"
)
GRU_AFTER = (
    "r = sigmoid(lin(x, h)); z = sigmoid(lin(x, h)); h = mix(z, h, tanh(lin(x) + r * lin(h)))"
)
GRU_BEFORE = "r = sigmoid(lin(x, h)); z = sigmoid(lin(x, h)); h = mix(z, h, tanh(lin(x, r * h)))"
RHN_TEXT = (
    "a = tanh(lin(x, h)); s = mix(sigmoid(lin(x, h)), a, h);"
    "b = tanh(lin(s)); h = mix(sigmoid(lin(s)), b, s)"
)
# what the plan treats differently: scans, chains of scans, loops, products that need a bound
GRAPHS = (
    *(Graphs().normal(name) for name in NAMED),
    *map(
        normal_text,
        (
            GRU_BEFORE,
            RHN_TEXT,
            "h = h + lin(x)",
            "h = x + sin(lin(x)) * h",
            "c = c * tanh(lin(x)) - lin(x); h = mix(sigmoid(lin(x)), h, c)",
            "c = c * sigmoid(lin(x)) + lin(x); h = tanh(lin(x, h, c))",
            "h, c = tanh(lin(x, h)) + c, h",
            "h, c = tanh(lin(x, h, c)), max(min(lin(x), c), h)",
            "h = relu(lin(x, h))",
            "h = tanh(relu(lin(x, h)) * lin(x, h))",
            "h = tanh(mix(tanh(lin(x)), h, lin(h)) + x)",
            "h = tanh(h + mix(lin(x), x, lin(x)))",
            "h = lin(x) * tanh(x)",
        ),
    ),
)


class TestGraph(CellContract):
    cell_type = replace(
        DECLARED, options={"graph": choice(DECLARED.options["graph"].default, *GRAPHS),
                           "keep": DECLARED.options["keep"]},
    )  # fmt: skip

    def parameters(self, width, options):
        text = options["graph"]
        inputs = sum(part.partition(")")[0].count(",") + 1 for part in text.split("lin(")[1:])
        return width * (width * inputs + text.count("lin("))


def taught(text: str, matrices: dict[str, Tensor], bias: Tensor, **options: float) -> GraphCell:
    """A graph cell with the given weights: by what is read, and the biases of all ``lin``."""
    cell = GraphCell(WIDTH, text, **options).double()
    with torch.no_grad():
        cell.bias.copy_(bias.view(cell.bias.shape))
        for name, weight in matrices.items():
            cell.weights[name].copy_(weight)
    assert len(matrices) == len(cell.weights)
    return cell


def assert_alike(graph: GraphCell, known: Cell, read: object = lambda cell, y: y) -> None:
    """Outputs, last states and gradients of inputs, from a state that is not zero."""
    x = torch.randn(3, 17, WIDTH, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        state = known(x[:, :4])[1]
    begin = tuple(part for part in state if part.shape == (3, WIDTH))
    weight = torch.randn(3, 17, WIDTH, dtype=torch.float64)
    y, after = known(x, state)
    found, left = graph(x, begin)
    found = read(known, found)
    torch.testing.assert_close(found, y, rtol=1e-9, atol=1e-9)
    for one, other in zip(left, after, strict=False):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    (wanted,) = torch.autograd.grad(y, x, weight)
    (got,) = torch.autograd.grad(found, x, weight)
    torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-9)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


def test_lstm() -> None:
    known = LSTM(WIDTH).double()
    graph = taught(
        LSTM_TEXT, {"x": known.input.weight, "h": known.recurrent.weight}, known.input.bias
    )
    assert_alike(graph, known)


@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_gru_after(bias: float) -> None:
    known = GRU(WIDTH, reset="after").double()
    with torch.no_grad():
        known.candidate_bias.fill_(bias)
    graph = taught(
        GRU_AFTER,
        {"x": known.input.weight, "h": known.recurrent.weight},
        torch.cat([known.input.bias, known.candidate_bias]),
    )
    assert_alike(graph, known)


def test_gru_before() -> None:
    known = GRU(WIDTH, reset="before").double()
    size = 2 * WIDTH
    graph = GraphCell(WIDTH, GRU_BEFORE)
    product = next(str(i) for i, op in enumerate(graph.graph.ops) if op.kind == "multiply")
    graph = taught(
        GRU_BEFORE,
        {"x": known.input.weight, "h": known.recurrent.weight[:size],
         product: known.recurrent.weight[size:]},
        known.input.bias,
    )  # fmt: skip
    assert_alike(graph, known)


@pytest.mark.parametrize("candidate", ["positive", "identity", "tanh"])
def test_mingru(candidate: str) -> None:
    known = MinGRU(WIDTH, candidate=candidate).double()
    inner = "lin(x)" if candidate == "identity" else f"{candidate}(lin(x))"
    graph = taught(
        f"h = mix(sigmoid(lin(x)), h, {inner})", {"x": known.project.weight}, known.project.bias
    )
    assert list(graph.plan.scans) == ["h"]
    assert_alike(graph, known, lambda cell, y: cell.output(y))


def test_rhn() -> None:
    known = RHN(WIDTH, depth=2).double()
    first, second = known.layers
    mixes = [str(i) for i, op in enumerate(GraphCell(WIDTH, RHN_TEXT).graph.ops)
             if op.kind == "mix"]  # fmt: skip
    graph = taught(
        RHN_TEXT,
        {"x": known.input.weight, "h": first.weight, mixes[0]: second.weight},
        torch.cat([first.bias, second.bias]),
    )
    assert_alike(graph, known)


def test_rnn_with_a_rectifier() -> None:
    known = RNN(WIDTH, activation="relu").double()
    graph = taught(
        "h = relu(lin(x, h))",
        {"x": known.input.weight, "h": known.recurrent.weight},
        known.input.bias,
    )
    assert graph.plan.bounded
    assert_alike(graph, known)


@pytest.mark.parametrize(
    ("text", "scans", "bounded", "clipped"),
    [
        (LSTM_TEXT, [], False, 0),
        (GRU_AFTER, [], False, 0),
        (RHN_TEXT, [], False, 0),
        ("c = c * tanh(lin(x)) + lin(x); h = mix(sigmoid(lin(x)), h, c)", ["c", "h"], False, 0),
        ("c = c * sigmoid(lin(x)) + x; h = tanh(lin(x, h, c))", ["c"], False, 0),
        ("h = h + h + lin(x)", [], True, 0),
        ("h = h * lin(x)", [], False, 1),
        ("h = tanh(h) * lin(x) + mix(sigmoid(h), x, h)", [], False, 0),
        ("h = tanh(lin(x)) * x + h", ["h"], False, 0),
        ("h, c = tanh(c) + h, h + c + lin(x)", [], False, 0),
        ("h, c = c + h, h + c + lin(x)", [], True, 0),
        ("h = tanh(h + mix(lin(x), x, lin(x)))", [], False, 1),
        ("h, c = c + lin(x), h", [], False, 0),
    ],
)
def test_what_is_done_at_once_and_what_is_bounded(
    text: str, scans: list[str], bounded: bool, clipped: int
) -> None:
    plan = GraphCell(WIDTH, text).plan
    assert list(plan.scans) == scans
    assert plan.bounded is bounded
    assert len(plan.clipped) == clipped


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (LSTM_TEXT, [0.0, 2.0, 0.0, 0.0]),
        (GRU_AFTER, [0.0, 2.0, 0.0, 0.0]),
        (RHN_TEXT, [0.0, -2.0, 0.0, 0.0]),
    ],
)
def test_gates_that_hold_a_state_start_open(text: str, kept: list[float]) -> None:
    assert GraphCell(WIDTH, text, keep=2.0).bias.mean(1).tolist() == kept


def test_biases_are_spared_and_matrices_of_states_are_known_as_such() -> None:
    cell = GraphCell(WIDTH, LSTM_TEXT)
    assert cell.no_decay == {"bias"}
    assert cell.state_matrices & set(dict(cell.named_parameters())) == {"weights.h"}


def test_a_thousand_random_graphs_give_finite_outputs() -> None:
    rng = random.Random(0)
    texts = {OpenGraph().walk("", lambda _, domain: domain.sample(rng)) for _ in range(1000)}
    assert len(texts) > 700
    x = 50 * torch.randn(1, 32, 4)
    with torch.no_grad():
        for text in sorted(texts):
            y, state = GraphCell(4, text)(x)
            assert all(part.isfinite().all() for part in (y, *state)), text


def test_compiled_steps_of_random_graphs_are_the_plain_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = random.Random(4)
    for _ in range(60):
        cell = GraphCell(5, OpenGraph().walk("", lambda _, domain: domain.sample(rng)))
        x = torch.randn(2, 6, 5, requires_grad=True)
        found = []
        for form in ("", "plain"):
            monkeypatch.setenv("ARCHSEARCH_KERNELS", form)
            y, _ = cell(x)
            gradients = torch.autograd.grad(
                y.sum(), (x, *cell.parameters()), allow_unused=True, materialize_grads=True
            )
            found.append([y, *gradients])
        for fast, slow in zip(*found, strict=True):
            size = slow.detach().abs().amax().item()
            torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5 * max(size, 1e-2))


def test_growth_is_what_the_bounds_prevent(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = GraphCell(4, "h = lin(x, h) * lin(x, h)").double()
    x = 50 * torch.randn(1, 64, 4, dtype=torch.float64)
    assert cell(x)[0].isfinite().all()
    monkeypatch.setattr("archsearch.kernels.recurrences.graph_steps.LARGEST", float("inf"))
    assert not cell(x)[0].isfinite().all()
