"""The page of gauges sent to the process that is connected to a Ray cluster, which exports it."""

from __future__ import annotations

from collections.abc import Callable

from archsearch.gauges.page import Series, Sink


class Relay(Sink):
    """Hands to ``send`` what has changed, as plain data that names and explains itself."""

    def __init__(self, send: Callable[[list[list[object]]], None]) -> None:
        self._send = send
        self._last: dict[tuple[str, ...], float] = {}

    def add(self, counter: Series, amount: float, **labels: str) -> None:
        # Ray refuses to count nothing
        if amount > 0:
            self._tell(counter, amount, labels)

    def put(self, gauge: Series, value: float, **labels: str) -> None:
        place = (gauge.name, *labels.values())
        if self._last.get(place) != value:
            self._last[place] = value
            self._tell(gauge, value, labels)

    def observe(self, histogram: Series, value: float, **labels: str) -> None:
        self._tell(histogram, value, labels)

    def _tell(self, of: Series, value: float, labels: dict[str, str]) -> None:
        self._send([[of.kind, of.name, of.help, list(of.labels), list(of.bounds), value, labels]])
