"""One study is one set of trials: on this machine, on a cluster, under Ray Tune."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray_nodes import RayNodes
from ray_study import attempts, run, told, write_space


def test_the_same_study_on_a_cluster(nodes: RayNodes, tmp_path: Path) -> None:
    """With proposals that depend on outcomes, trials stopped by limits, finalists and answers."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, options in (
        (here, ("--backend", "inline")),
        (there, ("--backend", "ray", "--address", nodes.address)),
    ):
        folder.mkdir()
        write_space(folder, trials=5, steps=20)
        run(folder, *options)
    assert len(told(here)) > 5 + 2
    assert told(there) == told(here)
    assert len(attempts(there)) == len(told(there))
    logs = sorted(path.name for path in (there / "archsearch-runs/same/logs").iterdir())
    assert "search-0-1.txt" in logs
    kept = [
        {
            path.name: path.read_bytes()
            for path in (f / "archsearch-runs/same").glob("*.safetensors")
        }
        for f in (here, there)
    ]
    assert kept[0]
    assert kept[0] == kept[1]


@pytest.mark.faults
@pytest.mark.parametrize(
    "options",
    [
        ("local", "--workers", "1"),
        ("local", "--workers", "2"),
        ("ray", "--workers", "1"),
        ("ray", "--workers", "2"),
        ("tune", "--workers", "1"),
        ("tune", "--workers", "2"),
    ],
    ids=lambda options: " ".join(options[::2]),
)
def test_the_same_study_everywhere(
    options: tuple[str, ...], nodes: RayNodes, reference_study: list[object], tmp_path: Path
) -> None:
    write_space(tmp_path)
    run(tmp_path, "--backend", *options, "--address", nodes.address)
    assert told(tmp_path) == reference_study
    assert len(attempts(tmp_path)) == len(reference_study)


@pytest.fixture(scope="module")
def reference_study(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    folder = tmp_path_factory.mktemp("reference-study")
    write_space(folder)
    run(folder, "--backend", "inline")
    return list(told(folder))
