"""Tasks that are drawn on the spot, declared without importing torch, numpy or pandas."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, Option, choice, flag, integer, real


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

GENERATED: tuple[LayerType, ...] = (
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
        "logic",
        "archsearch.tasks.logic:Logic",
        options={
            "gates": integer(10, 1, 1000, doc="most gates of a step"),
            "length": integer(10, 1, 1_000_000, doc="steps of a sequence"),
            "test_length": _LONG,
            "curriculum": choice(
                *("gates", "none"),
                search=(),
                doc="gates: the most gates of a training step grow from one over the first 60 % of "
                "training; none: always up to gates",
            ),
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="the bit that a chain of random binary gates makes of two bits, at every step; chance "
        "0.5, by the last gate alone 0.7",
        source="Graves 2016, arXiv 1603.08983, section 3.2",
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
        "sorting",
        "archsearch.tasks.sorting:Sorting",
        options={
            "length": integer(
                10, 4, 10_000, doc="steps of a sequence, even: half are numbers, half ask"
            ),
            "test_length": _LONG,
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="the positions of some numbers in the order of their size; chance 2 / length",
        source="Vinyals et al. 2015, arXiv 1511.06391",
    ),
    LayerType(
        "reber",
        "archsearch.tasks.reber:Reber",
        options={
            "length": integer(30, 13, 100_000, doc="most steps of a string"),
            "test_length": _LONG,
            "embedded": flag(
                True, search=False, doc="between two symbols that must agree; length at least 17"
            ),
            "negatives": choice(
                *("hard", "naive"),
                search=(),
                doc="mistakes that no pair of neighbours gives away, or any symbol for another",
            ),
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="whether a string is one of the (embedded) Reber grammar; chance 0.5",
        source="Reber 1967; Fahlman 1991; Hochreiter and Schmidhuber 1997, experiment 1",
    ),
    LayerType(
        "listops",
        "archsearch.tasks.listops:ListOps",
        options={
            "length": integer(60, 4, 100_000, doc="most steps of an expression"),
            "test_length": _LONG,
            "depth": integer(6, 1, 50, doc="how deep operations are nested at most"),
            "arguments": integer(5, 2, 50, doc="most values of one operation"),
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="the value of nested operations on digits, one of ten; the usual digit scores 0.12",
        source="Nangia and Bowman 2018, arXiv 1804.06028",
    ),
    LayerType(
        "sudoku",
        "archsearch.tasks.sudoku:Sudoku",
        options={
            "box": integer(2, 2, 3, doc="rows of a box; 2 has grids of 4 by 4, 3 of 9 by 9"),
            "givens": integer(5, 0, 81, doc="digits shown at least, more where they are needed"),
            "hints": integer(
                0, 0, 81, doc="digits shown beyond those at most, a number drawn for each puzzle"
            ),
            **_sizes(),
        },
        kind="task",
        metrics=("accuracy", "loss", "solved"),
        doc="the missing digits of a puzzle with one solution, shown twice; accuracy by the cell, "
        "solved by the grid; chance 1 / box squared",
        source="Palm, Paquet and Winther 2018, arXiv 1711.08028",
    ),
    LayerType(
        "cloze",
        "archsearch.tasks.cloze:Cloze",
        options={
            "vocab": integer(23, 3, 65_536, doc="items there are, V; a prime lets strides differ"),
            "strides": integer(4, 1, 65_535, doc="a sequence goes on by 1 to so many at each step"),
            "lost": real(0.3, 0.0, 0.9, doc="part of the other items that are not shown either"),
            "length": integer(20, 3, 1_000_000, doc="steps of a sequence"),
            "test_length": _LONG,
            **_sizes(),
        },
        kind="task",
        metrics=_STEPWISE,
        doc="the hidden item of a regular sequence, told from both sides; chance 1 / vocab",
        source="Sun et al. 2019 (BERT4Rec), arXiv 1904.06690",
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
