"""How a stage is used more than once in depth, as plain data: tying and halting."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, choice, flag, integer, real
from archsearch.spec.domains import FloatRange

TIES = (
    LayerType(
        "shared",
        "archsearch.depth.tie:Shared",
        {
            "embedding": flag(
                False, doc="add a learned vector to the input of each loop, zero at the start"
            ),
            "norms": flag(
                False, doc="end each loop in a normalisation with scales of its own"
            ).added_later(),
        },
        kind="tie",
        doc="Every loop has the same weights.",
        source="Dehghani et al. 2018, arXiv 1807.03819",
    ),
    LayerType(
        "lora",
        "archsearch.depth.lora:LoRA",
        {
            "rank": integer(4, 1, 4096, search=(2, 4, 8, 16), doc="of each loop's own difference"),
            "rest": flag(
                False, doc="each loop also has biases, norms and other parameters of its own"
            ).added_later(),
        },
        kind="tie",
        doc="Shared matrices, and a difference of low rank that each loop has of its own.",
        source="Bae et al. 2024, arXiv 2410.20672",
    ),
    LayerType(
        "projected",
        "archsearch.depth.tie:Projected",
        kind="tie",
        doc="Shared weights, and a small perceptron of its own behind each loop.",
        source="Shen et al. 2021, arXiv 2111.05297",
    ),
    LayerType(
        "sliced",
        "archsearch.depth.sliced:Sliced",
        {"slices": integer(4, 1, 4096, search=(2, 4, 8), doc="steps of a slice, and groups")},
        kind="tie",
        doc="As projected, and loops see slices and strewn groups of the sequence in turn.",
        source="Shen et al. 2021, arXiv 2111.05297",
    ),
    LayerType(
        "injected",
        "archsearch.depth.tie:Injected",
        {
            "noise": real(
                0.0,
                0.0,
                10.0,
                search=(0.0, 0.6),
                doc="deviation of the random state that the first loop begins with; 0: the input",
            ).added_later()
        },
        kind="tie",
        doc="Shared weights; each loop reads the stage's input beside the loop before it.",
        source="Geiping et al. 2025, arXiv 2502.05171",
    ),
)

HALTING = (
    LayerType(
        "none",
        "archsearch.depth.loops:FixedDepth",
        kind="halting",
        doc="Every position passes through the stage as often as it is looped.",
    ),
    LayerType(
        "act",
        "archsearch.depth.act:AdaptiveDepth",
        {
            "threshold": real(
                0.01, 0.0001, 0.5, doc="a position stops once it has halted up to this rest"
            ),
            "weight": real(
                0.01,
                0.0,
                1.0,
                search=FloatRange(0.001, 0.1, log=True),
                doc="what the loss pays per loop and position",
            ),
            "mode": choice(
                *("accumulate", "t2t_basic"),
                search=(),
                doc="the sum of all loops by their shares, or the mixing of tensor2tensor",
            ).added_later(),
        },
        kind="halting",
        doc="Each position decides how many loops it needs; the answer is their weighted sum.",
        source="Graves 2016, arXiv 1603.08983",
    ),
    LayerType(
        "ponder",
        "archsearch.depth.ponder:PonderDepth",
        {
            "prior": real(
                0.3,
                0.01,
                0.99,
                search=(0.1, 0.3, 0.5),
                doc="probability to halt that costs nothing",
            ),
            "weight": real(
                0.01,
                0.0,
                1.0,
                search=FloatRange(0.001, 0.1, log=True),
                doc="what the loss pays for being far from it",
            ),
        },
        kind="halting",
        doc="Each position halts with a probability, and the loss is a mean over its loops.",
        source="Banino et al. 2021, arXiv 2107.05407",
    ),
    LayerType(
        "supervised",
        "archsearch.depth.loops:SupervisedDepth",
        kind="halting",
        doc="All loops, and the loss is the mean over what each of them would answer.",
        source="Palm et al. 2018, arXiv 1711.08028",
    ),
    LayerType(
        "varied",
        "archsearch.depth.varied:VariedDepth",
        {
            "spread": real(
                0.5, 0.0, 3.0, search=(0.25, 0.5, 1.0), doc="of the logarithm of the loops' rate"
            ),
            "truncate": integer(
                0, 0, 1000, search=(0, 4, 8), doc="loops that gradients reach back through; 0: all"
            ),
        },
        kind="halting",
        doc="A number of loops drawn for each batch in training, so that others serve as well.",
        source="Geiping et al. 2025, arXiv 2502.05171",
    ),
    LayerType(
        "saturated",
        "archsearch.depth.saturated:SaturatedDepth",
        {
            "rest": real(
                0.03,
                1e-6,
                1.0,
                search=FloatRange(0.003, 0.3, log=True),
                doc="a position stops once a loop changes it by less than this",
            ),
            "measure": choice(
                "latent",
                "answer",
                doc="its share of the position, or the divergence of what the head says of it",
            ).added_later(),
        },
        kind="halting",
        doc="Trained with all loops; in use a position stops once it changes little.",
        source="Geiping et al. 2025, arXiv 2502.05171",
    ),
    LayerType(
        "routed",
        "archsearch.depth.routed:RoutedDepth",
        {
            "balance": real(
                0.01, 0.0, 1.0, search=(0.0, 0.01, 0.1), doc="what the loss pays for uneven use"
            ),
            "price": real(
                0.0, 0.0, 1.0, search=(0.0, 0.001, 0.01), doc="what it pays for each expected loop"
            ),
        },
        kind="halting",
        doc="A router gives each position its number of loops before the first of them.",
        source="Bae et al. 2025, arXiv 2507.10524",
    ),
    LayerType(
        "narrowed",
        "archsearch.depth.narrowed:NarrowedDepth",
        {
            "weight": real(
                0.1, 0.0, 10.0, search=(0.01, 0.1, 1.0), doc="of telling who goes on by itself"
            ),
            "scale": real(1.0, 0.01, 1.0, search=(0.1, 1.0), doc="of what each loop adds"),
        },
        kind="halting",
        doc="Each loop keeps fewer positions, those that a router of its own ranks highest.",
        source="Bae et al. 2025, arXiv 2507.10524",
    ),
)

DEPTH = TIES + HALTING
