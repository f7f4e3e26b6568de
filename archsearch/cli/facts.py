"""What a study is trained and judged on, in a line, and what the user should know of the data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from archsearch.spec.positions import escape

SPLITS = ("train", "validation", "test")
# below so many test sequences a point of accuracy is less than one sequence
FEW = 100


def data_lines(facts: Mapping[str, Any]) -> list[str]:
    """``data: ...`` with sizes, then a line ``note: ...`` for each thing that was noticed.

    ``facts`` are those of :meth:`archsearch.tasks.task.Task.describe`.
    """
    source = PurePath(str(facts["data"])).name
    if facts.get("target") and facts.get("layout") != "archive":
        source += f", target '{facts['target']}'"
    counts = ", ".join(f"{_count(facts[split])} {split}" for split in SPLITS)
    line = f"data: {source}: {counts} {_unit(facts)}"
    notes = [*facts["notes"], *_on_size(facts)]
    lines = [", ".join([line, *_shape(facts)]), *(f"note: {note}" for note in notes)]
    # names of columns and classes are whatever the file has, and must not act on a terminal
    return [escape(line) for line in lines]


def _on_size(facts: Mapping[str, Any]) -> list[str]:
    test = facts["test"]
    if "classes" in facts and test < FEW:
        share = f"one more right answer is {1 / test:.2g} of accuracy"
        return [f"the test split has {_plural(test, 'sequence')}: {share}"]
    return []


def _unit(facts: Mapping[str, Any]) -> str:
    if "horizon" in facts:
        return f"windows of {facts['context']} + {facts['horizon']} steps"
    return "characters" if "context" in facts else "sequences"


def _shape(facts: Mapping[str, Any]) -> list[str]:
    parts = []
    if "series" in facts:
        parts.append(f"{facts['series']} series")
    elif facts.get("length"):
        parts.append(_steps(facts["length"]))
    if "context" in facts and "horizon" not in facts:
        return [f"context {facts['context']}", f"{facts['inputs']} symbols"]
    parts.append(_plural(facts["inputs"], "channel"))
    if "classes" in facts:
        parts.append(_plural(len(facts["classes"]), "class", "classes"))
    return parts


def _steps(length: Any) -> str:
    shortest, longest = length if isinstance(length, list | tuple) else (length, length)
    if shortest == longest:
        return _plural(longest, "step")
    return f"{shortest:,} to {longest:,} steps"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _plural(count: int, one: str, many: str = "") -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
