"""A recurrent step as a graph of operations, and how its text is read.

    z = sigmoid(lin(x, h)); h = mix(z, h, tanh(lin(x, z * h)))

Statements are carried out in turn: a name stands for what was last set. ``x`` is the input, ``h``
and ``c`` begin as the state of the step before and end as the new one; h is the output. ``lin`` is
W_1 a_1 + W_2 a_2 + ... + b with weights of its own wherever it is written.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from archsearch.errors import SpaceError
from archsearch.spec.words import spell, suggestion

FUNCTIONS = ("tanh", "sigmoid", "relu", "positive", "sin")
ARITY = dict.fromkeys(FUNCTIONS, 1) | {"max": 2, "min": 2, "mix": 3}
SIGNS: dict[type[ast.operator], str] = {ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply"}
UNORDERED = ("lin", "add", "multiply", "max", "min")
STATES = ("h", "c")
LEAVES = ("x", *STATES)
MOST = 64
LONGEST = 4096
_FOREIGN = re.compile(r"[^A-Za-z0-9_\s+\-*(),;=]|\b\d")


@dataclass(frozen=True)
class Op:
    """One node: x, h or c of the step before, ``lin``, a sign, or a function of other nodes."""

    kind: str
    inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Graph:
    """Nodes, each after those that it reads, and the nodes that become h and c.

    Every node is one that the output depends on, by way of the next step too. Without a ``c`` the
    step has no memory beside h.
    """

    ops: tuple[Op, ...]
    h: int
    c: int | None

    @property
    def states(self) -> dict[str, int]:
        """The node that each state becomes."""
        return {"h": self.h} | ({} if self.c is None else {"c": self.c})

    def leaf(self, name: str) -> int | None:
        """The node of x, or of a state as it was; None where nothing reads it."""
        return next((i for i, op in enumerate(self.ops) if op.kind == name), None)


def read_graph(text: str) -> Graph:
    """The graph that a text describes; raises SpaceError with what was expected where."""
    if len(text) > LONGEST:
        raise SpaceError(f"expected a graph of at most {LONGEST} characters, got {len(text)}")
    text = text.strip()
    if strange := _FOREIGN.search(text):
        at = f"at character {strange.start() + 1}, got {spell(strange[0])}"
        raise SpaceError(f"expected names and + - * ( ) , ; = {at}")
    try:
        program = ast.parse(text)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        column = getattr(error, "offset", None)
        at = f" at character {column}" if column else ""
        raise SpaceError(f"expected 'name = expression; ...', got {spell(text)}{at}") from None
    reader = _Reader()
    try:
        for statement in program.body:
            reader.statement(statement)
    except RecursionError:
        raise SpaceError(f"expected at most {MOST} operations, got a deeper nesting") from None
    if "h" not in reader.set:
        raise SpaceError(f"expected h to be set, as in 'h = tanh(lin(x, h))', got {spell(text)}")
    names = reader.names
    return live(reader.ops, names["h"], names["c"] if "c" in reader.set else None)


def live(ops: list[Op], h: int, c: int | None) -> Graph:
    """The graph of the nodes that matter; SpaceError where it does not make a cell."""
    kept = _reached(ops, [h])
    if Op("c") in [ops[i] for i in kept]:
        if c is None:
            raise SpaceError("expected c to be set, since it is read")
        kept = _reached(ops, [h, c])
    else:
        c = None
    kinds = [ops[i].kind for i in kept]
    if "x" not in kinds:
        raise SpaceError("expected h to depend on x")
    if "lin" not in kinds:
        raise SpaceError("expected at least one lin(...): nothing could be trained")
    if len(kinds) - sum(kind in LEAVES for kind in kinds) > MOST:
        raise SpaceError(f"expected at most {MOST} operations")
    place = {i: number for number, i in enumerate(kept)}
    placed = tuple(Op(ops[i].kind, tuple(place[j] for j in ops[i].inputs)) for i in kept)
    return Graph(placed, place[h], None if c is None else place[c])


def _reached(ops: list[Op], roots: list[int]) -> list[int]:
    found, left = set(roots), list(roots)
    while left:
        fresh = set(ops[left.pop()].inputs) - found
        found |= fresh
        left += fresh
    return sorted(found)


class _Reader:
    """Nodes as they are read; what is written twice is one node, unless it has weights."""

    def __init__(self) -> None:
        self.ops = [Op(name) for name in LEAVES]
        self.names = {name: i for i, name in enumerate(LEAVES)}
        self.set: set[str] = set()

    def statement(self, node: ast.stmt) -> None:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            raise _fault(node, "'name = expression'")
        target, value = node.targets[0], node.value
        several = isinstance(target, ast.Tuple)
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        values = value.elts if several and isinstance(value, ast.Tuple) else [value]
        if len(targets) != len(values):
            raise _fault(value, f"{len(targets)} expressions")
        # all expressions are read before any name changes
        found = [self.expression(each) for each in values]
        for each, result in zip(targets, found, strict=True):
            if not isinstance(each, ast.Name):
                raise _fault(each, "a name")
            if each.id in (*ARITY, "lin", "x"):
                raise _fault(each, f"another name than {spell(each.id)}")
            self.names[each.id] = result
            self.set.add(each.id)

    def expression(self, node: ast.expr) -> int:
        match node:
            case ast.Name(id=name):
                if name not in self.names:
                    raise _fault(node, "a name that was set", suggestion(name, self.names))
                return self.names[name]
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in SIGNS:
                return self.node(SIGNS[type(sign)], [left, right])
            case ast.Call(func=ast.Name(id="lin"), args=args, keywords=[]) if args:
                return self.node("lin", args)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                if name not in ARITY:
                    known = ", ".join(("lin", *ARITY))
                    raise _fault(node.func, f"a function ({known})", suggestion(name, ARITY))
                if len(args) != ARITY[name]:
                    raise _fault(node, f"{ARITY[name]} inputs of {name}")
                return self.node(name, args)
        raise _fault(node, "a name, +, -, * or a function")

    def node(self, kind: str, args: list[ast.expr]) -> int:
        return place(self.ops, kind, [self.expression(each) for each in args])


def place(ops: list[Op], kind: str, inputs: list[int]) -> int:
    """The number of a node, which is added where there is none like it yet."""
    inputs = sorted(set(inputs)) if kind == "lin" else inputs
    op = Op(kind, tuple(sorted(inputs)) if kind in UNORDERED else tuple(inputs))
    if kind == "lin" or op not in ops:
        ops.append(op)
        return len(ops) - 1
    return ops.index(op)


def _fault(node: ast.expr | ast.stmt, expected: str, hint: str = "") -> SpaceError:
    got = spell(ast.unparse(node))
    return SpaceError(f"expected {expected} at character {node.col_offset + 1}, got {got}{hint}")
