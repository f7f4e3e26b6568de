"""A text with blanks, and what fills each of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.characters import code_points, read_text, symbols_of
from archsearch.tasks.metrics import log_softmax
from archsearch.tasks.prepared.prepared import Prepared, parts
from archsearch.tasks.prepared.text import note_on_strange
from archsearch.tasks.task import Batch


def read(path: Path, preparation: Mapping[str, Any]) -> Prepared:
    points = code_points(read_text(path), path)
    alphabet = np.asarray([ord(character) for character in preparation["alphabet"]])
    hidden = points == ord(preparation["blank"])
    if not hidden.any():
        raise DataError(
            f"{path}: nothing to fill in; put {preparation['blank']} where a character is missing"
        )
    symbols = np.where(hidden, len(alphabet) + 1, symbols_of(points, alphabet))
    starts = np.arange(0, len(symbols), preparation["context"])
    batches = []
    for part in parts(np.arange(len(starts))):
        places = starts[part][:, None] + np.arange(preparation["context"])
        inside = places < len(symbols)
        places = np.minimum(places, len(symbols) - 1)
        inputs = np.where(inside, symbols[places], 0)
        batches.append(
            Batch(inputs, inside.sum(1), np.zeros_like(inputs), inside & hidden[places], part)
        )
    return Prepared(batches, np.flatnonzero(hidden) + 1, notes=note_on_strange(symbols))


def answers(
    prepared: Prepared, predictions: list[np.ndarray], preparation: Mapping[str, Any]
) -> pd.DataFrame:
    said = [logits[batch.mask] for logits, batch in zip(predictions, prepared.batches, strict=True)]
    probabilities = np.exp(log_softmax(np.concatenate(said)))[:, 1:]  # no symbol for strange ones
    likeliest = probabilities.argmax(axis=1)
    return pd.DataFrame(
        {
            "position": prepared.ids,
            "prediction": [preparation["alphabet"][place] for place in likeliest],
            "probability": probabilities.max(axis=1),
        }
    )
