"""What every declaration of a cell owes its readers."""

from __future__ import annotations

import pytest

from archsearch.cells.declared import CELLS


@pytest.mark.parametrize("entry", CELLS, ids=lambda entry: entry.name)
def test_a_declaration_tells_its_source_and_its_options(entry):
    assert entry.source
    assert all(option.doc for option in entry.options.values())
