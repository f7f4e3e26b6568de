"""A policy at every place of its knob on sequences with answers: how good, and how dear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from archsearch.adapt.examples import Examples
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.policies.table_view import TableView
from archsearch.adapt.policies.view import alike
from archsearch.adapt.walk import Walk
from archsearch.errors import InputError

TOLERANCE = 0.1


@dataclass(frozen=True)
class Measured:
    """Tables (sequences, settings). ``score`` is that of :class:`Examples`; ``compute`` the applied
    layers as a share of the network's; ``differs`` the share of counted steps answered otherwise
    than by the network, ``loses`` that of those it answers right and the policy does not, None
    where values are predicted.
    """

    score: np.ndarray
    compute: np.ndarray
    differs: np.ndarray
    loses: np.ndarray | None

    @property
    def settings(self) -> int:
        return self.score.shape[1]

    def risk(self, name: str) -> np.ndarray:
        """The losses of a certificate; InputError where that risk has no meaning."""
        if name == "differs":
            return self.differs
        if self.loses is None:
            raise InputError("the risk 'loses' is about classes, and this model predicts values")
        return self.loses


@torch.inference_mode()
def measure(
    policy: Policy, walk: Walk, examples: Examples, tolerance: float = TOLERANCE
) -> Measured:
    """All settings on all sequences; values differ if some output does by over ``tolerance``."""
    classes = examples.classes is not None
    rows: dict[str, list[np.ndarray]] = {
        name: [] for name in ("score", "compute", "differs", "loses")
    }
    for batch in examples.batches():
        full = walk.run(walk.plain, batch.x, batch.lengths)
        found: dict[str, list[Tensor]] = {name: [] for name in rows}
        view = TableView(walk, batch.x, batch.lengths, classes)
        for setting in range(policy.settings):
            decision = policy.decide(view.again(), setting)
            said = decision.prediction
            found["score"].append(batch.score(said))
            found["compute"].append(decision.layers.double() / max(walk.full, 1))
            other = ~alike(said, full, classes, tolerance)
            found["differs"].append(batch.mean(other.to(said.dtype)))
            if classes:
                lost = other & (full.argmax(-1) == batch.targets)
                found["loses"].append(batch.mean(lost.to(said.dtype)))
        for name, each in found.items():
            if each:
                rows[name].append(torch.stack(each, 1).double().numpy())
    score, compute, differs = (np.concatenate(rows[n]) for n in ("score", "compute", "differs"))
    return Measured(score, compute, differs, np.concatenate(rows["loses"]) if classes else None)
