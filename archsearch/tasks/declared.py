"""The tasks that can be named in a space file, as plain data: options, defaults and what they mean.

Tasks over the user's own files stand first, generators with a known truth after them.
"""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, Option, choice, integer, real, text

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
            "data": text(None, doc="text file in UTF-8; relative to the space file"),
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
)


def _sizes(validation: int = 256, test: int = 512) -> dict[str, Option]:
    return {
        "validation_size": integer(
            validation, 1, 10_000_000, doc="sequences in the validation split"
        ),
        "test_size": integer(test, 1, 10_000_000, doc="sequences in the test split"),
        "data_seed": integer(0, 0, doc="seed of the validation and test splits"),
    }


def _curriculum(default: str) -> Option:
    return choice(
        "length",
        "none",
        default=default,
        search=(),
        doc="length: training sequences grow from 3 steps to length over the first 60 % of "
        "training; none: always length",
    )


_LONG = integer(
    None,
    1,
    1_000_000,
    doc="a second, usually longer length; validation and test then also report accuracy_long and "
    "loss_long on as many sequences of it, and training never sees it",
)

_STEPWISE = ("accuracy", "loss", "accuracy_long", "loss_long")

_GENERATED = (
    LayerType(
        "parity",
        "archsearch.tasks.parity:Parity",
        options={
            "length": integer(40, 3, 1_000_000, doc="steps of a sequence"),
            "test_length": _LONG,
            "curriculum": _curriculum("length"),
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="whether the bits so far hold an odd number of ones, at every step; chance 0.5",
        source="Grazzi et al. 2024, arXiv 2411.12537: needs state transitions with negative "
        "eigenvalues",
    ),
    LayerType(
        "word_problem",
        "archsearch.tasks.word_problem:WordProblem",
        options={
            "group": choice("S3", "A5", "S5", "Z60", search=(), doc="the group that is multiplied"),
            "length": integer(40, 3, 1_000_000, doc="steps of a sequence"),
            "test_length": _LONG,
            "curriculum": _curriculum("length"),
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="the product so far of random elements of a finite group, at every step; chance one "
        "over the group's order",
        source="Merrill, Petty and Sabharwal 2024, arXiv 2404.08819: A5 and S5 are NC1-complete",
    ),
    LayerType(
        "mqar",
        "archsearch.tasks.mqar:MultiQueryRecall",
        options={
            "pairs": integer(8, 1, 10_000, doc="key-value pairs of a sequence"),
            "vocab": integer(
                64, 4, 65_536, doc="symbols, an even number; half are keys, half are values"
            ),
            "length": integer(
                64, 4, 1_000_000, doc="steps of a sequence, at least 4 times pairs, even"
            ),
            **_sizes(),
        },
        kind="task",
        metrics=("accuracy", "loss"),
        doc="multi-query associative recall: the value that was shown with a key, when the key "
        "comes again; any value of the context scores 1 / pairs",
        source="Arora et al. 2023 (Zoology), arXiv 2312.04927",
    ),
    LayerType(
        "selective_copying",
        "archsearch.tasks.selective_copying:SelectiveCopying",
        options={
            "tokens": integer(8, 1, 10_000, doc="symbols to remember"),
            "vocab": integer(
                16, 4, 65_536, doc="symbols in all; the last two are the blank and the copy signal"
            ),
            "length": integer(64, 3, 1_000_000, doc="steps of a sequence, at least 2 tokens + 1"),
            "test_length": _LONG,
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="repeat, in order, the symbols that lay scattered among blanks; chance 1 / (vocab - 2)",
        source="Gu and Dao 2023, arXiv 2312.00752; Poli et al. 2024 (MAD), arXiv 2403.17844",
    ),
    LayerType(
        "adding",
        "archsearch.tasks.adding:Adding",
        options={
            "length": integer(100, 3, 1_000_000, doc="steps of a sequence, T"),
            "test_length": integer(
                None,
                3,
                1_000_000,
                doc="a second, usually longer length; validation and test then also report "
                "mse_long on as many sequences of it, and training never sees it",
            ),
            "curriculum": _curriculum("none"),
            **_sizes(),
        },
        kind="task",
        metrics=("mse", "mse_long"),
        doc="the sum of the two marked numbers of a sequence; mse, always answering 1 scores 1/6",
        source="Hochreiter and Schmidhuber 1997, experiment 4, with one marker in each half",
    ),
    LayerType(
        "lorenz96",
        "archsearch.tasks.lorenz96:Lorenz96",
        options={
            "sites": integer(40, 4, 65_536, doc="variables of the ring, J"),
            "forcing": real(8.0, 0.0, 32.0, doc="external forcing, F; 8 is chaotic"),
            "interval": real(
                0.05, 0.01, 1.0, doc="time between two observed steps, a multiple of 0.01"
            ),
            "context": integer(32, 1, 1_000_000, doc="observed steps a forecast may look back on"),
            "horizon": integer(4, 1, 100_000, doc="observed steps that are forecast"),
            "train_size": integer(2048, 16, 10_000_000, doc="windows in the training split"),
            **_sizes(512, 512),
        },
        kind="task",
        metrics=("nrmse", "mae"),
        doc="the next states of the chaotic Lorenz-96 ring; error in units of the attractor's "
        "deviation, so that climatology scores 1",
        source="Lorenz 1996; settings of Vlachas et al. 2020, arXiv 1910.05266",
    ),
)

TASKS: tuple[LayerType, ...] = (*_FILES, *_GENERATED)
