"""Which weights keep rectifiers at zero for all inputs: those to be pruned first.

After Activate-while-Pruning (Liu et al. 2023, arXiv 2212.06145), which spends a part of every
pruning on weights that keep neurons dead. Which weights these are is decided here by what they add
to a dead unit on average: the most negative W_ij E[x_j].
"""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.sparsity.activity import Activity
from archsearch.sparsity.hidden import hidden
from archsearch.sparsity.masks import Setting
from archsearch.sparsity.observed import Observed

FIRST = 7000  # of the batches that are looked at
BATCHES = 2


def holding(setting: Setting) -> dict[str, Tensor]:
    """What each weight of a map of hidden units takes from a dead unit, zero where nothing.

    By the names of the weights; maps without a dead unit are left out.
    """
    groups = {f"{group.names[0]}.weight": group for group in hidden(setting.model)}
    activity = Activity(setting.model)
    observed = Observed({name: group.into.weight for name, group in groups.items()})
    with activity.noted(), observed, torch.no_grad():
        for number in range(BATCHES):
            setting.probe(FIRST + number)
    found = {}
    for name, group in groups.items():
        alive = activity.alive.get(id(group.out))
        if alive is None or bool(alive.all()):
            continue
        weight = group.into.weight.detach()
        taken = (-weight.double() * observed.mean(name)).clamp_min(0)
        # of a gated unit the rows of the gate decide
        rows = taken.view(group.parts, group.units, -1)
        rows[:-1] = 0
        rows[-1][alive] = 0
        found[name] = taken
    return found
