"""Visitors are found by metadata, imported when named, and never shadow another's layer."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from archsearch.errors import LocatedError, SpaceError
from archsearch.plugins import as_recorded, built_in, distributions, implementation, load_catalog
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import KINDS, Catalog, CellType
from archsearch.spec.spacefile import read_space

DECLARATION = """\
from archsearch.spec.catalog import CellType, real
CELL = CellType({name!r}, "{module}.cell:Cell", {{"decay": real(0.9, 0.0, 1.0)}})
"""
SPACE = """\
archsearch: 1
task: parity
space: {width: 8, stages: [{blocks: [{cell: CELL}]}]}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a distribution with one declared cell on the path, without pip."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def install(
        distribution: str,
        name: str,
        code: str | None = None,
        *,
        version: str = "1.2",
        target: str | None = None,
    ) -> str:
        module = distribution.replace("-", "_").replace(".", "_").lower()
        package = tmp_path / module
        package.mkdir()
        (package / "__init__.py").write_text("")
        text = DECLARATION.format(name=name, module=module) if code is None else code
        (package / "declared.py").write_text(text)
        (package / "cell.py").write_text("class Cell: pass\nvalue = 3\n")
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        entry = target or f"{module}.declared:CELL"
        (info / "entry_points.txt").write_text(f"[archsearch.cells]\n{name} = {entry}\n")
        importlib.invalidate_caches()
        return module

    yield install
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]


def read(tmp_path: Path, cell: str, catalog=None):
    path = tmp_path / "space.yaml"
    path.write_text(SPACE.replace("CELL", cell))
    return read_space(path, catalog or load_catalog())


def versions(catalog: Catalog) -> dict[str, str]:
    return {name: what.version for name, what in distributions(catalog).items()}


def test_our_own_layers_are_all_there():
    catalog = load_catalog()
    for kind in KINDS:
        assert catalog.names(kind), kind
    for declared in built_in():
        assert catalog.find(declared.kind, declared.name) is declared
        assert catalog.find(declared.kind, f"archsearch.{declared.name}") is declared
    assert len({(d.kind, d.name) for d in built_in()}) == len(built_in())


