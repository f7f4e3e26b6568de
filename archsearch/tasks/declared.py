"""The tasks that can be named in a space file, as plain data: options, defaults and what they mean.

Tasks over the user's own files stand first, generators with a known truth after them.
"""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, Option, choice, integer, real, text
from archsearch.tasks.declared_generated import GENERATED

_TABLE: dict[str, Option] = {
    "id": text(
        None,
        doc="column that names the sequence or series of a row; by default one called id, series, "
        "sequence and the like",
    ),
    "time": text(
        None,
        doc="column that orders the steps (numbers or dates); without one the order of the file",
    ),
    "features": text(
        None,
        doc="columns used as input, separated by commas; by default all numeric ones with no "
        "other role",
    ),
    "ignore": text(None, doc="columns left out, separated by commas"),
}

_LABELLED: dict[str, Option] = {
    "data": text(
        None,
        doc="file (.csv, .tsv, .parquet, .npz, .ts) or ucr:NAME, a set bundled with aeon; "
        "relative to the space file",
    ),
    "test": text(
        None,
        doc="file of the test split; by default NAME_TEST.ts beside NAME_TRAIN.ts, the official "
        "test split of ucr:NAME, or a part of the data",
    ),
    "layout": choice(
        "auto",
        "wide",
        "long",
        search=(),
        doc="wide: a row is a sequence and a column a step; long: a row is a step of the sequence "
        "named by the id column; auto: long when an id column has repeated values",
    ),
    "target": text(
        None,
        doc="column with the answer; by default one called target, label, class or y, else the "
        "last",
    ),
    **_TABLE,
    "normalise": choice(
        "channel",
        "sequence",
        "none",
        search=(),
        doc="channel: mean 0 and deviation 1 of every channel over the training split; sequence: "
        "every sequence by its own mean and deviation; none: values as they are",
    ),
    "validation_fraction": real(
        0.25, 0.01, 0.9, doc="part of the sequences outside the test split used for validation"
    ),
    "test_fraction": real(
        0.2, 0.01, 0.9, doc="part of the sequences kept for the test when no test split is given"
    ),
    "split_seed": integer(0, 0, doc="seed of the random split"),
}

_FILES = (
    LayerType(
        "classification",
        "archsearch.tasks.classification:Classification",
        options=_LABELLED,
        kind="task",
        metrics=("accuracy", "balanced_accuracy", "loss"),
        doc="one class for every sequence of a file; accuracy, balanced accuracy, cross entropy",
    ),
    LayerType(
        "regression",
        "archsearch.tasks.regression:Regression",
        options=_LABELLED,
        kind="task",
        metrics=("rmse", "mae", "r2"),
        doc="one number for every sequence of a file; rmse, mae and r2 in the target's own units",
    ),
    LayerType(
        "forecasting",
        "archsearch.tasks.forecasting:Forecasting",
        options={
            "data": text(
                None,
                doc="file (.csv, .tsv, .parquet) or aeon:NAME, a series bundled with aeon; "
                "relative to the space file",
            ),
            "target": text(
                None,
                doc="column to forecast; by default one called target, value or y, else the last "
                "numeric one",
            ),
            **_TABLE,
            "context": integer(48, 1, 1_000_000, doc="steps a forecast may look back on"),
            "horizon": integer(12, 1, 100_000, doc="steps that are forecast"),
            "season": integer(
                1,
                1,
                doc="steps of a season, for the seasonal naive baseline and the scale of mase",
            ),
            "predict": choice(
                "change",
                "value",
                search=(),
                doc="what the model puts out: the change from the last observed value, or the "
                "value itself; metrics are always on the value in its own units",
            ),
            "validation_fraction": real(
                0.15, 0.01, 0.9, doc="part of the time, before the test, used for validation"
            ),
            "test_fraction": real(0.15, 0.01, 0.9, doc="last part of the time, kept for the test"),
            "judged": integer(
                2000, 1, doc="at most so many windows of a split are judged, evenly spaced"
            ),
        },
        kind="task",
        metrics=("mae", "rmse", "mase"),
        doc="the next steps of one or many time series, other columns as past covariates; mae, "
        "rmse, mase",
    ),
    LayerType(
        "tokens",
        "archsearch.tasks.characters:Characters",
        options={
            "data": text(None, doc="text file in UTF-8 or UTF-16; relative to the space file"),
            "context": integer(128, 2, 1_000_000, doc="characters in a window"),
            "warmup": integer(
                16,
                0,
                doc="characters at the start of a window that are not judged; windows overlap by "
                "as many, so that every character is judged once",
            ),
            "validation_fraction": real(
                0.1, 0.001, 0.9, doc="part of the text, before the test, used for validation"
            ),
            "test_fraction": real(0.1, 0.001, 0.9, doc="last part of the text, kept for the test"),
            "judged": integer(
                100_000, 1, doc="at most so many characters of a split are judged, from its start"
            ),
        },
        kind="task",
        metrics=("bits_per_character", "accuracy", "loss"),
        doc="the next character of a text, at every step; bits per character, accuracy",
    ),
    LayerType(
        "masked_tokens",
        "archsearch.tasks.masked_characters:MaskedCharacters",
        options={
            "data": text(None, doc="text file in UTF-8 or UTF-16; relative to the space file"),
            "context": integer(128, 2, 1_000_000, doc="characters in a window"),
            "hidden": real(0.15, 0.001, 0.999, doc="share of the characters that are hidden"),
            "blank": text(
                "\u25a1", doc="the character that stands for a hidden one in a text to be filled in"
            ),
            "validation_fraction": real(
                0.1, 0.001, 0.9, doc="part of the text, before the test, used for validation"
            ),
            "test_fraction": real(0.1, 0.001, 0.9, doc="last part of the text, kept for the test"),
            "judged": integer(
                100_000, 1, doc="at most so many characters of a split are read, from its start"
            ),
        },
        kind="task",
        metrics=("bits_per_character", "accuracy", "loss"),
        doc="characters hidden here and there, from the text on both sides; every cell may be used",
    ),
)

TASKS: tuple[LayerType, ...] = (*_FILES, *GENERATED)
