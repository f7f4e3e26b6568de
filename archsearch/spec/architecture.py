"""An architecture as plain frozen data with a canonical digest; it knows nothing of modules."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from sys import intern
from typing import Any, TypeAlias

Value: TypeAlias = "bool | int | float | str | Layer | tuple[Value, ...] | None"


@dataclass(frozen=True)
class Layer:
    """The plain form of every cell, gate, channel mixer, norm, ...: a name and its options."""

    name: str
    options: tuple[tuple[str, Value], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    @classmethod
    def of(cls, name: str, **options: Value) -> Layer:
        return cls(name, tuple(options.items()))

    def __getitem__(self, key: str) -> Value:
        return dict(self.options)[key]

    def __str__(self) -> str:
        if not self.options:
            return self.name
        return f"{self.name}({', '.join(f'{key}={value}' for key, value in self.options)})"


NONE = Layer("none")
PRE = Layer("pre")
CHAIN = Layer("chain")
DEFAULT = Layer("default")
# slots that came after architectures had been stored, each named as its kind
LATER = {"placement": PRE, "connections": CHAIN, "init": DEFAULT}


@dataclass(frozen=True)
class Block:
    """One residual layer: a sequence mixer, how it meets the stream, and a channel mixer."""

    cell: Layer
    gate: Layer = Layer("additive")
    channel: Layer = NONE
    norm: Layer = Layer("rmsnorm")
    placement: Layer = PRE


@dataclass(frozen=True)
class Stage:
    """Blocks, copied ``repeat`` times with own weights, then applied ``loops`` times in depth.

    ``connections`` says what each block reads of those before it.
    """

    blocks: tuple[Block, ...]
    repeat: int = 1
    loops: int = 1
    tie: Layer = Layer("shared")
    halting: Layer = NONE
    connections: Layer = CHAIN

    @property
    def whole(self) -> bool:
        """Whether it is more than its blocks one after another, which could stand elsewhere."""
        return self.loops > 1 or self.connections != CHAIN


@dataclass(frozen=True)
class Architecture:
    """A whole network and its training, as named layers; two equal networks share one digest."""

    width: int
    stages: tuple[Stage, ...]
    embed: Layer = Layer("linear")
    norm: Layer = Layer("rmsnorm")
    head: Layer = Layer("linear")
    sparsity: Layer = NONE
    training: Layer = Layer("adamw")
    init: Layer = DEFAULT

    def canonical(self) -> Architecture:
        """The one spelling that all spellings of the same network share.

        Copies are written out, unlooped neighbours that are chains are one stage, and what only
        matters in a loop (tying, halting) is dropped where nothing loops.
        """
        stages: list[Stage] = []
        for stage in self.stages:
            blocks = stage.blocks * stage.repeat
            if not blocks:
                continue
            if stage.loops > 1:
                stages.append(replace(stage, blocks=blocks, repeat=1))
            elif stages and not (stages[-1].whole or stage.whole):
                stages[-1] = Stage(stages[-1].blocks + blocks)
            else:
                stages.append(Stage(blocks, connections=stage.connections))
        return replace(self, stages=tuple(stages))

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits that name the network and its training."""
        text = json.dumps(to_plain(self.canonical()), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """What a progress line shows: ``gru+lru x2 loop4 w64``."""
        parts = []
        for stage in self.canonical().stages:
            names = [block.cell.name for block in stage.blocks]
            unique = "+".join(dict.fromkeys(names))
            copies = f" x{len(names)}" if len(names) > 1 else ""
            loops = f" loop{stage.loops}" if stage.loops > 1 else ""
            apart = "" if stage.connections == CHAIN else f" {stage.connections.name}"
            parts.append(f"{unique}{copies}{loops}{apart}")
        return " | ".join(parts) + f" w{self.width}"


def layers(architecture: Architecture) -> Iterator[tuple[str, Layer]]:
    """Every (kind, layer) that an architecture names; of the slots added later if written."""
    yield "embed", architecture.embed
    for stage in architecture.stages:
        for block in stage.blocks:
            yield from (("cell", block.cell), ("gate", block.gate))
            yield from (("channel", block.channel), ("norm", block.norm))
            yield from later(block)
        yield from (("tie", stage.tie), ("halting", stage.halting))
        yield from later(stage)
    yield from (("norm", architecture.norm), ("head", architecture.head))
    yield from (("sparsity", architecture.sparsity), ("training", architecture.training))
    yield from later(architecture)


def later(part: Architecture | Stage | Block) -> Iterator[tuple[str, Layer]]:
    """Those of the slots in ``LATER`` that say something; the others are not written, so that
    digests stay.
    """
    for slot, default in LATER.items():
        layer = getattr(part, slot, default)
        if layer != default:
            yield slot, layer


def to_plain(value: Any) -> Any:
    """Architectures and their parts as what JSON can hold."""
    match value:
        case Architecture():
            return {
                "width": value.width,
                "embed": to_plain(value.embed),
                "stages": [to_plain(stage) for stage in value.stages],
                "norm": to_plain(value.norm),
                "head": to_plain(value.head),
                "sparsity": to_plain(value.sparsity),
                "training": to_plain(value.training),
                **_later(value),
            }
        case Stage():
            return {
                "blocks": [to_plain(block) for block in value.blocks],
                "repeat": value.repeat,
                "loops": value.loops,
                "tie": to_plain(value.tie),
                "halting": to_plain(value.halting),
                **_later(value),
            }
        case Block():
            return {
                "cell": to_plain(value.cell),
                "gate": to_plain(value.gate),
                "channel": to_plain(value.channel),
                "norm": to_plain(value.norm),
                **_later(value),
            }
        case Layer():
            options = {key: to_plain(option) for key, option in value.options}
            return {"name": value.name, "options": options}
        case tuple():
            return [to_plain(item) for item in value]
        case _:
            return value


def _later(part: Architecture | Stage | Block) -> dict[str, Any]:
    return {slot: to_plain(layer) for slot, layer in later(part)}


def layer_from_plain(plain: Any) -> Layer:
    """The inverse of :func:`to_plain` for a layer."""
    # a long study has the same few names in each of its trials
    return Layer(
        intern(plain["name"]),
        tuple((intern(k), value_from_plain(v)) for k, v in plain["options"].items()),
    )


def architecture_from_plain(plain: Any) -> Architecture:
    """The inverse of :func:`to_plain` for an architecture."""
    stages = tuple(
        Stage(
            blocks=tuple(
                Block(**{slot: layer_from_plain(layer) for slot, layer in block.items()})
                for block in stage["blocks"]
            ),
            repeat=stage["repeat"],
            loops=stage["loops"],
            tie=layer_from_plain(stage["tie"]),
            halting=layer_from_plain(stage["halting"]),
            connections=_written(stage, "connections", CHAIN),
        )
        for stage in plain["stages"]
    )
    slots = ("embed", "norm", "head", "sparsity", "training")
    return Architecture(
        width=plain["width"],
        stages=stages,
        init=_written(plain, "init", DEFAULT),
        **{slot: layer_from_plain(plain[slot]) for slot in slots},
    )


def _written(plain: Any, slot: str, default: Layer) -> Layer:
    return layer_from_plain(plain[slot]) if slot in plain else default


def value_from_plain(plain: Any) -> Value:
    """The inverse of :func:`to_plain` for the value of an option."""
    if isinstance(plain, dict):
        return layer_from_plain(plain)
    if isinstance(plain, list):
        return tuple(value_from_plain(item) for item in plain)
    if isinstance(plain, str):
        return intern(plain)
    return plain  # type: ignore[no-any-return]
