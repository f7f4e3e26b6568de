"""Whether an architecture lies in a space, by what it computes and not by how it is spelled."""

from __future__ import annotations

from typing import TypeAlias

from archsearch.spec.architecture import CHAIN, Architecture, Block, Stage
from archsearch.spec.openlayer import OpenStage
from archsearch.spec.tree import Node, Pick, Record, Row

Item: TypeAlias = Block | Stage


def holds(root: Record, architecture: Architecture) -> bool:
    """Whether some point of the space has the canonical form of the completed ``architecture``."""
    canonical = architecture.canonical()
    for name, node in root.fields:
        if name == "stages":
            items = _items(canonical)
            if len(items) not in _ends(node, items, 0):
                return False
        elif not node.matches(getattr(canonical, name)):
            return False
    return True


def _items(architecture: Architecture) -> tuple[Item, ...]:
    """The canonical stages in a row: an unlooped chain as its blocks, any other as itself."""
    items: list[Item] = []
    for stage in architecture.stages:
        items.extend((stage,) if stage.whole else stage.blocks)
    return tuple(items)


def _ends(node: Node, items: tuple[Item, ...], start: int) -> set[int]:
    """Where the stages that ``node`` can give may end, if the first begins at ``start``."""
    match node:
        case Row():
            ends = {start}
            for stage in node.items:
                ends = {end for begin in ends for end in _ends(stage, items, begin)}
            return ends
        case Pick():
            return {end for branch in node.branches for end in _ends(branch, items, start)}
        case OpenStage():
            return _stage_ends(node, items, start)
        case _:
            return set()


def _stage_ends(node: OpenStage, items: tuple[Item, ...], start: int) -> set[int]:
    if start == len(items):
        return set()
    first = items[start]
    if isinstance(first, Stage):
        alike = node.around(first) and node.copies(first.blocks)
        return {start + 1} if alike else set()
    if not (node.loops.matches(1) and node.connections.matches(CHAIN)):
        return set()
    blocks: list[Block] = []
    ends: set[int] = set()
    for end, item in enumerate(items[start:], start=start + 1):
        if isinstance(item, Stage):
            break
        blocks.append(item)
        if node.copies(tuple(blocks)):
            ends.add(end)
    return ends
