"""What the gauges say of a study: what the store says of it, whatever happened on the way."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from scripted import Scripted, history, learnt, plan, run, study_id, three

from archsearch.execute.job import Job
from archsearch.gauges.meter import Meter
from archsearch.gauges.page import PAGE, Series, Sink
from archsearch.gauges.relay import Relay
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import Budget, ConfirmSettings, Constraint
from archsearch.spec.trial import Outcome, State
from archsearch.store.store import Store, open_store


class Kept(Sink):
    """A sink that keeps what it is given, and refuses what the page does not have."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, ...], float] = {}
        self.seen: Counter[tuple[str, ...]] = Counter()

    def _key(self, kind: str, series: Series, labels: dict[str, str]) -> tuple[str, ...]:
        assert series in PAGE
        assert series.kind == kind
        assert tuple(labels) == series.labels
        return (series.name, *labels.values())

    def add(self, counter: Series, amount: float, **labels: str) -> None:
        assert amount >= 0
        key = self._key("counter", counter, labels)
        self.values[key] = self.values.get(key, 0.0) + amount

    def put(self, gauge: Series, value: float, **labels: str) -> None:
        self.values[self._key("gauge", gauge, labels)] = value

    def observe(self, histogram: Series, value: float, **labels: str) -> None:
        self.seen[self._key("histogram", histogram, labels)] += 1

    def __getitem__(self, key: Any) -> float:
        return self.values[key if isinstance(key, tuple) else (key,)]

    def trials(self, phase: str = "search") -> dict[str, float]:
        of = ("archsearch_trials_total", "toy", phase)
        return {key[3]: value for key, value in self.values.items() if key[:3] == of and value}


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://") as opened:
        yield opened


def counted(store: Store) -> dict[str, float]:
    return dict(Counter(str(trial.state) for trial in history(store)))


def test_a_study_told_to_its_end(store: Store) -> None:
    kept = Kept()
    asked = plan(trials=30, stopping=Layer.of("halving", warmup=3))
    run(store, asked, Scripted(3, rng=random.Random(0)), Meter(asked, kept))
    assert kept.trials() == counted(store)
    assert set(kept.trials()) == {"complete", "stopped"}
    assert kept["archsearch_trials_running", "toy", "search"] == 0
    assert kept["archsearch_trials_waiting", "toy", "search"] == 0
    assert kept["archsearch_workers", "toy"] == 3
    assert kept.seen["archsearch_trial_seconds", "toy", "search"] == 30
    cost = store.ledger(study_id(store))
    assert cost.cpu_seconds == 60
    assert kept["archsearch_cost_seconds_total", "toy", "cpu"] == cost.cpu_seconds
    assert kept["archsearch_cost_seconds_total", "toy", "gpu"] == cost.gpu_seconds
    errors = [t.outcome.metric("error") for t in history(store) if t.state.has_value]
    assert kept["archsearch_best_value", "toy", "error"] == min(filter(None, errors))


def test_while_it_runs(store: Store) -> None:
    kept = Kept()
    asked = plan(trials=10)
    meter = Meter(asked, kept)
    standing = []

    def watch(report: Any) -> None:
        meter(report)
        keys = ("archsearch_trials_running", "archsearch_trials_waiting")
        told = [kept[key, "toy", "search"] for key in keys]
        standing.append((*told, sum(kept.trials().values())))

    run(store, asked, Scripted(3), watch)
    assert all(running + waiting + ended == 10 for running, waiting, ended in standing)
    assert max(running for running, _, _ in standing) == 3


def test_what_a_former_driver_did_is_counted(store: Store) -> None:
    def fragile(job: Job) -> Outcome:
        if job.trial == 7:
            raise KeyboardInterrupt
        return learnt(job)

    asked, before, after = plan(trials=12), Kept(), Kept()
    with pytest.raises(KeyboardInterrupt):
        run(store, asked, Scripted(run=fragile), Meter(asked, before))
    assert before.trials() == {"complete": 7}
    run(store, asked, Scripted(), Meter(asked, after))
    assert after.trials() == {"complete": 12}
    assert after.seen["archsearch_trial_seconds", "toy", "search"] == 12
    assert after["archsearch_cost_seconds_total", "toy", "cpu"] == 24
    # the one that ran when the driver was interrupted
    assert after["archsearch_attempts_lost_total", "toy"] == 1


