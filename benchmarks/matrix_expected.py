"""What each cell should solve and should not, and on whose word.

A mark is one character per task, in the order of ``TASKS``: ``y`` solves, also at lengths beyond
those of training where the task has them; ``n`` cannot, or fails reliably; ``?`` depends on size
or is not settled by any source. One layer is meant for parity, S3 and adding, two for recall and
copying, as the rows are trained. Recall needs a step that shifts by one: for cells with a matrix
state but neither a convolution nor positions it counts as not settled.
"""

from __future__ import annotations

from dataclasses import dataclass

from archsearch.spec.architecture import Layer

TASKS = ("parity", "s3", "mqar", "selective copying", "adding")
MARKS = {"y": "✓", "n": "✗", "?": "~"}

GRAZZI = "Grazzi et al. 2024, arXiv 2411.12537, theorems 1-4 and table 3"
MERRILL = "Merrill, Petty, Sabharwal 2024, arXiv 2404.08819"
ZOOLOGY = "Arora et al. 2023 (Zoology), arXiv 2312.04927"
SELECTION = "Gu, Dao 2023 (Mamba), arXiv 2312.00752, section 3.1 and table 1"
PRODUCT = "Siems et al. 2025 (DeltaProduct), arXiv 2502.10297"
PARARNN = "Danieli et al. 2025 (ParaRNN), arXiv 2510.21450, tables 1 and 6"
IRNN = "Le, Jaitly, Hinton 2015, arXiv 1504.00941, section 4.1"
CHOMSKY = "Deletang et al. 2022, arXiv 2207.02098"
AAREN = "Feng et al. 2024, arXiv 2405.13956: the query is one and fixed"
REACH = "nothing outside a finite reach can be seen"
FIXED = "the same linear map at every step, whatever the input is"


@dataclass(frozen=True)
class Row:
    """A cell with options, the family it belongs to and what is expected of it, one a task."""

    cell: Layer
    family: str
    marks: str

    @property
    def expected(self) -> dict[str, str]:
        return dict(zip(TASKS, self.marks, strict=True))


# per family, the sources of the marks in the order of TASKS
SOURCES: dict[str, tuple[str, str, str, str, str]] = {
    "nonlinear vector state": (CHOMSKY, MERRILL, ZOOLOGY, "gates: none", IRNN),
    "gated nonlinear vector state": (CHOMSKY, MERRILL, ZOOLOGY, SELECTION, IRNN),
    "nonlinear state without mixing": (PARARNN, PARARNN, PARARNN, PARARNN, PARARNN),
    "linear, time-invariant": (GRAZZI, GRAZZI, ZOOLOGY, SELECTION, FIXED),
    "gates in (0, 1)": (GRAZZI, GRAZZI, ZOOLOGY, SELECTION, SELECTION),
    "gates in (-1, 1)": (GRAZZI, GRAZZI, ZOOLOGY, SELECTION, SELECTION),
    "delta rule, strength in (0, 1)": (GRAZZI, GRAZZI, ZOOLOGY, SELECTION, "none"),
    "delta rule, strength in (0, 2)": (GRAZZI, PRODUCT, ZOOLOGY, SELECTION, "none"),
    "products of two reflections": (PRODUCT, PRODUCT, PRODUCT, SELECTION, "none"),
    "attention": (CHOMSKY, MERRILL, ZOOLOGY, SELECTION, ZOOLOGY),
    "attention with a fixed query": (CHOMSKY, MERRILL, AAREN, "attention reads all", AAREN),
    "convolution": (REACH, REACH, ZOOLOGY, REACH, REACH),
    "test-time trained memory": ("none", "none", "none", "none", "none"),
    "other": ("none", "none", "none", "none", "none"),
}


def _rows(family: str, *cells: tuple[Layer, str]) -> tuple[Row, ...]:
    return tuple(Row(cell, family, marks) for cell, marks in cells)


def _named(*names: str) -> tuple[Layer, ...]:
    return tuple(Layer(name) for name in names)


def _all(family: str, marks: str, *cells: Layer) -> tuple[Row, ...]:
    return _rows(family, *((cell, marks) for cell in cells))


