"""A graph has one text, however it was spelled, and a fault in a text is said in one line."""

from __future__ import annotations

import random
import re
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.errors import SpaceError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.domains import Domain
from archsearch.spec.graph.form import normal_text, write_graph
from archsearch.spec.graph.graph import (
    ARITY,
    LEAVES,
    UNORDERED,
    Graph,
    Op,
    live,
    place,
    read_graph,
)
from archsearch.spec.graph.search import NAMED, OpenGraph
from archsearch.spec.spacefile import read_space

SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}
KINDS = ("lin", *SIGNS, "max", "mix", "tanh", "sigmoid")
INPUTS = {"lin": 2, "mix": 3, "tanh": 1, "sigmoid": 1}


@st.composite
def graphs(draw: st.DrawFn, largest: int = 9) -> Graph:
    """Any graph that makes a cell: nodes read what stands before them, h and c are any of them."""
    ops = [Op(name) for name in LEAVES]
    place(ops, "lin", [0, 1])
    for _ in range(draw(st.integers(1, largest))):
        kind = draw(st.sampled_from(KINDS))
        earlier = st.integers(0, len(ops) - 1)
        place(ops, kind, [draw(earlier) for _ in range(INPUTS.get(kind, 2))])
    h = place(ops, "add", [len(ops) - 1, 3])
    return live(ops, h, draw(st.integers(1, len(ops) - 1)))


def respelled(graph: Graph, rng: random.Random) -> str:
    """The same graph in other words: each node a statement, names, order and sides at random."""
    names = {i: op.kind for i, op in enumerate(graph.ops) if op.kind in LEAVES}
    left = [i for i in range(len(graph.ops)) if i not in names]
    fresh = [f"v{number}" for number in rng.sample(range(1000), 2 * len(left) + 2)]
    statements = []
    while left:
        ready = [i for i in left if names.keys() >= set(graph.ops[i].inputs)]
        i = rng.choice(ready)
        left.remove(i)
        kind, sides = graph.ops[i].kind, [names[j] for j in graph.ops[i].inputs]
        if kind in UNORDERED:
            rng.shuffle(sides)
        names[i] = fresh.pop()
        text = f" {SIGNS[kind]} ".join(sides) if kind in SIGNS else f"{kind}({','.join(sides)})"
        statements.append(f"{names[i]} = {text}")
        if rng.random() < 0.3:
            statements.append(f"{fresh.pop()} = tanh({names[i]} + lin(x))")
    states = list(graph.states.items())
    rng.shuffle(states)
    last = ", ".join(name for name, _ in states), ", ".join(names[root] for _, root in states)
    return "; ".join([*statements, " = ".join(last)])


