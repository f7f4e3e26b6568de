"""``archsearch plugin check``, and what else a user does with an installed cell, sound or not."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from corpus import run
from misbehaving import CELL, GLUTTON, SEGFAULT, Plugin, declared

from archsearch.plugins import load_catalog
from archsearch.testing.plugins import Promise, examine

# a parameter that nothing depends on, and rows of the batch that see each other
SELFISH = CELL.replace(
    "self.decay = ", "self.idle = torch.nn.Parameter(torch.ones(3))\n        self.decay = "
).replace("+ x\n", "+ x - 0.1 * x.mean(0)\n")

Install = Callable[[Plugin], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.syspath_prepend(tmp_path)
    return lambda plugin: plugin.install(tmp_path)


def test_a_sound_cell_keeps_every_promise(install: Install) -> None:
    # it is examined at a width that it can be built with
    wide = "super().__init__(width)\n        assert width % 32 == 0, 'no multiple of 32'\n"
    install(Plugin(cell=CELL.replace("super().__init__(width)\n", wide)))
    done = run(["plugin", "check", "leaky"])
    assert (done.code, done.err) == (0, "")
    assert "G1 step equals forward" in done.out
    assert "promises are kept" in done.out
    assert "broken" not in done.out.replace("what is broken", "")
    assert "archsearch_leaky.cell" not in sys.modules


def test_a_broken_promise_is_named_and_the_others_are_kept(install: Install) -> None:
    install(Plugin(cell=SELFISH))
    done = run(["plugin", "check", "leaky", "--json"])
    assert (done.code, done.err) == (2, "")
    promises = [Promise(**plain) for plain in json.loads(done.out)]
    broken = {promise.name: promise.broken for promise in promises if promise.broken}
    assert set(broken) == {"G4 every parameter matters", "G5 rows do not see each other"}
    assert "idle changes no output (decay=0.9)" in broken["G4 every parameter matters"]
    assert sum(promise.cases > 0 for promise in promises) == len(promises) - 2


def test_one_of_ours_can_be_checked_and_what_is_no_cell_not() -> None:
    done = run(["plugin", "check", "gruu"])
    assert done.code == 2
    assert "did you mean 'gru'" in done.err


@pytest.mark.parametrize(
    ("cell", "memory", "broken"),
    [
        (SEGFAULT, 2**30, "was killed by SIGSEGV (when examined: can be imported)"),
        (GLUTTON, 2**27, "cannot be imported: MemoryError"),
        ("import os\nos._exit(7)\n", 2**30, "ended the process with exit code 7 (when"),
        ("import os\nos.closerange(0, 99)\nclass Cell: pass", 2**30, "ended the process with"),
        ("print('{' * 10**7)\nCell = 3\n", 2**30, "is no class: archsearch_leaky.cell:Cell is a"),
    ],
)
def test_what_ends_the_examination_is_told(
    install: Install, cell: str, memory: int, broken: str
) -> None:
    install(Plugin(cell=cell))
    found = load_catalog().find("cell", "leaky")
    last = examine(found, whole=False, memory=memory)[-1]
    assert last.broken is not None
    assert last.broken.startswith(broken)


def test_an_examination_leaves_no_file(install: Install, tmp_path: Path) -> None:
    install(Plugin(cell=f"open('droppings', 'w').close()\n{CELL}"))
    found = load_catalog().find("cell", "leaky")
    assert all(promise.broken is None for promise in examine(found, whole=False))
    assert not Path("droppings").exists()
    assert not list(tmp_path.rglob("droppings"))


def test_a_secret_is_not_shown_to_a_cell(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHSEARCH_STORAGE", "postgresql://u:s3cr3t@host/db")
    nosy = "import os\nassert 's3cr3t' not in str(os.environ), 'seen'\n"
    install(Plugin(declaration=declared(nosy), cell=nosy + "Cell = 3\n"))
    found = load_catalog().find("cell", "leaky")
    assert str(examine(found, whole=False)[-1].broken).startswith("is no class")


def test_a_broken_plugin_does_not_hide_the_others(install: Install) -> None:
    install(Plugin())
    install(Plugin("torn", declaration="1 / 0\n", distribution="archsearch-torn"))
    done = run(["cells", "--json"])
    assert done.code == 0
    assert {"gru", "leaky"} <= {entry["name"] for entry in json.loads(done.out)}
    assert done.err == (
        "note: cell 'torn' from archsearch-torn cannot be loaded: "
        "ZeroDivisionError: division by zero\n"
    )
    assert run(["cells", "torn"]).code == 2
