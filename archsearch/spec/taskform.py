"""How a task is written in the space file: a layer without open options, a label, data paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archsearch.errors import LocatedError
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Option
from archsearch.spec.forms import Reading, Text
from archsearch.spec.positions import Located, Table, fault, quote
from archsearch.spec.sections import ListOf
from archsearch.spec.settings import TaskSpec
from archsearch.spec.slots import LayerSlot, closed
from archsearch.spec.tree import Fixed, Node, join

PATHS = ("data", "test")
MOST_STEPS = 10**8
LABEL = Text(
    "[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}",
    "a label of at most 64 letters, digits, spaces, '.', '_' and '-'",
)

_SCHEME = re.compile("(ucr|aeon):")


@dataclass(frozen=True)
class TaskForm(LayerSlot):
    """A task; its data paths are taken from the directory of the space file."""

    kind: str = "task"
    open_: bool = False

    def read(self, node: Located, key: str, reading: Reading) -> Any:
        label: str | None = None
        if isinstance(node, Table):
            written = node.get("label")
            if written is not None:
                label = LABEL.read(written, join(key, "label"), reading)
            entries = tuple(entry for entry in node.entries if entry[0].text != "label")
            layer = closed(super().read(Table(node.place, entries), key, reading))
        else:
            layer = closed(super().read(node, key, reading))
        options = dict(layer.options)
        if "data" in options and options["data"] is None:
            raise fault(node.place, join(key, "data"), "a file, ucr:NAME or aeon:NAME", "nothing")
        steps = _steps(options)
        if steps > MOST_STEPS:
            raise fault(node.place, key, f"at most {MOST_STEPS:,} steps in all", f"{steps:,}")
        return TaskSpec(label or _label(layer), layer)

    def part(self, option: Option, node: Located, key: str, reading: Reading) -> Node:
        part = super().part(option, node, key, reading)
        value = part.value if isinstance(part, Fixed) else None
        if key.rpartition(".")[2] not in PATHS or not isinstance(value, str):
            return part
        if _SCHEME.match(value):
            return part
        path = _resolved(reading.directory / value) if value else None
        if path is None:
            raise fault(node.place, key, "an existing file, ucr:NAME or aeon:NAME", quote(value))
        return Fixed(str(path))


@dataclass(frozen=True)
class TaskList(ListOf):
    """Tasks with labels of their own."""

    def read(self, node: Located, key: str, reading: Reading) -> Any:
        tasks: tuple[TaskSpec, ...] = super().read(node, key, reading)
        for position, task in enumerate(tasks):
            if task.label in {other.label for other in tasks[:position]}:
                raise _same_label(node, position, key, task.label)
        return tasks


def _same_label(node: Located, position: int, key: str, label: str) -> LocatedError:
    place = getattr(node, "items", (node,) * (position + 1))[position].place
    expected = "a label that no other task has (write label: ...)"
    return fault(place, f"{key}.{position}.label", expected, quote(label))


def _label(layer: Layer) -> str:
    """The name of the data, or of the task where it makes its own."""
    data = dict(layer.options).get("data")
    if not isinstance(data, str):
        return layer.name
    name = Path(data.partition(":")[2] if _SCHEME.match(data) else data).stem
    visible = re.sub("[^A-Za-z0-9._-]+", "-", name).strip("-._")[:64]
    return visible or layer.name


def _steps(options: Mapping[str, Any]) -> int:
    """The time steps, over all channels, of the sequences that a task makes of its own."""
    sequences = sum(value for name, value in options.items() if name.endswith("_size"))
    length = max(options.get("length") or 0, options.get("test_length") or 0)
    window = (options.get("context") or 0) + (options.get("horizon") or 0)
    return int(sequences * max(length, window) * (options.get("sites") or 1))


def _resolved(path: Path) -> Path | None:
    """The absolute path of something that is there."""
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError):
        return None
