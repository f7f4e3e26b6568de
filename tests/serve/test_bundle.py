"""A bundle holds exactly what was put in, appears whole, and says what it needs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import exported
import pytest
import torch
from exported import FACTS, PREPARATION, TASK, VALUES, export, network, plugin_catalog

from archsearch import plugins
from archsearch.build import build
from archsearch.errors import InputError, StateError, TryAgainError
from archsearch.installed import Installed
from archsearch.plugins import built_in, load_catalog
from archsearch.serve import folder
from archsearch.serve.bundle import MANIFEST, WEIGHTS, expected_state, read_bundle, write_bundle
from archsearch.serve.weights import serialize
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog, CellType, LayerType
from archsearch.spec.signature import Signature

CELLS = load_catalog().names("cell")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_everything_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    written = export(tmp_path / "best")
    bundle = read_bundle(tmp_path / "best")
    assert bundle.architecture == written.architecture
    assert bundle.signature == VALUES
    assert bundle.preparation == PREPARATION
    assert bundle.facts == FACTS
    assert bundle.manifest.task == TASK
    assert bundle.manifest.versions["torch"] == torch.__version__
    assert bundle.notes == ()
    again = bundle.model().state_dict()
    assert set(again) == set(written.state)
    for name, value in written.state.items():
        assert again[name].dtype == value.dtype
        assert torch.equal(again[name], value), name
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["best"]
    assert sorted(entry.name for entry in (tmp_path / "best").iterdir()) == [MANIFEST, WEIGHTS]


def test_the_model_is_ready_to_use_and_each_is_its_own(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best", network(head=Layer.of("linear", dropout=0.5)))
    one, other = bundle.model(), bundle.model()
    assert not one.training
    assert not any(parameter.requires_grad for parameter in one.parameters())
    x = torch.randn(2, 5, 3)
    assert torch.equal(one(x)[0], other(x)[0])
    next(one.parameters()).zero_()
    assert not torch.equal(next(one.parameters()), next(other.parameters()))
    assert torch.equal(bundle.model()(x)[0], other(x)[0])


def test_reading_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    export(tmp_path / "best")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    read_bundle(tmp_path / "best").model()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_can_be_exported_and_checked_without_allocating_it(
    tmp_path: Path, cell: str
) -> None:
    catalog = load_catalog()
    bundle = export(tmp_path / "best", network(cell, width=16))
    with torch.device("meta"):
        shapes = build(bundle.architecture, catalog, VALUES, seed=0).state_dict()
    assert {name: value.shape for name, value in shapes.items()} == {
        name: value.shape for name, value in bundle.state.items()
    }
    read = read_bundle(tmp_path / "best").model()
    x = torch.randn(1, 3, 3)
    assert torch.equal(read(x)[0], bundle.model()(x)[0])


def test_weights_may_come_from_a_file(tmp_path: Path) -> None:
    catalog = load_catalog()
    architecture = catalog.complete_architecture(network())
    state = exported.random_state(build(architecture, catalog, VALUES, 1))
    file = tmp_path / "kept.safetensors"
    file.write_bytes(serialize(state))
    bundle = write_bundle(tmp_path / "best", file, architecture, VALUES, {}, {}, catalog, task=TASK)
    assert all(torch.equal(bundle.state[name], value) for name, value in state.items())


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    catalog = load_catalog()
    file = tmp_path / "kept.safetensors"
    wider = catalog.complete_architecture(network(width=8))
    file.write_bytes(serialize(build(wider, catalog, VALUES, 1).state_dict()))
    architecture = catalog.complete_architecture(network(width=6))
    with pytest.raises(StateError, match=r"kept\.safetensors: tensor .* the model needs float32"):
        write_bundle(tmp_path / "best", file, architecture, VALUES, {}, {}, catalog, task=TASK)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["kept.safetensors"]


def test_an_unfinished_architecture_is_completed(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best", network("lru"))
    assert dict(bundle.architecture.stages[0].blocks[0].cell.options)["state"] == 64


def test_equal_bundles_have_equal_bytes(tmp_path: Path) -> None:
    export(tmp_path / "one")
    export(tmp_path / "two")
    for name in (MANIFEST, WEIGHTS):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_is_overwritten_unless_it_is_a_bundle_and_forced(tmp_path: Path) -> None:
    export(tmp_path / "best")
    before = (tmp_path / "best" / WEIGHTS).read_bytes()
    with pytest.raises(InputError, match=r"best: exists; name a new folder or add --force"):
        export(tmp_path / "best", network("lstm"))
    assert (tmp_path / "best" / WEIGHTS).read_bytes() == before
    export(tmp_path / "best", network("lstm"), force=True)
    assert read_bundle(tmp_path / "best").architecture.title == "lstm loop2 w6"
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]


@pytest.mark.parametrize("place", ["file", "folder", "bundle with more", "link", "hanging link"])
def test_what_is_not_a_bundle_is_never_replaced(tmp_path: Path, place: str) -> None:
    target = tmp_path / "best"
    (tmp_path / "other").mkdir()
    if place == "file":
        target.write_text("mine")
    elif place == "folder":
        target.mkdir()
    elif place == "bundle with more":
        export(target)
        (target / "notes.txt").write_text("mine")
    else:
        target.symlink_to(tmp_path / ("other" if place == "link" else "nowhere"))
    before = sorted(os.walk(tmp_path))
    with pytest.raises(InputError, match="name a new folder"):
        export(target, force=True)
    assert sorted(os.walk(tmp_path)) == before


@pytest.mark.parametrize("name", ["..", "missing/best", "nul\0byte", "x" * 300, "."])
def test_a_place_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        export(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failing", ["write", "rename"])
def test_a_failure_on_the_way_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    export(tmp_path / "best")
    before = (tmp_path / "best" / MANIFEST).read_bytes()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    if failing == "write":
        monkeypatch.setattr(os, "fsync", full)
    else:
        rename = Path.rename

        def full_for_the_new_one(self: Path, to: Path) -> Path:
            if to.name == "best" and self.suffix != ".old":
                full()
            return rename(self, to)

        monkeypatch.setattr(folder, "_exchanged_at_once", lambda *_: False)
        monkeypatch.setattr(Path, "rename", full_for_the_new_one)
    with pytest.raises(TryAgainError, match="No space left on device; make room"):
        export(tmp_path / "best", network("lstm"), force=True)
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["best"]
    assert (tmp_path / "best" / MANIFEST).read_bytes() == before


def test_facts_must_be_plain_finite_data(tmp_path: Path) -> None:
    catalog = load_catalog()
    architecture = catalog.complete_architecture(network())
    state = build(architecture, catalog, VALUES, 1).state_dict()
    for facts in ({"accuracy": float("nan")}, {"model": object()}):
        with pytest.raises(InputError, match="plain data"):
            write_bundle(
                tmp_path / "best", state, architecture, VALUES, {}, facts, catalog, task=TASK
            )
    assert list(tmp_path.iterdir()) == []


CODE, OTHER = "0" * 64, "1" * 64


def put(monkeypatch: pytest.MonkeyPatch, version: str, sha256: str) -> None:
    """Install the plugin at this version, with this code."""
    monkeypatch.setattr(plugins, "installed", lambda name: Installed(name, version, sha256))


@pytest.fixture
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with a plugin's cell, written when that was at version 0.1.0."""
    put(monkeypatch, "0.1.0", CODE)
    export(tmp_path / "leaky", network("leaky"), catalog=plugin_catalog())
    return tmp_path / "leaky"