def test_a_visitor_is_named_from_metadata_and_read_in_another_process(
    install, tmp_path, monkeypatch
):
    module = install("archsearch-leaky", "leaky")
    # another test may have imported the real one
    for name in (module, f"{module}.declared", f"{module}.cell"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    catalog = load_catalog()
    assert "leaky" in catalog.names("cell")
    assert f"{module}.declared" not in sys.modules
    assert distributions(catalog) == {}
    file = read(tmp_path, "{name: leaky, decay: 0.5}", catalog)
    assert f"{module}.declared" not in sys.modules
    cell = file.space.architecture(()).stages[0].blocks[0].cell
    assert cell == Layer.of("leaky", decay=0.5)
    assert catalog.find("cell", "leaky").distribution == "archsearch-leaky"
    assert versions(catalog) == {"archsearch-leaky": "1.2"}
    found = implementation(catalog.find("cell", "leaky"))
    assert (found.__module__, found.__name__) == (f"{module}.cell", "Cell")


def test_the_qualified_name_is_another_spelling_of_the_same_layer(install, tmp_path):
    install("Archsearch.Leaky", "leaky")
    digests = {
        read(tmp_path, name).space.architecture(()).digest
        for name in ("leaky", "archsearch-leaky.leaky")
    }
    assert len(digests) == 1
    ours = {
        read(tmp_path, name).space.architecture(()).digest for name in ("gru", "archsearch.gru")
    }
    assert len(ours) == 1


def test_a_visitor_with_the_name_of_one_of_ours(install, tmp_path):
    install("archsearch-foo", "gru")
    catalog = load_catalog()
    with pytest.raises(LocatedError) as caught:
        read(tmp_path, "gru", catalog)
    assert caught.value.line == 3
    assert (
        "cell 'gru' is provided by archsearch and by archsearch-foo; "
        "write 'archsearch.gru' or 'archsearch-foo.gru'"
    ) in caught.value.message
    # what was stored before the visitor came still means the same
    assert catalog.find("cell", "gru").distribution == "archsearch"
    ours = read(tmp_path, "archsearch.gru", catalog).space.architecture(())
    theirs = read(tmp_path, "archsearch-foo.gru", catalog).space.architecture(())
    assert ours.stages[0].blocks[0].cell.name == "gru"
    assert theirs.stages[0].blocks[0].cell == Layer.of("archsearch-foo.gru", decay=0.9)
    assert catalog.complete_architecture(theirs) == theirs
    assert ours.digest != theirs.digest


def test_two_visitors_with_one_name(install, tmp_path):
    install("archsearch-foo", "leaky")
    install("archsearch-bar", "leaky", version="3.0")
    catalog = load_catalog()
    with pytest.raises(LocatedError, match="provided by archsearch-bar and by archsearch-foo"):
        read(tmp_path, "leaky", catalog)
    with pytest.raises(SpaceError, match=r"write 'archsearch-bar\.leaky' or"):
        catalog.find("cell", "leaky")
    read(tmp_path, "archsearch-bar.leaky", catalog)
    assert versions(catalog) == {"archsearch-bar": "3.0"}
    assert {"archsearch-bar.leaky", "archsearch-foo.leaky"} <= set(catalog.names("cell"))


def test_what_is_stored_keeps_its_name_whatever_comes_or_goes(install, tmp_path):
    install("archsearch-foo", "leaky")
    bare, long = ["cell", "leaky", "archsearch-foo"], "archsearch-foo.leaky"
    known = load_catalog(named=as_recorded([["cell", long, "archsearch-foo"]]))
    assert known.find("cell", "leaky").name == known.find("cell", long).name == long
    install("archsearch-bar", "leaky")
    known = load_catalog(named=as_recorded([bare]))
    assert known.find("cell", "leaky").distribution == "archsearch-foo"
    assert known.find("cell", long).name == "leaky"
    assert known.find("cell", "archsearch-bar.leaky").name == "archsearch-bar.leaky"
    digests = {
        read(tmp_path, name, load_catalog(named=as_recorded([bare]))).space.architecture(()).digest
        for name in ("leaky", long)
    }
    assert len(digests) == 1
    # both at once were of that name nowhere
    known = load_catalog(named=as_recorded([bare, ["cell", "leaky", "archsearch-bar"]]))
    with pytest.raises(SpaceError, match="provided by archsearch-bar and by archsearch-foo"):
        known.find("cell", "leaky")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import not_there_at_all", "ModuleNotFoundError: No module named 'not_there_at_all'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("raise ValueError('one\\ntwo')", "ValueError: one"),
        ("CELL: int", "AttributeError: "),
        ("CELL = 3", "is a int at archsearch_leaky.declared:CELL, not a declaration"),
        (
            "from archsearch.spec.catalog import LayerType; CELL = LayerType('leaky', 'x:y')",
            "is a LayerType, not a CellType",
        ),
        (
            "from archsearch.spec.catalog import CellType; CELL = CellType('other', 'x:y')",
            "is declared as cell 'other'",
        ),
        (
            "from archsearch.spec.catalog import CellType\n"
            "CELL = CellType('leaky', 'x:y', kind='gate')",
            "is declared as gate 'leaky'",
        ),
        (
            "from archsearch.spec.catalog import CellType\n"
            "CELL = CellType('leaky', 'x:y', {'name': (1, 2)})",
            "an option may not be called 'name'",
        ),
        ("def broken(:", "SyntaxError: "),
    ],
)
def test_a_broken_declaration_is_one_line_when_it_is_named(install, tmp_path, code, message):
    install("archsearch-leaky", "leaky", code)
    catalog = load_catalog()
    read(tmp_path, "gru", catalog)
    with pytest.raises(LocatedError) as caught:
        read(tmp_path, "leaky", catalog)
    line = str(caught.value)
    assert "cell 'leaky' from archsearch-leaky" in line
    assert message in line
    assert "\n" not in line
    assert len(line) <= 300


def test_a_name_with_a_dot_takes_nobodys_place(install, tmp_path):
    install("archsearch-evil", "archsearch-good.leaky")
    catalog = load_catalog()
    assert "archsearch-good.leaky" not in catalog.names("cell")
    with pytest.raises(SpaceError, match="from archsearch-evil is not a name"):
        catalog.find("cell", "archsearch-good.leaky")


def test_what_is_torn_or_spelled_wrong_disturbs_no_other(install, tmp_path):
    install("archsearch-leaky", "leaky", target="no module at all")
    torn = tmp_path / "torn-1.0.dist-info"
    torn.mkdir()
    (torn / "entry_points.txt").write_text("[archsearch.cells]\ntorn = torn.declared:CELL\n")
    catalog = load_catalog()
    read(tmp_path, "gru", catalog)
    with pytest.raises(SpaceError, match="declared at 'no module at all', which is no 'module:"):
        catalog.find("cell", "leaky")
    with pytest.raises(SpaceError, match="whose metadata are gone; install it again"):
        catalog.find("cell", "torn")


def test_a_missing_distribution_is_named():
    gone = CellType("gone", "gone:Gone", distribution="archsearch-gone")
    with pytest.raises(SpaceError, match="try 'pip install archsearch-gone'"):
        distributions([gone])


def test_implementations_that_cannot_be_had():
    assert implementation(CellType("own", dict)) is dict
    for target, message in [
        ("not_there_at_all:X", "cannot be imported: ModuleNotFoundError"),
        ("archsearch.errors:Nothing", "cannot be imported: AttributeError"),
        ("archsearch.spec.catalog:KINDS", "is a tuple, not a class"),
    ]:
        with pytest.raises(SpaceError, match=message):
            implementation(CellType("bad", target))
