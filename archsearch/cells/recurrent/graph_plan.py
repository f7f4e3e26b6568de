"""In which order a graph of operations is worked out: what for all steps at once, what in turn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from archsearch.spec.graph.graph import Graph

# the growth of a step is bounded by k + a |h| + b |c|, kept as (k, a, b)
Bound = tuple[float, float, float]
ONE_OR_LESS = ("sigmoid", "tanh", "sin")
UNKNOWN = math.inf


@dataclass(frozen=True)
class Group:
    """Linear nodes that read the same nodes within the loop, and so are one product each."""

    inputs: tuple[int, ...]
    nodes: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What of a graph happens when.

    ``scans`` are the states, in order, of which the new value is linear in the old one with
    factors that are known beforehand, each with the nodes known before it. ``known`` are all nodes
    to be had for all steps at once. ``turn`` are the other nodes and groups in the order of a
    step, ``fed`` the known nodes that they read. ``clipped`` are the products whose factors have
    to be kept within bounds, ``bounded`` says whether the states have to be.
    """

    scans: dict[str, frozenset[int]]
    known: frozenset[int]
    turn: tuple[int | Group, ...]
    fed: tuple[int, ...]
    clipped: frozenset[int]
    bounded: bool


def plan_of(graph: Graph) -> Plan:
    clipped, bounded = _bounds(graph)
    scans: dict[str, frozenset[int]] = {}
    known = _known(graph, scans)
    while not bounded:
        fresh = next(
            (name for name in graph.states if name not in scans
             and _linear(graph, graph.states[name], name, known, clipped)),
            None,
        )  # fmt: skip
        if fresh is None:
            break
        scans[fresh] = known
        known = _known(graph, scans)
    left = [i for i in range(len(graph.ops)) if i not in known]
    turn: list[int | Group] = []
    placed: set[int] = set()
    for i in left:
        if i in placed or graph.ops[i].kind in graph.states:
            continue
        if graph.ops[i].kind != "lin":
            turn.append(i)
            continue
        inputs = _inside(graph, i, known)
        alike = [j for j in left if graph.ops[j].kind == "lin"]
        nodes = tuple(j for j in alike if _inside(graph, j, known) == inputs)
        turn.append(Group(inputs, nodes))
        placed |= set(nodes)
    read = {j for i in left if graph.ops[i].kind != "lin" for j in graph.ops[i].inputs}
    read |= {root for name, root in graph.states.items() if name not in scans}
    return Plan(scans, known, tuple(turn), tuple(sorted(read & known)), clipped, bounded)


def _known(graph: Graph, solved: Iterable[str]) -> frozenset[int]:
    """The nodes that depend on no state but the solved ones."""
    found: set[int] = set()
    for i, op in enumerate(graph.ops):
        leaf = op.kind == "x" or op.kind in solved
        if leaf or (op.inputs and found.issuperset(op.inputs)):
            found.add(i)
    return frozenset(found)


def _inside(graph: Graph, i: int, known: frozenset[int]) -> tuple[int, ...]:
    return tuple(j for j in graph.ops[i].inputs if j not in known)


def _linear(
    graph: Graph, i: int, state: str, known: frozenset[int], clipped: frozenset[int]
) -> bool:
    """Whether node i is a s + b for the old state s, element by element, with known a and b."""
    op = graph.ops[i]
    if i in known or op.kind == state:
        return True
    if i in clipped or op.kind not in ("add", "subtract", "multiply", "mix"):
        return False
    factors = {"multiply": op.inputs, "mix": op.inputs[:1]}.get(op.kind, ())
    if op.kind == "multiply" and not known.intersection(factors):
        return False
    if op.kind == "mix" and factors[0] not in known:
        return False
    return all(_linear(graph, j, state, known, clipped) for j in op.inputs)


def _bounds(graph: Graph) -> tuple[frozenset[int], bool]:
    """The products that could grow beyond all numbers, and whether the states could.

    Of two factors, one has to be bounded by a number that is known here. The states stay within
    what grows as a power of the number of steps where the matrix of |a| and |b| has no eigenvalue
    above one, as convex mixtures and sums with a bounded part do.
    """
    bounds: list[Bound] = []
    clipped: set[int] = set()
    for i, op in enumerate(graph.ops):
        given = [bounds[j] for j in op.inputs]
        match op.kind:
            case "x":
                bound = (UNKNOWN, 0.0, 0.0)
            case "h":
                bound = (0.0, 1.0, 0.0)
            case "c":
                bound = (0.0, 0.0, 1.0)
            case "lin":
                bound = _sum((UNKNOWN, 0.0, 0.0), *(_times(UNKNOWN, each) for each in given))
            case "add" | "subtract":
                bound = _sum(*given)
            case "max" | "min":
                bound = _most(*given)
            case "multiply":
                certain = [each for each in given if _certain(each)]
                if certain:
                    other = given[1] if certain[0] is given[0] else given[0]
                    bound = _times(certain[0][0], other)
                else:
                    clipped.add(i)
                    bound = (UNKNOWN, 0.0, 0.0)
            case "mix":
                if graph.ops[op.inputs[0]].kind == "sigmoid":
                    bound = _most(*given[1:])
                elif _certain(given[0]):
                    size = given[0][0]
                    bound = _sum(_times(size, given[1]), _times(1 + size, given[2]))
                else:
                    clipped.add(i)
                    bound = (UNKNOWN, 0.0, 0.0)
            case kind if kind in ONE_OR_LESS:
                bound = (1.0, 0.0, 0.0)
            case "positive":
                bound = _sum(given[0], (1.0, 0.0, 0.0))
            case _:
                bound = given[0]
        bounds.append(bound)
    rows = {name: bounds[root] for name, root in graph.states.items()}
    a, b = rows["h"][1:]
    c, d = rows.get("c", (0.0, 0.0, 0.0))[1:]
    return frozenset(clipped), not _tame(a, b, c, d)


def _certain(bound: Bound) -> bool:
    return bound[0] < UNKNOWN and bound[1:] == (0.0, 0.0)


def _times(size: float, bound: Bound) -> Bound:
    k, a, b = (size * part if part else 0.0 for part in bound)
    return k, a, b


def _sum(*bounds: Bound) -> Bound:
    k, a, b = (math.fsum(parts) for parts in zip(*bounds, strict=True))
    return k, a, b


def _most(*bounds: Bound) -> Bound:
    # two bounds that are mixed differently have no single larger one; this one is never too low
    k, a, b = (max(parts) for parts in zip(*bounds, strict=True))
    return k, a, b


def _tame(a: float, b: float, c: float, d: float) -> bool:
    """Whether no eigenvalue of the matrix ((a, b), (c, d)) of numbers from 0 on is above one."""
    if UNKNOWN in (a, d):
        return False
    if b == 0 or c == 0:
        return max(a, d) <= 1
    if UNKNOWN in (b, c):
        return False
    return (a + d + math.sqrt((a - d) ** 2 + 4 * b * c)) / 2 <= 1
