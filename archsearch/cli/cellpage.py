"""The reference page of cells, and of what stands around them, written from declarations."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from archsearch.plugins import load_catalog
from archsearch.spec.catalog import CellType, LayerType
from archsearch.spec.words import unquoted

OURS = "archsearch"
FAMILIES = {
    "recurrent": "Recurrent",
    "linear": "Linear recurrences",
    "memory": "Memories trained while they read",
    "attention": "Attention",
    "convolution": "Convolutions",
}
AROUND = {
    "gate": "Gates: how a layer meets the stream",
    "channel": "Channel mixers: what mixes the features of one position",
    "norm": "Norms",
    "placement": "Placements: where the norm of a layer stands",
    "connections": "Connections: what each block of a stage reads",
    "embed": "Embeddings",
    "head": "Heads",
    "tie": "Ties: what the loops of a stage share",
    "halting": "Halting of loops",
    "init": "First weights",
    "sparsity": "Sparsity",
    "training": "Training",
}
_INTRODUCTION = """\
# Cells, and what stands around them

A cell mixes a sequence along time: (B, T, D) in, (B, T, D) out, and nothing from the future unless
it says so. `archsearch cells` lists those that are installed, plugins' included, and `archsearch
cells NAME` shows one with its options. In a space file an option takes one of its legal values, an
open choice among them, or, with `options: search`, what the column *searched* says.

*Cost* is how the forward pass grows with the number of steps T. A cell with a *step* can also be
asked for one step at a time, with the same answers, and is then as fast at the millionth step as
at the first, attention aside.

What stands around the cells comes after them; `archsearch cells --kind gate` lists one kind.
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
    catalog = load_catalog()
    known = catalog.declarations("cell")
    ours = [c for c in known if isinstance(c, CellType) and c.distribution == OURS]
    for family, cells in by_family(ours).items():
        parts.append(f"\n## {family}\n")
        parts += [_section(cell) for cell in cells]
    for kind, title in AROUND.items():
        parts.append(f"\n## {title}\n")
        parts += [_section(e) for e in catalog.declarations(kind) if e.distribution == OURS]
    return "".join(parts)


def _family(cell: CellType) -> str:
    if cell.distribution != OURS or not isinstance(cell.target, str):
        return cell.distribution
    return FAMILIES[cell.target.split(".")[2]]


def _section(entry: LayerType) -> str:
    lines = [f"\n### {entry.name}\n", entry.doc]
    if entry.source:
        lines.append(f"Source: {entry.source}.")
    if isinstance(entry, CellType):
        facts = [f"Cost {entry.cost}"]
        facts.append("step by step too" if entry.has_step else "whole sequences only")
        facts += [] if entry.causal else ["reads the future"]
        lines.append(f"{'; '.join(facts)}. {ran_on(entry)}")
    if entry.options:
        lines.append("\n| option | default | legal | searched | what |\n|---|---|---|---|---|")
    for key, option in entry.options.items():
        default = "–" if option.default is None else f"`{unquoted(option.default)}`"
        row = (f"`{key}`", default, option.expected, option.searched, option.meaning)
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
