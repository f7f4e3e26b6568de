"""The channel mixers as plain data."""

from __future__ import annotations

from archsearch.blocks.activations.declared_activations import activation
from archsearch.spec.catalog import LayerType, choice, flag, integer, real

_GRID = integer(5, 2, 32, search=(3, 5, 8), doc="intervals between 0 and 1")
_ORDER = integer(3, 1, 5, search=(2, 3), doc="degree: how many neighbours overlap, less one")

CHANNELS = (
    LayerType(
        "none",
        "torch.nn:Identity",
        kind="channel",
        doc="No channel mixer after the cell.",
    ),
    LayerType(
        "mlp",
        "archsearch.blocks.channels.channels:MLP",
        {
            "expand": real(2.0, 0.25, 16.0, search=(1.0, 2.0, 4.0), doc="hidden units per width"),
            **activation("gelu", ("relu", "gelu", "relu2"), "of the hidden units"),
        },
        kind="channel",
        doc="Two linear maps with an activation between; 2 expand width^2 weights.",
        source="Vaswani et al. 2017, arXiv 1706.03762",
    ),
    LayerType(
        "glu",
        "archsearch.blocks.channels.channels:GLU",
        {
            "expand": real(2.0, 0.25, 16.0, search=(1.0, 2.0, 4.0), doc="hidden units per width"),
            **activation(
                "silu",
                ("silu", "gelu", "sigmoid"),
                "of the gating half: silu is SwiGLU, identity is bilinear",
            ),
        },
        kind="channel",
        doc="A gated linear unit; 3 expand width^2 weights, as an mlp of 3/2 times its expand has.",
        source="Shazeer 2020, arXiv 2002.05202",
    ),
    LayerType(
        "kan",
        "archsearch.blocks.channels.spline_channels:KAN",
        {"grid": _GRID, "order": _ORDER},
        kind="channel",
        doc="A Kolmogorov-Arnold layer: learned splines on every edge.",
        source="Liu et al. 2024, arXiv 2404.19756",
    ),
    LayerType(
        "relu_kan",
        "archsearch.blocks.channels.spline_channels:ReLUKAN",
        {"grid": _GRID, "order": _ORDER},
        kind="channel",
        doc="A Kolmogorov-Arnold layer with bumps made of two rectifiers, whose ends are learned.",
        source="Qiu et al. 2024, arXiv 2406.02075",
    ),
    LayerType(
        "af_kan",
        "archsearch.blocks.channels.spline_channels:AFKAN",
        {
            "grid": _GRID,
            "order": _ORDER,
            "side": choice(
                *("silu", "gelu", "relu"),
                doc="what either end of a bump passes through",
            ),
            "combined": choice(
                *("quad1", "quad2", "sum", "prod", "sum_prod", "cubic1", "cubic2"),
                doc="a bump of its two ends: the square of their product, sums and products, cubes",
            ),
            "base": flag(False, doc="add a linear map of silu(x)"),
        },
        kind="channel",
        doc="A Kolmogorov-Arnold layer whose bumps an attention makes one feature per input.",
        source="Ta et al. 2025, arXiv 2503.06112",
    ),
    LayerType(
        "quadratic",
        "archsearch.blocks.channels.other_channels:Quadratic",
        {
            "expand": real(1.0, 0.25, 16.0, search=(0.5, 1.0, 2.0), doc="hidden units per width"),
            **activation("relu", ("relu", "gelu", "identity"), "of the hidden units"),
        },
        kind="channel",
        doc="A perceptron of quadratic neurons that start as linear ones.",
        source="Fan et al. 2021, arXiv 2110.06081",
    ),
    LayerType(
        "random_features",
        "archsearch.blocks.channels.other_channels:RandomFeatures",
        {
            "expand": real(4.0, 0.25, 64.0, search=(2.0, 4.0, 8.0), doc="features per width"),
            "scale": real(
                1.0, 0.01, 100.0, search=(0.5, 1.0, 2.0), doc="how far apart inputs look alike"
            ),
        },
        kind="channel",
        doc="Frozen random features of a Gaussian kernel and one trained map.",
        source="Rahimi and Recht 2007; Sehanobish et al. 2023, arXiv 2310.13225",
    ),
    LayerType(
        "hyper",
        "archsearch.blocks.channels.hyper_channels:HyperMLP",
        {
            "expand": real(2.0, 0.25, 16.0, search=(1.0, 2.0, 4.0), doc="hidden units per width"),
            "code": integer(4, 1, 64, search=(2, 4, 8), doc="numbers that describe a position"),
            "target": choice(
                *("rows", "low_rank", "full"),
                doc="what the code makes: a factor per row of the first map, the middle of a "
                "low-rank one, or all of it",
            ),
            "rank": integer(4, 1, 256, search=(2, 4, 8), doc="of the low-rank map").only_when(
                target="low_rank"
            ),
            **activation("gelu", ("relu", "gelu", "relu2"), "of the hidden units"),
        },
        kind="channel",
        doc="A perceptron whose first map is made anew at every position, near one of its own.",
        source="Ha et al. 2016, arXiv 1609.09106; Ortiz, Guttag and Dalca 2023, arXiv 2304.07645",
    ),
    LayerType(
        "codebook",
        "archsearch.blocks.channels.bottleneck_channels:Codebook",
        {
            "codes": integer(64, 2, 65_536, search=(16, 64, 256), doc="what there is to pass on"),
            "active": integer(1, 1, 64, search=(1, 2, 4), doc="codes that are summed"),
            "commitment": real(
                0.25, 0.0, 10.0, search=(0.1, 0.25, 1.0), doc="how strongly inputs keep to codes"
            ),
        },
        kind="channel",
        doc="A few of finitely many learned codes, with gradients straight through the choice.",
        source="Tamkin et al. 2023, arXiv 2310.17230; van den Oord et al. 2017, arXiv 1711.00937",
    ),
    LayerType(
        "key_value",
        "archsearch.blocks.channels.bottleneck_channels:KeyValue",
        {
            "heads": integer(4, 1, 256, search=(2, 4, 8), doc="keys that are looked up"),
            "keys": integer(64, 2, 65_536, search=(32, 64, 256), doc="to choose from, per head"),
        },
        kind="channel",
        doc="Learned values of the nearest of frozen random keys; a step changes few of them.",
        source="Träuble et al. 2022, arXiv 2207.11240",
    ),
)
