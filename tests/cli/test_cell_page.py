"""The page of the cells is the one that their declarations give; the list says the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from commands import Command

from archsearch.cells.declared import CELLS
from archsearch.cli.cellpage import AROUND, by_family, page, ran_on
from archsearch.plugins import load_catalog
from archsearch.spec.catalog import CellType

PAGE = Path(__file__).parents[2] / "docs" / "cells.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "write it again: python -m archsearch.cli.cellpage > docs/cells.md"
    )


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
def test_every_cell_has_a_section_with_a_source_and_every_option(cell: CellType) -> None:
    _, found, section = page().partition(f"\n### {cell.name}\n")
    section = section.partition("\n### ")[0]
    assert found
    assert cell.doc in section
    assert cell.source
    assert cell.source in section
    for key, option in cell.options.items():
        assert option.doc
        assert f"\n| `{key}` | " in section


@pytest.mark.parametrize("kind", AROUND)
def test_what_stands_around_the_cells_is_there(kind: str) -> None:
    part = page().partition(f"\n## {AROUND[kind]}\n")[2].partition("\n## ")[0]
    for entry in load_catalog().declarations(kind):
        section = part.partition(f"\n### {entry.name}\n")[2].partition("\n### ")[0]
        assert entry.doc in section
        assert all(
            option.doc and f"\n| `{key}` | " in section for key, option in entry.options.items()
        )


def test_a_plugin_stands_under_its_own_name() -> None:
    ours = CELLS[0]
    theirs = replace(ours, name="archsearch-x.y", distribution="archsearch-x", target="x.y:Z")
    assert by_family([ours, theirs]) == {"Recurrent": [ours], "archsearch-x": [theirs]}


def test_what_never_ran_on_a_gpu_says_so(fresh: tuple[Path, Command]) -> None:
    _, command = fresh
    assert "never yet on a real GPU" in " ".join(command("cells", "gru").stdout.split())
    assert ran_on(replace(CELLS[0], devices=("cpu", "cuda"))) == "Run on: cpu, cuda."


def test_the_list_is_in_families(fresh: tuple[Path, Command]) -> None:
    _, command = fresh
    lines = command("cells").stdout.splitlines()
    titles = [line.strip() for line in lines[1:] if line and not line.startswith(" ")]
    assert titles[:5] == list(by_family(CELLS))
