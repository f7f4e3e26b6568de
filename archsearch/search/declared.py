"""The built-in samplers and stopping rules as plain data: names, options, defaults, sources."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, integer, real

SAMPLERS = (
    LayerType(
        "random",
        "archsearch.search.random:Random",
        kind="sampler",
        doc="Every decision drawn from its domain, whatever the history.",
        source="Bergstra & Bengio 2012, Random Search for Hyper-Parameter Optimization",
    ),
    LayerType(
        "tpe",
        "archsearch.search.bayesian:Bayesian",
        {
            "startup": integer(10, 1, 10_000, doc="trials with a value before the model is used"),
            "window": integer(
                200, 40, 5_000, doc="most trials the model is fitted to; bounds its cost"
            ),
            "candidates": integer(24, 1, 1_000, doc="draws of which the best is proposed"),
        },
        kind="sampler",
        doc="Tree-structured Parzen estimator; several objectives and constraints included.",
        source="Bergstra et al. 2011; Ozaki et al. 2022 (several objectives); Watanabe 2023",
    ),
)

STOPPING = (
    LayerType("none", "", kind="stopping", doc="Every trial is trained to its end."),
    LayerType(
        "median",
        "archsearch.search.stopping:median",
        {
            "warmup": integer(10, 2, 10_000, doc="trials at a step before it stops any"),
            "after": real(0.2, 0.0, 1.0, doc="share of the training that no trial is denied"),
            "window": integer(100, 10, 5_000, doc="most recent trials that are compared with"),
        },
        kind="stopping",
        doc="Stops a trial that is worse than half of the trials so far at the same step.",
        source="Golovin et al. 2017, Google Vizier, section 3.2.2",
    ),
    LayerType(
        "halving",
        "archsearch.search.stopping:halving",
        {
            "eta": integer(3, 2, 16, doc="one trial in eta passes each rung"),
            "rungs": integer(3, 1, 8, doc="rungs at 1/eta, 1/eta^2, ... of the training"),
            "warmup": integer(9, 2, 10_000, doc="trials at a rung before it stops any"),
            "window": integer(100, 10, 5_000, doc="most recent trials that are compared with"),
        },
        kind="stopping",
        doc="Asynchronous successive halving: at each rung only the best share goes on.",
        source="Li et al. 2020, A System for Massively Parallel Hyperparameter Tuning",
    ),
)

SEARCH = SAMPLERS + STOPPING
