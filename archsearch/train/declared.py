"""The ways of training that a space file may name, declared without importing torch."""

from __future__ import annotations

from archsearch.spec.catalog import LayerType, choice, integer, real
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
        "noise": real(
            0.0,
            0.0,
            10.0,
            doc="Variance of the noise on the clipped gradient at step 1; it falls as step^-0.55.",
        ).added_later(),
        "checkpointing": choice(
            "none",
            "blocks",
            "sqrt",
            search=(),
            doc="What is computed again for the gradients, to save memory: nothing, every block, "
            "or segments of a chain of about the square root of its length.",
        ).added_later(),
        "lr_unit": choice(
            "given",
            "range",
            search=(),
            doc="What lr counts in: 1, or the largest rate that the first steps of this "
            "architecture survive, found before the training; then a quarter is a good lr.",
        ).added_later(),
        "guide": choice(
            "none",
            "gru",
            "lstm",
            "attention",
            search=(),
            doc="A frozen network of two such blocks, whose representations are learned, too.",
        ).added_later(),
        "guidance": real(
            1.0,
            0.0,
            100.0,
            search=(0.1, 1.0),
            doc="How much one minus the likeness of a pair of layers counts in the loss.",
        )
        .only_when(guide=("gru", "lstm", "attention"))
        .added_later(),
        "guide_steps": integer(
            0,
            0,
            10_000_000,
            doc="For how many steps the guide learns the task first; none: random.",
        )
        .only_when(guide=("gru", "lstm", "attention"))
        .added_later(),
        "drop": real(
            0.0,
            0.0,
            0.9,
            search=(0.0, 0.2, 0.5),
            doc="Chance that a sequence passes by the last block; l/L of it for block l of L. One "
            "with the gate stochastic_depth has the rate of that instead.",
        ).added_later(),
        "exits": choice(
            "none",
            "equal",
            "linear",
            doc="Trains what norm and head make of the stream after each block or loop, too, all "
            "alike, or the k-th k times as much.",
        ).added_later(),
        "exit_share": real(
            0.5,
            0.01,
            0.99,
            search=(0.1, 0.3, 0.5, 0.8),
            doc="What those before the last count in the loss; the rest is the network's own.",
        )
        .only_when(exits=("equal", "linear"))
        .added_later(),
    },
    doc="AdamW with linear warm-up, cosine decay to zero and gradient clipping.",
    source="Loshchilov & Hutter 2019, arXiv 1711.05101",
)

TRAINING: tuple[LayerType, ...] = (ADAMW,)
