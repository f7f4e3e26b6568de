"""The preparation of a bundle that was changed is refused before a file is read by it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from archsearch.errors import DataError, StateError
from archsearch.tasks.again import refuse_other_kinds
from archsearch.tasks.prepared.form import check_form

Change = tuple[tuple[str, ...], object]
GONE = object()

SEQUENCES: list[Change] = [
    (("kind",), GONE),
    (("signature",), {}),
    (("scaler",), GONE),
    (("scaler", "mode"), "odd"),
    (("scaler", "offset"), "abc"),
    (("scaler", "offset"), [0.0, 0.0]),
    (("scaler", "scale"), [0.0]),
    (("scaler", "scale"), [True]),
    (("scaler", "flagged"), [1]),
    (("layout",), "odd"),
    (("layout",), "long"),
    (("features",), 3),
    (("features",), [1, 2]),
    (("classes",), ["a"]),
    (("classes",), [["a"], ["b"]]),
    (("id",), 1),
]
SERIES: list[Change] = [
    (("target",), None),
    (("covariates",), ["load", "more"]),
    (("scaler", "predict"), "odd"),
    (("scaler", "ids"), []),
    (("scaler", "scale"), [-1.0]),
    (("scaler", "pooled"), [0.0]),
    (("scaler", "spread"), 0.0),
    (("scaler", "covariates", "scale"), []),
]
TEXT: list[Change] = [
    (("alphabet",), "a"),
    (("context",), 0),
    (("warmup",), 99),
]


@pytest.mark.parametrize("kind", ["classification", "forecasting", "tokens"])
def test_only_what_an_export_writes_is_taken(kind: str, opened: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    if kind == "tokens":
        data = tmp_path / "text.txt"
        data.write_text("to be or not to be " * 40)
        task, changes = opened(kind, data=str(data), context=8, warmup=2), TEXT
    else:
        data = tmp_path / "table.csv"
        table = pd.DataFrame(rng.normal(size=(80, 4)), columns=["a", "b", "c", "load"])
        if kind == "classification":
            table["load"] = ["x", "y"] * 40
        table.to_csv(data, index=False)
        if kind == "classification":
            task, changes = opened(kind, data=str(data)), SEQUENCES
        else:
            task, changes = opened(kind, data=str(data), context=4, horizon=2), SERIES
    whole = json.loads(json.dumps(task.preparation()))
    check_form(whole)
    for place, value in changes:
        with pytest.raises(StateError, match="preparation of the bundle is malformed"):
            check_form(changed(whole, place, value))


def test_a_model_of_series_is_adapted_with_its_study() -> None:
    with pytest.raises(DataError, match=r"a model of series is not .* a file; adapt its study"):
        refuse_other_kinds("exports/load", {"kind": "series"})
    refuse_other_kinds("exports/starts", {"kind": "sequences"})


def changed(whole: dict[str, Any], place: tuple[str, ...], value: object) -> dict[str, Any]:
    other = copy.deepcopy(whole)
    part = other
    for key in place[:-1]:
        part = part[key]
    if value is GONE:
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return other
