"""A stack of layers that becomes a loop, on the command line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import Command, run_in

from archsearch.execute.lessons import judged
from archsearch.serve.bundle import read_bundle

Finished = tuple[Path, Command]
WAY = ("--loops", "2", "--rank", "2", "--steps", "12")


@pytest.fixture(scope="module")
def stack(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The bundle of a finished study, of which the network is two equal blocks."""
    from archsearch.build import build
    from archsearch.plugins import load_catalog
    from archsearch.serve.bundle import write_bundle
    from archsearch.spec.architecture import Architecture, Block, Layer, Stage

    folder = tmp_path_factory.mktemp("share") / "one"
    shutil.copytree(finished[0], folder)
    source, catalog = read_bundle(folder / "exports" / "starts"), load_catalog()
    shape = catalog.complete_architecture(
        Architecture(
            8, (Stage((Block(Layer("gru")),), repeat=2),),
            training=Layer.of("adamw", steps=20, batch=8),
        )
    )  # fmt: skip
    model = build(shape, catalog, source.signature, 0)
    write_bundle(
        folder / "exports" / "stack", model.state_dict(), shape, source.signature,
        source.preparation, {}, catalog, task=source.manifest.task,
    )  # fmt: skip
    command = run_in(folder)
    return folder, command, command("share", "exports/stack", "exports/looped", *WAY)


def test_it_stands_beside_its_parent_and_its_controls(stack: Any) -> None:
    folder, command, done = stack
    made, parent = (read_bundle(folder / "exports" / name) for name in ("looped", "stack"))
    facts = made.facts
    assert made.architecture.stages[0].loops == 2
    assert facts["params"] == sum(p.numel() for p in made.model().parameters())
    assert facts["parent"]["sha256"] == parent.manifest.sha256
    assert done.stdout.startswith(facts["verdict"])
    from archsearch.tasks.open import open_task

    task = open_task(made.manifest.task, "confirm", folder)
    found = judged(made.model(), task, "test")
    assert found["accuracy"] == facts["test"]["accuracy"]
    assert {"before learning", "begun at random"} <= facts.keys()
    assert len(command("predict", "exports/looped", "starts.csv").stdout.splitlines()) == 61
    assert not list((folder / "exports").glob(".*"))


def test_the_same_command_gives_the_same_bits(stack: Any) -> None:
    folder, _, _ = stack
    files = [folder / "exports" / "looped" / name for name in ("bundle.json", "model.safetensors")]
    before = [path.read_bytes() for path in files]
    run_in(folder, afresh=True)("share", "exports/stack", "exports/looped", *WAY, "--force")
    assert [path.read_bytes() for path in files] == before


def test_faults_are_one_line_and_leave_nothing(stack: Any) -> None:
    folder, command, _ = stack
    none = command("share", "exports/stack", "exports/new", "--loops", "3", code=2)
    assert none.stderr == (
        "error: 2 layers cannot be shared out over 3 loops; take a divisor above 1\n"
    )
    over = command("share", "exports/stack", "exports/looped", *WAY, code=2)
    assert over.stderr.count("\n") == 1
    assert sorted(path.name for path in (folder / "exports").iterdir()) == [
        "looped", "stack", "starts",
    ]  # fmt: skip
