"""Reads .ts files, the format of the UCR and UEA archives, through aeon."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from archsearch.errors import DataError
from archsearch.tasks.archives import MISSING
from archsearch.tasks.files import not_text, require_file
from archsearch.tasks.sequences import Sequences, from_cases


def read_archive(path: Path, labelled: bool = True) -> Sequences:
    """The sequences and labels of a .ts file; steps that end in missing values are cut off."""
    require_file(path)
    if importlib.util.find_spec("aeon") is None:
        raise DataError(f"{path}: {MISSING}")
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
