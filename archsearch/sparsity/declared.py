"""How weights become zero during training, as plain data."""

from __future__ import annotations

from archsearch.sparsity.declared_activations import ACTIVATIONS
from archsearch.spec.catalog import LayerType
from archsearch.spec.counts import Counts
from archsearch.spec.domains import FloatRange
from archsearch.spec.option import Option, choice, integer, real, text


def _density(default: float = 0.5) -> Option:
    return real(
        default,
        0.005,
        1.0,
        search=FloatRange(0.05, 1.0, log=True),
        doc="the share of prunable weights that is left at the end",
    )


def _which(*more: str) -> Option:
    return choice(
        *("stages", "all", *more),
        search=(),
        doc="matrices of the stages, or of the embedding and the head too; of the stages those "
        "that read the input or the state before (hidden), of channel mixers, of attention",
    )


def _allocation(first: str, *others: str) -> Option:
    return choice(
        *(first, *others), doc="how matrices share it: alike, more of small ones (erk), by rank"
    )


ROLES = ("input", "hidden", "channel", "attention")
WHICH = _which(*ROLES)
PATTERN = choice(
    *("unstructured", "block", "row", "column"),
    search=(),
    doc="what goes as a whole: weights, blocks, all of an output or all of an input",
)
BLOCK = integer(4, 2, 256, search=(4, 8, 16), doc="weights along each side of a block")
ACTIVATE = (
    real(
        0.0,
        0.0,
        1.0,
        search=(0.0, 0.1, 0.3),
        doc="the share of what goes that are weights which keep hidden units at zero",
    )
    .only_when(pattern="unstructured")
    .added_later()
)
UPDATES = integer(20, 1, 1000, doc="how many times weights move")
DROP = real(0.3, 0.0, 1.0, search=(0.1, 0.3, 0.5), doc="the share of weights that moves each time")