def test_a_trial_given_up_before_the_first_report_is_counted_once(store: Store) -> None:
    def losing(job: Job) -> Outcome:
        if job.trial == 2:
            return Outcome(State.CRASHED, message="killed", lost=True)
        return learnt(job)

    kept, asked = Kept(), plan(trials=6)
    run(store, asked, Scripted(run=losing), Meter(asked, kept))
    assert kept.trials() == {"complete": 5, "crashed": 1} == counted(store)
    assert kept["archsearch_attempts_lost_total", "toy"] == 3


def test_the_best_keeps_the_constraints(store: Store) -> None:
    asked = plan(trials=30, budget=Budget(trials=30))
    errors = [t.outcome.metric("error") or 0.0 for t in _free(asked)]
    bound = sorted(errors)[10]
    search = replace(asked.search, constraints=(Constraint("error", ">=", bound),))
    asked, kept = replace(asked, search=search), Kept()
    run(store, asked, Scripted(), Meter(asked, kept))
    assert kept["archsearch_best_value", "toy", "error"] == bound > min(errors)


def _free(asked: Any) -> list[Any]:
    with open_store("sqlite://") as store:
        run(store, asked, Scripted())
        return history(store)


def test_without_a_number_of_trials_none_waits(store: Store) -> None:
    kept = Kept()
    asked = plan(trials=None, budget=Budget(trials=None, time=60.0), space=three())
    backend = Scripted(run=lambda job: Outcome(State.COMPLETE, (("error", 0.5),)))
    run(store, asked, backend, Meter(asked, kept))
    assert kept.trials() == {"complete": 3}
    assert ("archsearch_trials_waiting", "toy", "search") not in kept.values


def test_phases_are_told_apart(store: Store) -> None:
    kept, asked = Kept(), plan(trials=8)
    asked = replace(asked, confirm=ConfirmSettings(finalists=2, seeds=3, baselines=()))
    run(store, asked, Scripted(2), Meter(asked, kept))
    assert kept.trials("search") == {"complete": 8}
    assert kept.trials("confirm") == {"complete": 6}
    assert kept["archsearch_trials_running", "toy", "search"] == 0


def test_nothing_runs_once_a_driver_has_stopped(store: Store) -> None:
    def fragile(job: Job) -> Outcome:
        raise KeyboardInterrupt

    kept, asked = Kept(), plan()
    meter = Meter(asked, kept)
    with pytest.raises(KeyboardInterrupt):
        run(store, asked, Scripted(3, run=fragile), meter)
    assert kept["archsearch_trials_running", "toy", "search"] == 3
    meter.stop()
    assert kept["archsearch_trials_running", "toy", "search"] == 0
    assert kept["archsearch_workers", "toy"] == 0


def test_names_follow_prometheus() -> None:
    assert len({series.name for series in PAGE}) == len(PAGE)
    for series in PAGE:
        assert series.name.startswith("archsearch_")
        assert (series.kind == "counter") == series.name.endswith("_total")
        assert bool(series.bounds) == (series.kind == "histogram")
        assert list(series.bounds) == sorted(series.bounds)
        assert series.help.endswith(".")


def test_what_is_sent_to_a_cluster_says_all_that_is_to_be_known(store: Store) -> None:
    sent: list[list[Any]] = []
    asked = plan(trials=20)
    run(store, asked, Scripted(3), Meter(asked, Relay(sent.extend)))
    counted: Counter[tuple[str, ...]] = Counter()
    last: dict[str, float] = {}
    page = {series.name: series for series in PAGE}
    for kind, name, words, labels, bounds, value, tags in json.loads(json.dumps(sent)):
        series = page[name]
        assert (kind, words, labels) == (series.kind, series.help, list(series.labels))
        assert (bounds, list(tags)) == (list(series.bounds), labels)
        if kind == "counter":
            assert value > 0
            counted[name, *tags.values()] += value
        else:
            last[name] = value
    assert counted["archsearch_trials_total", "toy", "search", "complete"] == 20
    assert last["archsearch_trials_running"] == last["archsearch_trials_waiting"] == 0
    # a gauge is told when it changes
    assert sum(name == "archsearch_workers" for _, name, *_ in sent) == 1
