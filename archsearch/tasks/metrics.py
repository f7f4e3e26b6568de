"""Metrics over a split as float64 sums in one fixed order, so that equal inputs give equal bits."""

from __future__ import annotations

import numpy as np

from archsearch.tasks.task import Batch


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities over the last axis, float64."""
    exact = logits.astype(np.float64)
    shifted = exact - exact.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Negative log probability of each target in nats: (N, K) and (N,) give (N,)."""
    return -np.take_along_axis(log_softmax(logits), targets[:, None], axis=-1)[:, 0]


def accuracy(said: np.ndarray, targets: np.ndarray) -> float:
    return float(np.mean(said == targets, dtype=np.float64))


def balanced_accuracy(said: np.ndarray, targets: np.ndarray, classes: int) -> float:
    """The mean recall over the classes that occur among the targets."""
    count = np.bincount(targets, minlength=classes)
    right = np.bincount(targets[said == targets], minlength=classes)
    present = count > 0
    return float(np.mean(right[present] / count[present]))


def mean_absolute_error(said: np.ndarray, targets: np.ndarray) -> float:
    return float(np.mean(np.abs(said - targets), dtype=np.float64))


def mean_squared_error(said: np.ndarray, targets: np.ndarray) -> float:
    return float(np.mean(np.square(said - targets), dtype=np.float64))


def root_mean_squared_error(said: np.ndarray, targets: np.ndarray) -> float:
    return float(np.sqrt(mean_squared_error(said, targets)))


def r2(said: np.ndarray, targets: np.ndarray) -> float:
    """Explained part of the variance; for constant targets 1 when all are met, else 0."""
    if (targets == targets[0]).all():
        # the mean of equal numbers is rounded, and a variance about it would be noise
        return 1.0 if np.allclose(said, targets, rtol=1e-14, atol=0.0) else 0.0
    total = float(np.sum(np.square(targets - targets.mean()), dtype=np.float64))
    rest = float(np.sum(np.square(said - targets), dtype=np.float64))
    return 1.0 - rest / total


def judged_steps(
    predictions: list[np.ndarray], batches: list[Batch]
) -> tuple[np.ndarray, np.ndarray]:
    """Cross entropy and correctness of every masked step, both (N,): memory of one batch at most.

    ``predictions`` are logits (B, T, K); batches carry targets and mask (B, T).
    """
    losses, right = [], []
    for logits, batch in zip(predictions, batches, strict=True):
        kept, wanted = logits[batch.mask], batch.targets[batch.mask]
        losses.append(cross_entropy(kept, wanted))
        right.append(kept.argmax(axis=-1) == wanted)
    return np.concatenate(losses), np.concatenate(right)