SPARSITY = (
    LayerType(
        "none",
        "archsearch.sparsity.sparsify:dense",
        kind="sparsity",
        doc="Every weight is trained and kept.",
    ),
    LayerType(
        "magnitude",
        "archsearch.sparsity.magnitude:magnitude",
        {
            "density": _density(),
            "begin": real(0.25, 0.0, 1.0, doc="when pruning begins, as a fraction of training"),
            "end": real(0.75, 0.0, 1.0, doc="when the density is reached, likewise"),
            "updates": integer(20, 1, 1000, doc="how many times weights are pruned in between"),
            "which": WHICH,
            "pattern": PATTERN.added_later(),
            "block": BLOCK.added_later().only_when(pattern="block"),
            "allocation": _allocation("uniform", "erk", "uniform_plus", "global").added_later(),
            "activate": ACTIVATE,
        },
        kind="sparsity",
        doc="The smallest weights of each matrix go, along a cubic schedule, for good.",
        source="Zhu and Gupta 2017, arXiv 1710.01878; window: Jin et al. 2025, arXiv 2501.12486",
    ),
    LayerType(
        "one_shot",
        "archsearch.sparsity.magnitude:one_shot",
        {
            "density": _density(),
            "at": real(
                0.5, 0.0, 1.0, search=(0.25, 0.5, 0.75), doc="when, as a fraction of training"
            ),
            "which": WHICH,
            "pattern": PATTERN,
            "block": BLOCK.only_when(pattern="block"),
            "allocation": _allocation("uniform", "erk", "uniform_plus", "global"),
            "activate": ACTIVATE,
        },
        kind="sparsity",
        doc="Trained dense, pruned once by magnitude, then trained on with what is left.",
        source="Han et al. 2015, arXiv 1506.02626; on RNNs: arXiv 2407.20601",
    ),
    LayerType(
        "soup",
        "archsearch.sparsity.soups:soup",
        {
            "density": _density(),
            "begin": real(
                0.4, 0.0, 1.0, search=(0.25, 0.4), doc="the first pruning, in fractions of training"
            ),
            "rounds": integer(
                3, 1, 100, search=(1, 2, 3), doc="prunings, each followed by a retraining"
            ),
            "copies": integer(
                3, 1, 100, search=(1, 2, 3), doc="retrained and averaged in each round"
            ),
            "taken": choice(
                "all", "greedy", doc="all copies, or from the best on those that better the loss"
            ),
            "rates": choice(
                "same", "spread", doc="of the copies: the same, or from half to twice of it"
            ),
            "which": WHICH,
            "pattern": PATTERN,
            "block": BLOCK.only_when(pattern="block"),
            "allocation": _allocation("global", "uniform", "erk", "uniform_plus"),
        },
        kind="sparsity",
        doc="Pruned and retrained in rounds, in several copies whose average is pruned next.",
        source="Zimmer et al. 2024, arXiv 2306.16788",
    ),
    LayerType(
        "random",
        "archsearch.sparsity.static:random",
        {
            "density": _density(),
            "allocation": _allocation("erk", "uniform", "uniform_plus", "snip", "grasp"),
            "which": WHICH,
            "pattern": PATTERN,
            "block": BLOCK.only_when(pattern="block"),
        },
        kind="sparsity",
        doc="A mask drawn at random before training, which stays.",
        source="Liu et al. 2022, arXiv 2202.02643; allocations: arXiv 1911.11134, 1902.09574, "
        "1810.02340, 2002.07376",
    ),
    LayerType(
        "drawn",
        "archsearch.sparsity.static:drawn",
        {
            "counts": text("", Counts(), doc="the weights left of each matrix, which has a name"),
            "number": integer(0, 0, 10**6, doc="which of all masks of this size"),
            "pattern": PATTERN,
            "block": BLOCK.only_when(pattern="block"),
        },
        kind="sparsity",
        doc="A mask drawn at random, of a given size in each matrix: what learned ones must beat.",
        source="Su et al. 2020, arXiv 2009.11094; Farahani 2024, arXiv 2403.08265",
    ),
    LayerType(
        "set",
        "archsearch.sparsity.dynamic:evolve",
        {
            "density": _density(),
            "allocation": _allocation("erk", "uniform", "uniform_plus"),
            "which": WHICH,
            "updates": UPDATES,
            "end": real(1.0, 0.0, 1.0, doc="when weights move last, as a fraction of training"),
            "drop": DROP,
        },
        kind="sparsity",
        doc="Sparse from the start: the smallest weights go, others come at random.",
        source="Mocanu et al. 2018, arXiv 1707.04780",
    ),
    LayerType(
        "rigl",
        "archsearch.sparsity.dynamic:rigl",
        {
            "density": _density(),
            "allocation": _allocation("erk", "uniform", "uniform_plus"),
            "which": WHICH,
            "updates": UPDATES,
            "end": real(0.75, 0.0, 1.0, doc="when weights move last, as a fraction of training"),
            "drop": DROP,
        },
        kind="sparsity",
        doc="Sparse from the start: the smallest weights go, others come where the loss falls "
        "fastest.",
        source="Evci et al. 2020, arXiv 1911.11134",
    ),
    LayerType(
        "grow",
        "archsearch.sparsity.growing:grow",
        {
            "density": _density(0.25),
            "start": real(
                0.1, 0.005, 0.995, search=(0.05, 0.1, 0.25), doc="the share that is there at first"
            ),
            "end": real(
                0.75,
                0.0,
                1.0,
                search=(0.5, 0.75),
                doc="when it is grown, as a fraction of training",
            ),
            "which": WHICH,
            "pattern": choice(
                *("row", "column", "block", "unstructured"),
                search=(),
                doc="what comes as a whole: all of an output, all of an input, blocks, weights",
            ),
            "block": BLOCK.only_when(pattern="block"),
        },
        kind="sparsity",
        doc="Grows into its size: units come and stay by chance, as the loss and a budget say.",
        source="after Yuan et al. 2020, arXiv 2007.15353",
    ),
    LayerType(
        "hebbian",
        "archsearch.sparsity.hebbian:hebbian",
        {
            "density": _density(0.25),
            "allocation": _allocation("erk", "uniform", "uniform_plus"),
            "which": WHICH,
            "updates": UPDATES,
            "end": real(0.75, 0.0, 1.0, doc="when weights move last, as a fraction of training"),
            "drop": DROP,
            "groups": choice(1, 2, 4, 8, doc="modules that each side of a matrix is cut into"),
            "reach": real(
                0.5, 0.0, 1.0, search=(0.25, 0.5, 1.0), doc="the share of modules that one hears"
            ),
        },
        kind="sparsity",
        doc="Sparse from the start, in modules: weights come between what is active together.",
        source="after Konstantaropoulos et al. 2025, arXiv 2508.14140",
    ),
    LayerType(
        "wanda",
        "archsearch.sparsity.wanda:wanda",
        {
            "density": _density(),
            "at": real(
                0.9, 0.0, 1.0, search=(0.5, 0.9, 1.0), doc="when, as a fraction of training"
            ),
            "which": WHICH,
            "refine": choice(
                *("none", "dsnot"), doc="swap weights until each output has its mean back"
            ),
        },
        kind="sparsity",
        doc="Trained dense, then each output loses what is small in weight times input.",
        source="Sun et al. 2023, arXiv 2306.11695; swaps: Zhang et al. 2023, arXiv 2310.08915",
    ),
    LayerType(
        "n_of_m",
        "archsearch.sparsity.n_of_m:sr_ste",
        {
            "n": integer(2, 1, 64, search=(1, 2), doc="weights that are left of every m"),
            "m": integer(
                4, 2, 64, search=(4, 8), doc="weights of a row that are looked at together"
            ),
            "decay": real(
                2e-4, 0.0, 1.0, search=(0.0, 2e-4, 2e-3), doc="pull of masked weights to zero"
            ),
            "which": WHICH,
        },
        kind="sparsity",
        doc="The largest n of every m weights compute, all are trained: the form of accelerators.",
        source="Zhou et al. 2021, arXiv 2102.04010",
    ),
    LayerType(
        "graph",
        "archsearch.sparsity.graphs:random_graph",
        {
            "family": choice(
                *("watts_strogatz", "barabasi_albert", "erdos_renyi"), doc="how it is drawn"
            ),
            "density": _density(0.25),
            "rewire": real(
                0.1, 0.0, 1.0, search=(0.0, 0.1, 1.0), doc="the share of edges moved at random"
            ).only_when(family="watts_strogatz"),
        },
        kind="sparsity",
        doc="Recurrent matrices join the units that a random graph joins.",
        source="Watts and Strogatz 1998; Barabasi and Albert 1999; on RNNs: arXiv 2407.20601",
    ),
    *ACTIVATIONS,
)