# the most telling first, for a run may end before the last
ROWS: tuple[Row, ...] = (
    *_rows(
        "nonlinear vector state",
        (Layer("rnn"), "yyn?n"),
        (Layer.of("rnn", activation="relu", init="identity"), "yyn?y"),
    ),
    *_all("gated nonlinear vector state", "yy?yy", *_named("gru", "lstm")),
    *_all("linear, time-invariant", "nnnn?", *_named("lru", "s4d")),
    *_all("gates in (0, 1)", "nn?yy", *_named("gla")),
    *_all("gates in (0, 1)", "nnyyy", Layer.of("gla", conv=4), *_named("mamba")),
    *_all(
        "gates in (-1, 1)",
        "ynyyy",
        Layer.of("gla", negative=True, tau=1.0, conv=4),
        Layer.of("mamba", negative=True, expand=1.0, state=8),
    ),
    *_all("delta rule, strength in (0, 1)", "nnyy?", Layer.of("deltanet", beta_range=1)),
    *_all("delta rule, strength in (0, 2)", "ynyy?", Layer.of("deltanet", beta_range=2)),
    *_all(
        "products of two reflections",
        "yyyy?",
        Layer.of("deltaproduct", steps=2, beta_range=2),
    ),
    *_all(
        "products of two reflections",
        "yy?y?",
        Layer.of("deltaproduct", steps=2, beta_range=2, conv=0),
    ),
    *_all(
        "products of two reflections",
        "yyyy?",
        Layer.of("deltaproduct", steps=2, beta_range=2, conv_start="identity"),
    ),
    *_all("attention", "nnyyy", Layer("attention")),
    *_all("attention with a fixed query", "nnnyy", Layer("aaren")),
    *_rows(
        "convolution",
        (Layer("tcn"), "nnnnn"),
        (Layer.of("tcn", layers=5), "nnnny"),
    ),
    *_rows(
        "nonlinear state without mixing",
        (Layer("paragru"), "y?nyy"),
        (Layer.of("paragru", clip=0.5), "n?nyy"),
        (Layer("paralstm"), "y?nyy"),
        (Layer.of("paralstm", clip=0.5), "n?nyy"),
    ),
    *_all("gates in (0, 1)", "nnnyy", *_named("mingru", "minlstm", "hgrn")),
    *_all("gates in (0, 1)", "nnyyy", *_named("mamba2", "mlstm")),
    *_all("gates in (0, 1)", "nn?yy", *_named("hgrn2", "retention")),
    *_all(
        "gates in (-1, 1)",
        "ynnyy",
        Layer.of("mingru", negative=True),
        Layer.of("minlstm", negative=True),
        Layer.of("hgrn", negative=True),
    ),
    *_all(
        "gates in (-1, 1)",
        "yn?yy",
        Layer.of("hgrn2", negative=True),
        Layer.of("gla", negative=True),
        Layer.of("gla", negative=True, tau=1.0),
    ),
    *_all("gates in (-1, 1)", "ynyyy", Layer.of("mamba2", negative=True)),
    *_all("delta rule, strength in (0, 1)", "nnyy?", Layer.of("gated_deltanet", beta_range=1)),
    *_all("delta rule, strength in (0, 2)", "ynyy?", Layer.of("gated_deltanet", beta_range=2)),
    *_all("products of two reflections", "nnyy?", Layer.of("deltaproduct", steps=2, beta_range=1)),
    *_all("gated nonlinear vector state", "yy?yy", *_named("slstm", "rhn")),
    *_all("linear, time-invariant", "nnnn?", *_named("lmu")),
    *_all("convolution", "nnnnn", *_named("gated_conv", "fsmn", "fmlp", "dilated_fsmn")),
    *_all("convolution", "nn?nn", *_named("tcnca")),
    *_all("other", "????n", *_named("sparse_rnn")),
    *_all("other", "?????", *_named("leaky_rnn", "plstm", "prefix_attention", "bidirectional")),
    *_all("other", "?????", Layer.of("lmu", form="recurrent")),
    *_all("convolution", "nnnnn", *_named("trellis")),
    *_all("linear, time-invariant", "nnnn?", *_named("lssl")),
    *_all("other", "?????", *_named("ode")),
    *_all(
        "other",
        "?????",
        *_named("graph", "attentive_rnn", "recurrent_attention", "linear_attention", "gau"),
        *_named("seqboat", "routing", "ngram", "feature_gate", "hops", "relational"),
        Layer.of("feedforward_attention", length=256),
    ),
    *_all("test-time trained memory", "?????", *_named("titans", "yaad", "moneta", "memora")),
)
