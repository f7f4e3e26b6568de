"""A text in windows, and how likely each of its characters was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.tasks.characters import UNKNOWN, code_points, read_text, symbols_of, windows_over
from archsearch.tasks.metrics import log_softmax
from archsearch.tasks.prepared.prepared import Prepared, parts
from archsearch.tasks.task import Batch


def read(path: Path, preparation: Mapping[str, Any]) -> Prepared:
    points = code_points(read_text(path), path)
    alphabet = np.asarray([ord(character) for character in preparation["alphabet"]])
    symbols = symbols_of(points, alphabet)
    context, warmup = preparation["context"], preparation["warmup"]
    # one place more than the text has, so that its last character gives the next one
    starts, mask = windows_over(0, len(symbols) + 1, context, warmup)
    filled = np.concatenate([symbols, np.zeros(context + 1, dtype=np.int64)])
    batches = []
    for part in parts(np.arange(len(starts))):
        window = filled[starts[part][:, None] + np.arange(context + 1)]
        lengths = np.minimum(len(symbols) - starts[part], context)
        batches.append(Batch(window[:, :-1], lengths, window[:, 1:], mask[part], starts[part]))
    characters = [chr(point) for point in points]
    ids, notes = np.arange(1, len(points) + 1), note_on_strange(symbols)
    return Prepared(batches, ids, {"characters": characters}, notes)


def note_on_strange(symbols: np.ndarray) -> tuple[str, ...]:
    """How many characters of a text the model never saw, if any."""
    strange = int(np.count_nonzero(symbols == UNKNOWN))
    if not strange:
        return ()
    return (f"{strange} of {len(symbols)} characters are unknown to the model, all alike to it",)


def answers(
    prepared: Prepared, predictions: list[np.ndarray], preparation: Mapping[str, Any]
) -> pd.DataFrame:
    said, wanted = [], []
    for logits, batch in zip(predictions, prepared.batches, strict=True):
        said.append(log_softmax(logits[batch.mask]))
        wanted.append(batch.targets[batch.mask])
    logs, targets = np.concatenate(said), np.concatenate(wanted)
    known = logs.copy()
    known[:, UNKNOWN] = -np.inf
    likeliest = [preparation["alphabet"][place - 1] for place in known.argmax(axis=1)]
    chosen = np.take_along_axis(logs, targets[:, None], axis=1)[:, 0] / np.log(2)
    chosen[-1] = np.nan
    return pd.DataFrame(
        {
            "position": np.arange(2, len(logs) + 2),
            "character": [*prepared.facts["characters"][1:], ""],
            "log2_probability": chosen,
            "prediction": likeliest,
        }
    )
