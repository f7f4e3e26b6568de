"""The reference page is the one that the table of keys gives, and names every key."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.plugins import load_catalog
from archsearch.spec.forms import Reading
from archsearch.spec.keys import BLOCK, CONFIRM, DOCUMENT, EXECUTION, SEARCH, SPACE, STAGE
from archsearch.spec.positions import Place, Table
from archsearch.spec.reference import reference
from archsearch.spec.sections import spelled
from archsearch.spec.settings import ConfirmSettings, ExecutionSettings, SearchSettings

PAGE = Path(__file__).parents[2] / "docs" / "space-file.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), (
        "write it again: python -m archsearch.spec.reference > docs/space-file.md"
    )


@pytest.mark.parametrize("section", [DOCUMENT, SPACE, STAGE, BLOCK, SEARCH, CONFIRM, EXECUTION])
def test_every_key_has_a_row(section):
    page = reference()
    for key in section.keys:
        assert f"\n| `{key.name}` | " in page
        assert key.doc in page
        assert not (key.required and key.default)


def test_documented_defaults_are_those_of_the_records():
    place = Place("defaults", 1, 1)
    reading = Reading(load_catalog(), Path())
    empty = Table(place, ())
    assert CONFIRM.read(empty, "", reading) == ConfirmSettings()
    assert EXECUTION.read(empty, "", reading) == ExecutionSettings()
    search = SEARCH.read(empty, "", reading)
    default = SearchSettings()
    assert (search.budget, search.seed, search.lag) == (default.budget, default.seed, default.lag)
    assert (search.sampler.name, search.stopping.name) == ("tpe", "none")
    for section in (SPACE, STAGE, BLOCK, SEARCH, CONFIRM, EXECUTION):
        for key in section.keys:
            node = spelled(key.default, place)
            if node is not None:
                key.form.read(node, key.name, reading)
