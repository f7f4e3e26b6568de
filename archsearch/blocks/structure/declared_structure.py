"""How blocks are put together, as plain data: where norms stand, what reads what."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, choice, integer, real
from archsearch.spec.domains import FloatRange

PLACEMENTS = (
    LayerType(
        "pre",
        "archsearch.blocks.structure.placements:PreNorm",
        kind="placement",
        doc="Before the layer; the stream itself is never normalised.",
        source="Xiong et al. 2020, arXiv 2002.04745",
    ),
    LayerType(
        "post",
        "archsearch.blocks.structure.placements:PostNorm",
        kind="placement",
        doc="After the gate, on the stream; deep stacks need a warm-up.",
        source="Vaswani et al. 2017, arXiv 1706.03762",
    ),
    LayerType(
        "sandwich",
        "archsearch.blocks.structure.placements:Sandwich",
        kind="placement",
        doc="Before the layer and, with weights of its own, on what the layer computes.",
        source="Ding et al. 2021, arXiv 2105.13290",
    ),
)

CONNECTIONS = (
    LayerType(
        "chain",
        "archsearch.blocks.structure.connections:Chain",
        kind="connections",
        doc="Each block reads the one before it.",
    ),
    LayerType(
        "dense",
        "archsearch.blocks.structure.connections:Dense",
        {
            "read": choice(
                "weighted",
                "projected",
                doc="a weighted sum, or a linear map of the concatenation; both start as the chain",
            ),
        },
        kind="connections",
        doc="Each block reads the stage's input and the outputs of all blocks before it.",
        source="Huang et al. 2016, arXiv 1608.06993; Pagliardini et al. 2024, arXiv 2402.02622",
    ),
    LayerType(
        "long_residuals",
        "archsearch.blocks.structure.connections:LongResiduals",
        {
            "every": integer(1, 1, 64, search=(1, 2, 4), doc="blocks of one level"),
            "narrow": integer(
                8, 1, 256, search=(4, 8, 16), doc="the width over the rank of a projection"
            ),
        },
        kind="connections",
        doc="A chain whose levels also reach later ones through narrow projections, zero at first.",
        source="after arXiv 2502.16003",
    ),
    LayerType(
        "regulated",
        "archsearch.blocks.structure.regulated:Regulated",
        {"unit": choice("lstm", "gru", doc="the recurrent unit that runs through the blocks")},
        kind="connections",
        doc="A chain whose blocks also read a recurrent memory that runs through depth.",
        source="Xu et al. 2021, arXiv 2101.00590",
    ),
    LayerType(
        "mixture_of_depths",
        "archsearch.blocks.structure.mixture_of_depths:MixtureOfDepths",
        {
            "capacity": real(
                0.125, 0.01, 1.0, search=(0.125, 0.25, 0.5), doc="share of positions, in training"
            ),
            "every": integer(2, 1, 64, search=(1, 2), doc="every so many blocks one is for a few"),
        },
        kind="connections",
        doc="A chain with blocks that only some positions go through, chosen by a router.",
        source="Raposo et al. 2024, arXiv 2404.02258",
    ),
    LayerType(
        "reversible",
        "archsearch.blocks.structure.reversible:Reversible",
        kind="connections",
        doc="Two streams from which training rebuilds its inputs: memory does not grow with depth.",
        source="Gomez et al. 2017, arXiv 1707.04585; Jacobsen et al. 2018, arXiv 1802.07088",
    ),
)

INITS = (
    LayerType(
        "default",
        "archsearch.blocks.starts.inits:Default",
        kind="init",
        doc="Each layer draws its weights as its own paper has it.",
    ),
    LayerType(
        "he",
        "archsearch.blocks.starts.inits:He",
        kind="init",
        doc="Normal maps of variance gain^2 / inputs, the gain that of the activation.",
        source="He et al. 2015, arXiv 1502.01852",
    ),
    LayerType(
        "xavier",
        "archsearch.blocks.starts.inits:Xavier",
        kind="init",
        doc="Normal maps of variance 2 gain^2 / (inputs + outputs).",
        source="Glorot and Bengio 2010",
    ),
    LayerType(
        "lecun",
        "archsearch.blocks.starts.inits:Lecun",
        kind="init",
        doc="Normal maps of variance 1 / inputs, as selu needs them.",
        source="LeCun et al. 1998; Klambauer et al. 2017, arXiv 1706.02515",
    ),
    LayerType(
        "orthogonal",
        "archsearch.blocks.starts.inits:Orthogonal",
        kind="init",
        doc="Orthogonal maps times the gain of the activation.",
        source="Saxe et al. 2014, arXiv 1312.6120",
    ),
    LayerType(
        "truncated_normal",
        "archsearch.blocks.starts.inits:TruncatedNormal",
        {"std": real(0.02, 1e-6, 10.0, search=(0.01, 0.02, 0.05), doc="deviation; cut at twice")},
        kind="init",
        doc="Normal maps of one small deviation, as Transformers for text and images start.",
        source="Devlin et al. 2018, arXiv 1810.04805",
    ),
    LayerType(
        "lsuv",
        "archsearch.blocks.starts.lsuv:LSUV",
        {"tolerance": real(0.1, 1e-3, 1.0, doc="how far a map's deviation may be from 1")},
        kind="init",
        doc="Orthogonal maps, scaled one by one until they compute a deviation of 1.",
        source="Mishkin and Matas 2016, arXiv 1511.06422",
    ),
    LayerType(
        "critical",
        "archsearch.blocks.starts.critical:Criticality",
        kind="init",
        doc="Mixers at the critical point of their activation, biases included.",
        source="Roberts, Yaida and Hanin 2021, arXiv 2106.10165",
    ),
    LayerType(
        "deepscale",
        "archsearch.blocks.starts.deepscale:DeepScale",
        {
            "correlation": real(
                0.221, 1e-3, 1.0, search=(0.05, 0.221, 0.8), doc="of two positions of the input"
            ),
            "strength": real(
                2.0, 0.01, 100.0, search=(1.0, 2.0, 4.0), doc="N times the share of a layer"
            ),
        },
        kind="init",
        doc="A stream of variance 1 through hundreds of blocks; made for the gate 'balanced'.",
        source="Kedia et al. 2024, arXiv 2403.09635",
    ),
)

BALANCED = LayerType(
    "balanced",
    "archsearch.blocks.balanced:Balanced",
    {
        "share": real(
            0.1,
            0.0,
            1.0,
            search=FloatRange(0.01, 0.5, log=True),
            doc="of the layer in the variance; the init deepscale sets it",
        )
    },
    kind="gate",
    doc="A fixed share that keeps variance: sqrt(1 - s) x + sqrt(s) f(x).",
    source="Kedia et al. 2024, arXiv 2403.09635",
)

STRUCTURE = (*PLACEMENTS, *CONNECTIONS, *INITS, BALANCED)