@settings(max_examples=300, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_other_spellings_have_the_same_text(graph: Graph, rng: random.Random) -> None:
    text = write_graph(graph)
    assert normal_text(text) == text
    for _ in range(3):
        other = respelled(graph, rng)
        assert normal_text(other) == text, other


def as_network(graph: Graph) -> networkx.MultiDiGraph:
    network = networkx.MultiDiGraph()
    for i, op in enumerate(graph.ops):
        network.add_node(i, says=(op.kind, i == graph.h, i == graph.c))
        for at, j in enumerate(op.inputs):
            network.add_edge(j, i, at=0 if op.kind in UNORDERED else at)
    return network


@settings(max_examples=300, deadline=None)
@given(graphs(4), graphs(4))
def test_the_text_is_the_same_for_isomorphic_graphs_only(one: Graph, other: Graph) -> None:
    same = networkx.is_isomorphic(
        as_network(one),
        as_network(other),
        node_match=lambda a, b: a == b,
        edge_match=lambda a, b: (
            sorted(e["at"] for e in a.values()) == sorted(e["at"] for e in b.values())
        ),
    )
    assert (write_graph(one) == write_graph(other)) == same


def test_alike_but_not_isomorphic() -> None:
    # one ring of eight leaves, or two of four: no neighbourhood tells them apart
    names = "abdefgij"
    lines = [f"{name} = lin(x, h)" for name in names]

    def summed(pairs: list[tuple[str, str]]) -> str:
        parts = [f"{one} * {two}" for one, two in pairs]
        while len(parts) > 1:
            parts = [f"({one} + {two})" for one, two in zip(parts[::2], parts[1::2], strict=True)]
        return normal_text("; ".join([*lines, f"h = max({parts[0]}, tanh({parts[0]}))"]))

    def ring(members: str) -> list[tuple[str, str]]:
        return list(zip(members, members[1:] + members[0], strict=True))

    whole, halves = ring(names), ring(names[:4]) + ring(names[4:])
    assert summed(whole) != summed(halves)
    assert summed(whole) == summed([(b, a) for a, b in whole])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("h = tanh(lin(x, h))", "h = tanh(lin(h, x)); c = h * h"),
        ("h = tanh(h) * lin(x) + tanh(h)", "a = tanh(h); b = lin(x); h = a + b * a"),
        ("c = c + lin(x); h = tanh(c)", "n = lin(x) + c; h, c = tanh(n), n"),
        ("h = lin(x, x)", "h = lin(x)"),
    ],
)
def test_spellings_of_one_graph(one: str, other: str) -> None:
    assert normal_text(one) == normal_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # weights of its own wherever lin is written
        ("h = lin(x, h) * lin(x, h)", "a = lin(x, h); h = a * a"),
        ("h = lin(x) - tanh(h)", "h = tanh(h) - lin(x)"),
        ("h = mix(sigmoid(lin(x)), h, x)", "h = mix(sigmoid(lin(x)), x, h)"),
        ("c = c + lin(x); h = tanh(c)", "h = tanh(c); c = c + lin(x)"),
    ],
)
def test_different_graphs(one: str, other: str) -> None:
    assert normal_text(one) != normal_text(other)


def test_one_digest_for_all_spellings() -> None:
    catalog = load_catalog()

    def digest(text: str) -> str:
        block = Block(Layer.of("graph", graph=text))
        return catalog.complete_architecture(Architecture(16, (Stage((block,)),))).digest

    assert digest("h = tanh(lin(h, x)); old = lin(h)") == digest("rnn")
    assert digest("rnn") != digest("gru")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("h = foo(x)", "expected a function .* at character 5, got 'foo'"),
        ("h = sigmod(lin(x))", "did you mean 'sigmoid'"),
        ("h = tanh(lin(x,h)", "expected 'name = expression; ...', got .* at character 9"),
        ("x = h", "expected another name than 'x' at character 1"),
        ("h = tanh(c) + lin(x)", "expected c to be set, since it is read"),
        ("h = h", "expected h to depend on x"),
        ("h = tanh(x + h)", "expected at least one lin"),
        ("h = lin(x); q", "expected 'name = expression' at character 13"),
        ("h = tanh(lin(x), h)", "expected 1 inputs of tanh at character 5"),
        ("h, c = lin(x)", "expected 2 expressions at character 8"),
        ("h = 3 * x", "at character 5, got '3'"),
        ("h = lin(x)'", "at character 11"),
        ("h = yy + lin(x)", "expected a name that was set at character 5, got 'yy'"),
        ("", "expected h to be set"),
        ("h = -x", "expected a name, [+], -, [*] or a function at character 5"),
        ("h = " + "(" * 300 + "x" + ")" * 300, "expected 'name = expression"),
        ("h = lin(x)" + " + tanh(h)*h" * 80, "expected at most 64 operations"),
        ("h = lin(x)" + "+h" * 1900, "expected at most 64 operations"),
        ("h = lin(x)" + " " * 5000, "expected a graph of at most 4096 characters, got 5010"),
    ],
)
def test_faults_are_said_in_a_line(text: str, words: str) -> None:
    with pytest.raises(SpaceError, match=words) as found:
        read_graph(text)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 250


