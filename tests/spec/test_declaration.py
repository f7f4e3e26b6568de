"""Declarations come back from plain data as they were, and contradictions in them are found."""

from __future__ import annotations

import json

import pytest

from archsearch.errors import SpaceError
from archsearch.plugins import built_in
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import CellType, LayerType, Option, choice, integer, real, text
from archsearch.spec.declaration import (
    check_declaration,
    declaration_from_plain,
    declaration_to_plain,
)
from archsearch.spec.domains import FloatRange, IntRange

RICH = CellType(
    "rich",
    "some.module:Some",
    {
        "mode": choice("a", "b", search=("a",)),
        "pair": choice((1, 2), (3, 4)),
        "inner": choice(Layer.of("x", size=1), None),
        "size": integer(4, 1, 64, search=IntRange(2, 8, 2)).only_when(mode="a"),
        "rate": real(0.5, 0.0, 1.0, search=FloatRange(0.1, 1.0, log=True)).only_when(
            mode=("a", "b"), size=4
        ),
        "word": text(None, doc="a word"),
    },
    doc="Has everything.",
    causal=False,
    cost="T^2",
)


# a text in a language of its own is ours alone
PLAIN = [
    declared
    for declared in built_in()
    if not any(option.language for option in declared.options.values())
]


@pytest.mark.parametrize("declared", [RICH, *PLAIN], ids=lambda d: f"{d.kind}-{d.name}")
def test_there_and_back_again(declared: LayerType) -> None:
    there = json.loads(json.dumps(declaration_to_plain(declared)))
    back = declaration_from_plain(there)
    assert back == declared
    assert type(back) is type(declared)
    for key, option in declared.options.items():
        assert type(back.options[key].default) is type(option.default)


@pytest.mark.parametrize("declared", [RICH, *PLAIN], ids=lambda d: f"{d.kind}-{d.name}")
def test_what_is_built_in_holds_together(declared: LayerType) -> None:
    if declared.target:
        check_declaration(declared)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (real(1.5, 0.0, 1.0), "expected a number from 0.0 to 1.0, got 1.5"),
        (integer(4, 1, 8, search=(2, 16)), "expected a whole number from 1 to 8, got 16"),
        (integer(4, 1, 8, search=IntRange(2, 16)), "expected a whole number from 1 to 8, got 16"),
        (integer(4, 1, 8, search=IntRange(8, 2)), "a searched range from low to high"),
        (real(0.5, 0.0, 1.0, search=FloatRange(0.0, 1.0, log=True)), "a low above 0 with log"),
        (choice("a", "b", search=("c",)), "expected one of 'a', 'b', got 'c'"),
        (Option("a", str, ()), "expected choices, got none"),
        (choice([1], [2]), "expected choices that are texts, numbers or tuples, got a list"),
        (real(0.5, search=[0.5]), "expected a tuple, an IntRange or a FloatRange to be searched"),
        (Option([], list), "expected bool, int, float or str as type, got list"),
        (real(0.5).only_when(gone=1), "its condition names 'gone', which is no option before it"),
        (real(0.5).only_when(later="x"), "its condition names 'later'"),
        (real(0.5).only_when(first="z"), "expected one of 'x', 'y', got 'z'"),
        (real(0.5, doc="two\nlines"), "its doc must be a text of visible characters"),
    ],
)
def test_an_option_that_contradicts_itself(option: Option, words: str) -> None:
    options = {"first": choice("x", "y"), "bad": option, "later": choice("x", "y")}
    with pytest.raises(SpaceError) as caught:
        check_declaration(CellType("torn", "some.module:Some", options))
    assert str(caught.value).startswith("option 'bad': ")
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (CellType("torn", dict), "its target must be a text 'module:attribute'"),
        (CellType("torn", "os.system"), "its target must be a text"),
        (CellType("torn", "a:b; import os"), "its target must be a text"),
        (CellType("torn", "a:b", doc="\x1b[31m"), "its doc and source must be texts"),
        (CellType("torn", "a:b", {"choice": (1, 2)}), "may not be called 'choice'"),
        (CellType("torn", "a:b", {"two words": (1, 2)}), "may not be called 'two words'"),
    ],
)
def test_a_declaration_that_no_file_could_name(declared: CellType, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        check_declaration(declared)
