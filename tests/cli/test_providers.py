"""A study remembers which distribution each of its layers came from."""

from __future__ import annotations

from pathlib import Path

import pytest

from archsearch.cli.providers import as_begun, with_provider
from archsearch.cli.results import Result
from archsearch.errors import LocatedError, UnknownLayerError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import TaskSpec
from archsearch.spec.spacefile import read_space
from archsearch.store.store import open_store

CODE = {"version": "1.2", "sha256": "0" * 64}
PLUGINS = {"plug-a": CODE, "plug-b": {**CODE, "version": "2.0"}}
PROVIDERS = [["cell", "leaky", "plug-a"], ["cell", "plug-b.twin", "plug-b"]]


@pytest.fixture
def storage(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/studies.db"
    with open_store(url) as store:
        store.create_study("older", {"plugins": PLUGINS}, "", {})
        store.create_study("mine/one", {"plugins": PLUGINS}, "", {"providers": PROVIDERS})
    return url


def told(tmp_path: Path, cell: str, storage: str) -> str:
    path = tmp_path / "space.yaml"
    path.write_text(
        "archsearch: 1\ntask: parity\n"
        f"space: {{width: 8, stages: [{{blocks: [{{cell: {cell}}}]}}]}}"
    )
    with pytest.raises(UnknownLayerError) as caught:
        read_space(path, load_catalog())
    found = with_provider(caught.value, storage)
    assert isinstance(found, LocatedError)
    assert str(found).startswith(str(caught.value))
    assert (found.exit_code, found.line) == (2, 3)
    return str(found).removeprefix(str(caught.value))


def test_a_cell_that_is_gone_is_told_with_its_distribution(tmp_path: Path, storage: str) -> None:
    remedy = "; study 'mine/one' has it from plug-a 1.2: try 'pip install plug-a==1.2'"
    assert told(tmp_path, "leaky", storage) == remedy
    assert told(tmp_path, "plug-a.leaky", storage) == remedy
    assert told(tmp_path, "plug-b.twin", storage).endswith("try 'pip install plug-b==2.0'")
    assert told(tmp_path, "leeky", storage) == ""
    assert told(tmp_path, "leaky", f"sqlite:///{tmp_path}/none.db") == ""
    assert not (tmp_path / "none.db").exists()


def test_names_are_those_that_the_study_was_begun_with(storage: str) -> None:
    named = as_begun("mine", storage)
    assert named("cell", "leaky", "plug-a")
    assert named("cell", "plug-b.twin", "plug-b")
    assert not named("cell", "leaky", "plug-b")
    assert not as_begun("other", storage)("cell", "leaky", "plug-a")


@pytest.mark.parametrize(
    ("settings", "cell", "used"),
    [
        ({"providers": PROVIDERS}, "gru", ()),
        ({"providers": PROVIDERS}, "leaky", ("plug-a",)),
        ({"providers": PROVIDERS}, "plug-b.twin", ("plug-b",)),
        # before studies remembered it, any of them might have been meant
        ({}, "gru", ()),
        ({}, "leaky", ("plug-a", "plug-b")),
    ],
)
def test_a_trial_needs_the_plugins_of_its_own_layers(settings, cell, used) -> None:
    study = Result(
        name="s",
        ended="",
        settings=settings,
        task=TaskSpec("parity", Layer("parity")),
        data="",
        searched=[],
        confirmed=[],
        objectives=(),
        constraints=(),
        evidence=None,
        plugins=PLUGINS,
        attempts=[],
        accelerated=["leaky"],
    )
    architecture = Architecture(8, (Stage((Block(Layer(cell)),)),))
    assert tuple(study.plugins_of(architecture)) == used
    assert study.gpus_of(architecture) == (cell == "leaky")
    assert study.code_of(architecture) == tuple((name, "0" * 64) for name in used)
