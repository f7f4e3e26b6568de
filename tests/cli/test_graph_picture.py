"""Graphs in pictures: every node and every line is there, apart, and below what it reads."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from archsearch.cli.drawing import draw
from archsearch.cli.graph_picture import laid_out, picture
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.graph.graph import read_graph
from archsearch.spec.graph.search import NAMED, Graphs

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", NAMED)
def test_everything_is_drawn_where_it_can_be_seen(name: str) -> None:
    graph = read_graph(NAMED[name])
    drawn = ElementTree.fromstring(picture(graph))
    boxes = drawn.findall(f"{SVG}rect")[1:]
    assert len(boxes) == len(graph.ops)
    assert len(drawn.findall(f"{SVG}path")) == sum(len(op.inputs) for op in graph.ops)
    width, height = float(drawn.attrib["width"]), float(drawn.attrib["height"])
    spans = []
    for box in boxes:
        x, y, wide, high = (float(box.attrib[key]) for key in ("x", "y", "width", "height"))
        assert 0 <= x < x + wide <= width
        assert 0 <= y < y + high <= height
        spans.append((x, y, x + wide, y + high))
    for one, other in combinations(spans, 2):
        assert one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def test_lines_go_down_a_row_at_a_time_and_bends_lie_beside_nodes() -> None:
    graph = read_graph(NAMED["gru"])
    layout = laid_out(graph)
    for (i, at), line in layout.lines.items():
        assert (line[0], line[-1]) == (graph.ops[i].inputs[at], i)
        rows = [layout.places[each][0] for each in line]
        assert rows == list(range(rows[0], rows[-1] + 1))
    nodes, bends = layout.places[: len(graph.ops)], layout.places[len(graph.ops) :]
    assert bends
    for row, column in bends:
        assert all(abs(column - other) > 0.55 for at, other in nodes if at == row)


def test_the_order_of_a_mixture_is_numbered() -> None:
    texts = [text.text for text in ElementTree.fromstring(picture(read_graph(NAMED["gru"]))).iter()]
    assert {"1", "2", "3", "h′ = mix"} <= set(texts)


def test_it_is_written_from_a_name() -> None:
    command = [sys.executable, "-m", "archsearch.cli.graph_picture", "lstm"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == picture(read_graph(Graphs().normal("lstm")))
    assert done.stdout == (Path(__file__).parents[2] / "docs" / "graph.svg").read_text()


def test_a_terminal_shows_a_statement_a_line() -> None:
    graph = Layer.of("graph", graph=Graphs().normal("lstm"), keep=2.0)
    text = draw(Architecture(8, (Stage((Block(graph),)),)))
    assert "→ graph(keep=2) →" in text
    assert "│     n1 = c * sigmoid(lin(x, h)) + tanh(lin(x, h)) * sigmoid(lin(x, h))\n" in text
    assert "│     h, c = tanh(n1) * sigmoid(lin(x, h)), n1\n" in text
