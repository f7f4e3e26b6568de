"""``--set key=value`` puts values over those of a space file, and its faults name the key."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_badfiles import GOOD as SMALL

from archsearch.errors import LocatedError
from archsearch.plugins import load_catalog
from archsearch.spec.catalog import Catalog
from archsearch.spec.spacefile import SpaceFile, read_space


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return load_catalog()


@pytest.fixture
def read(tmp_path: Path, catalog: Catalog):
    def read(text: str, *overrides: tuple[str, str]) -> SpaceFile:
        path = tmp_path / "space.yaml"
        path.write_text(text)
        return read_space(path, catalog, overrides)

    return read


@pytest.mark.parametrize(
    ("override", "look", "value"),
    [
        (("search.trials", "5"), lambda f: f.search.budget.trials, 5),
        (
            ("space.training.steps", "100"),
            lambda f: f.space.architecture(()).training["steps"],
            100,
        ),
        (("space.stages.0.repeat", "2"), lambda f: f.space.architecture(()).stages[0].repeat, 2),
        (("space.width", "{choice: [8, 16]}"), lambda f: f.space.size(), 2),
        (("space.stages.0.blocks.0.cell", "lru"), lambda f: f.space.domains(), {}),
        (("confirm", "none"), lambda f: f.confirm, None),
        (("name", "other"), lambda f: f.name, "other"),
    ],
)
def test_overrides(read, override, look, value):
    file = read(SMALL, override)
    assert look(file) == value
    assert file.overrides == (override,)
    assert file.text == SMALL


def test_the_last_override_wins(read):
    assert read(SMALL, ("search.seed", "1"), ("search.seed", "2")).search.seed == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (("search.trials", "0"), "--set search.trials:1:1: error: search.trials: expected a whole"),
        (("search.trails", "5"), "search.trails: expected one of the keys sampler, trials"),
        (("space.stages.1.repeat", "2"), "expected an index from 0 to 0, got '1'"),
        (("space.stages.x", "2"), "expected an index from 0 to 0, got 'x'"),
        (("space.width.low", "2"), "expected a mapping to set 'low' in, got 32"),
        (("search.trials", "[1"), "expected YAML, got a fault: did not find"),
        (("search.trials", ""), "expected a whole number from 1 to 10000000, got nothing"),
        (("search.trials", "!!python/object:os.system 1"), "expected no tags, got the tag"),
        (("", "1"), "expected one of the keys archsearch, name"),
        (("search.trials", "1\n---\n2"), "expected one document, got a second one"),
    ],
)
def test_a_bad_override_is_placed_at_its_key(read, override, message):
    with pytest.raises(LocatedError) as caught:
        read(SMALL, override)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"--set {override[0]}:")
