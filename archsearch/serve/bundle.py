"""A bundle: a folder with one model and all it takes to use it; written whole, read with care."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archsearch import plugins
from archsearch.adapt.adapted import Adapted, adapted_from_plain
from archsearch.adapt.walk import Walk
from archsearch.build import Model, build
from archsearch.errors import ArchitectureError, InputError, SpaceError, StateError
from archsearch.serve.folder import write_folder
from archsearch.serve.manifest import (
    MANIFEST,
    WEIGHTS,
    Manifest,
    Plugin,
    read_manifest,
)
from archsearch.serve.weights import read_weights, serialize
from archsearch.sparsity.compaction import check_sizes, compact, resized
from archsearch.sparsity.packing import packed, packed_names
from archsearch.spec.architecture import NONE, Architecture, layers
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import TaskSpec
from archsearch.spec.signature import Signature
from archsearch.spec.untrusted import shown


@dataclass(frozen=True)
class Bundle:
    """A model at rest; ``notes`` says in which versions it was written where they differ."""

    path: Path
    manifest: Manifest
    state: Mapping[str, Tensor]
    catalog: Catalog
    notes: tuple[str, ...] = ()

    @property
    def architecture(self) -> Architecture:
        return self.manifest.architecture

    @property
    def signature(self) -> Signature:
        return self.manifest.signature

    @property
    def preparation(self) -> Mapping[str, Any]:
        return self.manifest.preparation

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.manifest.facts

    def model(self) -> Model:
        """A new copy of the trained model, in evaluation mode and without gradients."""
        model = build(self.architecture, self.catalog, self.signature, seed=0)
        resized(model, self.manifest.sizes)
        model.load_state_dict(self.state, strict=True)
        return model.eval().requires_grad_(False)

    def adapted(self, walk: Walk) -> Adapted | None:
        """How its model, which ``walk`` is of, adapts its depth; StateError if malformed."""
        if self.manifest.depth is None:
            return None
        try:
            return adapted_from_plain(self.manifest.depth, walk)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, InputError) as error:
            reason = shown(f"{type(error).__name__}: {error}")
            raise StateError(f"{self.path / MANIFEST}: depth is malformed ({reason})") from None


def write_bundle(
    path: Path,
    weights: Path | Mapping[str, Tensor],
    architecture: Architecture,
    signature: Signature,
    preparation: Mapping[str, Any],
    facts: Mapping[str, Any],
    catalog: Catalog,
    *,
    task: TaskSpec,
    depth: Adapted | None = None,
    force: bool = False,
) -> Bundle:
    """Write a bundle into the new folder ``path``, after reading it back.

    ``weights`` are a state dict or a safetensors file of one. The folder appears whole or not at
    all. What a sparsity left idle is taken out, and tensors with many zeros are packed. Raises
    InputError where something is in its place, unless that is a bundle and ``force`` is given.
    """
    architecture = catalog.complete_architecture(architecture)
    if isinstance(weights, Path):
        weights = read_weights(weights, expected_state(architecture, catalog, signature))
    sizes: Mapping[str, tuple[int, int]] = {}
    if architecture.sparsity != NONE:
        model = build(architecture, catalog, signature, seed=0)
        model.load_state_dict(weights, strict=True)
        sizes = compact(model)
        weights = packed(model.state_dict())
    data = serialize(weights)
    manifest = Manifest(
        architecture=architecture,
        signature=signature,
        task=task,
        preparation=preparation,
        facts=facts,
        versions={
            "archsearch": version("archsearch"),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
        plugins=_plugins(architecture, catalog),
        sha256=hashlib.sha256(data).hexdigest(),
        sizes=sizes,
        packed=packed_names(weights),
        depth=None if depth is None else depth.to_plain(),
    )
    files = {WEIGHTS: data, MANIFEST: _encode(manifest)}
    written = write_folder(path, files, lambda fresh: read_bundle(fresh, catalog), force=force)
    return replace(written, path=path)


def read_bundle(
    path: str | Path, catalog: Catalog | None = None, *, changed_plugins: bool = False
) -> Bundle:
    """The bundle in a folder, checked in full; the catalog is that of what is installed.

    Raises InputError where there is no bundle, StateError naming the file and the fault, or the
    plugin that is missing, or whose code is not that of the export unless ``changed_plugins``.
    """
    path = Path(path)
    manifest = read_manifest(path)
    if catalog is None:
        recorded = ((each.kind, each.name, each.distribution) for each in manifest.plugins)
        catalog = plugins.load_catalog(named=plugins.as_recorded(recorded))
    notes = [*_provided(path, manifest, catalog, changed_plugins), *_own_versions(manifest)]
    expected = expected_state(
        manifest.architecture, catalog, manifest.signature, path, manifest.sizes
    )
    state = read_weights(path / WEIGHTS, expected, manifest.sha256, manifest.packed)
    bundle = Bundle(path, manifest, state, catalog, tuple(notes))
    if manifest.depth is not None:
        bundle.adapted(Walk(bundle.model()))
    return bundle


def expected_state(
    architecture: Architecture,
    catalog: Catalog,
    signature: Signature,
    place: Path | str = "model",
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> dict[str, Tensor]:
    """Names, shapes and types of the model's state, on the meta device where that is possible."""

    def model() -> Model:
        found = build(architecture, catalog, signature, seed=0)
        check_sizes(found, sizes or {})
        resized(found, sizes or {})
        return found

    try:
        try:
            with torch.device("meta"):
                return model().state_dict()
        except (RuntimeError, ArchitectureError):
            # a visitor's layer may compute with its initial values, which the meta device cannot
            return model().state_dict()
    except (RuntimeError, ValueError, ArithmeticError, MemoryError, ArchitectureError) as error:
        raise StateError(f"{place}: the model cannot be built: {shown(error, 400)}") from error


