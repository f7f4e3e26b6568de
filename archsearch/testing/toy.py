"""A small space with every sort of decision, and a function on it whose optimum is known."""

from __future__ import annotations

import math
import random

from archsearch.spec.architecture import Architecture, Block, Layer
from archsearch.spec.catalog import Catalog, LayerType, flag, integer, real
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.openlayer import OpenLayer, OpenStage
from archsearch.spec.space import Space
from archsearch.spec.tree import Fixed, Range, Record, Row, pick
from archsearch.spec.trial import Outcome, Point, State, Trial


def example_space() -> Space:
    """Eight conditional decisions with every sort of domain, over declarations of its own."""
    leaky = LayerType("leaky", "", {"decay": real(0.5, 0.0, 1.0), "lags": integer(1, 1, 64)})
    window = LayerType("window", "", {"size": integer(1, 1, 9), "wrap": flag(False)})
    gates = [LayerType(name, "", kind="gate") for name in ("none", "additive")]
    sgd = LayerType(
        "sgd", "", {"lr": real(0.01, 1e-4, 1.0), "decay": real(0.0, 0.0, 0.5)}, kind="training"
    )
    cells = pick(
        [
            OpenLayer(
                leaky,
                (
                    ("decay", Range(FloatRange(0.0, 1.0))),
                    ("lags", Range(IntRange(1, 64, log=True))),
                ),
            ),
            OpenLayer(
                window,
                (
                    ("size", Range(IntRange(1, 9, step=2))),
                    ("wrap", pick(map(Fixed, (False, True)))),
                ),
            ),
        ]
    )
    block = Record(
        Block, (("cell", cells), ("gate", pick([OpenLayer(gate, ()) for gate in gates])))
    )
    stage = OpenStage(
        repeat=Range(IntRange(1, 3)),
        loops=Fixed(1),
        tie=Fixed(Layer("shared")),
        halting=Fixed(Layer("none")),
        blocks=Row((block,)),
    )
    training = OpenLayer(
        sgd,
        (
            ("lr", Range(FloatRange(1e-4, 1.0, log=True))),
            ("decay", Range(FloatRange(0.0, 0.5, step=0.1))),
        ),
    )
    fields = (
        ("width", pick(map(Fixed, (16, 32, 64)))),
        ("stages", Row((stage,))),
        ("training", training),
    )
    slots = {
        "channel": "none",
        "norm": "rmsnorm",
        "embed": "linear",
        "head": "linear",
        "tie": "shared",
        "halting": "none",
        "sparsity": "none",
    }
    plain = [LayerType(name, "", kind=kind) for kind, name in slots.items()]
    return Space(Record(Architecture, fields), Catalog([leaky, window, *gates, sgd, *plain]))


def toy_outcome(architecture: Architecture, state: State = State.COMPLETE) -> Outcome:
    """A smooth error with one best branch; its optimum, 0, is at a leaky cell with decay 0.3."""
    cell = dict(architecture.stages[0].blocks[0].cell.options)
    lr = float(str(architecture.training["lr"]))
    error = 0.2 * (math.log10(lr) + 2) ** 2 + (architecture.width != 32) * 0.3
    if "decay" in cell:
        error += (float(str(cell["decay"])) - 0.3) ** 2 * 4
        error += abs(math.log2(int(str(cell["lags"]))) - 3) / 6
    else:
        error += 0.7 + abs(int(str(cell["size"])) - 5) / 8
    params = float(architecture.width**2 * architecture.stages[0].repeat)
    return Outcome(state, (("error", error), ("score", -error), ("params", params)))


def toy_trial(space: Space, index: int, point: Point, outcome: Outcome | None = None) -> Trial:
    """A finished trial of ``point``, with the outcome of the toy function unless one is given."""
    architecture = space.architecture(point)
    result = toy_outcome(architecture) if outcome is None else outcome
    return Trial(index, "search", point, architecture, architecture.digest, index, result)


def random_history(space: Space, count: int, seed: int = 0) -> list[Trial]:
    """``count`` trials at random points; one in five failed in one way or another."""
    rng = random.Random(seed)
    failures = [state for state in State if state is not State.COMPLETE]
    history = []
    for index in range(count):
        point = space.sample(rng)
        outcome = Outcome(rng.choice(failures)) if rng.random() < 0.2 else None
        history.append(toy_trial(space, index, point, outcome))
    return history
