"""Architectures drawn as text: what stands in which order, what repeats, what loops."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from functools import cache

from archsearch.errors import InputError
from archsearch.spec.architecture import CHAIN, DEFAULT, Architecture, Block, Layer, Stage, Value
from archsearch.spec.catalog import Catalog

WIDTH = 76
# what a reader looks for, default or not
ALWAYS = ("lr", "steps", "batch", "density")


def draw(architecture: Architecture, width: int = WIDTH) -> str:
    """A few lines, top to bottom in the order in which data flows; options at their default are
    left out. Lines longer than ``width`` go on, indented, in the next one.
    """
    lines = [f"{spell('embed', architecture.embed)} → width {architecture.width}"]
    for stage in architecture.stages:
        lines += _stage(stage)
    lines.append(f"{spell('norm', architecture.norm)} → {spell('head', architecture.head)} head")
    begun = ""
    if architecture.init != DEFAULT:
        begun = f", from {spell('init', architecture.init)} weights"
    lines.append(f"trained by {spell('training', architecture.training)}{begun}")
    if architecture.sparsity.name != "none":
        lines.append(f"pruned by {spell('sparsity', architecture.sparsity)}")
    return "\n".join(part for line in lines for part in _wrapped(line, width))


def spell(kind: str, layer: Layer) -> str:
    """``attention(heads=8)``: the options that differ from the declared default, shortened.

    Of a layer that is not built in all are shown, so that drawing imports nobody's code.
    """
    defaults = _defaults(kind, layer.name)
    options = ", ".join(
        f"{key}={_plain(value)}"
        for key, value in layer.options
        if key in ALWAYS or key not in defaults or defaults[key] != value
    )
    return f"{layer.name}({options})" if options else layer.name


def _stage(stage: Stage) -> list[str]:
    words = []
    if stage.repeat > 1:
        words.append(f"{stage.repeat} copies")
    if stage.loops > 1:
        words.append(f"looped {stage.loops} times")
        if stage.halting.name != "none":
            words.append(f"halting by {spell('halting', stage.halting)}")
        if stage.tie.name != "shared":
            words.append(f"tied by {spell('tie', stage.tie)}")
    if stage.connections != CHAIN:
        words.append(f"connected by {spell('connections', stage.connections)}")
    lines = [f"┌ {', '.join(words)}".rstrip()]
    for block in stage.blocks:
        lines += _block(block)
    return [*lines, "└"]


def _block(block: Block) -> list[str]:
    parts = [("cell", block.cell)]
    if block.channel.name != "none":
        parts.append(("channel", block.channel))
    lines = []
    for kind, layer in parts:
        programs = {key: str(layer[key]) for key in _languages(kind, layer.name)}
        rest = replace(layer, options=tuple(o for o in layer.options if o[0] not in programs))
        lines.append(f"│ {_around(block, spell(kind, rest))}")
        lines += [f"│     {each}" for text in programs.values() for each in text.split("; ")]
    return lines


def _around(block: Block, layer: str) -> str:
    """A layer with its norm and its gate, in the order of a placement that is ours."""
    norm, gate = spell("norm", block.norm), f"{spell('gate', block.gate)} gate"
    steps: tuple[str, ...]
    match block.placement.name:
        case "pre":
            steps = (norm, layer, gate)
        case "post":
            steps = (layer, gate, norm)
        case "sandwich":
            steps = (norm, layer, norm, gate)
        case other:
            steps = (f"{other}({norm})", layer, gate)
    return " → ".join(steps)


def _wrapped(line: str, width: int) -> list[str]:
    indent = "│     " if line.startswith("│") else "    "
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False)


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@cache
def _ours() -> Catalog:
    # a table without a drawing does without it
    from archsearch.plugins import built_in

    return Catalog(built_in())


@cache
def _languages(kind: str, name: str) -> tuple[str, ...]:
    """The options of a layer that are texts of several statements."""
    try:
        options = _ours().find(kind, name).options
    except InputError:
        return ()
    return tuple(key for key, option in options.items() if option.language is not None)


@cache
def _defaults(kind: str, name: str) -> dict[str, Value]:
    try:
        declared = _ours().find(kind, name)
    except InputError:
        return {}
    return {key: option.normal(option.default) for key, option in declared.options.items()}
