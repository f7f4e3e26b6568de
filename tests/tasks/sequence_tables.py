"""Tables of labelled sequences, and which of them a split holds."""

from __future__ import annotations

import numpy as np
import pandas as pd

SPLITS = ("train", "validation", "test")


def long_table(n=40, channels=2, seed=0, labels=("low", "high")) -> pd.DataFrame:
    """Sequences of 3 to 8 steps, rows shuffled; the class is the sign of the first channel."""
    rng = np.random.default_rng(seed)
    rows = []
    for name in range(n):
        label = labels[name % 2]
        for step in range(3 + name % 6):
            values = rng.standard_normal(channels) + (3 if name % 2 else -3)
            rows.append([f"s{name}", step, *values, label])
    columns = ["id", "time", *[f"c{place}" for place in range(channels)], "label"]
    return pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=seed)


def numbers(task, split):
    return np.concatenate([batch.rows for batch in task.evaluation(split)])
