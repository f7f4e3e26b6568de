"""Everything around the sequence mixer, as plain data: gates, channel mixers, norms, ends."""

from __future__ import annotations

from archsearch.blocks.channels.declared_channels import CHANNELS
from archsearch.blocks.ends.declared_heads import special_heads
from archsearch.blocks.structure.declared_structure import STRUCTURE
from archsearch.spec.catalog import LayerType, choice, integer, real
from archsearch.spec.domains import FloatRange

GATES = (
    LayerType(
        "additive",
        "archsearch.blocks.gates:Additive",
        kind="gate",
        doc="The plain residual stream: x + f(x).",
        source="He et al. 2015, arXiv 1512.03385",
    ),
    LayerType(
        "highway",
        "archsearch.blocks.gates:Highway",
        {
            "bias": real(
                -2.0,
                -8.0,
                4.0,
                search=FloatRange(-4.0, 0.0),
                doc="where the gate starts; about -log(depth) trains deep stacks",
            ),
        },
        kind="gate",
        doc="A coupled gate of the input, t f(x) + (1 - t) x with t = sigmoid(W x + bias).",
        source="Srivastava et al. 2015, arXiv 1505.00387",
    ),
    LayerType(
        "none",
        "archsearch.blocks.gates:Replace",
        kind="gate",
        doc="No residual stream: the layer's output replaces its input.",
    ),
    LayerType(
        "input_dependent",
        "archsearch.blocks.gates:InputDependent",
        {"bias": real(-2.0, -8.0, 4.0, search=FloatRange(-4.0, 0.0), doc="where the gate starts")},
        kind="gate",
        doc="A coupled gate that sees the stream and the layer, g f(x) + (1 - g) x.",
        source="taxonomy: Heidenreich et al. 2024, arXiv 2410.02654; Ma et al. 2022, arXiv "
        "2209.10655",
    ),
    LayerType(
        "learned_rate",
        "archsearch.blocks.gates:LearnedRate",
        {
            "start": real(
                -2.0, -8.0, 8.0, search=FloatRange(-4.0, 0.0), doc="the rate's logit at the start"
            )
        },
        kind="gate",
        doc="A rate per feature, the same for every input: (1 - r) x + r f(x).",
        source="taxonomy: Heidenreich et al. 2024, arXiv 2410.02654",
    ),
    LayerType(
        "rezero",
        "archsearch.blocks.gates:ReZero",
        kind="gate",
        doc="x + a f(x) with one learned a that starts at zero; trains very deep stacks.",
        source="Bachlechner et al. 2020, arXiv 2003.04887",
    ),
    LayerType(
        "layerscale",
        "archsearch.blocks.gates:LayerScale",
        {"start": real(0.1, 1e-6, 1.0, search=(0.1, 1e-3, 1e-5), doc="every scale at the start")},
        kind="gate",
        doc="x + s f(x) with a learned scale per feature that starts small.",
        source="Touvron et al. 2021, arXiv 2103.17239",
    ),
    LayerType(
        "multiplicative",
        "archsearch.blocks.gates:Multiplicative",
        kind="gate",
        doc="The layer opens and closes the stream and adds nothing: 2 sigmoid(f(x)) x.",
        source="Hu et al. 2018, arXiv 1709.01507",
    ),
    LayerType(
        "gru",
        "archsearch.blocks.gates:GRUGate",
        {
            "bias": real(
                2.0, -4.0, 8.0, search=(0.0, 1.0, 2.0), doc="above zero the stream is carried"
            )
        },
        kind="gate",
        doc="A gated recurrent unit across depth, the stream its state.",
        source="Parisotto et al. 2019, arXiv 1910.06764",
    ),
    LayerType(
        "stochastic_depth",
        "archsearch.blocks.gates:StochasticDepth",
        {
            "survive": real(
                0.9,
                0.1,
                1.0,
                search=(0.5, 0.8, 0.9),
                doc="how often a layer takes part in training",
            )
        },
        kind="gate",
        doc="The residual stream, with whole layers left out at random in training.",
        source="Huang et al. 2016, arXiv 1603.09382",
    ),
    LayerType(
        "output",
        "archsearch.blocks.gates:OutputGate",
        {"bias": real(1.0, -4.0, 4.0, search=(0.0, 1.0, 2.0), doc="where the gate starts")},
        kind="gate",
        doc="x + o f(x) with an output gate o of the stream.",
        source="Hochreiter and Schmidhuber 1997; around attention: arXiv 2306.12929",
    ),
)

NORMS = (
    LayerType(
        "rmsnorm",
        "archsearch.blocks.norms:RMSNorm",
        kind="norm",
        doc="x over its root mean square across the width, times a learned scale.",
        source="Zhang and Sennrich 2019, arXiv 1910.07467",
    ),
    LayerType(
        "layernorm",
        "archsearch.blocks.norms:LayerNorm",
        kind="norm",
        doc="x centred and scaled to unit variance across the width, with learned scale and shift.",
        source="Ba et al. 2016, arXiv 1607.06450",
    ),
    LayerType("none", "torch.nn:Identity", kind="norm", doc="No normalisation."),
)

_POOLS = ("last", "mean", "max", "kmax", "attention")
_POOL = "how one target per sequence reads the time steps; unused with one per step"
_READING = {
    "pool": choice(*_POOLS, doc=_POOL),
    "dropout": real(
        0.0, 0.0, 0.9, search=(0.0, 0.1, 0.3), doc="of what the head reads, in training"
    ),
}

ENDS = (
    LayerType(
        "linear",
        "archsearch.blocks.ends.embed:LinearEmbed",
        {
            "positions": choice(
                "none", "sinusoidal", doc="what is added to tell one time step from another"
            ),
        },
        kind="embed",
        doc="Channels to the width by a linear map; tokens by a table of vectors.",
    ),
    LayerType(
        "linear",
        "archsearch.blocks.ends.head:LinearHead",
        {
            **_READING,
            "pool": choice(*_POOLS, "lama", doc=_POOL),
            "pool_heads": integer(4, 1, 256, search=(1, 4, 8), doc="weighted means of the steps")
            .only_when(pool="lama")
            .added_later(),
            "pool_rank": real(
                0.25, 1e-3, 1.0, search=(0.125, 0.25, 0.5), doc="rank of the scores per width"
            )
            .only_when(pool="lama")
            .added_later(),
        },
        kind="head",
        doc="A linear map from the width to the outputs.",
        source="lama: Mehta et al. 2019, arXiv 1912.00835",
    ),
)

HEADS = special_heads(_READING)

BLOCKS = GATES + CHANNELS + NORMS + ENDS + HEADS + STRUCTURE
