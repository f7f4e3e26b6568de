"""Data bundled with aeon, by name: labelled sets as ``ucr:NAME`` and series as ``aeon:NAME``."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

from archsearch.errors import DataError
from archsearch.spec.catalog import suggestion

MISSING = "needs aeon; try 'pip install archsearch[data]'"
# scheme -> what stands behind it and the tasks that read it
SCHEMES = {
    "ucr": ("set", "classification and regression"),
    "aeon": ("series", "forecasting"),
}


def bundled_sets() -> dict[str, Path]:
    """Every set bundled with aeon that has both official splits, by name: its train file."""
    trains = {path.name.removesuffix("_TRAIN.ts"): path for path in _bundled("*/*_TRAIN.ts")}
    return {name: path for name, path in sorted(trains.items()) if _test_of(path).is_file()}


def bundled_series() -> dict[str, Path]:
    """Every table bundled with aeon that is alone in its folder, by the folder's name."""
    tables = _bundled("*/*.csv")
    folders = Counter(path.parent for path in tables)
    alone = {path.parent.name: path for path in tables if folders[path.parent] == 1}
    return dict(sorted(alone.items()))


def is_bundled(name: str) -> bool:
    """Whether data is named as ``ucr:NAME`` or ``aeon:NAME`` and not by a path."""
    return name.partition(":")[0] in SCHEMES and ":" in name


def located(data: str, scheme: str) -> Path:
    """The file of ``data``, a path or ``SCHEME:NAME``; for a set of sequences its train file.

    Raises DataError with the names there are, or with the task that reads the other scheme.
    """
    if not is_bundled(data):
        return Path(data)
    written, _, name = data.partition(":")
    noun, readers = SCHEMES[written]
    if written != scheme:
        raise DataError(f"{data}: a {noun} read by {readers}; here take a file or {scheme}:NAME")
    known = bundled_sets() if scheme == "ucr" else bundled_series()
    if not known:
        raise DataError(f"{data} {MISSING}")
    if name not in known:
        raise DataError(
            f"no {noun} {data} is bundled{suggestion(name, known)}; there are: {', '.join(known)}"
        )
    return known[name]


def official_test(train: Path) -> Path | None:
    """NAME_TEST.ts beside NAME_TRAIN.ts, if there is one."""
    if not train.name.endswith("_TRAIN.ts"):
        return None
    test = _test_of(train)
    return test if test.is_file() else None


def _bundled(pattern: str) -> list[Path]:
    """Files of the data folder inside aeon; none where aeon is not installed."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        return []
    return sorted((Path(found.origin).parent / "datasets" / "data").glob(pattern))


def _test_of(train: Path) -> Path:
    return train.with_name(train.name.removesuffix("_TRAIN.ts") + "_TEST.ts")
