"""Rules across keys of a space file, checked once all of it is read."""

from __future__ import annotations

import math
from collections.abc import Callable

from archsearch.spec.forms import Reading
from archsearch.spec.openlayer import OpenStage
from archsearch.spec.positions import Table, fault
from archsearch.spec.tree import Fixed, Node, Pick, Range, Record, Row

MOST_BLOCKS = 10_000
MOST_APPLICATIONS = 100_000
MOST_WEIGHTS = 10**10


def check_width(root: Record, reading: Reading) -> None:
    """A fixed number of heads divides a fixed width; searched values are judged per trial."""
    width = dict(root.fields)["width"]
    if not isinstance(width, Fixed) or not isinstance(width.value, int):
        return
    for heads, place, key in reading.divisors:
        if width.value % heads:
            raise fault(place, key, f"a divisor of the width {width.value}", str(heads))


def check_extent(root: Record, document: Table) -> None:
    """Even the smallest architecture of the space must be one that can be built."""
    fields = dict(root.fields)
    width = _least(fields["width"])
    blocks = _fewest(fields["stages"], lambda stage: _blocks(stage))
    applications = _fewest(fields["stages"], lambda stage: _blocks(stage) * _least(stage.loops))
    space = document.get("space")
    place = space.place if space is not None else document.place
    limits = (
        (blocks, MOST_BLOCKS, "blocks"),
        (applications, MOST_APPLICATIONS, "blocks with loops"),
        (blocks * width**2, MOST_WEIGHTS, "weights (blocks x width^2)"),
    )
    for count, most, what in limits:
        if count > most:
            raise fault(place, "space", f"at most {most:,} {what}", f"{count:,} or more")


def _blocks(stage: OpenStage) -> int:
    return _least(stage.repeat) * _length(stage.blocks)


def _least(node: Node) -> int:
    """The smallest whole number that the node can give."""
    match node:
        case Fixed(int() as value):
            return value
        case Range():
            return math.ceil(node.domain.low)
        case Pick():
            return min(_least(branch) for branch in node.branches)
        case _:
            return 1


def _length(node: Node) -> int:
    """The length of the shortest list that the node can give."""
    if isinstance(node, Pick):
        return min(_length(branch) for branch in node.branches)
    return len(node.items) if isinstance(node, Row) else 1


def _fewest(node: Node, count: Callable[[OpenStage], int]) -> int:
    """The smallest sum of ``count`` over the stages that the node can give."""
    match node:
        case Row():
            return sum(_fewest(item, count) for item in node.items)
        case Pick():
            return min(_fewest(branch, count) for branch in node.branches)
        case OpenStage():
            return count(node)
        case _:
            return 0
