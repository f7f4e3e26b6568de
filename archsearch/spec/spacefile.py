"""The space file: read within limits, checked as a whole, every fault one line with its place."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archsearch.spec.catalog import Catalog, LayerType
from archsearch.spec.depthsettings import DepthSettings
from archsearch.spec.document import parse_file
from archsearch.spec.forms import Reading
from archsearch.spec.keys import DOCUMENT
from archsearch.spec.overrides import override
from archsearch.spec.positions import Place, Table, fault
from archsearch.spec.rules import check_extent, check_metrics, check_stopping, check_width
from archsearch.spec.settings import (
    ConfirmSettings,
    ExecutionSettings,
    SearchSettings,
    TaskSpec,
)
from archsearch.spec.space import Space


@dataclass(frozen=True)
class SpaceFile:
    """What a space file says; ``confirm`` is None where the file wants no confirmation.

    ``visitors`` are the layers of other distributions that it names, with place and key; ``depth``
    is None where it asks for no adaptation.
    """

    path: Path
    name: str
    text: str
    tasks: tuple[TaskSpec, ...]
    space: Space
    search: SearchSettings
    confirm: ConfirmSettings | None
    execution: ExecutionSettings
    overrides: tuple[tuple[str, str], ...] = ()
    visitors: tuple[tuple[LayerType, Place, str], ...] = ()
    depth: DepthSettings | None = None


def read_space(
    path: str | Path, catalog: Catalog, overrides: Sequence[tuple[str, str]] = ()
) -> SpaceFile:
    """The checked content of a space file; raises LocatedError for the first fault.

    ``overrides`` are (dotted key, YAML text) put over the file's own values. Data paths are taken
    from the file's directory. A plugin's declaration is imported only when the file names it.
    """
    path = Path(path)
    text, root = parse_file(path)
    root = override(root, overrides)
    reading = Reading(catalog, path.parent)
    values = DOCUMENT.read(root, "", reading)
    tasks = _tasks(values["task"], values["tasks"], root)
    check_width(values["space"], reading)
    check_extent(values["space"], root)
    check_metrics(tasks, reading)
    check_stopping(values["space"], values["search"], root)
    return SpaceFile(
        path=path,
        name=values["name"] or _name(path),
        text=text,
        tasks=tasks,
        space=Space(values["space"], catalog),
        search=values["search"],
        confirm=values["confirm"],
        execution=values["execution"],
        overrides=tuple(overrides),
        visitors=tuple(reading.visitors),
        depth=values["depth"],
    )


def _tasks(
    task: TaskSpec | None, tasks: tuple[TaskSpec, ...] | None, root: Table
) -> tuple[TaskSpec, ...]:
    if task is not None and tasks is not None:
        second = next(name for name, _ in reversed(root.entries) if name.text in ("task", "tasks"))
        raise fault(second.place, second.text, "either task or tasks", "both")
    if task is not None:
        return (task,)
    if tasks is None:
        raise fault(root.place, "task", "a task", "nothing")
    return tasks


def _name(path: Path) -> str:
    """The file's name without its ending, with what a name may not hold replaced.

    Where nothing is left, names of different files stay different.
    """
    kept = re.sub("[^A-Za-z0-9 ._-]+", "-", path.stem).strip("-._ ")[:100]
    return kept or f"study-{zlib.crc32(os.fsencode(path.stem)):08x}"
