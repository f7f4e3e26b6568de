"""Time series archives: .ts files, read by aeon, and the sets bundled with it as ``ucr:NAME``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.catalog import suggestion
from archsearch.tasks.sequences import Sequences, from_cases
from archsearch.tasks.tables import require_file

_MISSING = "needs aeon; try 'pip install archsearch[data]'"


def bundled_sets() -> dict[str, Path]:
    """Every set bundled with aeon that has both official splits, by name: its train file."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        return {}
    root = Path(found.origin).parent / "datasets" / "data"
    trains = {path.name.removesuffix("_TRAIN.ts"): path for path in root.glob("*/*_TRAIN.ts")}
    return {name: path for name, path in sorted(trains.items()) if _test_of(path).is_file()}


def bundled_train(name: str) -> Path:
    """The train file of ``ucr:NAME``; raises DataError with the names there are."""
    sets = bundled_sets()
    if not sets:
        raise DataError(f"ucr:{name} {_MISSING}")
    if name not in sets:
        raise DataError(
            f"no set ucr:{name} is bundled{suggestion(name, sets)}; there are: {', '.join(sets)}"
        )
    return sets[name]


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
        raise DataError(f"{path}: is not text in UTF-8") from None
    except (OSError, ValueError, IndexError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
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


def _test_of(train: Path) -> Path:
    return train.with_name(train.name.removesuffix("_TRAIN.ts") + "_TEST.ts")
