"""A plan: everything that makes a study of one task what it is, and what may not change in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from archsearch.errors import StateError
from archsearch.spec.architecture import Architecture, layers, to_plain
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import (
    ConfirmSettings,
    ExecutionSettings,
    Objective,
    SearchSettings,
    TaskSpec,
)
from archsearch.spec.space import Space


@dataclass(frozen=True)
class Plan:
    """What a driver needs to know of one task's study.

    ``data`` is the fingerprint of the task's data; ``facts`` are what tables say of the task: its
    metrics, chance level and trivial baselines. The objectives of ``search`` are resolved.
    ``plugins`` maps distributions to the ``version`` and the ``sha256`` of their code.
    """

    name: str
    task: TaskSpec
    data: str
    facts: dict[str, Any]
    space: Space
    catalog: Catalog
    search: SearchSettings
    confirm: ConfirmSettings | None = None
    execution: ExecutionSettings = field(default_factory=ExecutionSettings)
    plugins: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    text: str = ""

    def fingerprint(self) -> dict[str, Any]:
        """What must be unchanged for a study to be continued; budgets and places may change."""
        search = self.search
        # a study that was begun before there was a choice has none
        accelerated = {"accelerated": found} if (found := self.execution.accelerated) else {}
        return {
            "task": to_plain(self.task.layer),
            "data": self.data,
            "space": self.space.to_plain(),
            "sampler": to_plain(search.sampler),
            "seed": search.seed,
            "lag": search.lag,
            "stopping": to_plain(search.stopping),
            "objectives": {o.metric: o.direction for o in search.objectives},
            "constraints": {c.metric: f"{c.operator} {c.bound}" for c in search.constraints},
            "plugins": {name: dict(what) for name, what in self.plugins.items()},
            **accelerated,
        }

    def code_of(self, architecture: Architecture) -> tuple[tuple[str, str], ...]:
        """The distributions that provide layers of it, with the SHA-256 of their code."""
        if not self.plugins:
            return ()
        sources = {
            self.catalog.find(kind, layer.name).distribution for kind, layer in layers(architecture)
        }
        return tuple(
            (name, what["sha256"]) for name, what in self.plugins.items() if name in sources
        )

    def settings(self) -> dict[str, Any]:
        """What the tables of a stored study are made with, without its data or its space file."""
        confirm = self.confirm or ConfirmSettings(finalists=0, seeds=0, baselines=())
        return {
            "label": self.task.label,
            "facts": self.facts,
            "objectives": [[o.metric, o.direction] for o in self.search.objectives],
            "constraints": [[c.metric, c.operator, c.bound] for c in self.search.constraints],
            "trials": self.search.budget.trials,
            "seed": self.search.seed,
            "providers": [
                [each.kind, each.name, each.distribution]
                for each in self.catalog
                if each.distribution in self.plugins
            ],
            "confirm": {
                "finalists": confirm.finalists,
                "seeds": confirm.seeds,
                "baselines": list(confirm.baselines),
                "masks": confirm.masks,
            },
        }

    @property
    def primary(self) -> Objective:
        """The objective by which finalists are judged."""
        return self.search.objectives[0]


def refuse_difference(name: str, stored: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Raise StateError naming the first thing in which the stored study is another one."""
    for key, before, after in differences(stored, _as_stored(stored, asked)):
        raise StateError(
            f"study '{name}' was begun with {key} = {_short(before)}, now it is {_short(after)}; "
            "put it back, or begin another study with --new"
        )


def is_same(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a study with the one fingerprint may be continued with the other."""
    return next(differences(stored, _as_stored(stored, asked)), None) is None


def _as_stored(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, saying no more of plugins than a study of an earlier archsearch does."""
    known = stored["plugins"]
    plugins = {
        name: what["version"] if isinstance(known.get(name), str) else what
        for name, what in asked["plugins"].items()
    }
    return {**asked, "plugins": plugins}


def differences(stored: Any, asked: Any, path: str = "") -> Iterator[tuple[str, object, object]]:
    """Every place in which two plain values differ, in the order of the stored one."""
    if isinstance(stored, Mapping) and isinstance(asked, Mapping):
        for key in [*stored, *(key for key in asked if key not in stored)]:
            inner = f"{path}.{key}" if path else str(key)
            yield from differences(stored.get(key), asked.get(key), inner)
    elif isinstance(stored, list) and isinstance(asked, list) and len(stored) == len(asked):
        for place, (one, other) in enumerate(zip(stored, asked, strict=True)):
            yield from differences(one, other, f"{path}.{place}")
    elif stored != asked:
        yield path, stored, asked


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else text[:57] + "..."
