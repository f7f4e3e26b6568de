"""A study that is extended, or confirmed in another way, is judged by what it is now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from scripted import Scripted, history, plan, run

from archsearch.cli.answer import answer_table
from archsearch.cli.results import read_result
from archsearch.execute.job import Job
from archsearch.plugins import load_catalog
from archsearch.select.competitors import counting, finalist_role
from archsearch.select.ranking import finalists
from archsearch.select.verdict import verdict
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import ConfirmSettings, confirm_seeds
from archsearch.spec.space import Space
from archsearch.spec.tree import Fixed, Record, pick
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.study.course import Progress
from archsearch.study.plan import Plan

TWICE = ConfirmSettings(finalists=2, seeds=3, baselines=())


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://") as opened:
        yield opened


def asked(trials: int, confirm: ConfirmSettings | None = TWICE) -> Plan:
    return replace(plan(trials=trials), confirm=confirm)


def judged(store: Store) -> list[Trial]:
    """The runs that count, by what is stored of the study alone."""
    record = store.find_study("toy")
    assert record is not None
    confirm = record.settings["confirm"]
    leading = finalists(history(store), asked(1).search.objectives, (), confirm["finalists"])
    seeds = confirm_seeds(record.fingerprint["seed"], confirm["seeds"])
    return counting(history(store, phase="confirm"), list(map(finalist_role, leading)), seeds)


def test_more_trials_have_other_finalists(store: Store) -> None:
    run(store, asked(4), Scripted())
    before = judged(store)
    run(store, asked(40), Scripted())
    after = judged(store)
    leader = finalists(history(store), asked(1).search.objectives, (), 1)[0]
    assert len(before) == len(after) == 6
    assert before[0].role != after[0].role == finalist_role(leader)
    runs = Counter((t.role, t.digest, t.seed) for t in history(store, phase="confirm"))
    assert set(runs.values()) == {1}


def test_more_seeds_and_finalists_are_added(store: Store) -> None:
    run(store, asked(8), Scripted())
    before = judged(store)
    seen: list[Progress] = []
    more = replace(TWICE, finalists=3, seeds=4)
    run(store, asked(8, more), Scripted(), seen.append)
    assert [trial.seed for trial in judged(store)] == [
        seed for seed in confirm_seeds(0, 4) for _ in range(3)
    ]
    stored = history(store, phase="confirm")
    assert len(stored) == 12
    assert stored[:6] == before
    assert (seen[-1].finished, seen[-1].total) == (12, 12)


def test_fewer_seeds_count_without_being_run_again(store: Store) -> None:
    run(store, asked(8), Scripted())
    backend = Scripted()
    run(store, asked(8, replace(TWICE, seeds=2)), backend)
    assert backend.submitted == []
    assert len(judged(store)) == 4


def test_what_is_confirmed_later_is_confirmed(store: Store) -> None:
    run(store, asked(8, None), Scripted())
    assert judged(store) == []
    run(store, asked(8), Scripted())
    assert len(judged(store)) == 6
    # the answer stays what it is while the search alone goes on
    run(store, asked(8, None), Scripted())
    assert len(judged(store)) == 6


def test_the_answer_is_of_who_is_asked_for_now(store: Store) -> None:
    def competitors(trials: int, confirm: ConfirmSettings | None) -> tuple[list[str], list[str]]:
        of = asked(trials, confirm)
        of = replace(of, space=space, catalog=space.catalog, facts={"trivial": {}, "chance": {}})
        run(store, of, Scripted(run=by_digest))
        evidence = read_result(store, "toy").evidence
        there = evidence.candidates if evidence else ()
        finalists, baselines = (
            [each.name for each in there if each.role == role] for role in ("finalist", "baseline")
        )
        return finalists, baselines

    def leader() -> str:
        return finalist_role(finalists(history(store), asked(1).search.objectives, (), 1)[0])

    space = many_widths()
    one = replace(TWICE, finalists=1, seeds=2, baselines=("lstm",))
    assert competitors(4, None) == ([], [])
    assert competitors(4, one) == ([leader()], ["lstm"])
    before = leader()
    assert competitors(40, replace(one, baselines=("gru",))) == ([leader()], ["gru"])
    assert leader() != before


def test_what_is_still_to_come_has_not_failed(store: Store) -> None:
    def stopping(job: Job) -> Outcome:
        if job.protocol == "confirm" and next(calls) == 2:
            raise KeyboardInterrupt
        return by_digest(job)

    calls = iter(range(9))
    of = replace(asked(8), facts={"trivial": {}, "chance": {}})
    with pytest.raises(KeyboardInterrupt):
        run(store, of, Scripted(run=stopping))
    result = read_result(store, "toy")
    evidence = result.evidence
    assert evidence is not None
    assert [(each.finished, each.awaited, each.failed) for each in evidence.candidates] == [
        (1, 2, 0),
        (1, 2, 0),
    ]
    assert verdict(evidence).startswith("so far, ")
    caption = str(answer_table(result, evidence, 100).caption)
    assert caption.startswith("* led on validation among those with a result; ")
    run(store, of, Scripted(run=by_digest))
    result = read_result(store, "toy")
    assert result.evidence is not None
    assert not verdict(result.evidence).startswith("so far")
    assert str(answer_table(result, result.evidence, 100).caption).startswith(
        "* led on validation; "
    )


def many_widths() -> Space:
    """One GRU of any width, with all that a baseline beside it takes over."""
    catalog = load_catalog()

    def made(width: int) -> Architecture:
        return catalog.complete_architecture(
            Architecture(width, (Stage((Block(Layer("gru")),)),), training=Layer("adamw"))
        )

    return Space(Record(made, (("width", pick(map(Fixed, range(8, 108)))),)), catalog)


def by_digest(job: Job) -> Outcome:
    """Some error that every architecture has for itself."""
    return Outcome(State.COMPLETE, (("error", int(job.architecture.digest, 16) / 2**64),))
