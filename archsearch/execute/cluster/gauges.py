"""Gauges of the driver among those that Ray exports at every node, ``ray_`` before each name."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from ray.util import metrics

# a gauge that is not told again is forgotten after two report intervals of Ray, ten seconds each
REPEAT_SECONDS = 4.0

# kind, name, help, labels, bounds, value, values of the labels
Told = Sequence[Any]


class Gauges:
    """Hands on what the driver tells; each name is made known to Ray when it is first told."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}
        self._last: dict[tuple[str, ...], tuple[Any, float, dict[str, str]]] = {}
        self._repeating: threading.Thread | None = None

    def take(self, told: Sequence[Told]) -> None:
        for kind, name, words, labels, bounds, value, tags in told:
            if name not in self._known:
                self._known[name] = _made(kind, name, words, tuple(labels), bounds)
            known = self._known[name]
            match kind:
                case "counter":
                    known.inc(value, tags=tags)
                case "gauge":
                    known.set(value, tags=tags)
                    self._last[name, *tags.values()] = known, value, tags
                case "histogram":
                    known.observe(value, tags=tags)
        if self._last and self._repeating is None:
            self._repeating = threading.Thread(target=self._repeat, daemon=True)
            self._repeating.start()

    def _repeat(self) -> None:
        while True:
            time.sleep(REPEAT_SECONDS)
            for known, value, tags in list(self._last.values()):
                known.set(value, tags=tags)


def _made(kind: str, name: str, words: str, labels: tuple[str, ...], bounds: list[float]) -> Any:
    match kind:
        case "counter":
            return metrics.Counter(name, words, tag_keys=labels)
        case "gauge":
            return metrics.Gauge(name, words, tag_keys=labels)
        case _:
            return metrics.Histogram(name, words, bounds, tag_keys=labels)
