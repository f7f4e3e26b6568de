"""One model learns one task: AdamW, warm-up, cosine decay, clipping, and nothing hidden.

The weights at the last step are the result. Picking the best of several looks at the validation
split would favour architectures that fluctuate, and the cosine decay makes the last step the one
that was prepared for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn

from archsearch.sparsity.sparsify import sparsify
from archsearch.spec.architecture import NONE, Layer
from archsearch.spec.signature import Signature
from archsearch.tasks.task import Split, Task
from archsearch.train.adamw import AdamW
from archsearch.train.checkpoint import Checkpoint, Training
from archsearch.train.declared import ADAMW
from archsearch.train.draws import CPU
from archsearch.train.groups import learning_groups, set_rate
from archsearch.train.judge import judge
from archsearch.train.loss import model_loss
from archsearch.train.measure import example
from archsearch.train.noise import add_noise
from archsearch.train.probing import probing
from archsearch.train.rate_range import largest_rate
from archsearch.train.savings import Savings
from archsearch.train.supervision import as_trained
from archsearch.train.tensors import Tensors, device_of, tensors

Report = Callable[[int, Mapping[str, float]], bool]
Save = Callable[[Callable[[], Checkpoint]], None]
Objective = Callable[[nn.Module, Tensors, Signature], Tensor]
Judge = Callable[[nn.Module, Task, Split], dict[str, float]]


class Diverged(Exception):
    """A loss, gradient or metric is not a finite number; training cannot go on.

    ``step`` counts from 1, ``what`` names the quantity, ``norm`` is the last gradient norm; it is
    no number where there was none yet, or where it is itself what is wrong.
    """

    def __init__(self, step: int, what: str, norm: float) -> None:
        self.step, self.what, self.norm = step, what, norm
        last = f" (gradient norm {norm:.3g})" if math.isfinite(norm) else ""
        super().__init__(f"{what} at step {step}{last}")


def fit(
    model: nn.Module,
    task: Task,
    training: Layer,
    sparsity: Layer,
    *,
    seed: int,
    report: Report,
    split: Split | None = "validation",
    resume: Checkpoint | None = None,
    save: Save | None = None,
    objective: Objective | None = None,
    judge: Judge = judge,
) -> bool:
    """Train ``model`` in place and say whether it went to the end.

    ``training`` and ``sparsity`` are layers. A few times, the metrics on ``split`` and
    the mean training loss since the last look go to ``report(step, metrics)``; when it answers
    False, training ends there. With ``split=None`` only the training loss is reported. Raises
    :class:`Diverged` at the first number that is not finite. Batches and noise depend on ``seed``
    alone. ``objective`` is what a step lowers: the model's loss, or another pure function of the
    model, the batch and torch's generator. ``judge`` tells the metrics of a split.

    After every step ``save`` is handed a function that gives the checkpoint there; it calls it
    when it wants one, which changes nothing. With ``resume``, the first reports are those made
    before that checkpoint and training goes on after it, to the very weights it would have had;
    raises :class:`archsearch.train.checkpoint.Mismatch`, with the model as it was, if the
    checkpoint is of another training.
    """
    options: dict[str, Any] = ADAMW.settings(training)
    steps, size = options["steps"], options["batch"]
    device = device_of(model)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    now = Training(
        model,
        AdamW(learning_groups(model, options["weight_decay"]), fused=True),
        sparsify(model, sparsity, steps, seed=seed, loss=probing(model, task, size, seed)),
        np.random.Generator(np.random.PCG64(seed)),
    )
    savings = None
    if sparsity != NONE:
        probe = probing(model, task, size, seed)
        savings = Savings(model, now.masks, example(task.signature, CPU), probe)
    looks = set(look_steps(steps, options["evaluations"]))
    planned = partial(rate_share, warmup=options["warmup"])
    if resume is not None:
        now.restore(resume)
        for step, metrics in now.curve:
            report(step, metrics)
    with as_trained(model, training):
        if math.isnan(now.highest_rate):
            now.highest_rate = options["lr"]
            if options["lr_unit"] == "range":
                now.highest_rate *= largest_rate(model, task, size, options["clip"], seed=seed)

        model.train()
        for step in range(now.step + 1, steps + 1):
            batch = task.batch(now.batches, size, (step - 1) / steps)
            moved = tensors(batch, device)
            total = (objective or model_loss)(model, moved, task.signature)
            value = total.item()
            if not math.isfinite(value):
                raise Diverged(step, f"the training loss is {value}", now.norm)
            now.loss, now.losses = now.loss + value, now.losses + 1

            now.optimizer.zero_grad(set_to_none=True)
            total.backward()
            now.masks.before_step(step)
            now.norm = nn.utils.clip_grad_norm_(parameters, options["clip"], foreach=True).item()
            if not math.isfinite(now.norm):
                raise Diverged(step, f"the gradient norm is {now.norm}", now.norm)
            if options["noise"]:
                add_noise(parameters, options["noise"], seed=seed, step=step)
            rate = now.highest_rate * now.masks.rate(step, steps, planned)
            set_rate(now.optimizer, rate)
            now.optimizer.step()
            now.masks.after_step(step, now.optimizer)
            now.step = step

            if step in looks:
                metrics = look(now, task, split, savings, judge)
                if not report(step, metrics) and step < steps:
                    return False
            if save is not None:
                save(now.checkpoint)
        return True


def look(
    now: Training, task: Task, split: Split | None, savings: Savings | None, judge: Judge = judge
) -> dict[str, float]:
    """The next point of the curve: the mean loss since the last, and how good the model is."""
    metrics = {"train_loss": now.loss / now.losses}
    now.loss, now.losses = 0.0, 0
    if split is not None:
        metrics |= judge(now.model, task, split)
    if savings is not None:
        metrics |= savings.figures()
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise Diverged(now.step, f"{name} is {value}", now.norm)
    now.curve.append((now.step, {name: float(value) for name, value in metrics.items()}))
    return metrics


def rate_share(step: int, steps: int, warmup: float) -> float:
    """The learning rate of step 1 ... steps as a share of its highest: linear up, cosine down."""
    warm = round(warmup * steps)
    if step <= warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm + 1)))


def look_steps(steps: int, evaluations: int) -> list[int]:
    """The steps after which the validation split is looked at; the last step is one of them."""
    looks = {max(1, round(steps * k / evaluations)) for k in range(1, evaluations + 1)}
    return sorted(looks)
