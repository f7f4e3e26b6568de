"""Commands that run nothing: help, validate, explain, schema, cells, tasks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Command

from archsearch.cli.main import COMMANDS
from archsearch.plugins import load_catalog
from archsearch.spec.catalog import KINDS

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_ends_with_an_example(name: str, finished: tuple[Path, Command]) -> None:
    text = finished[1](name, "--help").stdout
    assert "Example" in text
    assert f"archsearch {name}" in text.partition("Example")[2]


def test_validate_reads_no_torch(tmp_path: Path) -> None:
    space = ROOT / "search_spaces" / "quickstart.yaml"
    code = (
        "import sys; sys.argv = ['archsearch', 'validate', sys.argv[1]]\n"
        "from archsearch.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(space)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "valid" in done.stdout


def test_validate_counts(fresh: tuple[Path, Command]) -> None:
    plain = json.loads(fresh[1]("validate", "starts.yaml", "--json").stdout)
    assert plain["architectures"] == 8
    assert plain["decisions"] == 3


def test_explain(fresh: tuple[Path, Command]) -> None:
    _, command = fresh
    plain = json.loads(command("explain", "starts.yaml", "--json", "--samples", "6").stdout)
    low, middle, high = plain["params"]
    assert 0 < low <= middle <= high
    assert plain["seconds_per_trial"] > 0
    assert len(plain["samples"]) == 3
    assert plain["unsteady"] == 0
    text = command("explain", "starts.yaml", "--samples", "3").stdout
    assert "gru, rnn" in text
    assert "core-minutes" in text
    assert "stream of variance" not in text


def test_explain_warns_of_streams_that_explode(fresh: tuple[Path, Command]) -> None:
    folder, command = fresh
    block = "{cell: rnn, gate: additive, channel: {name: mlp, expand: 4}, norm: none}"
    (folder / "deep.yaml").write_text(
        "archsearch: 1\ntask: adding\nspace:\n  width: 8\n  norm: none\n  init: he\n"
        f"  stages: [{{repeat: 14, blocks: [{block}]}}]\n  training: {{steps: 2, evaluations: 1}}\n"
    )
    plain = json.loads(command("explain", "deep.yaml", "--json", "--samples", "3").stdout)
    assert plain["unsteady"] == 3
    text = command("explain", "deep.yaml", "--samples", "3").stdout
    assert "3 of 3 samples begin with a stream of variance below 0.0001 or above 1000" in text


def test_schema_is_json_schema(fresh: tuple[Path, Command]) -> None:
    schema = json.loads(fresh[1]("schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_cells_and_tasks(fresh: tuple[Path, Command]) -> None:
    _, command = fresh
    names = {entry["name"] for entry in json.loads(command("cells", "--json").stdout)}
    assert {"rnn", "lstm", "gru", "lru", "gla", "deltanet", "attention", "tcn"} <= names
    assert "beta_range" in command("cells", "deltanet").stdout
    assert "additive" in command("cells", "--kind", "gate").stdout
    assert "forecasting" in command("tasks").stdout
    assert "did you mean 'gru'" in command("cells", "gruu", code=2).stderr
    elsewhere = command("cells", "glu", code=2).stderr
    assert elsewhere == "error: 'glu' is no cell; see 'archsearch cells --kind channel glu'\n"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "task"])
def test_every_kind_is_listed(kind: str, fresh: tuple[Path, Command]) -> None:
    listed = json.loads(fresh[1]("cells", "--kind", kind, "--json").stdout)
    assert [entry["name"] for entry in listed] == list(load_catalog().names(kind))
