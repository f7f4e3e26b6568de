"""Rules across keys of a space file, checked once all of it is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from archsearch.spec.forms import Reading
from archsearch.spec.mix import replaced, values
from archsearch.spec.openlayer import OpenLayer, OpenStage
from archsearch.spec.positions import Table, fault, quote
from archsearch.spec.settings import DEPTH_AUC, MEASURED, TIMED, SearchSettings, TaskSpec
from archsearch.spec.tree import Fixed, Node, Pick, Range, Record, Row
from archsearch.spec.words import spell, suggestion

MOST_BLOCKS = 10_000
MOST_APPLICATIONS = 100_000
MOST_WEIGHTS = 10**10


def check_width(root: Record, reading: Reading) -> None:
    """A fixed number of heads divides one of the widths; searched heads are judged per trial."""
    widths = _values(dict(root.fields)["width"])
    if widths is None:
        return
    for heads, place, key in reading.divisors:
        if all(width % heads for width in widths):
            expected = f"a divisor of the width {' or '.join(map(str, widths))}"
            raise fault(place, key, expected, str(heads))


def check_metrics(tasks: tuple[TaskSpec, ...], reading: Reading) -> None:
    """Objectives and constraints are on what every task, as far as it is declared, reports."""
    for task in tasks:
        declared = reading.catalog.find("task", task.layer.name)
        known = (*declared.metrics, DEPTH_AUC, *MEASURED, *TIMED)
        for name, place, key in reading.metrics if declared.metrics else ():
            if name not in known:
                expected = f"a metric of {declared.name} ({', '.join(known)})"
                raise fault(place, key, expected, quote(name), suggestion(name, known))


def check_stopping(root: Record, search: SearchSettings, document: Table) -> None:
    """Who stops early needs a look at the validation split before the end."""
    training = dict(root.fields)["training"]
    if search.stopping.name == "none" or not isinstance(training, OpenLayer):
        return
    section = document.get("search")
    written = section.get("stopping") if isinstance(section, Table) else None
    for name in ("evaluations", "steps"):
        part = dict(training.options).get(name)
        if written is not None and isinstance(part, Fixed) and part.value == 1:
            expected = f"'none' where space.training.{name} is 1"
            raise fault(written.place, "search.stopping", expected, search.stopping.name)


def check_mix(stage: Mapping[str, Any], written: Table, key: str) -> None:
    """Some share of some number of copies is at least one of them."""
    mix, repeats = stage["mix"], values(stage["repeat"])
    shares = None if mix is None else values(mix.share)
    if shares is None or repeats is None:
        return
    most = max(copies for copies, _ in repeats)
    if not any(replaced(most, share) for share, _ in shares):
        place = written.get("mix") or written
        inner = place.get("share") if isinstance(place, Table) else None
        expected = f"a share that is at least one of {most} copies"
        got = f"at most {spell(max(share for share, _ in shares))}"
        raise fault((inner or place).place, f"{key}.mix.share", expected, got)


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
    lists = [stage.blocks] if stage.mix is None else [stage.blocks, stage.mix.blocks]
    return _least(stage.repeat) * min(map(_length, lists))


def _values(node: Node) -> tuple[int, ...] | None:
    """All whole numbers that the node can give; None where they are not listed."""
    match node:
        case Fixed(int() as value):
            return (value,)
        case Pick():
            listed = [_values(branch) for branch in node.branches]
            return None if None in listed else tuple(v for some in listed for v in some or ())
        case _:
            return None


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
