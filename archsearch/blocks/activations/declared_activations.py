"""The activations as plain data: their names, and the options that some of them have."""

from __future__ import annotations

from archsearch.spec.catalog import Option, choice, real

FUNCTIONS = (
    *("relu", "leaky_relu", "relu2", "gelu", "gelu_tanh", "gelu_sigmoid", "silu", "mish", "selu"),
    *("softplus", "tanh", "sigmoid", "laplace", "identity"),
)
MODULES = (
    *("swish", "smelu", "gsmelu", "velu", "polyrelu", "polynorm", "crelu", "cst", "stochastic"),
    *("composed", "rescu", "circa"),
)
UNARY = (
    *("x", "negative", "abs", "square", "cube", "root", "log", "exp", "sin", "cos", "sinh", "cosh"),
    *("tanh", "asinh", "atan", "sinc", "relu", "below", "sigmoid", "softplus", "bell", "erf"),
)
BINARY = (
    *("add", "multiply", "subtract", "divide", "max", "min", "gate", "bell", "laplace", "mix"),
)
# the twelve times six times twelve that a small search can hope to cover
FEW_UNARY = (
    *("x", "negative", "abs", "square", "sin", "cos", "tanh", "atan", "sinc", "relu", "sigmoid"),
    "bell",
)
FEW_BINARY = ("add", "multiply", "subtract", "max", "min", "gate")


def activation(default: str, searched: tuple[str, ...], doc: str) -> dict[str, Option]:
    """The option ``activation`` and those that only some of its values have."""
    return {
        "activation": choice(*FUNCTIONS, *MODULES, default=default, search=searched, doc=doc).alias(
            "aptx", activation="swish", beta=2.0
        ),
        "beta": real(
            1.0,
            0.05,
            10.0,
            search=(0.5, 1.0, 2.0),
            doc="swish: where its slope starts; smelu, gsmelu: half the width of the bend",
        ).only_when(activation=("swish", "smelu", "gsmelu")),
        "alpha": real(
            2.0, 0.05, 4.0, search=(0.1, 1.0, 2.0), doc="how far from a straight line velu is"
        ).only_when(activation="velu"),
        "sparsity": real(
            0.7, 0.5, 0.95, search=(0.6, 0.7, 0.85), doc="share of the units that are zero"
        ).only_when(activation=("crelu", "cst")),
        "contraction": real(
            0.7,
            0.1,
            0.95,
            search=(0.5, 0.7, 0.9),
            doc="slope of the variance map: 0.5 is safest, 0.9 most expressive",
        ).only_when(activation=("crelu", "cst")),
        "share": real(
            0.7, 0.0, 1.0, search=(0.3, 0.7), doc="how often silu stands below zero in training"
        ).only_when(activation="stochastic"),
        "evaluated": choice(
            "relu", "silu", "mean", doc="what stands below zero once trained"
        ).only_when(activation="stochastic"),
        "first": choice(
            *UNARY, default="x", search=FEW_UNARY, doc="what becomes of the scaled input"
        ).only_when(activation="composed"),
        "second": choice(
            *UNARY, default="sigmoid", search=FEW_UNARY, doc="what becomes of the input as it is"
        ).only_when(activation="composed"),
        "binary": choice(
            *BINARY, default="multiply", search=FEW_BINARY, doc="what the two make together"
        ).only_when(activation="composed"),
        "left": real(
            0.5, 0.01, 10.0, search=(0.1, 0.5, 1.0), doc="how far below zero the bend begins"
        ).only_when(activation="rescu"),
        "right": real(
            0.5, 0.01, 10.0, search=(0.1, 0.5, 1.0), doc="how far above zero the bend ends"
        ).only_when(activation="rescu"),
        "below": real(
            0.01, -1.0, 1.0, search=(0.0, 0.01, 0.2), doc="slope before the bend"
        ).only_when(activation="rescu"),
        "above": real(1.0, 0.05, 4.0, doc="slope after the bend").only_when(activation="rescu"),
        "lift": real(0.0, -4.0, 4.0, doc="the height of the line below at zero").only_when(
            activation="rescu"
        ),
        "bend": choice(
            "parabola", "smooth", doc="how the slope rises: evenly, or slowly at both ends"
        ).only_when(activation="rescu"),
        "reach": real(
            0.5, 0.01, 100.0, search=(0.1, 0.5, 1.0), doc="beyond it no sign is mistaken"
        ).only_when(activation="circa"),
        "faults": choice(
            "pos_zero", "neg_pass", doc="what a mistaken sign does: kills, or lets pass"
        ).only_when(activation="circa"),
        "settled": choice(
            "relu", "mean", doc="what stands once trained: no faults, or their average"
        ).only_when(activation="circa"),
    }
