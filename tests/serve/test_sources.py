"""A plugin's source in one file: imports by name are followed, others are refused in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.errors import InputError
from archsearch.serve.modules import packages_of
from archsearch.serve.sources import Sources

TRIED = "try:\n    from ..loops import scan\nexcept ImportError:\n    scan = None\n"
CELL = "def cell():\n    return scan(1)\n"


def written(folder: Path, package: str, cell: str) -> str:
    """The text of ``cell`` of a new package that has a module ``loops`` beside it."""
    (folder / package / "inner").mkdir(parents=True)
    for place in ("", "inner/"):
        (folder / package / place / "__init__.py").write_text("")
    (folder / package / "loops.py").write_text(
        "import numpy as np\n\n\ndef scan(x):\n    return np.add(x, 1)\n"
    )
    (folder / package / "inner" / "cell.py").write_text(cell)
    root = (f"{package}.inner.cell", "cell")
    return Sources([root], [package], []).text()


@pytest.mark.parametrize(
    "imported", ["from ..loops import scan", "from {package}.loops import scan"]
)
def test_relative_imports_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imported: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = f"followed_{'..' in imported}".lower()
    text = written(tmp_path, package, f"{imported.format(package=package)}\n{CELL}")
    assert package not in text
    assert packages_of(text) == ["numpy"]
    found: dict[str, object] = {}
    exec(text, found)
    assert found["cell"]() == 2  # type: ignore[operator]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("from .. import loops\ndef cell():\n    return loops.scan(1)\n", "as a whole"),
        ("import {package}.loops\ndef cell():\n    return {package}.loops.scan(1)", "as a whole"),
        (f"from ..loops import *\n{CELL}", "imports all of"),
        ("def cell():\n    from ..loops import scan\n    return scan(1)\n", "at the top of"),
        (TRIED + CELL, "at the top of"),
    ],
)
def test_other_imports_of_its_own_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cell: str, said: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    package = f"refused_{abs(hash(cell))}"
    with pytest.raises(InputError, match=said):
        written(tmp_path, package, cell.replace("{package}", package))
