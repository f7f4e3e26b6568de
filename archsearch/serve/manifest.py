"""What a bundle says of its model, as plain data: read with suspicion, never executed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsearch.errors import InputError, StateError
from archsearch.spec.architecture import (
    Architecture,
    architecture_from_plain,
    layer_from_plain,
    layers,
    to_plain,
)
from archsearch.spec.settings import TaskSpec
from archsearch.spec.signature import Signature
from archsearch.spec.untrusted import LARGEST_JSON, parse_json, regular_file, shown

MANIFEST = "bundle.json"
WEIGHTS = "model.safetensors"
SOURCE = "model.py"
FORMAT = "archsearch bundle"
VERSION = 2
LARGEST_WIDTH = 65_536
MOST_BLOCKS = 1_000
MOST_LOOPS = 1_000
LARGEST_SIGNATURE = 1 << 24

_DISTRIBUTION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9.!+_-]{1,64}")
_LAYER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TENSOR = re.compile(r"[A-Za-z0-9_.]{1,256}")


@dataclass(frozen=True)
class Plugin:
    """A layer that another distribution provides.

    ``sha256`` is of the distribution's code; None in a bundle of an archsearch that did not say.
    """

    kind: str
    name: str
    distribution: str
    version: str
    sha256: str | None


@dataclass(frozen=True)
class Manifest:
    """Everything about a model but its weights.

    ``preparation`` turns files into inputs and predictions into answers, ``facts`` is what was
    measured, ``versions`` maps archsearch, torch and python to what wrote the bundle. ``sizes`` are
    outputs and inputs of the linear maps that are smaller than the architecture says, ``packed``
    the tensors that are stored without their zeros; a bundle with either has format version 2.
    ``depth`` is how the model adapts its depth, :class:`archsearch.adapt.adapted.Adapted` as plain
    data, None where it does not.
    """

    architecture: Architecture
    signature: Signature
    task: TaskSpec
    preparation: Mapping[str, Any]
    facts: Mapping[str, Any]
    versions: Mapping[str, str]
    plugins: tuple[Plugin, ...]
    sha256: str
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    packed: tuple[str, ...] = ()
    depth: Mapping[str, Any] | None = None

    def to_json(self) -> bytes:
        """As it is written, under a seal by which a later change is known; ValueError or TypeError
        where it is no plain data.
        """
        plain = json.loads(json.dumps(self.to_plain(), allow_nan=False))
        return json.dumps(plain | {"seal": _seal(plain)}, indent=1).encode() + b"\n"

    def to_plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION if self.sizes or self.packed else 1,
            "digest": self.architecture.digest,
            "title": self.architecture.title,
            "architecture": to_plain(self.architecture),
            "signature": self.signature.to_plain(),
            "task": self.task.to_plain(),
            "preparation": dict(self.preparation),
            "facts": dict(self.facts),
            "versions": dict(self.versions),
            "plugins": [vars(plugin) for plugin in self.plugins],
            "weights": {
                "sha256": self.sha256,
                **({"sizes": {k: list(v) for k, v in self.sizes.items()}} if self.sizes else {}),
                **({"packed": list(self.packed)} if self.packed else {}),
            },
            **({} if self.depth is None else {"depth": dict(self.depth)}),
        }


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the bundle in a folder, its weights not looked at.

    Raises InputError where there is no bundle, StateError naming the file and the fault.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        raise InputError(f"{folder}: expected a bundle, a folder with {MANIFEST} and {WEIGHTS}")
    with regular_file(path) as stream:
        plain = parse_json(stream.read(LARGEST_JSON + 1), str(path))
    return manifest_from_plain(plain, str(path))


def manifest_from_plain(plain: Any, place: str) -> Manifest:
    """The inverse of :meth:`Manifest.to_plain`; StateError names ``place`` and the fault."""
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise StateError(f"{place}: is not an archsearch bundle")
    version = plain.get("version")
    if type(version) is not int or version < 1:
        raise StateError(f"{place}: version: expected a whole number, got {shown(version, 40)}")
    if version > VERSION:
        raise StateError(
            f"{place}: has format version {version}, this archsearch reads up to {VERSION}; "
            "upgrade archsearch"
        )
    architecture = _part(plain, "architecture", place, _architecture)
    digest = plain.get("digest")
    if digest != architecture.digest:
        raise StateError(
            f"{place}: digest: expected {architecture.digest}, got {shown(digest, 40)}; "
            "the architecture was changed after the export"
        )
    manifest = Manifest(
        architecture=architecture,
        signature=_part(plain, "signature", place, _signature),
        task=_part(plain, "task", place, _task),
        preparation=_part(plain, "preparation", place, _mapping),
        facts=_part(plain, "facts", place, _mapping),
        versions=_part(plain, "versions", place, _versions),
        plugins=_part(plain, "plugins", place, _plugins),
        sha256=_part(plain, "weights", place, lambda weights: _text(weights["sha256"], _SHA256)),
        sizes=_part(plain, "weights", place, lambda weights: _sizes(weights.get("sizes", {}))),
        packed=_part(plain, "weights", place, lambda weights: _names(weights.get("packed", []))),
        depth=_part(plain, "depth", place, _mapping) if "depth" in plain else None,
    )
    # a bundle of an earlier archsearch has none
    if plain.get("seal", seal := _seal(plain)) != seal:
        raise StateError(f"{place}: was changed after the export; put it back, or export it again")
    return manifest


def _seal(plain: Mapping[str, Any]) -> str:
    """The SHA-256 of all else, in one spelling."""
    rest = {key: value for key, value in plain.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _part(plain: Mapping[str, Any], key: str, place: str, parse: Callable[[Any], Any]) -> Any:
    if key not in plain:
        raise StateError(f"{place}: {key} is missing")
    try:
        return parse(plain[key])
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {shown(error)}"
        raise StateError(f"{place}: {key} is malformed ({reason})") from None


def _architecture(plain: Any) -> Architecture:
    # sizes come first, because a huge repeat would be written out by the digest
    _whole(plain["width"], LARGEST_WIDTH)
    blocks = 0
    for stage in plain["stages"]:
        _whole(stage["loops"], MOST_LOOPS)
        blocks += _whole(stage["repeat"], MOST_BLOCKS) * len(stage["blocks"])
    if blocks > MOST_BLOCKS:
        raise ValueError(f"expected at most {MOST_BLOCKS} blocks, got {blocks}")
    architecture = architecture_from_plain(plain)
    for _, layer in layers(architecture):
        _text(layer.name, _LAYER)
    return architecture


def _signature(plain: Any) -> Signature:
    signature = Signature.from_plain(plain)
    if signature.inputs not in ("values", "tokens") or signature.targets not in ("class", "value"):
        raise ValueError("expected inputs of values or tokens, and targets of class or value")
    if type(signature.every_step) is not bool or type(signature.whole) is not bool:
        raise TypeError("expected every_step and whole to be true or false")
    for size in (signature.channels, signature.outputs, signature.length):
        _whole(size, LARGEST_SIGNATURE)
    return signature


def _task(plain: Any) -> TaskSpec:
    if not isinstance(plain["label"], str):
        raise TypeError("expected a text as label")
    layer = layer_from_plain(plain["layer"])
    _text(layer.name, _LAYER)
    return TaskSpec(plain["label"], layer)


def _mapping(plain: Any) -> dict[str, Any]:
    if not isinstance(plain, dict):
        raise TypeError("expected a mapping")
    return plain


def _versions(plain: Any) -> dict[str, str]:
    return {_text(name, _LAYER): _text(version, _VERSION) for name, version in plain.items()}


def _sizes(plain: Any) -> dict[str, tuple[int, int]]:
    found = {}
    for name, (outputs, inputs) in plain.items():
        whole = _whole(outputs, LARGEST_SIGNATURE), _whole(inputs, LARGEST_SIGNATURE)
        found[_text(name, _TENSOR)] = whole
    return found


def _names(plain: Any) -> tuple[str, ...]:
    if not isinstance(plain, list):
        raise TypeError("expected a list of tensors")
    return tuple(_text(name, _TENSOR) for name in plain)


def _plugins(plain: Any) -> tuple[Plugin, ...]:
    return tuple(
        Plugin(
            kind=_text(entry["kind"], _LAYER),
            name=_text(entry["name"], _LAYER),
            distribution=_text(entry["distribution"], _DISTRIBUTION),
            version=_text(entry["version"], _VERSION),
            sha256=_text(entry["sha256"], _SHA256) if "sha256" in entry else None,
        )
        for entry in plain
    )


def _text(value: Any, pattern: re.Pattern[str]) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise ValueError(f"'{value}' does not match {pattern.pattern}")
    return value


def _whole(value: Any, largest: int) -> int:
    if type(value) is not int or not 1 <= value <= largest:
        raise ValueError(f"expected a whole number from 1 to {largest}, got {value}")
    return value