@settings(max_examples=200, deadline=None)
@given(st.text("xhclin()tanh+-*=;, \n_0'\"\\#", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = normal_text(text)
    except SpaceError:
        return
    assert normal_text(found) == found


@settings(max_examples=200, deadline=None)
@given(st.randoms(use_true_random=False))
def test_a_search_draws_what_its_space_holds(rng: random.Random) -> None:
    space, asked = OpenGraph(), {}
    text = space.walk("graph", lambda path, domain: asked.setdefault(path, domain).sample(rng))
    assert normal_text(text) == text
    assert space.matches(text)
    declared = {path: domain for path, domain, _ in space.decisions("graph", "")}
    assert {path: declared[path] for path in asked} == asked


def test_a_space_file_opens_it_fixes_it_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(
        """
archsearch: 1
task: adding
space:
  width: 8
  stages:
    - blocks:
        - cell:
            choice:
              - {name: graph, options: search, keep: 1.0}
              - {name: graph, graph: lstm}
              - {name: graph, graph: {choice: ["h = tanh(lin(h, x))", mingru]}}
search: {trials: 1}
"""
    )
    catalog = load_catalog()
    space = read_space(path, catalog).space
    rng = random.Random(0)
    texts = set()
    for _ in range(60):
        point = space.sample(rng)
        found = space.architecture(point)
        assert space.contains(found)
        texts.add(str(found.stages[0].blocks[0].cell["graph"]))
        other = space.architecture(space.mutate(point, rng))
        assert space.contains(other)
    assert {"h = tanh(lin(x, h))", normal_text(NAMED["lstm"]), normal_text(NAMED["mingru"])} < texts
    assert len(texts) > 12
    here = "stages.0.blocks.0.cell.graph.graph"
    assert space.domains()[f"{here}.3.left"].labels[-2:] == ("1", "2")
    assert f"{here}.nodes is 3 or more" in space.conditions()[f"{here}.3.op"]


def all_of(space: OpenGraph) -> list[str]:
    """The text of every point: the decisions as digits that count up."""
    digits: list[int] = []
    found: list[str] = []
    while True:
        sizes: list[int] = []

        def choose(_: str, domain: Domain, sizes: list[int] = sizes) -> int:
            if len(sizes) == len(digits):
                digits.append(0)
            sizes.append(int(domain.size))
            return int(getattr(domain, "low", 0)) + digits[len(sizes) - 1]

        found.append(space.walk("", choose))
        while digits and digits[-1] + 1 == sizes[len(digits) - 1]:
            digits.pop()
        if not digits:
            return found
        digits[-1] += 1


def test_all_graphs_of_one_node() -> None:
    space, larger = OpenGraph(1), OpenGraph(3)
    points = all_of(space)
    assert len(points) == space.size()
    assert all(space.matches(text) for text in set(points))
    rng = random.Random(0)
    others = {larger.walk("", lambda _, domain: domain.sample(rng)) for _ in range(800)}
    assert {text for text in others if space.matches(text)} == others & set(points)
    assert 20 < len(others & set(points)) < len(others) - 100


@pytest.mark.parametrize(
    ("text", "within"),
    [
        (NAMED["rnn"], True),
        (NAMED["lstm"], True),
        (NAMED["gru"], True),
        (NAMED["mingru"], False),  # no search draws its candidate's activation
        ("h = tanh(lin(x, h, h * h))", False),
        ("h = sin(lin(x, h))", False),
        ("h = tanh(lin(x, h)) + lin(x)", True),
        ("h = lin(x) + tanh(h)", True),
    ],
)
def test_what_a_search_can_find(text: str, within: bool) -> None:
    assert OpenGraph().matches(normal_text(text)) is within
    assert not OpenGraph(1).matches(normal_text(NAMED["gru"]))


def test_the_page_tells_the_truth() -> None:
    page = (Path(__file__).parents[2] / "docs" / "graph-cell.md").read_text()
    written = re.search('graph: "(.*)"', page)
    assert written
    read_graph(written[1])
    lstm = re.search(r"```\n(c = .*)\n(h = .*)\n```", page)
    assert lstm
    assert normal_text(f"{lstm[1]}; {lstm[2]}") == normal_text(NAMED["lstm"])
    for name in (*NAMED, *ARITY):
        assert f"`{name}" in page
