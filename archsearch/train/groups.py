"""Which parameters decay, and which learn at a share of the learning rate only."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.optim import Optimizer


def learning_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Every parameter decays but those that ``model.no_decay()`` names: biases, norms, rates.

    What decays comes first, then what does not; what ``model.slower()`` gives a ``share`` of the
    learning rate follows in groups of its own. The order of all is that of their numbers in a
    checkpoint.
    """
    spared = model.no_decay()
    shares = model.slower() if hasattr(model, "slower") else {}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            kind = shares.get(name, 1.0), name not in spared
            groups.setdefault(kind, []).append(parameter)
    return [
        {"params": members, "weight_decay": weight_decay if decays else 0.0, "share": share}
        for (share, decays), members in groups.items()
    ]


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """The learning rate of the next step, of which each of the groups takes its share."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
