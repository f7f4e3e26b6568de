"""A learned router: after the first position it chooses a chain of a small library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.policy import ChainPolicy
from archsearch.adapt.policies.view import View

Matrix = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Router(ChainPolicy):
    """The chain with the largest p_k - mu cost_k / full, p_k the probability that it is right.

    Along the knob mu rises through ``prices``. p is the logistic function of a linear map,
    ``weights`` (chains, features) and ``bias`` (chains,), of the stream behind the first position.
    """

    name: ClassVar[str] = "router"
    library: tuple[Chain, ...]
    weights: Matrix
    bias: tuple[float, ...]
    prices: tuple[float, ...]

    @property
    def settings(self) -> int:
        return 1 + len(self.prices)

    @property
    def chains(self) -> tuple[Chain, ...]:
        return (Chain((0,)), *self.library)

    def choose(self, view: View, setting: int) -> list[Chain]:
        features = view.features(Chain((0,)), torch.arange(view.count)).to(torch.float64)
        weights = torch.tensor(self.weights, dtype=torch.float64)
        p = (features @ weights.T + torch.tensor(self.bias, dtype=torch.float64)).sigmoid()
        costs = torch.tensor([c.cost(view.walk.costs) for c in self.library], dtype=torch.float64)
        worth = p - self.prices[setting - 1] * costs / max(view.walk.full, 1)
        # of equal ones the cheapest
        cheap = torch.argsort(costs, stable=True)
        return [self.library[cheap[place]] for place in worth[:, cheap].argmax(1).tolist()]

    def to_plain(self) -> dict[str, Any]:
        return {
            "library": [str(chain) for chain in self.library],
            "weights": [list(row) for row in self.weights],
            "bias": list(self.bias),
            "prices": list(self.prices),
        }


def fit_router(
    features: Tensor,
    right: np.ndarray,
    library: tuple[Chain, ...],
    prices: tuple[float, ...],
    decay: float = 1e-2,
) -> Router:
    """By binary cross entropy on ``features`` (n, f) and ``right`` (n, chains), 0 to 1.

    Features are standardised for the fit; ``decay`` times half the squared weights is added.
    """
    # scipy takes its time to load, and whoever predicts fits no router
    from scipy.optimize import minimize
    from scipy.special import expit

    x, y = features.double().numpy(), np.asarray(right, dtype=np.float64)
    mean, scale = x.mean(0), np.maximum(x.std(0), 1e-6)
    standard = (x - mean) / scale
    count, size = y.shape[1], x.shape[1]

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = flat[: count * size].reshape(count, size), flat[count * size :]
        logits = standard @ weights.T + bias
        loss = (np.logaddexp(0, logits) - y * logits).mean(0).sum()
        slope = (expit(logits) - y) / len(y)
        pull = decay * weights, 1e-2 * decay * bias
        loss += (weights * pull[0]).sum() / 2 + (bias * pull[1]).sum() / 2
        return loss, np.concatenate(
            [(slope.T @ standard + pull[0]).ravel(), slope.sum(0) + pull[1]]
        )

    # one more of each, so that a chain that is always right has finite odds
    odds = np.log((y.sum(0) + 1) / (len(y) - y.sum(0) + 1))
    start = np.concatenate([np.zeros(count * size), odds])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    raw = found[: count * size].reshape(count, size) / scale
    shift = found[count * size :] - raw @ mean
    # seven digits are more than the features have
    matrix = tuple(tuple(float(f"{w:.7g}") for w in row) for row in raw.tolist())
    return Router(library, matrix, tuple(shift.tolist()), prices)
