"""Whose runs count for the answer."""

from __future__ import annotations

from trial_records import make_trial

from archsearch.select.competitors import counting


def test_the_runs_of_the_wanted_seed_by_seed() -> None:
    runs = [
        make_trial(0, role="trial 1", seed=11, width=8),
        make_trial(1, role="gru", seed=11, width=8),
        make_trial(2, role="trial 1", seed=22, width=8),
        make_trial(3, role="gru", seed=22, width=8),
        make_trial(4, role="trial 7", seed=11, width=16),
    ]
    found = counting(runs, ["trial 7", "trial 1"], [11, 22])
    assert [trial.index for trial in found] == [4, 0, 2]
    assert [trial.index for trial in counting(runs, ["gru"], [22])] == [3]


def test_a_baseline_that_was_tuned_anew_replaces_itself() -> None:
    runs = [
        make_trial(0, role="gru", seed=11, width=8),
        make_trial(1, role="gru", seed=22, width=8),
        make_trial(2, role="gru", seed=11, width=16),
    ]
    assert [trial.index for trial in counting(runs, ["gru"], [11, 22])] == [2]
