"""The ways of training that a space file may name, declared without importing torch."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, integer, real
from archsearch.spec.domains import FloatRange

ADAMW = LayerType(
    "adamw",
    "archsearch.train.fit:fit",
    kind="training",
    options={
        "lr": real(
            2e-3,
            1e-8,
            1.0,
            search=FloatRange(1e-4, 1e-2, log=True),
            doc="Highest learning rate, reached after the warm-up.",
        ),
        "steps": integer(600, 1, 10_000_000, doc="Optimizer steps."),
        "batch": integer(64, 1, 65_536, doc="Sequences per step."),
        "weight_decay": real(
            0.01,
            0.0,
            10.0,
            search=(0.0, 0.01, 0.1),
            doc="Decoupled decay of matrices; biases, norms and marked parameters have none.",
        ),
        "clip": real(1.0, 1e-6, 1e6, doc="Largest norm of the whole gradient."),
        "warmup": real(0.1, 0.0, 1.0, doc="Share of the steps in which the rate rises linearly."),
        "evaluations": integer(
            10, 1, 1000, doc="How often the validation split is looked at, evenly over the steps."
        ),
    },
    doc="AdamW with linear warm-up, cosine decay to zero and gradient clipping.",
    source="Loshchilov & Hutter 2019, arXiv 1711.05101",
)

TRAINING: tuple[LayerType, ...] = (ADAMW,)
