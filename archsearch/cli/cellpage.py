"""The reference page of the cells, written from their declarations."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from archsearch.plugins import load_catalog
from archsearch.spec.catalog import CellType

OURS = "archsearch"
FAMILIES = {
    "recurrent": "Recurrent",
    "linear": "Linear recurrences",
    "memory": "Memories trained while they read",
    "attention": "Attention",
    "convolution": "Convolutions",
}
_INTRODUCTION = """\
# The cells

A cell mixes a sequence along time: (B, T, D) in, (B, T, D) out, and nothing from the future unless
it says so. `archsearch cells` lists those that are installed, plugins' included, and `archsearch
cells NAME` shows one with its options. In a space file an option takes one of its legal values, an
open choice among them, or, with `options: search`, what the column *searched* says.

*Cost* is how the forward pass grows with the number of steps T. A cell with a *step* can also be
asked for one step at a time, with the same answers, and is then as fast at the millionth step as
at the first, attention aside.
"""


def by_family(cells: Iterable[CellType]) -> dict[str, list[CellType]]:
    """The cells under the title of their family, or the distribution that they come with."""
    found: dict[str, list[CellType]] = {}
    for cell in cells:
        found.setdefault(_family(cell), []).append(cell)
    return found


def ran_on(cell: CellType) -> str:
    """The devices that a cell has been run on, in a sentence."""
    if cell.devices == ("cpu",):
        return "Run on CPUs; never yet on a real GPU."
    return f"Run on: {', '.join(cell.devices)}."


def page() -> str:
    """The page in Markdown."""
    parts = [_INTRODUCTION]
    known = load_catalog().declarations("cell")
    ours = [c for c in known if isinstance(c, CellType) and c.distribution == OURS]
    for family, cells in by_family(ours).items():
        parts.append(f"\n## {family}\n")
        parts += [_section(cell) for cell in cells]
    return "".join(parts)


def _family(cell: CellType) -> str:
    if cell.distribution != OURS or not isinstance(cell.target, str):
        return cell.distribution
    return FAMILIES[cell.target.split(".")[2]]


def _section(cell: CellType) -> str:
    facts = [f"Cost {cell.cost}", "step by step too" if cell.has_step else "whole sequences only"]
    if not cell.causal:
        facts.append("reads the future")
    lines = [
        f"\n### {cell.name}\n",
        cell.doc,
        f"Source: {cell.source}.",
        f"{'; '.join(facts)}. {ran_on(cell)}",
    ]
    if cell.options:
        lines.append("\n| option | default | legal | searched | what |\n|---|---|---|---|---|")
    for key, option in cell.options.items():
        default = "–" if option.default is None else f"`{option.default}`"
        row = (f"`{key}`", default, option.expected, option.searched, option.meaning)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
