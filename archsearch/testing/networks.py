"""Small networks around one layer of any kind, for what every layer has to stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import LayerType
from archsearch.testing.variants import variants

WIDTH = 16
BODY = (Block(Layer("attention"), channel=Layer("mlp")), Block(Layer("lstm")))
OF_BLOCKS = {"gate", "channel", "norm", "placement"}
OF_STAGES = {"connections": {}, "tie": {"loops": 3}, "halting": {"loops": 3}}


def settings_of(*declared: LayerType) -> Iterator[tuple[str, Layer]]:
    """The kind and each setting of every layer, as :func:`variants` has them."""
    for entry in declared:
        for options in variants(entry):
            yield entry.kind, Layer.of(entry.name, **options)


def network_around(kind: str, layer: Layer) -> Architecture:
    """A cell alone; any other layer among an attention block and a recurrent one."""
    if kind == "cell":
        return Architecture(WIDTH, (Stage((Block(layer),)),))
    if kind in OF_BLOCKS:
        return Architecture(WIDTH, (Stage(tuple(replace(b, **{kind: layer}) for b in BODY)),))
    if kind in OF_STAGES:
        return Architecture(WIDTH, (Stage(BODY, **{kind: layer}, **OF_STAGES[kind]),))
    return Architecture(WIDTH, (Stage(BODY),), **{kind: layer})
