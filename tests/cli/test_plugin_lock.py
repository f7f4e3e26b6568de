"""Plugins of a space file are held to its lock before anything of theirs is imported."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import write_starts
from forked_commands import forked

from archsearch.installed import installed

SOURCE = Path(__file__).parents[2] / "plugins" / "archsearch-leaky" / "archsearch_leaky"
SPACE = """\
archsearch: 1
task: {name: classification, data: starts.csv, target: outcome}
space:
  width: 8
  stages: [{blocks: [{cell: {choice: [gru, leaky]}}]}]
  training: {steps: 3, batch: 4}
search: {sampler: random, trials: 2}
confirm: {finalists: 2, seeds: 2, baselines: [lstm]}
execution: {backend: inline}
"""
WITNESS = "open({!r}, 'w').close()\n"


@dataclass
class Place:
    """A folder with a space file that uses the plugin, which is installed in ``site``."""

    folder: Path
    site: Path
    seen: Path

    @property
    def package(self) -> Path:
        return self.site / "archsearch_leaky"

    def command(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.site), "COLUMNS": "140"}
        done = forked(list(arguments), self.folder, environment)
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def refused(self, *arguments: str, code: int = 2) -> str:
        """The only line on stderr of a command that is refused without importing the plugin."""
        self.seen.unlink(missing_ok=True)
        line = self.command(*arguments, code=code).stderr
        assert line.count("\n") == 1
        assert len(line) <= 301
        assert not self.seen.exists(), "the plugin was imported"
        return line


def info(site: Path, version: str, modules: list[str]) -> None:
    """What an installer writes down of the plugin."""
    for former in site.glob("archsearch_leaky-*.dist-info"):
        shutil.rmtree(former)
    folder = site / f"archsearch_leaky-{version}.dist-info"
    folder.mkdir(parents=True)
    folder.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: Archsearch_Leaky\nVersion: {version}\n"
    )
    folder.joinpath("entry_points.txt").write_text(
        "[archsearch.cells]\nleaky = archsearch_leaky.declared:LEAKY\n"
    )
    rows = [*modules, f"{folder.name}/METADATA", f"{folder.name}/RECORD"]
    folder.joinpath("RECORD").write_text("".join(f"{row},,\n" for row in rows))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path, tmp_path / "site", tmp_path / "seen")
    shutil.copytree(SOURCE, made.package, ignore=shutil.ignore_patterns("__pycache__"))
    declared = made.package / "declared.py"
    declared.write_text(declared.read_text() + WITNESS.format(str(made.seen)))
    info(made.site, "0.1.0", [f"archsearch_leaky/{path.name}" for path in SOURCE.glob("*.py")])
    write_starts(tmp_path)
    (tmp_path / "space.yaml").write_text(SPACE)
    return made


def changed(path: Path) -> None:
    path.write_text(path.read_text() + "# another line\n")


def test_a_lock_names_version_and_code_and_is_the_same_when_written_again(place: Place) -> None:
    said = place.command("plugin", "lock", "space.yaml").stdout
    assert place.seen.exists()
    assert "space.plugins.lock: 1 plugin locked" in said
    first = (place.folder / "space.plugins.lock").read_bytes()
    again = place.command("plugin", "lock", "space.yaml", "--json").stdout
    assert (place.folder / "space.plugins.lock").read_bytes() == first
    (plugin,) = json.loads(again)["plugins"].items()
    assert plugin[0] == "archsearch-leaky"
    assert plugin[1]["version"] == "0.1.0"
    assert plugin[1]["sha256"] in first.decode()
    assert [path.name for path in place.folder.glob("*lock*")] == ["space.plugins.lock"]
    place.command("validate", "space.yaml")


EDITS: dict[str, tuple[Callable[[Place], object], str, str]] = {
    "a changed file": (
        lambda place: changed(place.package / "leaky.py"),
        "7:13",
        "archsearch-leaky.sha256: expected .*, got .* other code of the same version 0.1.0",
    ),
    "a file more": (
        lambda place: (place.package / "leaky.so").write_bytes(b"\x7fELF"),
        "7:13",
        "archsearch-leaky.sha256: ",
    ),
    "a file less": (
        lambda place: (place.package / "leaky.py").unlink(),
        "7:13",
        "archsearch-leaky.sha256: ",
    ),
    "another version": (
        lambda place: info(place.site, "0.2.0", []),
        "6:14",
        "archsearch-leaky.version: expected 0.1.0, got 0.2.0 installed",
    ),
    "another declaration": (
        lambda place: (place.site / "archsearch_leaky-0.1.0.dist-info" / "entry_points.txt")
        .write_text("[archsearch.cells]\nleaky = archsearch_leaky.leaky:LEAKY\n"),
        "7:13",
        "archsearch-leaky.sha256: ",
    ),
    "not installed": (
        lambda place: shutil.rmtree(place.site),
        "5:3",
        "archsearch-leaky: expected archsearch-leaky 0.1.0, got a fault: .* is not installed",
    ),
    "not used": (
        lambda place: (place.folder / "space.yaml").write_text(SPACE.replace("leaky", "rnn")),
        "5:3",
        "archsearch-leaky: expected plugins that space.yaml uses, got one that it does not",
    ),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_what_differs_is_refused_before_it_is_imported(place: Place, edit: str) -> None:
    place.command("plugin", "lock", "space.yaml")
    act, where, words = EDITS[edit]
    act(place)
    line = place.refused("validate", "space.yaml")
    pattern = rf"space\.plugins\.lock:{where}: error: plugins\.{words}"
    assert re.match(pattern, line), line
    if edit != "not installed":
        assert line.endswith("; if meant, run 'archsearch plugin lock'\n")


@pytest.mark.parametrize(
    "command",
    ["run space.yaml --quiet", "explain space.yaml", "validate space.yaml --check-plugins"],
)
def test_every_command_that_reads_the_space_file_is_held_to_it(place: Place, command: str) -> None:
    place.command("plugin", "lock", "space.yaml")
    changed(place.package / "leaky.py")
    before = sorted(place.folder.iterdir())
    assert "archsearch-leaky.sha256: " in place.refused(*command.split())
    place.seen.touch()
    assert sorted(place.folder.iterdir()) == before


def test_locking_again_says_what_changed_and_lifts_the_refusal(place: Place) -> None:
    place.command("plugin", "lock", "space.yaml")
    changed(place.package / "leaky.py")
    said = place.command("plugin", "lock", "space.yaml").stdout
    assert "other code of the same version" in said
    place.command("validate", "space.yaml")
    info(place.site, "0.3.0", [])
    assert "was 0.1.0" in place.command("plugin", "lock", "space.yaml").stdout


def test_a_plugin_that_came_after_the_lock_is_refused_where_it_is_named(place: Place) -> None:
    (place.folder / "space.yaml").write_text(SPACE.replace("leaky", "rnn"))
    assert "0 plugins" in place.command("plugin", "lock", "space.yaml").stdout
    place.command("validate", "space.yaml")
    (place.folder / "space.yaml").write_text(SPACE)
    line = place.refused("validate", "space.yaml")
    assert line.startswith("space.yaml:5:44: error: space.stages.0.blocks.0.cell.choice.1: ")
    assert "'leaky' from archsearch-leaky is not in space.plugins.lock; if meant, run" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plugins: {}\n", "1:1: error: archsearch-lock: expected the number 1, got nothing"),
        ("archsearch-lock: 1\n", "1:1: error: plugins: expected a mapping of plugins, got nothing"),
        (
            "archsearch-lock: 1\nplugins: {}\nmore: 1\n",
            "3:1: error: document: expected archsearch-lock and plugins, got 'more'",
        ),
        (
            "archsearch-lock: 1\nplugins:\n  ../x: {version: '1', sha256: '0'}\n",
            "3:3: error: plugins: expected the name of a distribution, got '../x'",
        ),
        (
            "archsearch-lock: 1\nplugins:\n  x: {version: '1', sha256: 'abc'}\n",
            "3:29: error: plugins.x.sha256: expected 64 hexadecimal digits, got the text 'abc'",
        ),
        ("<<<<<<< HEAD\narchsearch-lock: 1\n", "error: document: expected YAML, got a fault"),
    ],
)
def test_a_lock_that_is_no_lock_is_refused_in_one_line(place: Place, text: str, words: str) -> None:
    (place.folder / "space.plugins.lock").write_text(text)
    line = place.refused("validate", "space.yaml")
    assert line.startswith("space.plugins.lock:")
    assert words in line
    place.command("plugin", "lock", "space.yaml")
    place.command("validate", "space.yaml")


def test_an_editable_install_of_the_same_files_is_the_same_code(
    place: Place, tmp_path: Path
) -> None:
    place.command("plugin", "lock", "space.yaml")
    sources = tmp_path / "sources"
    sources.mkdir()
    place.package.rename(sources / "archsearch_leaky")
    finder = "__editable___archsearch_leaky_0_1_0_finder.py"
    (place.site / finder).write_text(f"MAPPING = {str(sources)!r}\n")
    info(place.site, "0.1.0", ["__editable__.archsearch_leaky-0.1.0.pth", finder])
    # what the .pth file of an editable install does
    editable = Place(place.folder, Path(f"{place.site}{os.pathsep}{sources}"), place.seen)
    editable.command("validate", "space.yaml")
    changed(sources / "archsearch_leaky" / "leaky.py")
    assert "other code of the same version" in editable.refused("validate", "space.yaml")


def test_what_importing_leaves_behind_is_no_change(place: Place) -> None:
    place.command("plugin", "lock", "space.yaml")
    (place.package / "__pycache__").mkdir(exist_ok=True)
    (place.package / "__pycache__" / "leaky.cpython-311.pyc").write_bytes(b"compiled")
    (place.package / ".leaky.py.swp").write_bytes(b"being edited")
    place.command("validate", "space.yaml")


def test_without_a_lock_an_edited_plugin_is_noticed_by_its_study(place: Place) -> None:
    place.command("run", "space.yaml", "--quiet")
    with sqlite3.connect(place.folder / "archsearch.db") as raw:
        ((before,),) = raw.execute("SELECT fingerprint FROM study").fetchall()
        keys = set(raw.execute("SELECT digest, job_key FROM trial").fetchall())
    raw.close()
    was = json.loads(before)["plugins"]["archsearch-leaky"]
    assert was["version"] == "0.1.0"
    bundled = place.command("export", "space", "best", "--candidate", leaky_role(place)).stdout
    assert "leaky" in bundled
    changed(place.package / "leaky.py")
    line = place.command("run", "space.yaml", "--quiet", code=3).stderr
    assert line.startswith(
        "error: study 'space' was begun with plugins.archsearch-leaky.sha256 = "
        f"{was['sha256'][:57]}..., now it is "
    )
    line = place.refused("export", "space", "other", "--candidate", leaky_role(place), code=3)
    assert "was trained with archsearch-leaky of sha256" in line
    assert not (place.folder / "other").exists()
    # a new study trains the cell of the changed plugin again, and no other
    place.command("run", "space.yaml", "--quiet", "--new")
    with sqlite3.connect(place.folder / "archsearch.db") as raw:
        second = "SELECT digest, job_key, architecture FROM trial WHERE study = 2"
        later = raw.execute(second).fetchall()
    raw.close()
    assert {(digest, key) in keys for digest, key, _ in later} == {True, False}
    for digest, key, architecture in later:
        assert ((digest, key) in keys) == ('"leaky"' not in architecture)


def test_a_study_that_knew_versions_only_is_still_continued(place: Place) -> None:
    place.command("run", "space.yaml", "--quiet", "--set", "confirm=none")
    database = place.folder / "archsearch.db"
    with sqlite3.connect(database) as raw:
        ((name, stored, text, settings),) = raw.execute(
            "SELECT name, fingerprint, space, settings FROM study"
        ).fetchall()
        old = json.loads(stored) | {"plugins": {"archsearch-leaky": "0.1.0"}}
        spelled = json.dumps(old, separators=(",", ":"))
        # what store.rows seals: the columns in the order of their names
        sealed = json.dumps([spelled, name, settings, text])
        seal = hashlib.sha256(sealed.encode()).hexdigest()[:16]
        raw.execute("UPDATE study SET fingerprint = ?, seal = ?", (spelled, seal))
    raw.close()
    more = ("run", "space.yaml", "--quiet", "--set", "confirm=none", "--trials", "3")
    place.command(*more)
    place.command(*more, "--new")
    with sqlite3.connect(database) as raw:
        assert raw.execute("SELECT count(*) FROM study").fetchall() == [(1,)]
    raw.close()
    info(place.site, "0.2.0", [])
    line = place.command(*more, code=3).stderr
    assert "was begun with plugins.archsearch-leaky = 0.1.0, now it is 0.2.0" in line


def test_a_bundle_refuses_another_plugin_unless_told_otherwise(place: Place) -> None:
    place.command("run", "space.yaml", "--quiet")
    place.command("export", "space", "best", "--candidate", leaky_role(place))
    (entry,) = json.loads((place.folder / "best" / "bundle.json").read_text())["plugins"]
    assert (entry["distribution"], entry["version"]) == ("archsearch-leaky", "0.1.0")
    told = ("predict", "best", "starts.csv", "--allow-changed-plugins")
    assert "note" not in place.command(*told[:3]).stderr
    changed(place.package / "leaky.py")
    difference = "written with archsearch-leaky 0.1.0 of other code (SHA-256 "
    line = place.refused(*told[:3], code=3)
    assert f"'leaky' from archsearch-leaky as it was exported: {difference}" in line
    assert line.endswith("predict with --allow-changed-plugins\n")
    assert f"note: {difference}" in place.command(*told).stderr


def leaky_role(place: Place) -> str:
    """The finalist whose cell is the plugin's."""
    shown = [place.command("show", "space", str(index), "--json").stdout for index in (0, 1)]
    return next(f"trial {index}" for index, said in enumerate(shown) if '"leaky"' in said)


def test_a_namespace_shared_with_others_is_hashed_only_where_it_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mine", "theirs"):
        part = tmp_path / "shared_by_many" / name
        part.mkdir(parents=True)
        (part / "__init__.py").write_text("")
    (tmp_path / "single.py").write_text("")
    folder = tmp_path / "mine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (folder / "RECORD").write_text("shared_by_many/mine/__init__.py,,\nsingle.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = installed("mine")
    (tmp_path / "shared_by_many" / "theirs" / "__init__.py").write_text("x = 1\n")
    assert installed("mine") == before
    (tmp_path / "single.py").write_text("x = 1\n")
    after = installed("mine")
    assert after.sha256 != before.sha256
    (tmp_path / "shared_by_many" / "mine" / "__init__.py").write_text("x = 1\n")
    assert installed("mine").sha256 not in (before.sha256, after.sha256)
    assert not any(name.startswith("shared_by_many") for name in sys.modules)
