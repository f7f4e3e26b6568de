"""The graphs that a search draws: a list of nodes, each an operation on what stands before it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.domains import Choice, IntRange
from archsearch.spec.graph.form import normal_text, write_graph
from archsearch.spec.graph.graph import LEAVES, Graph, Op, live, place, read_graph
from archsearch.spec.language import Language
from archsearch.spec.tree import Choose, Decision, Node, join, product, total

LARGEST = 9
OPS = Choice(("only", "add", "multiply", "max", "subtract", "mix"))
ACTIVATIONS = Choice(("identity", "tanh", "sigmoid", "relu"))
DRIVES = {"lin(x, h)": ("x", "h"), "lin(x)": ("x",), "lin(h)": ("h",)}
GATES = Choice(tuple(DRIVES))
READ = ("h", "c", *DRIVES)
NAMED = {
    "rnn": "h = tanh(lin(x, h))",
    "lstm": "c = sigmoid(lin(x, h)) * c + sigmoid(lin(x, h)) * tanh(lin(x, h));"
    "h = sigmoid(lin(x, h)) * tanh(c)",
    "gru": "z = sigmoid(lin(x, h)); r = sigmoid(lin(x, h));"
    "h = mix(z, h, tanh(lin(x) + r * lin(h)))",
    "mingru": "h = mix(sigmoid(lin(x)), h, positive(lin(x)))",
}


class Graphs(Language):
    """Texts of :mod:`archsearch.spec.graph.graph`, or the name of a well-known graph."""

    expected = f"a graph, such as 'h = tanh(lin(x, h))', or one of {', '.join(NAMED)}"
    searched = f"the op, activation and inputs of each of 1 to {LARGEST} nodes, and which is c"

    def normal(self, text: str) -> str:
        return normal_text(NAMED.get(text, text))

    def open(self) -> OpenGraph:
        return OpenGraph()


@dataclass(frozen=True)
class OpenGraph(Node):
    """A graph of up to ``largest`` nodes (the cells of Zoph & Le 2016, arXiv 1611.01578).

    Node i is activation(op(left, right)), each side a node before it, a state, or a ``lin`` of its
    own; ``mix`` has a gate too, sigmoid(lin), and ``only`` reads the left side alone. The last
    node becomes h, and that ``memory`` places from the end, or the first, becomes c; at 0 there is
    no c, and h is read in its place. A graph that would not see the input has lin(x) added to what
    becomes h. Several points may be the same graph.
    """

    largest: int = LARGEST

    def walk(self, path: str, choose: Choose) -> str:
        count = int(choose(join(path, "nodes"), IntRange(1, self.largest)))
        memory = int(choose(join(path, "memory"), IntRange(0, self.largest)))
        ops = [Op("x"), Op("h"), Op("c")]
        made: list[int] = []

        def read(name: str) -> int:
            if name in DRIVES:
                return place(ops, "lin", [ops.index(Op(each)) for each in DRIVES[name]])
            if name in ("h", "c"):
                return ops.index(Op(name if memory else "h"))
            return made[int(name) - 1]

        for number in range(1, count + 1):
            here, sides = join(path, str(number)), _sides(number)

            def pick(name: str, domain: Choice, here: str = here) -> str:
                return domain.labels[int(choose(join(here, name), domain))]

            op = pick("op", OPS)
            node = read(pick("left", sides))
            if op != "only":
                inputs = [node, read(pick("right", sides))]
                if op == "mix":
                    gate = place(ops, "sigmoid", [read(pick("gate", GATES))])
                    inputs = [gate, *inputs]
                node = place(ops, op, inputs)
            activation = pick("activation", ACTIVATIONS)
            made.append(node if activation == "identity" else place(ops, activation, [node]))
        c = made[max(count - memory, 0)] if memory else None
        return write_graph(_seeing(ops, made[-1], c))

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        nodes = join(path, "nodes")
        yield nodes, IntRange(1, self.largest), condition
        yield join(path, "memory"), IntRange(0, self.largest), condition
        for number in range(1, self.largest + 1):
            here = join(path, str(number))
            words = [condition, f"{nodes} is {number} or more" if number > 1 else ""]
            there = " and ".join(filter(None, words))
            two = " and ".join(filter(None, [there, f"{join(here, 'op')} is not only"]))
            mixed = " and ".join(filter(None, [there, f"{join(here, 'op')} is mix"]))
            yield join(here, "op"), OPS, there
            yield join(here, "left"), _sides(number), there
            yield join(here, "right"), _sides(number), two
            yield join(here, "gate"), GATES, mixed
            yield join(here, "activation"), ACTIVATIONS, there

    def size(self) -> int | float:
        nodes = []
        for number in range(1, self.largest + 1):
            sides = _sides(number).size
            binary, mixed = (OPS.size - 2) * sides * sides, sides * sides * GATES.size
            nodes.append(ACTIVATIONS.size * (sides + binary + mixed))
        counts = range(1, self.largest + 1)
        return (self.largest + 1) * total(product(nodes[:count]) for count in counts)

    def matches(self, value: Any) -> bool:
        """Whether the nodes of a graph can be written as nodes of a search, and few enough."""
        if not isinstance(value, str):
            return False
        try:
            graph = read_graph(value)
        except SpaceError:
            return False
        return write_graph(graph) == value and _needed(graph) <= self.largest

    def to_plain(self) -> Any:
        return {"graph": self.largest}

    @property
    def label(self) -> str:
        return "graph"


def _sides(number: int) -> Choice:
    return Choice((*READ, *(str(earlier) for earlier in range(1, number))))


def _seeing(ops: list[Op], h: int, c: int | None) -> Graph:
    try:
        return live(ops, h, c)
    except SpaceError:
        drive = place(ops, "lin", [ops.index(Op("x"))])
        return live(ops, place(ops, "add", [h, drive]), c)


def _needed(graph: Graph) -> float:
    """The fewest nodes of a search that give a graph; infinite where none do."""
    plain = _count(graph, graph.h, frozenset())
    root = graph.ops[graph.h]
    drives = [i for i in root.inputs if graph.ops[i] == Op("lin", (graph.leaf("x") or 0,))]
    sees = sum(op.kind == "lin" and _inputs(graph, op)[:1] == ("x",) for op in graph.ops)
    if root.kind != "add" or len(drives) != 1 or sees > 1:
        return plain
    # as it is where the input was added to what did not see it
    (rest,) = set(root.inputs) - set(drives)
    return min(plain, _count(graph, rest, frozenset({graph.h, *drives})))


def _count(graph: Graph, h: int, left_out: frozenset[int]) -> float:
    ops = graph.ops
    read = [i for number, op in enumerate(ops) if number not in left_out for i in op.inputs]
    ends = [h] + ([] if graph.c is None else [graph.c])
    if left_out & {*read, *ends}:
        return math.inf
    uses = [read.count(i) + ends.count(i) for i in range(len(ops))]
    gates = {op.inputs[0] for op in ops if op.kind == "mix"}
    count = float(h in read) + sum(ops[end].kind in LEAVES for end in set(ends))
    for i, op in enumerate(ops):
        if i in left_out or op.kind in LEAVES:
            continue
        if op.kind == "lin":
            if _inputs(graph, op) not in DRIVES.values():
                return math.inf
            count += uses[i] > 1 or i in ends
        elif i in gates:
            alone = uses[i] == 1 and op.kind == "sigmoid" and ops[op.inputs[0]].kind == "lin"
            if not alone or uses[op.inputs[0]] > 1:
                return math.inf
        elif op.kind in ACTIVATIONS.labels:
            inner = ops[op.inputs[0]]
            count += not (inner.kind in OPS.labels and uses[op.inputs[0]] == 1)
        elif op.kind in OPS.labels and Op("x") not in [ops[j] for j in op.inputs]:
            count += 1
        else:
            return math.inf
    return count


def _inputs(graph: Graph, op: Op) -> tuple[str, ...]:
    return tuple(graph.ops[i].kind for i in op.inputs)