def test_a_plugins_cell_is_recorded_and_found_again(leaky: Path) -> None:
    plain = json.loads((leaky / MANIFEST).read_text())
    assert plain["plugins"] == [
        {
            "kind": "cell",
            "name": "leaky",
            "distribution": "archsearch-leaky",
            "version": "0.1.0",
            "sha256": CODE,
        }
    ]
    assert read_bundle(leaky, plugin_catalog()).notes == ()


def test_a_preparation_of_forty_thousand_columns_is_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = [f"reading number {place}" for place in range(40_000)]
    monkeypatch.setattr(exported, "PREPARATION", {"features": features})
    export(tmp_path / "best")
    assert read_bundle(tmp_path / "best").preparation["features"] == features


def test_a_missing_plugin_is_named_with_its_remedy(leaky: Path) -> None:
    with pytest.raises(StateError) as raised:
        read_bundle(leaky, load_catalog())
    assert str(raised.value) == (
        f"{leaky} needs the cell 'leaky' from archsearch-leaky 0.1.0; "
        "try 'pip install archsearch-leaky'"
    )


def test_other_code_of_the_plugin_is_refused_unless_it_is_meant(
    leaky: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version, code, difference in (
        ("0.2.0", OTHER, "written with archsearch-leaky 0.1.0, this is 0.2.0"),
        (
            "0.1.0",
            OTHER,
            "written with archsearch-leaky 0.1.0 of other code "
            "(SHA-256 000000000000, this is 111111111111)",
        ),
    ):
        put(monkeypatch, version, code)
        with pytest.raises(StateError) as raised:
            read_bundle(leaky, plugin_catalog())
        assert str(raised.value) == (
            f"{leaky} needs the cell 'leaky' from archsearch-leaky as it was exported: {difference}"
            "; install archsearch-leaky==0.1.0, or predict with --allow-changed-plugins"
        )
        bundle = read_bundle(leaky, plugin_catalog(), changed_plugins=True)
        assert bundle.notes == (difference,)


def test_nothing_of_a_changed_plugin_is_imported(
    leaky: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(monkeypatch, "0.1.0", OTHER)

    def never() -> LayerType:
        raise AssertionError("was loaded")

    with pytest.raises(StateError, match="of other code"):
        read_bundle(leaky, Catalog(built_in(), {("cell", "leaky"): never}))


def test_a_bundle_without_hashes_is_held_to_the_version_in_a_note(
    leaky: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = json.loads((leaky / MANIFEST).read_text())
    del plain["plugins"][0]["sha256"], plain["seal"]
    (leaky / MANIFEST).write_text(json.dumps(plain))
    put(monkeypatch, "0.1.0", OTHER)
    assert read_bundle(leaky, plugin_catalog()).notes == ()
    put(monkeypatch, "0.2.0", OTHER)
    assert read_bundle(leaky, plugin_catalog()).notes == (
        "written with archsearch-leaky 0.1.0, this is 0.2.0",
    )


def test_another_distributions_cell_of_the_same_name_is_refused(leaky: Path) -> None:
    imposter = CellType("leaky", exported.Leaky, exported.LEAKY.options, distribution="other")
    with pytest.raises(StateError, match="but other provides that name here"):
        read_bundle(leaky, Catalog([*built_in(), imposter]))


def test_a_cell_that_cannot_be_built_on_the_meta_device_is_read_all_the_same(
    tmp_path: Path,
) -> None:
    catalog = Catalog([*built_in(), CellType("nometa", exported.NoMeta)])
    export(tmp_path / "best", network("nometa"), catalog=catalog)
    assert read_bundle(tmp_path / "best", catalog).architecture.title == "nometa loop2 w6"


def test_the_expected_state_takes_no_memory() -> None:
    catalog = load_catalog()
    huge = catalog.complete_architecture(network("gru", width=60_000))
    state = expected_state(huge, catalog, Signature("values", 3, "class", 4, False, 9))
    assert {value.device.type for value in state.values()} == {"meta"}


def test_no_bundle_there(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing", tmp_path / "nul\0byte"):
        with pytest.raises(InputError, match=r"expected a bundle, a folder with bundle\.json"):
            read_bundle(place)
