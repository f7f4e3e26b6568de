"""Data bundled with aeon, labelled sets as ``ucr:NAME`` and series as ``aeon:NAME``; .ts files."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.catalog import suggestion
from archsearch.tasks.files import not_text, require_file
from archsearch.tasks.sequences import Sequences, from_cases

_MISSING = "needs aeon; try 'pip install archsearch[data]'"
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
        raise DataError(f"{data} {_MISSING}")
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


def read_archive(path: Path, labelled: bool = True) -> Sequences:
    """The sequences and labels of a .ts file; steps that end in missing values are cut off."""
    require_file(path)
    if importlib.util.find_spec("aeon") is None:
        raise DataError(f"{path}: {_MISSING}")
    from aeon.datasets import load_from_ts_file

    try:
        cases, labels, facts = load_from_ts_file(str(path), return_meta_data=True)
    except UnicodeDecodeError:
        raise not_text(path) from None
    except (OSError, ValueError, IndexError, KeyError) as error:
        # the reader begins its messages with the representation of the open file
        reason = " ".join(str(error).rpartition(">. ")[2].split())[:160]
        raise DataError(f"{path}: is not a readable .ts file: {reason}") from None
    if facts["timestamps"]:
        # the reader drops the sign of a value that stands beside a time stamp
        raise DataError(f"{path}: .ts files with time stamps are not read; write them without")
    if not len(cases):
        raise DataError(f"{path}: has no sequences after '@data'")
    if labelled and not len(labels):
        raise DataError(f"{path}: its header says that there are no labels")
    series = [np.asarray(case, dtype=np.float64).T for case in cases]
    names = np.asarray([str(label).strip() for label in labels], dtype=object)
    return from_cases(series, names if labelled else None, path)


def _bundled(pattern: str) -> list[Path]:
    """Files of the data folder inside aeon; none where aeon is not installed."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        return []
    return sorted((Path(found.origin).parent / "datasets" / "data").glob(pattern))


def _test_of(train: Path) -> Path:
    return train.with_name(train.name.removesuffix("_TRAIN.ts") + "_TEST.ts")