def _plugins(architecture: Architecture, catalog: Catalog) -> tuple[Plugin, ...]:
    found = {}
    for kind, layer in layers(architecture):
        declared = catalog.find(kind, layer.name)
        for source, here in plugins.distributions([declared]).items():
            found[kind, layer.name] = Plugin(kind, layer.name, source, here.version, here.sha256)
    return tuple(found.values())


def _provided(path: Path, manifest: Manifest, catalog: Catalog, changed_plugins: bool) -> list[str]:
    """Notes on plugins that changed; StateError for one that may not, is missing or another's.

    A plugin is compared before anything of it is imported.
    """
    notes = []
    for plugin in manifest.plugins:
        needs = f"{path} needs the {plugin.kind} '{plugin.name}' from {plugin.distribution}"
        if plugin.name not in catalog.names(plugin.kind):
            raise StateError(f"{needs} {plugin.version}; try 'pip install {plugin.distribution}'")
        try:
            difference = _difference(plugin)
            if difference and not changed_plugins and plugin.sha256 is not None:
                raise StateError(
                    f"{needs} as it was exported: {difference}; install {plugin.distribution}"
                    f"=={plugin.version}, or predict with --allow-changed-plugins"
                )
            declared = catalog.find(plugin.kind, plugin.name)
        except SpaceError as error:
            raise StateError(f"{needs} {plugin.version}: {error}") from error
        if declared.distribution != plugin.distribution:
            raise StateError(
                f"{needs} {plugin.version}, but {declared.distribution} provides that name here; "
                f"uninstall it and try 'pip install {plugin.distribution}'"
            )
        if difference:
            notes.append(difference)
    return notes


def _difference(plugin: Plugin) -> str | None:
    """How the installed distribution differs from the one that the bundle was written with."""
    here = plugins.installed(plugin.distribution)
    written = f"written with {plugin.distribution} {plugin.version}"
    if here.version != plugin.version:
        return f"{written}, this is {here.version}"
    if plugin.sha256 not in (None, here.sha256):
        return f"{written} of other code (SHA-256 {plugin.sha256[:12]}, this is {here.sha256[:12]})"
    return None


def _own_versions(manifest: Manifest) -> list[str]:
    here = version("archsearch")
    before = manifest.versions.get("archsearch", here)
    return [] if before == here else [f"written with archsearch {before}, this is {here}"]


def _encode(manifest: Manifest) -> bytes:
    try:
        return manifest.to_json()
    except (TypeError, ValueError) as error:
        raise InputError(f"facts and preparation of a bundle must be plain data: {error}") from None
