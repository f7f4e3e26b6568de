"""What of a graph has to be done step by step, as a program of slots."""

from __future__ import annotations

from dataclasses import dataclass

from archsearch.cells.recurrent.graph_plan import Group, Plan
from archsearch.kernels.recurrences.graph_steps import Apply, Product, Program
from archsearch.spec.graph.graph import Graph


@dataclass(frozen=True)
class Loop:
    """A program, the known nodes and the groups that its first slots are given for, the states
    that it carries on, and of each of its matrices which node reads which.
    """

    program: Program
    fed: tuple[int, ...]
    groups: tuple[Group, ...]
    states: tuple[str, ...]
    blocks: tuple[tuple[int, int], ...]


def loop_of(graph: Graph, plan: Plan) -> Loop:
    """The states that no scan gives; ``plan`` must have left some to be worked out in turn."""
    states = tuple(name for name in graph.states if name not in plan.scans)
    groups = tuple(each for each in plan.turn if isinstance(each, Group))
    order = [*plan.fed, *(node for group in groups for node in group.nodes)]
    slots = {node: slot for slot, node in enumerate(order)}
    count = len(order)
    leaves = tuple(range(count, count + len(states)))
    count += len(states)
    for name, slot in zip(states, leaves, strict=True):
        leaf = graph.leaf(name)
        if leaf is not None:
            slots[leaf] = slot
    actions: list[Product | Apply] = []
    blocks: list[tuple[int, int]] = []
    for each in plan.turn:
        if isinstance(each, Group):
            reads = []
            for read in each.inputs:
                reads.append((slots[read], len(blocks)))
                blocks += [(node, read) for node in each.nodes]
            actions.append(Product(slots[each.nodes[0]], len(each.nodes), tuple(reads)))
            continue
        slots[each], count = count, count + 1
        inputs = tuple(slots[read] for read in graph.ops[each].inputs)
        actions.append(Apply(function_of(graph, plan, each), slots[each], inputs))
    roots = tuple(slots[graph.states[name]] for name in states)
    if plan.bounded:
        actions += [Apply("clip", count + at, (root,)) for at, root in enumerate(roots)]
        roots = tuple(range(count, count + len(roots)))
        count += len(roots)
    return Loop(
        Program(count, leaves, roots, tuple(actions)), plan.fed, groups, states, tuple(blocks)
    )


def function_of(graph: Graph, plan: Plan, node: int) -> str:
    """What a node does, by its name among those of a program."""
    kind = graph.ops[node].kind
    return f"clipped_{kind}" if node in plan.clipped else kind


def keepers(graph: Graph) -> dict[int, int]:
    """The ``lin`` nodes that say how much of a state stays, and with which sign.

    sigmoid(lin) as a factor of a state, or as the gate of a mix with one.
    """
    found: dict[int, int] = {}
    for op in graph.ops:
        kept = [at for at, j in enumerate(op.inputs) if graph.ops[j].kind in graph.states]
        if op.kind == "multiply" and len(kept) == 1:
            gate, sign = op.inputs[1 - kept[0]], 1
        elif op.kind == "mix" and kept in ([1], [2]):
            gate, sign = op.inputs[0], 1 if kept == [1] else -1
        else:
            continue
        inner = graph.ops[gate].inputs
        if graph.ops[gate].kind == "sigmoid" and graph.ops[inner[0]].kind == "lin":
            found.setdefault(inner[0], sign)
    return found
