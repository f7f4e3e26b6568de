"""Opens the task that a space file names; the same specification gives the same data everywhere."""

from __future__ import annotations

from collections import OrderedDict
from importlib import import_module
from pathlib import Path
from typing import Any

from archsearch.errors import DataError
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.archives import is_bundled
from archsearch.tasks.declared import TASKS
from archsearch.tasks.task import Protocol, Task

_KEPT = 4
_opened: OrderedDict[tuple[Any, ...], Task] = OrderedDict()


def open_task(spec: TaskSpec, protocol: Protocol = "search", directory: Path | None = None) -> Task:
    """The task, with its data read, split and normalised; raises DataError in one line.

    ``directory`` is where relative paths start, usually the folder of the space file; the current
    folder when left out. The last few opened are kept per process, until their files change.
    """
    declaration = Catalog(TASKS).find("task", spec.layer.name)
    options: dict[str, Any] = declaration.settings(spec.layer)
    if "data" in options:
        if options["data"] is None:
            raise DataError(f"{declaration.name}: no data given; add 'data: FILE' to the task")
        for place in ("data", "test"):
            if options.get(place) is not None:
                options[place] = _placed(options[place], directory)
    files = tuple(_stamp(options[place]) for place in ("data", "test") if options.get(place))
    key = (declaration.name, tuple(sorted(options.items())), protocol, files)
    if key in _opened:
        _opened.move_to_end(key)
        return _opened[key]
    module, _, attribute = str(declaration.target).partition(":")
    task: Task = getattr(import_module(module), attribute)(options, protocol)
    _opened[key] = task
    if len(_opened) > _KEPT:
        _opened.popitem(last=False)
    return task


def _placed(name: str, directory: Path | None) -> str:
    if is_bundled(name):
        return name
    return str((directory or Path.cwd()) / Path(name).expanduser())


def _stamp(name: str) -> tuple[str, int, int]:
    path = Path(name)
    if not path.is_file():
        return name, 0, 0
    found = path.stat()
    return name, found.st_mtime_ns, found.st_size
