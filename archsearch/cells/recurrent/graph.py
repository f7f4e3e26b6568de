"""A recurrent cell whose step is a graph of operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.graph_plan import Group, plan_of
from archsearch.cells.recurrent.graph_program import Loop, function_of, keepers, loop_of
from archsearch.kernels.recurrences.graph_steps import FUNCTIONS, clip, graph_steps
from archsearch.kernels.scans.linear_scan import linear_scan
from archsearch.spec.graph.graph import LEAVES, read_graph

DEFAULT = "h = mix(sigmoid(lin(x, h)), h, tanh(lin(x) + lin(h) * sigmoid(lin(x, h))))"

Values: TypeAlias = dict[int, Tensor]
States: TypeAlias = dict[str, Tensor]


class GraphCell(Cell):
    """One step of the graph that ``graph`` describes; y_t = h_t.

    The language is that of :mod:`archsearch.spec.graph.graph`; in it are the recurrent cells
    among which Zoph & Le 2016, arXiv 1611.01578, section 3.4, search. Every ``lin`` has a matrix
    (W, W) for each of its inputs and a bias. Matrices of h and c start orthogonal, others
    Xavier-uniform, biases at zero but for the gates that hold a state, sigmoid(lin) as its factor
    or as the gate of a mix with it: they start at ``keep``, or its negative, so that it stays.

    Factors of a product that nothing bounds are kept within +-1e4, and so are the states of a
    graph that could make them grow faster than a power of time: all graphs give finite outputs.
    State: h, and c where there is one, each (B, W).

    ``forward`` works out for all steps at once what no state enters, scans a state that is linear
    in itself, and makes one product of all ``lin`` that read the same in a step.
    """

    no_decay = frozenset({"bias"})
    state_matrices = frozenset({"weights.h", "weights.c"})

    def __init__(self, width: int, graph: str = DEFAULT, keep: float = 1.0) -> None:
        super().__init__(width)
        self.graph = read_graph(graph)
        self.plan = plan_of(self.graph)
        known = self.graph.h in self.plan.known
        self.loop = None if known else loop_of(self.graph, self.plan)
        ops = self.graph.ops
        linear = [i for i, op in enumerate(ops) if op.kind == "lin"]
        self.rows: dict[tuple[int, int], slice] = {}
        self.names: dict[int, str] = {}
        self.weights = nn.ParameterDict()
        for j in sorted({j for i in linear for j in ops[i].inputs}):
            readers = [i for i in linear if j in ops[i].inputs]
            weight = torch.empty(len(readers) * width, width)
            for i, block in zip(readers, weight.chunk(len(readers)), strict=True):
                start = readers.index(i) * width
                self.rows[i, j] = slice(start, start + width)
                if ops[j].kind in self.graph.states:
                    nn.init.orthogonal_(block)
                else:
                    nn.init.xavier_uniform_(block)
            name = ops[j].kind if ops[j].kind in LEAVES else str(j)
            self.weights[name] = nn.Parameter(weight)
            self.names[j] = name
        self.biases = {i: at for at, i in enumerate(linear)}
        self.bias = nn.Parameter(torch.zeros(len(linear), width))
        with torch.no_grad():
            for i, sign in keepers(self.graph).items():
                self.bias[self.biases[i]] = sign * keep

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        states = self._named(self.initial_state(len(x)) if state is None else state)
        whole: Values = {self._leaf("x"): x}
        for name in self.plan.scans:
            self._scan(whole, name, states[name])
        if self.loop is None:
            y = self._whole(whole, self.graph.h)
        else:
            y, last = self._in_turn(whole, self.loop, states)
            states |= last
        for name in self.plan.scans:
            states[name] = self._whole(whole, self.graph.states[name])[:, -1]
        return y, tuple(states.values())

    def initial_state(self, batch: int) -> State:
        return tuple(self.zeros(batch, self.width) for _ in self.graph.states)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        known = {"x": x, **self._named(state)}
        values: Values = {}
        for i, op in enumerate(self.graph.ops):
            if op.kind == "lin":
                parts = [F.linear(values[j], self._matrix([i], j)) for j in op.inputs]
                values[i] = torch.stack(parts).sum(0) + self._bias([i])
            elif op.kind in known:
                values[i] = known[op.kind]
            else:
                values[i] = self._function(i)(*[values[j] for j in op.inputs])
        after = [values[root] for root in self.graph.states.values()]
        after = [clip(part) for part in after] if self.plan.bounded else after
        return after[0], tuple(after)

    def _named(self, state: State) -> States:
        return dict(zip(self.graph.states, state, strict=True))

    def _leaf(self, name: str) -> int:
        """The node that reads x, or a state as it was; -1, which is none, where nothing does."""
        leaf = self.graph.leaf(name)
        return -1 if leaf is None else leaf

    def _function(self, i: int) -> Callable[..., Tensor]:
        return FUNCTIONS[function_of(self.graph, self.plan, i)]

    def _matrix(self, nodes: list[int], j: int) -> Tensor:
        """What ``lin`` nodes multiply node j by, one under the other."""
        blocks = [self.weights[self.names[j]][self.rows[i, j]] for i in nodes]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks)

    def _bias(self, nodes: list[int]) -> Tensor:
        return self.bias[[self.biases[i] for i in nodes]].flatten()

    def _whole(self, whole: Values, i: int) -> Tensor:
        """Node i at all steps, (B, T, W)."""
        if i not in whole:
            op = self.graph.ops[i]
            inputs = [self._whole(whole, j) for j in op.inputs]
            if op.kind == "lin":
                products = zip(inputs, op.inputs, strict=True)
                parts = [F.linear(value, self._matrix([i], j)) for value, j in products]
                whole[i] = torch.stack(parts).sum(0) + self._bias([i])
            else:
                whole[i] = self._function(i)(*inputs)
        return whole[i]

    def _scan(self, whole: Values, name: str, first: Tensor) -> None:
        """Work out a state s of which the new value is a s + b, a and b known beforehand."""
        root = self.graph.states[name]
        if root not in self.plan.scans[name]:
            factor, added = self._affine(whole, root, name)
            whole[root] = linear_scan(factor, added.expand_as(whole[self._leaf("x")]), first)
        whole[self._leaf(name)] = torch.cat([first[:, None], self._whole(whole, root)[:, :-1]], 1)

    def _in_turn(self, whole: Values, loop: Loop, first: States) -> tuple[Tensor, States]:
        """The outputs (B, T, W) of the states that no scan gives, and their last values."""
        x = whole[self._leaf("x")]
        streams = [self._whole(whole, i).transpose(0, 1) for i in loop.fed]
        streams += [self._drive(whole, group, x) for group in loop.groups]
        states = torch.stack([first[name] for name in loop.states])
        blocks = [self._matrix([i], j).t() for i, j in loop.blocks]
        matrices = torch.stack(blocks) if blocks else x.new_empty(0, self.width, self.width)
        y, last = graph_steps(torch.cat(streams, -1), states, matrices, loop.program)
        return y, dict(zip(loop.states, last.unbind(0), strict=True))

    def _drive(self, whole: Values, group: Group, x: Tensor) -> Tensor:
        """What of the group's nodes no state of the loop enters, (T, B, n W)."""
        nodes = list(group.nodes)
        drive = self._bias(nodes)
        known = {j for i in nodes for j in self.graph.ops[i].inputs} - set(group.inputs)
        for j in sorted(known):
            fed = [i for i in nodes if j in self.graph.ops[i].inputs]
            product = F.linear(self._whole(whole, j).transpose(0, 1), self._matrix(fed, j))
            parts = dict(zip(fed, product.chunk(len(fed), -1), strict=True))
            none = torch.zeros_like(parts[fed[0]])
            drive = drive + torch.cat([parts.get(i, none) for i in nodes], -1)
        return drive.expand(x.shape[1], len(x), -1)

    def _affine(self, whole: Values, i: int, name: str) -> tuple[Tensor, Tensor]:
        """a and b of node i = a s + b for the old state s: (B, T, W), or one number."""
        op, known = self.graph.ops[i], self.plan.scans[name]
        one = self.bias.new_ones(1, 1, 1)
        if op.kind == name:
            return one, 0 * one
        if i in known:
            return 0 * one, self._whole(whole, i)
        if op.kind == "mix":
            gate = self._whole(whole, op.inputs[0])
            (a, b), (c, d) = (self._affine(whole, j, name) for j in op.inputs[1:])
            return gate * a + (1 - gate) * c, gate * b + (1 - gate) * d
        if op.kind == "multiply":
            left, right = sorted(op.inputs, key=lambda j: j not in known)
            factor = self._whole(whole, left)
            a, b = self._affine(whole, right, name)
            return factor * a, factor * b
        (a, b), (c, d) = (self._affine(whole, j, name) for j in op.inputs)
        return (a + c, b + d) if op.kind == "add" else (a - c, b - d)
