"""No built-in cell escapes the contract, whichever file of this folder holds it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from archsearch.cells.declared import CELLS
from archsearch.testing.cells import CellContract


def test_every_declared_cell_is_held_to_the_contract() -> None:
    held = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        # by the name that pytest gives it, so that no class is there twice
        if "(CellContract):" in path.read_text():
            for name, case in vars(import_module(path.stem)).items():
                if name.startswith("Test") and issubclass(case, CellContract):
                    held.add(case.cell_type.name)
    assert {entry.name for entry in CELLS} - held == set()
