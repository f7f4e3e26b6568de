"""The promise of a store as tests: subclass :class:`StoreContract` and give it a database."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from archsearch.errors import InputError, LockedError, StateError
from archsearch.spec.trial import Outcome, State
from archsearch.store.store import Store
from archsearch.testing.store_fixtures import ELSEWHERE, HERE, outcome, trials
from archsearch.testing.store_values import StoreValues


class StoreContract(StoreValues):
    """Owed by every database: what is written stays as it was written, by one driver at a time.

    A subclass gives the fixture ``url``, a database that is empty or has other tests' studies.
    """

    # studies

    def test_studies_are_found_as_they_were_created(self, store: Store, name: str) -> None:
        fingerprint = {"lr": [1e-4, 0.1], "steps": None, "deep": {"nan": math.nan, "on": True}}
        settings = {"constraints": [["params", "<=", math.inf]]}
        made = store.create_study(name, fingerprint, "space: {}\n", settings)
        found = store.find_study(name)
        assert found is not None
        assert found.text == "space: {}\n"
        assert found.settings == settings
        assert repr(found.fingerprint) == repr(fingerprint)
        assert (found.id, found.driver, found.ended) == (made.id, None, None)
        assert made.id in [record.id for record in store.studies()]

    def test_a_study_that_is_not_there(self, store: Store, name: str) -> None:
        assert store.find_study(name) is None
        with pytest.raises(StateError, match="there is no study"):
            store.acquire(2**31 - 1, HERE)

    def test_creating_the_same_study_again(self, store: Store, name: str) -> None:
        first = store.create_study(name, {"seed": 0}, "text", {})
        assert store.create_study(name, {"seed": 0}, "text", {}).id == first.id
        with pytest.raises(StateError, match="is another one"):
            store.create_study(name, {"seed": 1}, "text", {})

    def test_names_are_compared_byte_by_byte(self, store: Store, name: str) -> None:
        made = [store.create_study(name + end, {}, "", {}).id for end in ("a", "A", "\u00e4")]
        assert len(set(made)) == 3

    @pytest.mark.parametrize("wrong", ["", "x" * 201, "two\nlines", "\0", "\ud800"])
    def test_names_that_cannot_be(self, store: Store, wrong: str) -> None:
        with pytest.raises(InputError, match="printable"):
            store.create_study(wrong, {}, "", {})

    # trials

    def test_a_trial_comes_back_as_it_was(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        epoch = store.start(study, trial, "key")
        assert store.history(study) == [trial]
        assert store.unfinished(study) == [trial]
        assert store.finish(study, trial, epoch, outcome(0.5, 7.0))
        assert store.history(study) == [replace(trial, outcome=outcome(0.5, 7.0))]
        assert store.unfinished(study) == []

    def test_history_is_ordered_and_by_phase(self, store: Store, study: int) -> None:
        searched, confirmed = trials(12), trials(3, "confirm")
        shuffled = [searched[place] for place in (3, 0, 11, 5, 1, 2, 10, 4, 9, 6, 8, 7)]
        store.advance(study, started=[(trial, "") for trial in [*shuffled, *confirmed]])
        assert store.history(study) == searched
        assert store.history(study, "confirm") == confirmed
        assert store.history(study, "tune") == []
        assert len(store.unfinished(study)) == 15

    def test_a_finished_trial_cannot_change(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        epoch = store.start(study, trial, "key")
        assert store.finish(study, trial, epoch, outcome(1.0))
        assert not store.finish(study, trial, epoch, outcome(2.0))
        assert not store.finish(study, trial, epoch, outcome(1.0, state=State.STOPPED))
        assert store.restart(study, trial) is None
        with pytest.raises(StateError, match="was started before"):
            store.start(study, replace(trial, seed=trial.seed + 1), "key")
        assert store.history(study)[0].outcome == outcome(1.0)

    def test_writing_the_same_again_changes_nothing(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        assert store.start(study, trial, "key") == store.start(study, trial, "key") == 1
        assert store.finish(study, trial, 1, outcome(math.nan))
        before = store.attempts(study), store.ledger(study)
        assert store.finish(study, trial, 1, outcome(math.nan))
        assert (store.attempts(study), store.ledger(study)) == before

    def test_a_running_outcome_is_no_end(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        store.start(study, trial, "key")
        with pytest.raises(ValueError, match="as running"):
            store.finish(study, trial, 1, Outcome(State.RUNNING))
        with pytest.raises(StateError, match="was not started"):
            store.finish(study, replace(trial, index=99), 1, outcome(1.0))

    def test_all_of_a_batch_is_written_or_nothing(self, store: Store, study: int) -> None:
        first, second = trials(2)
        store.start(study, first, "key")
        with pytest.raises(StateError, match="was started before"):
            store.advance(
                study,
                finished=[(first, 1, outcome(1.0))],
                started=[(second, "key"), (replace(first, seed=-5), "key")],
            )
        assert store.history(study) == [first]
        done = store.advance(study, [(first, 1, outcome(1.0))], [(second, "key")])
        assert done == ([True], [1])

    def test_a_trial_may_start_with_its_outcome(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        answered = replace(trial, outcome=outcome(0.5, 7.0))
        for _ in range(2):
            assert store.advance(study, started=[(answered, "key")]) == ([], [1])
        assert store.history(study) == [answered]
        assert store.ledger(study).cpu_seconds == 2.0
        with pytest.raises(StateError, match="has another result"):
            store.start(study, replace(trial, outcome=outcome(0.6)), "key")

    def test_a_lost_attempt_is_tried_again_and_fenced(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        store.start(study, trial, "key")
        assert store.restart(study, trial, "worker died", (("cpu_seconds", 3.0),)) == 2
        assert not store.finish(study, trial, 1, outcome(1.0))
        assert store.history(study) == [trial]
        assert store.finish(study, trial, 2, outcome(2.0))
        assert store.history(study)[0].outcome == outcome(2.0)
        first, second = store.attempts(study)
        assert (first.epoch, first.reason, first.owner) == (1, "worker died", HERE)
        assert (second.epoch, second.reason) == (2, "complete")
        assert first.ended is not None
        assert first.started <= first.ended <= second.started
        assert store.ledger(study).cpu_seconds == 5.0
        assert store.ledger(study).gpu_seconds == 0.25

    def test_the_third_loss_is_the_last(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        store.start(study, trial, "key")
        assert [store.restart(study, trial, "gone") for _ in range(3)] == [2, 3, None]
        (crashed,) = store.history(study)
        assert crashed.state is State.CRASHED
        assert crashed.outcome.message == "lost 3 times, last: gone"
        assert store.restart(study, trial) is None
        assert len(store.attempts(study)) == 3

    def test_losing_the_driver_is_not_held_against_a_trial(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        store.start(study, trial, "key")
        for epoch in range(2, 6):
            store.acquire(study, HERE)
            assert store.restart(study, trial) == epoch
        assert [store.restart(study, trial, "gone") for _ in range(3)] == [6, 7, None]
        assert store.history(study)[0].outcome.message == "lost 7 times, last: gone"

    def test_no_trial_is_begun_more_than_twenty_times(self, store: Store, study: int) -> None:
        (trial,) = trials(1)
        told = [store.start(study, trial, "key")]
        while told[-1] is not None:
            store.acquire(study, HERE)
            told.append(store.restart(study, trial))
        assert told == [*range(1, 21), None]
        assert store.history(study)[0].state is State.CRASHED

    def test_the_same_computation_is_answered_from_any_study(
        self, store: Store, study: int, name: str
    ) -> None:
        states = [State.CRASHED, State.TIMEOUT, State.OOM, State.COMPLETE, State.COMPLETE]
        for number, (trial, state) in enumerate(zip(trials(5), states, strict=True)):
            assert store.answer(f"same {name}") is None or number == 4
            store.start(study, trial, f"same {name}")
            store.finish(study, trial, 1, outcome(float(number), state=state))
        assert store.answer(f"same {name}") == outcome(3.0)
        assert store.answer(f"other {name}") is None

    @pytest.mark.parametrize("state", [State.STOPPED, State.DIVERGED, State.INVALID])
    def test_what_any_machine_repeats_is_an_answer(
        self, store: Store, study: int, name: str, state: State
    ) -> None:
        (trial,) = trials(1)
        store.start(study, trial, name)
        assert store.answer(name) is None
        store.finish(study, trial, 1, outcome(1.0, state=state))
        assert store.answer(name) == outcome(1.0, state=state)

    # drivers

    def test_a_second_driver_is_told_who_holds_the_study(
        self, store: Store, url: str, study: int
    ) -> None:
        with pytest.raises(LockedError, match=r"driven by 1@here\.invalid"):
            store.acquire(study, ELSEWHERE)
        store.release(study)
        assert store.acquire(study, ELSEWHERE) == 2

    def test_a_lease_that_ran_out_is_taken_over(self, store: Store, study: int) -> None:
        store.acquire(study, HERE, ttl=0.0)
        assert store.acquire(study, ELSEWHERE) == 3

    def test_nothing_is_written_without_holding_the_study(self, store: Store, name: str) -> None:
        record = store.create_study(name, {}, "", {})
        with pytest.raises(StateError, match="acquire it first"):
            store.start(record.id, trials(1)[0], "key")
        store.release(record.id)

    def test_the_end_is_noted_until_the_study_goes_on(self, store: Store, study: int) -> None:
        store.ended(study, "all trials are done")
        noted = {record.id: record.ended for record in store.studies()}
        assert noted[study] == "all trials are done"
        store.acquire(study, HERE)
        assert {record.id: record.ended for record in store.studies()}[study] is None

    def test_time_with_a_driver_adds_up(self, store: Store, study: int) -> None:
        before = store.active_seconds(study)
        store.renew(study)
        store.renew(study)
        assert 0.0 < store.active_seconds(study) - before < 60.0
