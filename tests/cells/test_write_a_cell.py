"""The tutorial's code is the plugin's own, and what it says of the contract is true."""

from __future__ import annotations

import ast
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from archsearch.testing.cells import CellContract

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "plugins" / "archsearch-leaky"
TUTORIAL = (ROOT / "docs" / "write-a-cell.md").read_text()
BLOCKS = re.findall(r"```(python|toml)\n(.*?)```", TUTORIAL, re.DOTALL)


def lines(code: str) -> str:
    """The code without its indentation and empty lines, which differ in a document."""
    return "\n".join(["", *(line.strip() for line in code.splitlines() if line.strip()), ""])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block[1].strip().split("\n")[0][:30])
def test_every_block_stands_in_the_plugin(block):
    kind, code = block
    ending = "*.py" if kind == "python" else "*.toml"
    sources = [path.read_text() for path in PLUGIN.rglob(ending)]
    assert any(lines(code) in lines(source) for source in sources)


def test_the_cell_has_the_length_that_is_promised():
    block = next(code for _, code in BLOCKS if "def __init__" in code)
    cell = next(part for part in ast.parse(block).body if isinstance(part, ast.ClassDef))
    methods = [part for part in cell.body if isinstance(part, ast.FunctionDef)]
    assert {method.name for method in methods} == {"__init__", "initial_state", "step"}
    assert sum(len(method.body) for method in methods) <= 10


def test_every_promise_of_the_contract_is_listed():
    promised = set(re.findall(r"\| (G\d) \|", TUTORIAL))
    tested = {
        name.split("_")[1].upper() for name in dir(CellContract) if re.match("test_g\\d", name)
    }
    assert promised == tested


def test_the_kernels_are_where_it_says():
    named = re.findall(r"`(archsearch\.kernels\.[\w.]+)`", TUTORIAL)
    assert len(named) == 3
    for module, _, name in (place.rpartition(".") for place in named):
        assert callable(getattr(import_module(module), name))


def test_the_entry_point_names_the_declaration_and_its_cell(monkeypatch):
    monkeypatch.syspath_prepend(PLUGIN)
    from archsearch_leaky.declared import LEAKY

    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["archsearch.cells"] == {
        LEAKY.name: "archsearch_leaky.declared:LEAKY"
    }
