"""386 bad inputs, each refused with its exit code in one line that says where, what and why."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from builders import BUILDERS, GOOD
from corpus import CATEGORIES, HERE, MEGABYTE, Done, Row, judge, rows, run, run_process, tree
from misbehaving import PLUGINS
from stages import STAGES, no_override

from archsearch import visitor
from archsearch.testing import plugins

ROWS = rows()
REAL = [row for row in ROWS if row.real]
# a second is promised; a busy machine may take longer over the same work
SECONDS = 3.0
MEMORY = 200 * MEGABYTE
# what a command holds before it does anything
OWN_MEMORY = 120 * MEGABYTE


def name(row: Row) -> str:
    return row.file.rpartition(".")[0]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that every user may enter, to work in."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


class Case:
    """A row with everything set up around it, in a folder that the command is to leave alone."""

    def __init__(self, row: Row, folder: Path, stack: ExitStack) -> None:
        self.row, self.site, self.folder = row, folder / "site", folder / "work"
        self.site.mkdir()
        self.folder.mkdir()
        for plugin in PLUGINS.get(row.file, ()):
            plugin.install(self.site)
        words: dict[str, str] = {}
        if row.file.endswith(".args"):
            (self.folder / "space.yaml").write_text(GOOD)
            given = json.loads(row.path.read_text())
        else:
            given = ["validate", row.name]
            given += ["--check-plugins"] if row.category == "K-plugins" else []
            self._place(row)
        sys.path.insert(0, str(self.site))
        stack.callback(sys.path.remove, str(self.site))
        if row.file in STAGES:
            words = STAGES[row.file](self.folder, stack) or {}
        if row.file == "A-file/20-mode-000.yaml":
            stack.enter_context(no_override())
        self.arguments = [
            part.replace("{port}", words["port"]) if words else part for part in given
        ]
        self.before = tree(self.folder)

    def _place(self, row: Row) -> None:
        target = self.folder / row.name
        if row.file in BUILDERS:
            BUILDERS[row.file](target)
        else:
            target.write_bytes(row.path.read_bytes())

    @property
    def place(self) -> str:
        """What the message calls the file."""
        at = self.arguments
        if "--set" in at:
            return f"--set {at[at.index('--set') + 1].partition('=')[0]}"
        if "--time" in at:
            return "--set search.time"
        return "." if "." in at else self.row.name

    def judge(self, done: Done) -> None:
        judge(self.row, done, self.place)
        assert "s3cr3t" not in done.err
        assert tree(self.folder) == self.before, "a file came or went"


def test_the_corpus_is_whole() -> None:
    assert dict(Counter(row.category for row in ROWS)) == CATEGORIES
    assert sum(CATEGORIES.values()) == 386
    listed = [row.file for row in ROWS]
    assert len(set(listed)) == len(listed)
    lying = {
        str(path.relative_to(HERE))
        for category in CATEGORIES
        for path in (HERE / category).iterdir()
    }
    assert lying | set(BUILDERS) == set(listed)
    assert lying.isdisjoint(BUILDERS)
    assert set(PLUGINS) == {file for file in listed if file.startswith("K-plugins")}
    assert set(STAGES) <= set(listed)
    assert len(REAL) >= 40


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_case(row: Row, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitor, "SECONDS", 2.0 if "-hangs" in row.file else 30.0)
    monkeypatch.setattr(plugins, "SECONDS", 2.0 if "-hangs" in row.file else 60.0)
    handler = signal.getsignal(signal.SIGTERM)
    with ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, handler)
        case = Case(row, folder, stack)
        monkeypatch.chdir(case.folder)
        done = run(case.arguments)
        case.judge(done)
    assert done.seconds < SECONDS
    assert done.grown < MEMORY - OWN_MEMORY
    assert not [module for module in sys.modules if module.startswith("archsearch_")]


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.category in ("B-bombs", "H-sizes")], ids=name
)
def test_what_is_large_is_not_unfolded(
    row: Row, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        case = Case(row, folder, stack)
        monkeypatch.chdir(case.folder)
        tracemalloc.start()
        stack.callback(tracemalloc.stop)
        run(case.arguments)
        assert tracemalloc.get_traced_memory()[1] < 40 * MEGABYTE


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("row", REAL, ids=name)
def test_case_in_a_process(row: Row, folder: Path) -> None:
    with ExitStack() as stack:
        case = Case(row, folder, stack)
        # a command that reads plugins or opens a database does so through temporary files
        alone = row.category != "K-plugins" and case.arguments[0] == "validate"
        done = run_process(case.arguments, case.folder, case.site, sealed=alone)
        case.judge(done)
    assert done.seconds < 2 * SECONDS
    assert done.grown < MEMORY
