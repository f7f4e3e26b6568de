"""One text for all spellings of a graph: the order of its nodes does not depend on theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from archsearch.spec.graph.graph import ARITY, LEAVES, UNORDERED, Graph, read_graph

Colours: TypeAlias = list[int]
SIGNS = {"add": "+", "subtract": "-", "multiply": "*"}
SUMS = ("add", "subtract")
KINDS = (*LEAVES, "lin", *SIGNS, *ARITY)


def normal_text(text: str) -> str:
    """The canonical text of the graph that a text describes; raises SpaceError."""
    return write_graph(read_graph(text))


def write_graph(graph: Graph) -> str:
    """The text that a graph and all isomorphic to it share.

    Nodes that are read more than once get names, in the order in which they are needed; the inputs
    of what has no order are written in that of :func:`labels`.
    """
    return _Writer(graph).text()


class _Writer:
    def __init__(self, graph: Graph) -> None:
        label = labels(graph)
        self.graph = graph
        self.inputs = [
            tuple(sorted(op.inputs, key=lambda i: label[i])) if op.kind in UNORDERED else op.inputs
            for op in graph.ops
        ]
        read = [i for given in self.inputs for i in given] + list(graph.states.values())
        self.shared = {i for i in read if read.count(i) > 1}
        self.names = {i: op.kind for i, op in enumerate(graph.ops) if op.kind in LEAVES}
        self.statements: list[str] = []

    def text(self) -> str:
        values = ", ".join([self.spelled(root) for root in self.graph.states.values()])
        return "; ".join([*self.statements, f"{', '.join(self.graph.states)} = {values}"])

    def spelled(self, i: int) -> str:
        if i in self.names:
            return self.names[i]
        kind, parts = self.graph.ops[i].kind, [self.spelled(each) for each in self.inputs[i]]
        if kind in SIGNS:
            left, right = self.inputs[i]
            weak = () if kind in SUMS else SUMS
            strong = SUMS if kind in SUMS else (*SUMS, "multiply")
            parts = [
                self._bracketed(left, parts[0], weak),
                self._bracketed(right, parts[1], strong),
            ]
            text = f" {SIGNS[kind]} ".join(parts)
        else:
            text = f"{kind}({', '.join(parts)})"
        if i not in self.shared:
            return text
        self.names[i] = f"n{len(self.statements) + 1}"
        self.statements.append(f"{self.names[i]} = {text}")
        return self.names[i]

    def _bracketed(self, i: int, text: str, kinds: tuple[str, ...]) -> str:
        needed = i not in self.names and self.graph.ops[i].kind in kinds
        return f"({text})" if needed else text


def labels(graph: Graph) -> Colours:
    """A number per node, from 0, that isomorphic graphs give to nodes that correspond.

    Colours are refined by those of the neighbours until nothing changes. Where nodes still share
    one, each is set apart in turn, and of the labellings found the one that writes the smallest
    graph is taken. Nodes whose first descents write the same graph correspond, so that one of
    them stands for all: what looks alike in a graph this small mostly does.
    """
    first = [
        KINDS.index(op.kind) * 4 + (i == graph.h) + 2 * (i == graph.c)
        for i, op in enumerate(graph.ops)
    ]
    return _least(graph, _refined(graph, first))[1]


def _least(graph: Graph, colours: Colours) -> tuple[Any, Colours]:
    alike = _alike(colours)
    if not alike:
        return _written(graph, colours), colours
    stands: dict[Any, Colours] = {}
    for i in alike:
        apart = _refined(graph, _apart(colours, i))
        stands.setdefault(_descent(graph, apart), apart)
    return min(_least(graph, apart) for apart in stands.values())


def _descent(graph: Graph, colours: Colours) -> Any:
    while alike := _alike(colours):
        colours = _refined(graph, _apart(colours, alike[0]))
    return _written(graph, colours)


def _alike(colours: Colours) -> list[int]:
    """The nodes of the first colour that several share."""
    shared = min((colour for colour in colours if colours.count(colour) > 1), default=None)
    return [i for i, colour in enumerate(colours) if colour == shared]


def _apart(colours: Colours, i: int) -> Colours:
    return [2 * colour + (node != i) for node, colour in enumerate(colours)]


def _refined(graph: Graph, colours: Sequence[int]) -> Colours:
    colours = _ranked(list(colours))
    while True:
        readers: list[list[tuple[int, int]]] = [[] for _ in colours]
        given: list[tuple[int, ...]] = []
        for i, op in enumerate(graph.ops):
            unordered = op.kind in UNORDERED
            found = [colours[j] for j in op.inputs]
            given.append(tuple(sorted(found) if unordered else found))
            for at, j in enumerate(op.inputs):
                readers[j].append((colours[i], 0 if unordered else at))
        seen = [
            (colour, inputs, tuple(sorted(read)))
            for colour, inputs, read in zip(colours, given, readers, strict=True)
        ]
        finer = _ranked(seen)
        if finer == colours:
            return colours
        colours = finer


def _ranked(keys: Sequence[Any]) -> Colours:
    order = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return [order[key] for key in keys]


def _written(graph: Graph, colours: Colours) -> tuple[Any, ...]:
    """The graph with its nodes in the order of colours, no two of which are the same."""
    rows = []
    for i in sorted(range(len(colours)), key=lambda i: colours[i]):
        op = graph.ops[i]
        inputs = [colours[j] for j in op.inputs]
        rows.append((op.kind, tuple(sorted(inputs) if op.kind in UNORDERED else inputs)))
    return tuple(rows)
