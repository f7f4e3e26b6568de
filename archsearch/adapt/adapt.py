"""Fits a network with a policy: search with labels, choose, calibrate, and measure on test.

Each step has data of its own. What is reported of the oracle uses labels and stands apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from archsearch.adapt.adapted import Adapted
from archsearch.adapt.certify import Certificate, Method, conformal_risk, learn_then_test
from archsearch.adapt.chain import Chain
from archsearch.adapt.curve import areas, curve, interval, resampled
from archsearch.adapt.examples import Examples
from archsearch.adapt.families import fitted
from archsearch.adapt.labels.cover import searched
from archsearch.adapt.labels.graded import Graded
from archsearch.adapt.labels.oracle import oracle
from archsearch.adapt.measured import Measured, measure
from archsearch.adapt.policies.cascade import Cascade
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.walk import Walk
from archsearch.build import Model
from archsearch.depth.area import area
from archsearch.errors import InputError
from archsearch.spec.depthsettings import DepthSettings

FEWEST = 6
DRAWS = 1000


@dataclass(frozen=True)
class Parts:
    """Sequences that the network was not trained on, in four parts that share none."""

    search: Examples
    tune: Examples
    calibrate: Examples
    test: Examples


def apart(held: Examples, test: Examples, seed: int) -> Parts:
    """Two fifths to search with, one to tune, two to calibrate, drawn at random."""
    if len(held) < FEWEST:
        raise InputError(
            f"{len(held)} held-out sequences are too few to adapt with; {FEWEST} are needed"
        )
    order = torch.randperm(len(held), generator=torch.Generator().manual_seed(seed))
    first, second = max(2, 2 * len(held) // 5), max(3, 3 * len(held) // 5)
    rows = (order[:first], order[first:second], order[second:])
    search, tune, calibrate = (held.take(part.sort().values) for part in rows)
    return Parts(search, tune, calibrate, test)


def split(whole: Examples, share: float, seed: int) -> tuple[Examples, Examples]:
    """Two parts drawn at random, the second with about that share of them and at least one."""
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed))
    count = max(1, round(share * len(whole)))
    return whole.take(order[count:].sort().values), whole.take(order[:count].sort().values)


def adapt(
    model: Model,
    parts: Parts,
    settings: DepthSettings,
    *,
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> Adapted:
    """The policy asked for, or the best one; ``say`` is told what is being done.

    Raises InputError where the network has nothing to leave out, or not the policy asked for.
    """
    walk = Walk(model)
    if not walk.depth:
        raise InputError("the network has no layers that could be left out")
    say(f"searching chains of {walk.depth} positions on {len(parts.search)} sequences")
    graded = searched(
        walk, parts.search, moves=settings.moves, simulations=settings.simulations, seed=seed
    )
    policies = fitted(walk, parts.search, graded, parts.tune, settings)
    if settings.policy not in ("best", *policies):
        raise InputError(
            f"policy '{settings.policy}' does not fit this network; there are: "
            f"best, {', '.join(policies)}"
        )
    say(f"tuning {len(policies)} policies on {len(parts.tune)} sequences")
    tuned = {name: measure(policy, walk, parts.tune) for name, policy in policies.items()}
    name = settings.policy
    if name == "best":
        least = _least(walk, parts.tune)
        name = max(tuned, key=lambda each: _area(tuned[each], least))
    policy = policies[name]
    say(f"calibrating '{name}' on {len(parts.calibrate)} sequences")
    certificate = certified(policy, walk, parts.calibrate, settings)
    say(f"measuring on {len(parts.test)} test sequences")
    report = reported(walk, policies, parts, graded, seed)
    compute = tuple(round(float(cost), 6) for cost in tuned[name].compute.mean(0))
    return Adapted(name, policy, compute, certificate, report)


def certified(
    policy: Policy, walk: Walk, calibrate: Examples, settings: DepthSettings
) -> Certificate | None:
    """How far the knob may be turned; None where no guarantee is asked for."""
    if settings.guarantee == "none":
        return None
    losses = measure(policy, walk, calibrate).risk(settings.risk)
    method: Method = "crc" if settings.guarantee == "crc" else "ltt"
    if method == "crc":
        setting = conformal_risk(losses, settings.delta)
    else:
        setting = learn_then_test(losses, settings.delta, settings.epsilon)
    threshold = f"setting {setting}"
    if isinstance(policy, Cascade) and setting:
        threshold = f"{policy.signal} >= {policy.thresholds[setting - 1]:g}"
    return Certificate(
        method,
        settings.risk,
        settings.delta,
        settings.epsilon if method == "ltt" else None,
        setting,
        threshold,
        len(calibrate),
        tuple(round(float(loss), 6) for loss in losses.mean(0)),
    )


def reported(
    walk: Walk, policies: dict[str, Policy], parts: Parts, graded: Graded, seed: int
) -> dict[str, Any]:
    """Plain data: for each policy its curve and area on test, and the oracle's table apart."""
    test = parts.test
    found = {name: measure(policy, walk, test) for name, policy in policies.items()}
    shares = resampled(len(test), DRAWS, seed)
    least = _least(walk, test)
    static = found.get("static")
    whole = {name: areas(each, least, shares) for name, each in found.items()}
    spread: dict[str, Any] = {}
    for name, (value, draws) in whole.items():
        spread[name] = {"area": value, "interval": list(interval(draws))}
        if static is not None and name != "static":
            spread[name]["gain"] = value - whole["static"][0]
            spread[name]["gain_interval"] = list(interval(draws - whole["static"][1]))
    return {
        "score": "accuracy" if test.classes else "minus squared error",
        "sequences": {
            name: len(part)
            for name, part in (
                ("search", parts.search),
                ("tune", parts.tune),
                ("calibrate", parts.calibrate),
                ("test", test),
            )
        },
        "layers": list(walk.costs),
        "curves": {
            name: [point.to_plain() for point in curve(each, static, shares)]
            for name, each in found.items()
        },
        "areas": spread,
        "oracle": _oracle(walk, parts.search, graded, seed),
    }


@torch.inference_mode()
def _oracle(walk: Walk, examples: Examples, graded: Graded, seed: int) -> dict[str, Any] | None:
    """On what the chains were searched with; None where values are predicted."""
    if graded.said is None:
        return None
    logits = []
    for batch in examples.batches():
        answer = walk.run(walk.plain, batch.x, batch.lengths)
        logits.append(batch.last(answer).double().numpy())
    return oracle(graded, walk.plain, np.concatenate(logits), seed).to_plain()


@torch.inference_mode()
def _least(walk: Walk, examples: Examples) -> np.ndarray:
    """Each sequence's score if no layer is applied."""
    scores = [
        batch.score(walk.run(Chain(), batch.x, batch.lengths)) for batch in examples.batches()
    ]
    return torch.cat(scores).double().numpy()


def _area(found: Measured, least: np.ndarray) -> float:
    return area(found.score.mean(0), found.compute.mean(0), float(least.mean()))
