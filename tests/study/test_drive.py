"""What a driver owes: the same trials whatever happens, nothing lost, nothing done twice."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import pytest
from scripted import Scripted, history, learnt, plan, run, states, study_id, three

from archsearch.errors import StateError, TryAgainError
from archsearch.execute.job import Job
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import Budget
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.study import drive
from archsearch.study.course import Ended, Phase, Progress
from archsearch.study.drive import Driver
from archsearch.study.finals import Candidate
from archsearch.study.phases import ListPhase, exhausted

TPE = Layer.of("tpe", startup=4)
HALVING = Layer.of("halving", warmup=3)


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store("sqlite://") as opened:
        yield opened


class TestTheSameTrials:
    def test_whatever_the_workers_and_the_order(self) -> None:
        records = []
        for workers, seed in ((1, 0), (2, 1), (4, 2), (9, 3)):
            with open_store("sqlite://") as store:
                asked = plan(trials=40, sampler=TPE, stopping=HALVING)
                run(store, asked, Scripted(workers, rng=random.Random(seed)))
                records.append(history(store))
        assert records[0] == records[1] == records[2] == records[3]
        assert State.STOPPED in states(records[0])

    @pytest.mark.parametrize("moment", [1, 4, 9, 15])
    def test_a_study_continues_after_an_error_at_any_moment(
        self, store: Store, moment: int
    ) -> None:
        asked = plan(trials=16, sampler=TPE)
        with open_store("sqlite://") as other:
            run(other, asked, Scripted())
            undisturbed = history(other)
        calls = iter(range(100))

        def fragile(job: Job) -> Outcome:
            if next(calls) == moment:
                raise KeyboardInterrupt
            return learnt(job)

        first, second = Scripted(3, fragile), Scripted(3)
        with pytest.raises(KeyboardInterrupt):
            run(store, asked, first)
        done = {trial.index for trial in history(store) if trial.state.final}
        assert len(done) == moment
        run(store, asked, second)
        assert not done & set(second.indices)
        assert history(store) == undisturbed

    def test_an_error_in_the_next_proposal_keeps_what_has_finished(self, store: Store) -> None:
        class Broken(Numbered):
            def next(self, trials: Sequence[Trial]) -> Trial | Ended | None:
                if len(trials) == 3:
                    raise ZeroDivisionError
                return super().next(trials)

        with pytest.raises(ZeroDivisionError):
            driver(store, Scripted()).drive(Broken(9))
        assert states(history(store)) == [State.COMPLETE] * 3

    def test_what_holds_up_the_workers_is_passed_on(self, store: Store) -> None:
        class Waiting(Scripted):
            def news(self) -> list[str]:
                return [f"{len(self.submitted)} begun"]

        told: list[str] = []
        run(store, plan(trials=3), Waiting(), lambda report: told.append(report.news))
        assert [line for line in told if line] == ["2 begun", "3 begun", "3 begun"]

    def test_an_error_of_whoever_watches_loses_nothing(self, store: Store) -> None:
        def watch(progress: Progress) -> None:
            if progress.trial is not None and progress.trial.index == 5:
                raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            run(store, plan(), Scripted(), watch)
        assert states(history(store)) == [State.COMPLETE] * 5 + [State.RUNNING]
        backend = Scripted()
        run(store, plan(), backend)
        assert backend.indices == list(range(5, 12))


class TestCommits:
    def test_a_worker_sees_nothing_that_is_not_committed(self, store: Store) -> None:
        lag = 4

        def submitting(job: Job) -> None:
            stored = history(store)
            assert stored[job.trial].state is State.RUNNING
            assert all(trial.state.final for trial in stored[: max(0, job.trial - lag + 1)])

        run(
            store,
            plan(trials=30, lag=lag),
            Scripted(3, rng=random.Random(0), submitting=submitting),
        )
        assert states(history(store)) == [State.COMPLETE] * 30

    @pytest.mark.parametrize("workers", [1, 4])
    def test_a_trial_costs_one(
        self, store: Store, monkeypatch: pytest.MonkeyPatch, workers: int
    ) -> None:
        count = Counter[str]()
        plain = Store.advance

        def counted(*arguments: object, **named: object) -> object:
            count["advance"] += 1
            return plain(*arguments, **named)  # type: ignore[arg-type]

        monkeypatch.setattr(Store, "advance", counted)
        run(store, plan(trials=40), Scripted(workers))
        assert count["advance"] <= 41

    def test_a_result_that_is_refused_ends_the_run(self, store: Store) -> None:
        def overtaken(job: Job) -> Outcome:
            if job.trial == 2:
                trial = history(store)[2]
                store.finish(study_id(store), trial, 1, Outcome(State.COMPLETE, message="other"))
            return learnt(job)

        with pytest.raises(TryAgainError, match="search trial 2 has another result"):
            run(store, plan(), Scripted(run=overtaken))
        run(store, plan(), Scripted())
        assert history(store)[2].outcome.message == "other"
        assert len(history(store)) == 12


class TestLostWorkers:
    def losing(self, index: int, times: int) -> Callable[[Job], Outcome]:
        losses = Counter[int]()

        def work(job: Job) -> Outcome:
            if job.trial == index and losses[index] < times:
                losses[index] += 1
                return Outcome(
                    State.CRASHED, message="killed", lost=True, timings=(("cpu_seconds", 0.5),)
                )
            return learnt(job)

        return work

    @pytest.mark.parametrize("workers", [1, 3])
    def test_twice_is_forgiven(self, store: Store, workers: int) -> None:
        backend = Scripted(workers, self.losing(3, times=2))
        run(store, plan(), backend)
        assert states(history(store)) == [State.COMPLETE] * 12
        assert backend.indices.count(3) == 3
        assert [job.epoch for job in backend.submitted if job.trial == 3] == [1, 2, 3]
        assert len({job.key for job in backend.submitted if job.trial == 3}) == 1
        assert store.ledger(study_id(store)).cpu_seconds == 12 * 2.0 + 2 * 0.5

    @pytest.mark.parametrize("workers", [1, 3])
    def test_three_times_is_a_crash_and_the_study_goes_on(self, store: Store, workers: int) -> None:
        seen: list[Progress] = []
        backend = Scripted(workers, self.losing(3, times=99))
        run(store, plan(), backend, seen.append)
        found = history(store)
        assert states(found) == [State.COMPLETE] * 3 + [State.CRASHED] + [State.COMPLETE] * 8
        assert found[3].outcome.message == "lost 3 times, last: killed"
        assert backend.indices.count(3) == 3
        told = [progress.trial.index for progress in seen if final(progress.trial)]
        assert sorted(told) == list(range(12))

    def test_with_others_in_the_same_breath(self, store: Store) -> None:
        backend = Burst(4, self.losing(2, times=99))
        run(store, plan(), backend)
        expected = [State.COMPLETE] * 12
        expected[2] = State.CRASHED
        assert states(history(store)) == expected
        assert Counter(backend.indices) == Counter([*range(12), 2, 2])

    def test_others_are_committed_though_a_restart_fails(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*arguments: object) -> None:
            raise TryAgainError("the database cannot be reached")

        monkeypatch.setattr(Store, "restart", unreachable)
        with pytest.raises(TryAgainError):
            run(store, plan(), Burst(4, self.losing(2, times=1)))
        finished = [trial.index for trial in history(store) if trial.state.final]
        assert finished == [0, 1, 3]

    def test_a_crash_that_would_come_again_is_not_tried_again(self, store: Store) -> None:
        backend = Scripted(run=lambda job: Outcome(State.CRASHED, message="ValueError"))
        run(store, plan(), backend)
        assert states(history(store)) == [State.CRASHED] * 12
        assert backend.indices == list(range(12))


class TestAnswers:
    @pytest.mark.parametrize("workers", [1, 3])
    def test_the_same_study_again_is_answered_from_the_store(
        self, store: Store, workers: int
    ) -> None:
        run(store, plan("one", trials=90), Scripted())
        seen: list[Progress] = []
        backend = Scripted(workers)
        run(store, plan("two", trials=90), backend, seen.append)
        assert backend.submitted == []
        one, two = history(store, "one"), history(store, "two")
        assert [trial.outcome.metrics for trial in one] == [trial.outcome.metrics for trial in two]
        assert two[0].outcome.timings == (("latency_ms", 4.0),)
        assert store.ledger(study_id(store, "two")).cpu_seconds == 0.0
        assert [p.trial.index for p in seen if final(p.trial)] == list(range(90))
        assert seen[-1].finished == 90

    def test_accidents_are_no_answers(self, store: Store) -> None:
        run(store, plan("one"), Scripted(run=lambda job: Outcome(State.TIMEOUT)))
        backend = Scripted()
        run(store, plan("two"), backend)
        assert len(backend.submitted) == 12

    def test_a_repeat_waits_for_its_answer(self, store: Store) -> None:
        """Also when what it repeats has finished only just now."""
        asked = plan(space=three())
        points = [asked.space.architecture(point) for point in asked.space.points()]
        same = [Candidate(f"role {number}", points[number // 2], 7) for number in range(6)]
        backend = Scripted(run=three_outcome)
        ended = driver(store, backend).drive(ListPhase("tune", asked, same))
        assert ended.reason == "all candidates are judged"
        assert backend.indices == [0, 2, 4]
        found = history(store, phase="tune")
        assert [trial.role for trial in found] == [candidate.role for candidate in same]
        assert found[0].outcome.metrics == found[1].outcome.metrics
        assert found[0].outcome.metrics != found[2].outcome.metrics


class TestWaiting:
    @pytest.mark.parametrize(("lag", "workers", "most"), [(1, 4, 1), (3, 8, 3), (8, 2, 2)])
    def test_no_more_run_than_the_lag_and_the_workers_allow(
        self, store: Store, lag: int, workers: int, most: int
    ) -> None:
        backend = Scripted(workers, rng=random.Random(lag))
        run(store, plan(trials=25, lag=lag), backend)
        assert len(history(store)) == 25
        assert backend.most_held == most

    def test_slow_jobs_are_waited_for(self, store: Store) -> None:
        class Slow(Scripted):
            empty = 3

            def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
                assert timeout is not None
                self.empty -= 1
                if self.empty >= 0:
                    return []
                self.empty = 3
                return super().collect(timeout)

        backend = Slow(2)
        run(store, plan(lag=2), backend)
        assert backend.indices == list(range(12))


class TestBudgets:
    def test_of_trials(self, store: Store) -> None:
        assert run(store, plan(trials=5), Scripted(3)) == "all 5 trials are done"
        assert len(history(store)) == 5
        backend = Scripted()
        assert run(store, plan(trials=5), backend) == "all 5 trials are done"
        assert backend.submitted == []
        assert run(store, plan(trials=8), backend) == "all 8 trials are done"
        assert backend.indices == [5, 6, 7]

    def test_of_time(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = SimpleNamespace(now=0.0)
        monkeypatch.setattr(drive, "time", SimpleNamespace(monotonic=lambda: clock.now))

        def work(job: Job) -> Outcome:
            clock.now += 10.0
            return learnt(job)

        reason = run(store, plan(budget=Budget(trials=99, time=35.0)), Scripted(run=work))
        assert reason == "the time budget of 35 s is spent"
        assert states(history(store)) == [State.COMPLETE] * 4

    @pytest.mark.parametrize(
        ("unit", "budget", "count"),
        [("cpu", Budget(None, cpu_seconds=5.0), 3), ("gpu", Budget(None, gpu_seconds=3.0), 1)],
    )
    def test_of_cores(self, store: Store, unit: str, budget: Budget, count: int) -> None:
        reason = run(store, plan(budget=budget), Scripted())
        assert reason.endswith(f"{unit}-seconds is spent")
        assert states(history(store)) == [State.COMPLETE] * count
        backend = Scripted()
        run(store, plan(budget=budget), backend)
        assert backend.submitted == []
        run(store, plan(budget=Budget(count + 1)), backend)
        assert backend.indices == [count]

    def test_lost_attempts_are_paid_for(self, store: Store) -> None:
        lost = Outcome(State.CRASHED, lost=True, timings=(("cpu_seconds", 50.0),))
        backend = Scripted(run=lambda job: lost if job.epoch == 1 else learnt(job))
        run(store, plan(budget=Budget(None, cpu_seconds=60.0)), backend)
        assert backend.indices == [0, 0, 1, 1]

    def test_a_small_space_is_exhausted(self, store: Store) -> None:
        reason = run(store, plan(trials=10, space=three()), Scripted(2, three_outcome))
        assert reason == "the space is exhausted: all 3 architectures were tried"
        assert exhausted(1) == "the space is exhausted: its one architecture was tried"
        found = history(store)
        assert len({trial.digest for trial in found}) == len(found) == 3
        record = store.find_study("toy")
        assert record is not None
        assert record.ended == reason


class TestStores:
    def test_two_studies_side_by_side(self, store: Store) -> None:
        """One study is run while another is under way in the same store."""
        inner = Scripted(2)

        def watch(progress: Progress) -> None:
            if progress.finished == 5 and not inner.submitted:
                run(store, plan("two", seed=2), inner)

        run(store, plan("one", seed=1), Scripted(2), watch)
        for name, seed in (("one", 1), ("two", 2)):
            with open_store("sqlite://") as alone:
                run(alone, plan(name, seed=seed), Scripted())
                assert history(store, name) == history(alone, name)

    def test_another_study_of_the_same_name_is_refused(self, store: Store) -> None:
        run(store, plan(seed=1), Scripted())
        with pytest.raises(StateError, match="seed = 1, now it is 2"):
            run(store, plan(seed=2), Scripted())
        assert len(history(store)) == 12

    def test_progress_counts_to_the_end(self, store: Store) -> None:
        seen: list[Progress] = []
        run(store, plan(), Scripted(3), seen.append)
        finished = [progress.finished for progress in seen if final(progress.trial)]
        assert finished == list(range(1, 13))
        assert all(progress.running <= 3 for progress in seen)
        assert (seen[-1].running, seen[-1].total) == (0, 12)
        again: list[Progress] = []
        run(store, plan(trials=14), Scripted(3), again.append)
        assert [progress.finished for progress in again if final(progress.trial)] == [13, 14]


class Burst(Scripted):
    """All that is held ends at once."""

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        return [self.end_one() for _ in range(len(self.held))]


class Numbered(Phase):
    """So many trials, whatever comes of them."""

    name = "search"

    def __init__(self, total: int) -> None:
        self.total = total
        self.space = plan().space

    def next(self, trials: Sequence[Trial]) -> Trial | Ended | None:
        index = len(trials)
        if index == self.total:
            return Ended("all are done")
        point = self.space.sample(random.Random(index))
        architecture = self.space.architecture(point)
        return Trial(index, self.name, point, architecture, architecture.digest, index)

    def job(self, trial: Trial, trials: Sequence[Trial]) -> Job:
        return Job(trial.index, "", plan().task, "", trial.architecture, trial.seed)


def driver(store: Store, backend: Scripted) -> Driver:
    asked = plan()
    record = store.create_study(asked.name, asked.fingerprint(), "", asked.settings())
    store.acquire(record.id)
    return Driver(store, record.id, backend, lambda progress: None)


def final(trial: Trial | None) -> bool:
    return trial is not None and trial.state.final


def three_outcome(job: Job) -> Outcome:
    return Outcome(State.COMPLETE, (("error", 1.0 / job.architecture.width),))
