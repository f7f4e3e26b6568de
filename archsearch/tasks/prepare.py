"""From a new file to model inputs, and from what the model puts out to answers a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.archives import located
from archsearch.tasks.prepared import generated, masked_text, sequences, series, text
from archsearch.tasks.prepared.form import check_form
from archsearch.tasks.prepared.prepared import Prepared


def read_for_prediction(path: str | Path, preparation: Mapping[str, Any]) -> Prepared:
    """Reads a file the way the training data was read; it needs no target.

    A series is forecast from its end. Raises DataError in one line when the file does not fit, and
    StateError where the preparation is none that an export writes.
    """
    check_form(preparation)
    match preparation["kind"]:
        case "sequences":
            return sequences.read(str(path), preparation)
        case "series":
            return series.read(located(str(path), "aeon"), preparation)
        case "text":
            return text.read(Path(path), preparation)
        case "masked text":
            return masked_text.read(Path(path), preparation)
        case "generated":
            return generated.read(Path(path), preparation)
    raise DataError(f"preparation '{preparation['kind']}' is of a later version of archsearch")


def answers(
    prepared: Prepared, predictions: list[np.ndarray], preparation: Mapping[str, Any]
) -> pd.DataFrame:
    """One row per answer, from what the model put out for each batch.

    Sequences: id, prediction and, for classes, the probability of each. Series: id, step, time
    where known, prediction. Text: per character its log2 probability given those before it, and
    the last row the likeliest next one. Masked text: position, prediction, probability per blank.
    Generated: id, (step,) prediction.
    """
    match preparation["kind"]:
        case "sequences":
            return sequences.answers(prepared, np.concatenate(predictions), preparation)
        case "series":
            return series.answers(prepared, np.concatenate(predictions), preparation)
        case "text":
            return text.answers(prepared, predictions, preparation)
        case "masked text":
            return masked_text.answers(prepared, predictions, preparation)
    return generated.answers(prepared, predictions, preparation)
