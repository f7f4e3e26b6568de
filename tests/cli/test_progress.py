"""Which trial the lines of a run mark as the best so far."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from archsearch.cli.progress import Watcher
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.study.course import Progress

ACCURACY = Objective("accuracy", "max")
PLAIN = Architecture(8, (Stage((Block(Layer("gru")),)),))


def trial(index: int, accuracy: float, latency: float = 1.0) -> Trial:
    timings = (("latency_ms", latency),)
    outcome = Outcome(State.COMPLETE, (("accuracy", accuracy),), timings=timings)
    return Trial(index, "search", (), PLAIN, PLAIN.digest, 0, outcome)


def marked(
    trials: Sequence[Trial],
    capsys: pytest.CaptureFixture[str],
    *,
    before: int = 0,
    objective: Objective = ACCURACY,
    constraints: tuple[Constraint, ...] = (),
) -> list[str]:
    """The lines of all trials but those ``before`` this run."""
    watcher = Watcher("toy", (objective,), constraints)
    with watcher:
        watcher(Progress("search", before, 0, len(trials), None, trials[:before]))
        for count, each in enumerate(trials[before:], start=before + 1):
            watcher(Progress("search", count, 0, len(trials), each, trials[:count]))
    return capsys.readouterr().err.splitlines()[1:]


def test_the_best_so_far(capsys: pytest.CaptureFixture[str]) -> None:
    lines = marked([trial(0, 0.5), trial(1, 0.4), trial(2, 0.6)], capsys)
    assert [line.endswith("*") for line in lines] == [True, False, True]


def test_what_holds_up_the_workers_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        with Watcher("toy", (ACCURACY,), (), quiet) as watcher:
            watcher(Progress("search", 0, 1, 9, news="no node has room [yet]"))
    assert capsys.readouterr().err.splitlines()[1:] == ["toy: no node has room [yet]"]


def test_what_an_earlier_run_found_counts(capsys: pytest.CaptureFixture[str]) -> None:
    lines = marked([trial(0, 0.9), trial(1, 0.4), trial(2, 0.95)], capsys, before=1)
    assert [line.endswith("*") for line in lines] == [False, True]


def test_a_timing_may_be_a_constraint_or_an_objective(capsys: pytest.CaptureFixture[str]) -> None:
    slow = [trial(0, 0.9, latency=5.0), trial(1, 0.4, latency=1.0)]
    bound = (Constraint("latency_ms", "<=", 2.0),)
    lines = marked(slow, capsys, constraints=bound)
    assert [line.endswith("*") for line in lines] == [False, True]
    lines = marked(slow, capsys, objective=Objective("latency_ms", "min"))
    assert lines[0].endswith("latency_ms 5 *")
    assert lines[1].endswith("latency_ms 1 *")
