"""The policies that a network can have, fitted to data: thresholds, prices, libraries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from archsearch.adapt.chain import Chain
from archsearch.adapt.examples import Examples
from archsearch.adapt.labels.cover import library
from archsearch.adapt.labels.graded import Graded
from archsearch.adapt.policies.cascade import Cascade, Patience, Rung, loop_rungs, prefix_rungs
from archsearch.adapt.policies.halting import halting_of
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.policies.router import Router, fit_router
from archsearch.adapt.policies.static import best_static, truncations
from archsearch.adapt.policies.view import Signal, WholeView
from archsearch.adapt.walk import Walk
from archsearch.spec.depthsettings import DepthSettings

PLACES = 16
PRICES = tuple(float(f"{price:.3g}") for price in np.geomspace(0.01, 2.0, PLACES))
# of all sequences that a chain as dear as the network must win to enter the library
PRICE = 0.02


def fitted(
    walk: Walk, search: Examples, graded: Graded, tune: Examples, settings: DepthSettings
) -> dict[str, Policy]:
    """Every policy that fits the network and its answers, by name.

    Chains and the router learn on ``search``, with ``graded`` made of it; thresholds are spread
    evenly over what sureness is on ``tune``, whose labels are not looked at.
    """
    classes = search.classes is not None
    found: dict[str, Policy] = {
        "static": best_static(graded, walk.plain),
        "prefix": truncations(walk.depth),
    }
    rungs = prefix_rungs(walk.depth)
    signals: tuple[Signal, ...] = ("gap", "entropy", "cosine") if classes else ("cosine",)
    for signal in signals:
        found[signal] = cascade(walk, tune, signal, rungs)
    found["patience"] = Patience(rungs)
    if walk.depth:
        found["router"] = router(walk, search, graded, settings)
    if classes and (through := loop_rungs(walk.units, look_through=True)):
        found["loop_gap"] = cascade(walk, tune, "gap", through)
    if loops := loop_rungs(walk.units, look_through=False):
        found["loop_cosine"] = cascade(walk, tune, "cosine", loops)
    if halting := halting_of(walk):
        found["halting"] = halting
    return {name: policy for name, policy in found.items() if policy.settings > 1}


@torch.inference_mode()
def cascade(walk: Walk, tune: Examples, signal: Signal, rungs: Sequence[Rung]) -> Cascade:
    """With thresholds at quantiles of the sureness over all rungs."""
    seen = []
    for batch in tune.batches():
        view = WholeView(walk, batch.x, batch.lengths, tune.classes is not None)
        rows = torch.arange(len(batch))
        seen += [view.sureness(signal, rung.look, rows) for rung in rungs]
    if not seen:
        return Cascade(signal, (), ())
    values = torch.cat(seen).double().numpy()
    marks = np.quantile(values, np.linspace(1, 0, PLACES))
    # a little below, so that rounding does not keep back the one that set the mark
    thresholds = dict.fromkeys(float(f"{mark - 1e-7:.7g}") for mark in marks)
    return Cascade(signal, tuple(rungs), tuple(thresholds))


@torch.inference_mode()
def router(walk: Walk, search: Examples, graded: Graded, settings: DepthSettings) -> Router:
    """The best static chains and a library by set cover; who is answered right by what, learned."""
    static = best_static(graded, walk.plain).steps[: settings.chains // 2]
    covering = library(graded, walk.plain, settings.chains, PRICE)
    chosen = tuple(dict.fromkeys((walk.plain, *static, *covering)))[: settings.chains]
    features = []
    for batch in search.batches():
        view = WholeView(walk, batch.x, batch.lengths, search.classes is not None)
        features.append(view.features(Chain((0,)), torch.arange(len(batch))))
    merits = graded.of(chosen)
    right = merits.score
    if search.classes is None:
        # nearly as good as the network itself
        plain = merits.score[:, :1]
        right = merits.score >= plain - 0.1 * np.abs(np.median(plain))
    return fit_router(torch.cat(features), right, chosen, PRICES)
