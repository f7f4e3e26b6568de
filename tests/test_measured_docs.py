"""The tables of the pages on speed and on what cells solve are those of the last measurements."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from archsearch.cells.declared import CELLS

DOCS = Path(__file__).parents[1] / "docs"
MADE: dict[str, Any] = runpy.run_path(str(DOCS / "measured.py"))


@pytest.mark.parametrize("name", MADE["PAGES"])
def test_the_tables_are_as_measured(name: str) -> None:
    page = (DOCS / name).read_text()
    assert page.count("<!-- end -->") > 0
    assert MADE["filled"](page) == page


def test_every_table_is_on_a_page() -> None:
    text = "".join((DOCS / name).read_text() for name in MADE["PAGES"])
    assert all(f"<!-- {name} -->" in text for name in MADE["TABLES"])


def test_every_cell_was_measured() -> None:
    page = (DOCS / "speed.md").read_text()
    assert all(f"| `{cell.name}` |" in page for cell in CELLS)
