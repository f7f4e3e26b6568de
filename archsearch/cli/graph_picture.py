"""A graph of operations drawn as a picture: what is read at the top, what becomes h at the foot.

python -m archsearch.cli.graph_picture "h = tanh(lin(x, h))" > graph.svg
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from archsearch.spec.graph.graph import LEAVES, UNORDERED, Graph, read_graph
from archsearch.spec.graph.search import Graphs

SIGNS = {"add": "+", "subtract": "−", "multiply": "×", "sigmoid": "σ"}
COLUMN, ROW, WIDE, HIGH, MARGIN = 84, 62, 62, 28, 20
SWEEPS = 6
INK, PAPER, EDGE = "#24292f", "#ffffff", "#8c959f"
FILLS = {"leaf": "#ddf4ff", "lin": "#fff8c5", "op": "#f6f8fa", "state": "#dafbe1"}
FONT = "ui-sans-serif, system-ui, 'DejaVu Sans', sans-serif"


@dataclass(frozen=True)
class Layout:
    """Where things stand: ``places`` are row and column of each node and, after them, of the bends
    of long lines; ``lines`` are, for each input of each node, what its line passes, both ends
    included.
    """

    places: list[tuple[int, float]]
    lines: dict[tuple[int, int], list[int]]


def picture(graph: Graph) -> str:
    """The graph as SVG. Inputs whose order matters are numbered; h' and c' are the new states."""
    layout = laid_out(graph)
    right = max(column for _, column in layout.places)
    deepest = max(row for row, _ in layout.places)
    width, height = 2 * MARGIN + COLUMN * (right + 1), 2 * MARGIN + ROW * deepest + HIGH
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"'
        f' width="{width:g}" height="{height:g}" font-family="{escape(FONT)}" font-size="13"'
        ' text-anchor="middle">',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
    ]
    for i, op in enumerate(graph.ops):
        parts += [_line(graph, layout, i, at) for at in range(len(op.inputs))]
    parts += [_node(graph, layout, i) for i in range(len(graph.ops))]
    return "\n".join([*parts, "</svg>", ""])


def laid_out(graph: Graph) -> Layout:
    """Every node below all that it reads, near the middle of its neighbours."""
    rows: list[int] = []
    for op in graph.ops:
        rows.append(max((rows[j] + 1 for j in op.inputs), default=0))
    lines: dict[tuple[int, int], list[int]] = {}
    neighbours: list[list[int]] = [[] for _ in rows]
    for i, op in enumerate(graph.ops):
        for at, j in enumerate(op.inputs):
            bends = range(len(neighbours), len(neighbours) + rows[i] - rows[j] - 1)
            rows += range(rows[j] + 1, rows[i])
            neighbours += [[] for _ in bends]
            lines[i, at] = [j, *bends, i]
            for one, other in pairwise(lines[i, at]):
                neighbours[one].append(other)
                neighbours[other].append(one)
    layers = [[i for i, row in enumerate(rows) if row == number] for number in range(max(rows) + 1)]
    columns = [0.0] * len(rows)
    for layer in layers:
        _spread(layer, columns, len(graph.ops))
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else layers[::-1]:
            for i in layer:
                columns[i] = sum(columns[j] for j in neighbours[i]) / len(neighbours[i])
            layer.sort(key=lambda i: columns[i])
            _spread(layer, columns, len(graph.ops))
    left = min(columns)
    return Layout([(row, each - left) for row, each in zip(rows, columns, strict=True)], lines)


def _spread(layer: list[int], columns: list[float], nodes: int) -> None:
    """Move what stands too near in a row apart, about the middle of all; bends may be nearer."""
    wanted = sum(columns[i] for i in layer)
    for left, i in pairwise(layer):
        apart = 1.0 if left < nodes and i < nodes else 0.6
        columns[i] = max(columns[i], columns[left] + apart)
    shift = (wanted - sum(columns[i] for i in layer)) / len(layer)
    for i in layer:
        columns[i] += shift


def _middle(layout: Layout, i: int) -> tuple[float, float]:
    row, column = layout.places[i]
    return MARGIN + COLUMN * (column + 0.5), MARGIN + ROW * row + HIGH / 2


def _line(graph: Graph, layout: Layout, i: int, at: int) -> str:
    op = graph.ops[i]
    begin, *bends, _ = layout.lines[i, at]
    x, y = _middle(layout, begin)
    text = f"M{x:.1f} {y + HIGH / 2:.1f}"
    y += HIGH / 2
    points = [_middle(layout, bend) for bend in bends]
    end, foot = _middle(layout, i)
    # lines of one node do not cross on its edge, unless their order says something
    order = list(range(len(op.inputs)))
    if op.kind in UNORDERED:
        order.sort(key=lambda other: _middle(layout, layout.lines[i, other][-2])[0])
    points.append((end + 14 * (order.index(at) - (len(order) - 1) / 2), foot - HIGH / 2))
    for to, below in points:
        bend = (below - y) / 2
        text += f"C{x:.1f} {y + bend:.1f} {to:.1f} {below - bend:.1f} {to:.1f} {below:.1f}"
        x, y = to, below
    line = f'<path d="{text}" fill="none" stroke="{EDGE}" stroke-width="1.4"/>'
    if op.kind in UNORDERED or len(order) == 1:
        return line
    return f'{line}<text x="{x - 5:.1f}" y="{y - 3}" font-size="9" fill="{INK}">{at + 1}</text>'


def _node(graph: Graph, layout: Layout, i: int) -> str:
    kind = graph.ops[i].kind
    x, y = _middle(layout, i)
    becomes = [name for name, root in graph.states.items() if root == i]
    fill = FILLS["leaf" if kind in LEAVES else kind if kind == "lin" else "op"]
    fill = FILLS["state"] if becomes else fill
    text = escape(SIGNS.get(kind, kind))
    if becomes:
        text = f"{', '.join(f'{name}′' for name in becomes)} = {text}"
    return (
        f'<rect x="{x - WIDE / 2:.1f}" y="{y - HIGH / 2:.1f}" width="{WIDE}" height="{HIGH}" rx="8"'
        f' fill="{fill}" stroke="{INK}"/>'
        f'<text x="{x:.1f}" y="{y + 4.5:.1f}" fill="{INK}">{text}</text>'
    )


if __name__ == "__main__":
    sys.stdout.write(picture(read_graph(Graphs().normal(sys.argv[1]))))
