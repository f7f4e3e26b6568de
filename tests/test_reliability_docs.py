"""The pages on reliability and plugins: their commands run, and what they name exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from forked_commands import forked

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
PLUGINS = (ROOT / "docs" / "write-a-cell.md").read_text()
REFERENCE = (ROOT / "docs" / "space-file.md").read_text()
LEAKY = ROOT / "plugins" / "archsearch-leaky" / "archsearch_leaky"


def run(line: str, folder: Path, **environment: str) -> str:
    command, *arguments = shlex.split(line)
    variables = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "120"} | environment
    if command == "archsearch":
        done = forked(arguments, folder, variables)
    else:
        done = subprocess.run(
            [command, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env=variables,
        )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def shell(page: str) -> list[str]:
    return [
        line
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.split("\n")
    ]


def test_the_page_runs_from_top_to_bottom(tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for language, block in re.findall(r"```(python|yaml|sh)\n(.*?)```", PAGE, re.DOTALL):
        if language == "yaml":
            (tmp_path / "parity.yaml").write_text(block)
        elif language == "python":
            subprocess.run([sys.executable, "-c", block], cwd=tmp_path, check=True)
        else:
            said |= {line: run(line, tmp_path) for line in block.strip().splitlines()}
    continued = next(text for line, text in said.items() if "--trials 3" in line)
    assert "3 trials (3 complete)" in continued
    assert "parity" in said["archsearch studies --storage sqlite:///copy.db"]
    assert (tmp_path / "winner" / "bundle.json").exists()
    runs = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.safetensors")}
    assert any(path.startswith("elsewhere/archsearch-runs/parity/") for path in runs)


def test_the_commands_for_plugins_run(tmp_path: Path) -> None:
    shutil.copytree(LEAKY, tmp_path / "site" / LEAKY.name)
    info = tmp_path / "site" / "archsearch_leaky-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: archsearch-leaky\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text(
        "[archsearch.cells]\nleaky = archsearch_leaky.declared:LEAKY\n"
    )
    (tmp_path / "space.yaml").write_text(
        "archsearch: 1\ntask: parity\nspace: {width: 8, stages: [{blocks: [{cell: leaky}]}]}\n"
    )
    lines = [line for line in shell(PLUGINS) if line.startswith("archsearch ")]
    assert len(lines) == 3
    for line in lines:
        run(line, tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert (tmp_path / "space.plugins.lock").exists()


def test_the_command_of_the_reference_is_understood(tmp_path: Path) -> None:
    (line,) = (line for line in shell(REFERENCE) if line)
    (example,) = re.findall(r"```yaml\n(archsearch: 1.*?)```", REFERENCE, re.DOTALL)
    (tmp_path / "space.yaml").write_text(example)
    # searching the example takes minutes; its first trials are proposed
    assert "nothing was written" in run(f"{line} --dry-run", tmp_path)


def test_every_test_that_holds_a_promise_exists() -> None:
    table = PAGE.partition("## The promises")[2].partition("\n## ")[0]
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert len(rows) >= 13
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named, row
        for name in named:
            text = (ROOT / name).read_text()
            assert re.search(r"def test_|\(\w+Contract\)", text), name


def test_every_variable_is_listed() -> None:
    sources = [path.read_text() for path in sorted((ROOT / "archsearch").rglob("*.py"))]
    named = {name for text in sources for name in re.findall(r"\bARCHSEARCH_[A-Z_]+\b", text)}
    table = PAGE.partition("## Environment")[2]
    assert named == set(re.findall(r"`(ARCHSEARCH_[A-Z_]+)`", table))


def test_the_comparison_is_what_was_measured() -> None:
    told = json.loads((ROOT / "benchmarks" / "results" / "faults.json").read_text())["rows"]
    table = PAGE.partition("## The same kills beside others")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert {row[0] for row in rows[2:]} == set(told)
    for name, *cells in rows[2:]:
        counts = ("faults", "lost", "run_again", "stuck", "double_retries")
        for count, cell in zip(counts, cells, strict=False):
            assert cell == str(told[name].get(count, "–")), f"{name}: {count}"
        assert cells[-1] == f"{told[name]['seconds']:.0f}"


def test_the_tiers_are_run_as_the_page_says() -> None:
    table = PAGE.partition("## Three tiers of faults")[2].partition("\n## ")[0]
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    named = {mark.partition(":")[0] for mark in options["markers"]}
    for mark in re.findall(r"`pytest -m (\w+)`", table):
        assert mark in named
        assert f"not {mark}" in options["addopts"]
    assert "-m faults tests/faults" in (ROOT / ".ci" / "run").read_text()
    assert "tests/soak.py" in (ROOT / "Makefile").read_text()
    (variable,) = set(re.findall(r"`(ARCHSEARCH_\w+)`", table))
    for file in ("tests/soak.py", "tests/faults/seeds.py"):
        assert f'"{variable}"' in (ROOT / file).read_text()


@pytest.mark.parametrize("code", [2, 3, 4, 75])
def test_every_exit_code_is_explained(code: int) -> None:
    table = PAGE.partition("## Exit codes")[2].partition("\n## ")[0]
    assert re.search(rf"^\| {code} \| \S", table, re.MULTILINE)
