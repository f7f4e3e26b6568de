"""How good a model is at every depth that it can be cut to, on one split of its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from archsearch.depth.area import area
from archsearch.depth.positions import layers_of, loops_of, prefixes
from archsearch.errors import InputError
from archsearch.spec.settings import DEPTH_AUC, Objective
from archsearch.tasks.task import Batch, Split, Task
from archsearch.train.judge import evaluating
from archsearch.train.tensors import Tensors, device_of, tensors


@dataclass(frozen=True)
class AlongDepth:
    """The task's metrics of each prefix of a network, from no layer to its whole.

    ``compute`` is the mean share of the network's layers that a prefix applied.
    """

    compute: tuple[float, ...]
    metrics: tuple[Mapping[str, float], ...]

    def area(self, objective: Objective, trivial: float | None) -> float:
        """Under the goodness of the prefixes, from 0 to 1, against compute."""
        scores = [goodness(found[objective.metric], objective, trivial) for found in self.metrics]
        return area(np.array(scores[1:]), np.array(self.compute[1:]), scores[0])


def judge_along_depth(model: nn.Module, task: Task, split: Split) -> dict[str, float]:
    """The metrics of the model, as :func:`archsearch.train.judge.judge` tells them, and the area
    under the curve of the first of them against the layers applied.
    """
    found, objective = along_depth(model, task, split), task.metrics[0]
    worst = None if objective.direction == "max" else trivial(task, split, objective)
    return {**found.metrics[-1], DEPTH_AUC: found.area(objective, worst)}


def along_depth(model: nn.Module, task: Task, split: Split) -> AlongDepth:
    """Every prefix on the whole split; what they begin with in common is applied once."""
    said: list[list[np.ndarray]] = []
    layers: list[float] = []
    batches: list[Batch] = []
    steps = 0
    with evaluating(model), torch.inference_mode():
        for batch in task.evaluation(split):
            given = tensors(batch, device_of(model))
            found = _prefixes(model, given)
            said = said or [[] for _ in found]
            layers = layers or [0.0] * len(found)
            for place, (prediction, applied) in enumerate(found):
                said[place].append(prediction.cpu().numpy())
                layers[place] += applied
            batches.append(batch)
            steps += int(batch.lengths.sum())
    full = steps * max(1, sum(layers_of(stage) * loops_of(stage) for stage in model.stages))
    return AlongDepth(
        tuple(applied / full for applied in layers),
        tuple(task.score(predictions, batches) for predictions in said),
    )


def goodness(value: float, objective: Objective, trivial: float | None) -> float:
    """Of a metric, from 0 to 1: itself, or, where less is better, 1 - value / ``trivial``."""
    if objective.direction == "min":
        value = 1 - value / trivial if trivial else 0.0
    return min(max(value, 0.0), 1.0)


def trivial(task: Task, split: Split, objective: Objective) -> float:
    """What the best predictor that knows no input has on a split; InputError if nothing has."""
    levels = [task.chance(), *task.baselines(split).values()]
    known = [level[objective.metric] for level in levels if objective.metric in level]
    known = [value for value in known if np.isfinite(value)]
    if not known:
        raise InputError(
            f"{DEPTH_AUC} measures {objective.metric} against a trivial predictor, "
            "and the task has none"
        )
    return min(known)


def _prefixes(model: nn.Module, given: Tensors) -> list[tuple[Tensor, float]]:
    """Of each prefix the predictions of a batch, and the layers applied over all real steps."""
    x, lengths = given.inputs, given.lengths
    everyone = torch.arange(len(x), device=x.device)
    groups = [(everyone, x.shape[1])]
    if not model.causal:
        groups = [
            (torch.nonzero(lengths == length).squeeze(1), length)
            for length in torch.unique(lengths).tolist()
        ]
    parts = [prefixes(model.stages, model.embed(x[rows, :length])) for rows, length in groups]
    real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    found = []
    for each in zip(*parts, strict=True):
        h = each[0].h.new_zeros(*x.shape[:2], each[0].h.shape[-1])
        layers = h.new_zeros(x.shape[:2])
        for (rows, length), prefix in zip(groups, each, strict=True):
            h[rows, :length], layers[rows, :length] = prefix.h, prefix.layers
        prediction = model.head(model.norm(h), lengths)
        found.append((prediction, float((layers * real).sum())))
    return found
