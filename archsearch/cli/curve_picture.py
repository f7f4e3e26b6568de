"""Accuracy against applied layers as a picture: one line for each policy, the chosen one in bold.

python -m archsearch.cli.curve_picture BUNDLE > depth.svg
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT = 640, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 168, 40, 52
INK, PAPER, GRID = "#24292f", "#ffffff", "#d8dee4"
COLOURS = (
    *("#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989"),
    *("#9a6700", "#1b7c83", "#cf222e", "#57606a", "#6e7781"),
)
FONT = "ui-sans-serif, system-ui, 'DejaVu Sans', sans-serif"
# so many lines of the grid at most
LINES = 6


def picture(depth: Mapping[str, Any]) -> str:
    """The curves of a bundle's depth as SVG; KeyError, TypeError or ValueError if malformed."""
    report, chosen = depth["report"], str(depth["name"])
    curves = {
        str(name): sorted((float(p["compute"]), float(p["score"]), p["interval"]) for p in points)
        for name, points in report["curves"].items()
    }
    ends = [float(end) for _, _, interval in curves[chosen] for end in interval]
    scores = [score for points in curves.values() for _, score, _ in points]
    low, high = min(scores + ends), max(scores + ends)
    scale = _Scale(low, high if high > low else low + 1.0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}" font-family="{escape(FONT)}" font-size="12">',
        f'<rect width="100%" height="100%" fill="{PAPER}"/>',
        *_axes(scale, str(report["score"])),
        _band([(x, interval) for x, _, interval in curves[chosen]], scale),
    ]
    order = sorted(curves, key=lambda name: (name != "static", name != chosen, name))
    for place, name in enumerate(order):
        parts += _line(name, curves[name], scale, place, chosen)
    return "\n".join([*parts, "</svg>", ""])


class _Scale:
    """From shares of layers and scores to points of the picture."""

    def __init__(self, low: float, high: float) -> None:
        room = 0.05 * (high - low)
        self.low, self.high = low - room, high + room

    def x(self, compute: float) -> float:
        return LEFT + min(max(compute, 0.0), 1.2) * (WIDTH - LEFT - RIGHT)

    def y(self, score: float) -> float:
        part = (score - self.low) / (self.high - self.low)
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def ticks(self) -> list[float]:
        """Round numbers between the ends."""
        span = self.high - self.low
        largest = math.floor(math.log10(span))
        steps = (part * 10.0**power for power in (largest, largest - 1) for part in (5, 2, 1))
        step = next(step for step in steps if span / step >= LINES / 2)
        first = -(-self.low // step)
        count = int((self.high - first * step) / step)
        return [round((first + k) * step, 2 - largest) for k in range(count + 1)]


def _axes(scale: _Scale, score: str) -> list[str]:
    foot, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in scale.ticks():
        y = scale.y(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{right}" stroke="{GRID}"/>')
        parts.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" fill="{INK}" text-anchor="end">{tick:g}</text>'
        )
    for quarter in range(5):
        x = scale.x(quarter / 4)
        parts.append(
            f'<text x="{x:.1f}" y="{foot + 18}" fill="{INK}" text-anchor="middle">'
            f"{25 * quarter}%</text>"
        )
    middle = (LEFT + right) / 2
    return [
        *parts,
        f'<path d="M{LEFT} {TOP}V{foot}H{right}" stroke="{INK}" fill="none"/>',
        f'<text x="{middle:g}" y="{foot + 38}" fill="{INK}" text-anchor="middle">'
        "applied layers, share of the network</text>",
        f'<text x="{LEFT}" y="{TOP - 14}" fill="{INK}">{escape(score)} on test</text>',
    ]


def _band(ends: Sequence[tuple[float, Any]], scale: _Scale) -> str:
    """The 95 % interval of the chosen policy."""
    upper = [f"{scale.x(x):.1f} {scale.y(float(span[1])):.1f}" for x, span in ends]
    lower = [f"{scale.x(x):.1f} {scale.y(float(span[0])):.1f}" for x, span in reversed(ends)]
    return f'<path d="M{"L".join([*upper, *lower])}Z" fill="{COLOURS[1]}" opacity="0.15"/>'


def _line(
    name: str, points: Sequence[tuple[float, float, Any]], scale: _Scale, place: int, chosen: str
) -> list[str]:
    bold = name == chosen
    colour = COLOURS[1] if bold else INK if name == "static" else COLOURS[place % len(COLOURS)]
    width, dashes = (2.6, "") if bold else (1.4, "")
    if name == "static" and not bold:
        dashes = ' stroke-dasharray="5 4"'
    path = "L".join(f"{scale.x(x):.1f} {scale.y(y):.1f}" for x, y, _ in points)
    y = TOP + 8 + 18 * place
    x = WIDTH - RIGHT + 16
    dots = [
        f'<circle cx="{scale.x(at):.1f}" cy="{scale.y(score):.1f}" r="{width:g}" fill="{colour}"/>'
        for at, score, _ in points
    ]
    return [
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes}/>',
        *dots,
        f'<path d="M{x} {y - 4}h22" stroke="{colour}" stroke-width="{width}"{dashes}/>',
        f'<text x="{x + 28}" y="{y}" fill="{INK}">{escape(name)}</text>',
    ]


if __name__ == "__main__":
    from archsearch.serve.manifest import read_manifest

    found = read_manifest(Path(sys.argv[1])).depth
    if found is None:
        sys.exit(f"{sys.argv[1]}: its depth is fixed")
    sys.stdout.write(picture(found))
