"""Two drivers doing anything in any order leave what a plain model of the store says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from archsearch.errors import LockedError, StateError
from archsearch.spec.trial import Outcome, State
from archsearch.store.database import Database
from archsearch.store.store import Store
from archsearch.testing.store_fixtures import outcome, trials

TRIALS = trials(40)
RUNNING = Outcome(State.RUNNING)
OWNERS = ("1@here.invalid", "2@elsewhere.invalid")
DRIVERS = st.sampled_from((0, 1))
ENDS = st.sampled_from([state for state in State if state.final])


@dataclass
class Kept:
    """What the model says of one trial; ``begun`` is under which driver epoch, by attempt."""

    begun: list[int] = field(default_factory=list)
    outcome: Outcome = RUNNING

    @property
    def epoch(self) -> int:
        return len(self.begun)

    def losses(self, now: int) -> int:
        """How often it was lost while its driver lived, the loss at hand included."""
        return sum(one == other for one, other in pairwise([*self.begun, now]))


class TwoDrivers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.database = Database("sqlite://")
        self.stores = (Store(self.database), Store(self.database))
        self.study = self.stores[0].create_study("one", {}, "", {}).id
        self.holder: int | None = None
        self.leased = False
        # a driver that was refused, or never asked, knows that it has no study
        self.believes = [False, False]
        self.epoch = 0
        self.kept: list[Kept] = []

    def teardown(self) -> None:
        self.database.close()

    def may(self, driver: int) -> bool:
        """Whether a write goes through; otherwise check that it is refused in the right way."""
        return self.believes[driver] and self.holder == driver

    def refused(self, driver: int) -> type[Exception]:
        kind = LockedError if self.believes[driver] else StateError
        self.believes[driver] = False
        return kind

    @initialize(driver=DRIVERS, lasting=st.booleans())
    def begin(self, driver: int, lasting: bool) -> None:
        self.acquire(driver, lasting)

    @rule(driver=DRIVERS, lasting=st.booleans())
    def acquire(self, driver: int, lasting: bool) -> None:
        store, ttl = self.stores[driver], 3600.0 if lasting else 0.0
        if self.holder == 1 - driver and self.leased:
            with pytest.raises(LockedError, match="is driven by"):
                store.acquire(self.study, OWNERS[driver], ttl)
            return
        self.epoch += 1
        assert store.acquire(self.study, OWNERS[driver], ttl) == self.epoch
        self.holder, self.leased = driver, lasting
        self.believes[driver] = True

    @rule(driver=DRIVERS)
    def release(self, driver: int) -> None:
        self.stores[driver].release(self.study)
        if self.may(driver):
            self.holder = None
        self.believes[driver] = False

    @rule(driver=DRIVERS)
    def renew(self, driver: int) -> None:
        if self.may(driver):
            self.stores[driver].renew(self.study)
        else:
            with pytest.raises(self.refused(driver)):
                self.stores[driver].renew(self.study)

    @precondition(lambda self: len(self.kept) < len(TRIALS))
    @rule(driver=DRIVERS)
    def start(self, driver: int) -> None:
        trial = TRIALS[len(self.kept)]
        if self.may(driver):
            assert self.stores[driver].start(self.study, trial, "key") == 1
            self.kept.append(Kept([self.epoch]))
        else:
            with pytest.raises(self.refused(driver)):
                self.stores[driver].start(self.study, trial, "key")

    @precondition(lambda self: self.kept)
    @rule(driver=DRIVERS, data=st.data())
    def restart(self, driver: int, data: st.DataObject) -> None:
        self.lose(driver, data.draw(st.integers(0, len(self.kept) - 1)))

    @precondition(lambda self: self.kept)
    @rule(driver=DRIVERS, times=st.integers(1, 3))
    def lose_the_last_again_and_again(self, driver: int, times: int) -> None:
        for _ in range(times):
            self.lose(driver, len(self.kept) - 1)

    def lose(self, driver: int, index: int) -> None:
        kept, store = self.kept[index], self.stores[driver]
        if not self.may(driver):
            with pytest.raises(self.refused(driver)):
                store.restart(self.study, TRIALS[index])
        elif kept.outcome.state.final:
            assert store.restart(self.study, TRIALS[index]) is None
        elif kept.losses(self.epoch) == 3:
            assert store.restart(self.study, TRIALS[index], "gone") is None
            message = f"lost {kept.epoch} times, last: gone"
            kept.outcome = Outcome(State.CRASHED, message=message, lost=True)
        else:
            kept.begun.append(self.epoch)
            assert store.restart(self.study, TRIALS[index]) == kept.epoch

    @precondition(lambda self: self.kept)
    @rule(driver=DRIVERS, data=st.data(), state=ENDS, value=st.sampled_from((0.0, 1.0)))
    def finish(self, driver: int, data: st.DataObject, state: State, value: float) -> None:
        index = data.draw(st.integers(0, len(self.kept) - 1))
        epoch = data.draw(st.integers(1, 3))
        kept, store = self.kept[index], self.stores[driver]
        result = outcome(value, state=state)
        if not self.may(driver):
            with pytest.raises(self.refused(driver)):
                store.finish(self.study, TRIALS[index], epoch, result)
            return
        running = kept.outcome.state is State.RUNNING
        expected = epoch == kept.epoch and (running or kept.outcome == result)
        assert store.finish(self.study, TRIALS[index], epoch, result) is expected
        if expected:
            kept.outcome = result

    @invariant()
    def history_is_what_the_model_says(self) -> None:
        told = [
            replace(trial, outcome=kept.outcome)
            for trial, kept in zip(TRIALS, self.kept, strict=False)
        ]
        assert self.stores[0].history(self.study) == told
        attempts = self.stores[1].attempts(self.study)
        assert len(attempts) == sum(kept.epoch for kept in self.kept)
        open_ones = [attempt.index for attempt in attempts if attempt.ended is None]
        assert open_ones == [trial.index for trial in self.stores[1].unfinished(self.study)]


TwoDrivers.TestCase.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TestTwoDrivers = TwoDrivers.TestCase
