"""The page of gauges: what a running study tells a monitoring system, and in which units.

Names follow Prometheus: ``_total`` counts up, ``_seconds`` are seconds, everything else is a
number as it stands. Ray shows the same names with ``ray_`` before them. The utilisation of the
workers is ``archsearch_trials_running`` over ``archsearch_workers``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Series:
    """One name, with the labels that tell its series apart; ``bounds`` are a histogram's."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    bounds: tuple[float, ...] = ()


TRIALS = Series(
    "archsearch_trials_total",
    "counter",
    ("study", "phase", "state"),
    "Trials that have ended, by their state; those of earlier drivers included.",
)
RUNNING = Series(
    "archsearch_trials_running",
    "gauge",
    ("study", "phase"),
    "Trials that have begun and not ended.",
)
WAITING = Series(
    "archsearch_trials_waiting",
    "gauge",
    ("study", "phase"),
    "Trials of the phase that have not begun; absent while no number of trials bounds it.",
)
BEST = Series(
    "archsearch_best_value",
    "gauge",
    ("study", "metric"),
    "Best value of an objective so far, of complete trials that keep the constraints.",
)
SECONDS = Series(
    "archsearch_trial_seconds",
    "histogram",
    ("study", "phase"),
    "Wall-clock seconds of the trials that a worker ran to an outcome.",
    (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4),
)
WORKERS = Series(
    "archsearch_workers",
    "gauge",
    ("study",),
    "Trials that may run at the same time.",
)
COST = Series(
    "archsearch_cost_seconds_total",
    "counter",
    ("study", "resource"),
    "Core-seconds that the study has cost, lost attempts and earlier drivers included.",
)
LOST = Series(
    "archsearch_attempts_lost_total",
    "counter",
    ("study",),
    "Attempts that were lost with their worker or driver, since this driver began.",
)
PAGE = (TRIALS, RUNNING, WAITING, BEST, SECONDS, WORKERS, COST, LOST)


class Sink(ABC):
    """Where values go; labels are given by name, all that a series has."""

    @abstractmethod
    def add(self, counter: Series, amount: float, **labels: str) -> None:
        """Count up; ``amount`` is zero or more, and zero makes the series appear."""

    @abstractmethod
    def put(self, gauge: Series, value: float, **labels: str) -> None:
        """Set a gauge."""

    @abstractmethod
    def observe(self, histogram: Series, value: float, **labels: str) -> None:
        """Sort one value into a histogram."""
