"""A smaller bundle that has learned from a larger one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import Command, run_in

from archsearch.execute.lessons import judged
from archsearch.serve.bundle import read_bundle

Finished = tuple[Path, Command]


@pytest.fixture(scope="module")
def shrunk(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("shrink") / "one"
    shutil.copytree(finished[0], folder)
    command = run_in(folder)
    done = command("shrink", "exports/starts", "exports/small", "--trials", "2", "--largest", "0.6")
    return folder, command, done


def test_size_and_quality_stand_beside_those_of_the_parent(shrunk: Any) -> None:
    folder, command, done = shrunk
    child, parent = (read_bundle(folder / "exports" / name) for name in ("small", "starts"))
    facts = child.facts

    def size(bundle: Any) -> int:
        return sum(p.numel() for p in bundle.model().parameters())

    assert (facts["params"], facts["parent"]["params"]) == (size(child), size(parent))
    assert size(child) <= 0.6 * size(parent)
    before = parent.facts["test"]["accuracy"]
    assert facts["parent"]["test"]["accuracy"] == pytest.approx(before)
    assert "note:" not in done.stderr
    assert facts["parent"]["sha256"] == parent.manifest.sha256
    assert set(facts["untaught"]) == {"accuracy"}
    assert done.stdout.startswith(facts["verdict"])
    assert f"{size(child):,} parameters, reaches {facts['test']['accuracy']:.3f} accuracy" in (
        done.stdout
    )
    answers = command("predict", "exports/small", "starts.csv").stdout
    assert len(answers.splitlines()) == 61
    assert not list((folder / "exports").glob(".*"))


def test_what_it_says_of_the_test_split_is_what_the_bundle_does(shrunk: Any) -> None:
    folder, _, _ = shrunk
    from archsearch.tasks.open import open_task

    child = read_bundle(folder / "exports" / "small")
    task = open_task(child.manifest.task, "confirm", folder)
    found = judged(child.model(), task, "test")
    assert found["accuracy"] == child.facts["test"]["accuracy"]


def test_the_same_command_gives_the_same_bits_and_repeats_nothing_it_has(shrunk: Any) -> None:
    folder, _, _ = shrunk
    small = folder / "exports" / "small"
    before = [(small / name).read_bytes() for name in ("bundle.json", "model.safetensors")]
    options = ("--trials", "2", "--largest", "0.6", "--force", "--json")
    said = run_in(folder, afresh=True)("shrink", "exports/starts", "exports/small", *options)
    assert [(small / name).read_bytes() for name in ("bundle.json", "model.safetensors")] == before
    assert json.loads(said.stdout) == read_bundle(small).facts


def test_faults_are_one_line(shrunk: Any) -> None:
    _, command, _ = shrunk
    over = command("shrink", "exports/starts", "exports/small", code=2)
    assert over.stderr.count("\n") == 1
    none = command("shrink", "nothing", "exports/new", code=2)
    assert none.stderr == (
        "error: nothing: expected a bundle, a folder with bundle.json and model.safetensors\n"
    )
    tiny = command("shrink", "exports/starts", "exports/new", "--largest", "0.01", code=2)
    assert "smaller networks has at most 0.01 of its" in tiny.stderr
    assert tiny.stderr.count("\n") == 1
