"""The plain models that an answer must beat, at the answer's own width and training."""

from __future__ import annotations

import math
from dataclasses import replace

from archsearch.errors import InputError
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage, Value
from archsearch.spec.catalog import Catalog, suggestion

NAMES = ("lstm", "gru", "transformer")
BLOCKS = 2


def baseline(name: str, like: Architecture) -> Architecture:
    """Two pre-norm residual blocks of the named kind; raises InputError for an unknown name.

    Width, input, head and training are those of ``like``; nothing loops and nothing is sparse.
    The transformer (Vaswani et al. 2017) has full attention with rotary positions, sinusoidal
    positions on its input, and an MLP of four times the width.
    """
    known(name)
    if name == "transformer":
        block = Block(_attention(like.width), channel=Layer.of("mlp", expand=4.0))
        embed = Layer.of("linear", positions="sinusoidal")
    else:
        block = Block(Layer(name))
        embed = like.embed
    return Architecture(
        width=like.width,
        stages=(Stage((block,) * BLOCKS),),
        embed=embed,
        head=like.head,
        sparsity=NONE,
        training=like.training,
    )


def known(name: str) -> str:
    """The name itself; raises InputError with what exists and what may have been meant."""
    if name not in NAMES:
        raise InputError(
            f"expected a baseline: {', '.join(NAMES)}; got '{name}'" + suggestion(name, NAMES)
        )
    return name


def learning_rates(like: Architecture, catalog: Catalog | None = None) -> tuple[float, ...]:
    """The learning rates a baseline is tuned over: a third of, equal to, and thrice ``like``'s.

    A catalog fills in a rate that ``like`` leaves at its default and clips the grid to the
    declared bounds. Empty when the training has no learning rate.
    """
    training, low, high = like.training, 0.0, math.inf
    if catalog is not None:
        declared = catalog.find("training", training.name)
        training = declared.complete(training)
        if "lr" in declared.options:
            bounds = declared.options["lr"]
            low = low if bounds.low is None else bounds.low
            high = high if bounds.high is None else bounds.high
    rate = dict(training.options).get("lr")
    if not isinstance(rate, float):
        return ()
    return tuple(dict.fromkeys(min(max(rate * by, low), high) for by in (1 / 3, 1.0, 3.0)))


def tuned(name: str, like: Architecture, catalog: Catalog) -> tuple[Architecture, ...]:
    """The baseline at each learning rate, completed; the best on validation is the one to judge."""
    plain = baseline(name, like)
    rates = learning_rates(like, catalog)
    variants = [_at_rate(plain, rate) for rate in rates] or [plain]
    return tuple(catalog.complete_architecture(variant) for variant in variants)


def _at_rate(architecture: Architecture, rate: float) -> Architecture:
    options: dict[str, Value] = dict(architecture.training.options)
    training = Layer(architecture.training.name, tuple((options | {"lr": rate}).items()))
    return replace(architecture, training=training)


def _attention(width: int) -> Layer:
    # rotary positions turn pairs of features, so each head needs an even number of them
    heads = next((count for count in (4, 2, 1) if width % (2 * count) == 0), 1)
    positions = "rope" if width % (2 * heads) == 0 else "alibi"
    return Layer.of("attention", heads=heads, pattern="full", positions=positions)
