"""Architectures drawn as text: what stands in which order, what repeats, what loops."""

from __future__ import annotations

from archsearch.spec.architecture import Architecture, Block, Layer, Stage


def draw(architecture: Architecture) -> str:
    """A few lines, top to bottom in the order in which data flows."""
    lines = [f"{spell(architecture.embed)} -> width {architecture.width}"]
    for stage in architecture.stages:
        lines += _stage(stage)
    lines.append(f"{architecture.norm.name} -> head {spell(architecture.head)}")
    training = architecture.training
    lines.append(f"trained by {spell(training)}")
    if architecture.sparsity.name != "none":
        lines.append(f"sparsity {spell(architecture.sparsity)}")
    return "\n".join(lines)


def spell(layer: Layer) -> str:
    """``attention(heads=4, pattern=full)``, numbers shortened."""
    if not layer.options:
        return layer.name
    options = ", ".join(
        f"{key}={value:.3g}" if isinstance(value, float) else f"{key}={_plain(value)}"
        for key, value in layer.options
    )
    return f"{layer.name}({options})"


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _stage(stage: Stage) -> list[str]:
    head = []
    if stage.repeat > 1:
        head.append(f"{stage.repeat} copies")
    if stage.loops > 1:
        halting = "" if stage.halting.name == "none" else f", halting {spell(stage.halting)}"
        head.append(f"looped {stage.loops} times{halting}")
    title = f"  [{'; '.join(head)}]" if head else ""
    lines = [f"┌{title}"] if title else ["┌"]
    for block in stage.blocks:
        lines += _block(block)
    return [*lines, "└"]


def _block(block: Block) -> list[str]:
    lines = [f"│ {block.norm.name} -> {spell(block.cell)} -> gate {spell(block.gate)}"]
    if block.channel.name != "none":
        lines.append(f"│ {block.norm.name} -> {spell(block.channel)} -> gate {spell(block.gate)}")
    return lines
