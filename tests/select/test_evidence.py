"""What is claimed of a winner, and what is not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats
from trial_records import make_trial

from archsearch.select.across import TaskResult, across, tally
from archsearch.select.evidence import Evidence, judge, runs_by_role
from archsearch.select.verdict import number, verdict
from archsearch.spec.settings import Objective
from archsearch.spec.trial import State

ACCURACY = Objective("accuracy", "max")
MSE = Objective("mse", "min")
GRU = [0.900, 0.910, 0.905, 0.895, 0.900]
LSTM = [0.880, 0.890, 0.870, 0.885, 0.880]
GOOD = [0.921, 0.933, 0.924, 0.917, 0.922]
ALIKE = [0.903, 0.905, 0.909, 0.896, 0.899]
BAD = [0.861, 0.873, 0.864, 0.857, 0.862]
BASELINES = ("lstm", "gru")


def judged(finalists: dict[str, list[float | None]], **given: object) -> Evidence:
    runs = {**finalists, "lstm": LSTM, "gru": GRU}
    return judge(runs, ACCURACY, finalists=list(finalists), baselines=BASELINES, **given)  # type: ignore[arg-type]


def test_a_gain_is_named_with_its_numbers() -> None:
    found = judged({"trial 3": GOOD}, titles={"trial 3": "deltanet x2 w64"})
    known = stats.ttest_rel(GOOD, GRU)
    low, high = known.confidence_interval(0.95)
    assert (found.best, found.rival, found.finding, found.take) == (
        "trial 3",
        "gru",
        "better",
        "trial 3",
    )
    pair = found.comparison("trial 3", "gru")
    assert pair is not None
    assert pair.difference.mean == pytest.approx(np.mean(GOOD) - np.mean(GRU))
    assert pair.corrected == pytest.approx(known.pvalue)
    assert pair.difference.interval == pytest.approx((low, high))
    assert pair.difference.effect == pytest.approx(known.statistic / np.sqrt(5))
    assert verdict(found) == (
        "deltanet x2 w64 beats the best baseline (gru) by 0.021 accuracy "
        f"(95% interval {low:.3f} to {high:.3f}, corrected p < 0.001 over 5 seeds)"
    )


def test_no_gain_is_said_and_the_simpler_model_taken() -> None:
    found = judged({"trial 3": ALIKE})
    assert (found.finding, found.take) == ("no gain", "gru")
    text = verdict(found)
    assert text.startswith(
        "no significant gain over gru: difference 0.0004 accuracy (95% interval -"
    )
    assert text.endswith("over 5 seeds); take the simpler model (gru)")


@pytest.mark.parametrize(("params", "taken"), [(99.0, "trial 3"), (101.0, "gru"), (100.0, "gru")])
def test_the_simpler_model_is_the_one_with_fewer_parameters(params: float, taken: str) -> None:
    found = judged({"trial 3": ALIKE}, params={"trial 3": params, "gru": 100.0})
    assert found.take == taken
    size = min(params, 100)
    assert verdict(found).endswith(f"take the simpler model ({taken}, {size:.0f} parameters)")


def test_a_loss_is_said() -> None:
    found = judged({"trial 3": BAD})
    assert (found.finding, found.take) == ("worse", "gru")
    low, high = stats.ttest_rel(GRU, BAD).confidence_interval(0.95)
    assert verdict(found) == (
        f"trial 3 is worse than gru by 0.039 accuracy (95% interval {low:.3f} to {high:.3f}, "
        "corrected p < 0.001 over 5 seeds); take gru"
    )


def test_less_is_better_where_the_objective_says_so() -> None:
    runs = {"a": [1.0, 1.1, 0.9], "gru": [2.0, 2.2, 1.9], "lstm": [3.0, 3.1, 2.9]}
    found = judge(runs, MSE, finalists=["a"], baselines=["lstm", "gru"])
    pair = found.comparison("a", "gru")
    assert pair is not None
    assert pair.difference.mean == pytest.approx(3.1 / 3)
    assert (found.rival, found.finding) == ("gru", "better")
    assert "beats the best baseline (gru) by 1.033 mse" in verdict(found)


def test_the_finalist_is_chosen_by_validation_and_never_by_test() -> None:
    found = judged({"first": ALIKE, "second": GOOD})
    assert (found.best, found.finding) == ("first", "no gain")


def test_the_correction_counts_the_finalists() -> None:
    alone = judged({"a": GOOD}).comparison("a", "gru")
    among = judged({"a": GOOD, "b": ALIKE, "c": BAD}).comparison("a", "gru")
    assert alone is not None
    assert among is not None
    assert alone.corrected == alone.difference.p_value
    # both a and c are strong; Holm multiplies the strongest by 3 and the next by 2
    assert among.corrected is not None
    assert alone.corrected is not None
    assert among.corrected in (
        pytest.approx(3 * alone.corrected),
        pytest.approx(2 * alone.corrected),
    )
    assert {(c.finalist, c.baseline) for c in judged({"a": GOOD, "b": BAD}).comparisons} == {
        ("a", "lstm"),
        ("a", "gru"),
        ("b", "lstm"),
        ("b", "gru"),
    }


def test_a_gain_that_the_correction_takes_away() -> None:
    weak = [0.905, 0.918, 0.906, 0.897, 0.907]
    assert judged({"a": weak}).finding == "better"
    assert judged({"a": weak, "b": ALIKE, "c": ALIKE}).finding == "no gain"


def test_not_better_than_chance_or_a_trivial_predictor_is_said_aloud() -> None:
    found = judged({"a": ALIKE}, chance=0.5, trivial={"majority": 0.9, "copy": 0.2})
    assert found.floor == ("majority", 0.9)
    assert (found.finding, found.take) == ("useless", None)
    assert verdict(found) == (
        "a reaches 0.902 accuracy (95% interval 0.896 to 0.909, 5 seeds), not better than the "
        "trivial predictor 'majority' (0.900); use neither it nor a baseline"
    )
    by_chance = judged({"a": [0.5, 0.51, 0.49, 0.5, 0.5]}, chance=0.5)
    assert by_chance.take == "gru"
    assert verdict(by_chance).endswith("not better than chance (0.500); take gru")
    assert judged({"a": ALIKE}, chance=0.5).finding == "no gain"


def test_a_perfect_score_is_better_than_chance_but_not_than_a_perfect_trivial_one() -> None:
    perfect: list[float | None] = [1.0] * 5
    assert judged({"a": perfect}, chance=0.5).finding == "better"
    assert judged({"a": perfect}, trivial={"last": 1.0}).finding == "useless"


def test_failed_seeds_are_left_out_in_pairs_and_named() -> None:
    found = judged({"a": [0.921, None, 0.924, float("nan"), 0.922]})
    pair = found.comparison("a", "gru")
    assert pair is not None
    assert pair.difference.count == 3
    assert pair.difference.mean == pytest.approx(np.mean([0.021, 0.019, 0.022]))
    assert verdict(found).endswith(
        "over 3 seeds); 2 of 5 runs of a failed; they are left out, which flatters it"
    )


def test_a_finalist_whose_every_run_failed_makes_way_for_the_next() -> None:
    found = judged({"a": [None] * 5, "b": GOOD})
    assert (found.best, found.finding) == ("b", "better")
    assert verdict(found).endswith("all 5 runs of a failed")


def test_nothing_at_all_finished() -> None:
    found = judge({"a": [None, None]}, ACCURACY, finalists=["a"], baselines=["gru"])
    assert (found.finding, found.take, found.best) == ("nothing", None, None)
    assert verdict(found).startswith("no finalist finished a single run")


def test_finalist_and_baseline_without_a_common_seed() -> None:
    runs = {"a": [0.9, None], "gru": [None, 0.8]}
    found = judge(runs, ACCURACY, finalists=["a"], baselines=["gru"])
    assert found.comparisons == ()
    assert "finished no seed in common" in verdict(found)


def test_one_seed_shows_nothing() -> None:
    found = judge({"a": [0.9], "gru": [0.8]}, ACCURACY, finalists=["a"], baselines=["gru"])
    assert (found.finding, found.take) == ("one seed", "gru")
    assert verdict(found) == (
        "one seed shows nothing: a reaches 0.900 accuracy, gru 0.800; take the simpler model "
        "(gru), or confirm over at least 5 seeds"
    )
    assert found.candidate("a").interval is None


def test_without_baselines_the_level_is_all_there_is() -> None:
    found = judge({"a": GOOD}, ACCURACY, finalists=["a"], chance=0.5)
    assert (found.finding, found.take) == ("no baseline", "a")
    assert verdict(found).endswith("; no baseline was there to compare it with")


def test_the_same_network_as_the_baseline_is_no_gain() -> None:
    found = judged({"a": list(GRU)})
    pair = found.comparison("a", "gru")
    assert pair is not None
    assert (found.finding, pair.corrected, pair.difference.effect) == ("no gain", 1.0, 0.0)


def test_uneven_runs_are_refused() -> None:
    with pytest.raises(ValueError, match="each seed"):
        judge({"a": [1.0], "b": [1.0, 2.0]}, ACCURACY, finalists=["a"], baselines=["b"])


def test_evidence_is_plain_data() -> None:
    found = judged({"a": [0.9, None, 0.8, 0.9, 0.7]}, chance=0.5)
    assert json.loads(json.dumps(found.to_plain(), allow_nan=False))["rival"] == "gru"


def test_under_no_difference_a_gain_is_claimed_rarely() -> None:
    rng = np.random.default_rng(3)
    repeats = 300
    findings = []
    for _ in range(repeats):
        runs = {name: rng.normal(0.9, 0.01, 5).tolist() for name in ("a", "b", "gru", "lstm")}
        found = judge(runs, ACCURACY, finalists=["a", "b"], baselines=["gru", "lstm"])
        findings.append(found.finding)
    # a one-sided 2.5 % at most, and 0.9 % of standard error
    assert findings.count("better") / repeats < 0.05
    assert findings.count("worse") / repeats < 0.05


def test_runs_are_paired_by_seed() -> None:
    trials = [
        make_trial(0, role="a", seed=11, accuracy=0.9),
        make_trial(1, role="gru", seed=11, accuracy=0.8),
        make_trial(2, role="gru", seed=22, accuracy=0.7),
        make_trial(3, State.DIVERGED, role="a", seed=22, accuracy=0.1),
    ]
    assert runs_by_role(trials, "accuracy") == {"a": [0.9, None], "gru": [0.8, 0.7]}


def test_runs_to_come_have_not_failed() -> None:
    found = judge(
        {"a": [0.9, None, None, None], "gru": [0.8, 0.7, None, None]},
        ACCURACY,
        finalists=["a"],
        baselines=["gru"],
        awaited={"a": 3, "gru": 1},
    )
    assert [found.candidate(name).failed for name in ("a", "gru")] == [0, 1]
    assert "3 of 4 runs of a are still to come" in found.notes
    assert "1 of 4 runs of gru failed; they are left out, which flatters it" in found.notes


def test_a_timing_can_be_judged() -> None:
    trials = [
        make_trial(0, role="a", seed=11, timings={"latency_ms": 2.0}),
        make_trial(1, role="a", seed=22, timings={"latency_ms": 3.0}),
    ]
    assert runs_by_role(trials, "latency_ms") == {"a": [2.0, 3.0]}
    assert runs_by_role(trials, "latency_ms", [22, 33]) == {"a": [3.0, None]}


def test_an_interval_stays_where_the_metric_can_be() -> None:
    runs = {"a": [0.6, 0.95], "gru": [0.1, 0.4]}
    found = judge(runs, ACCURACY, finalists=["a"], baselines=["gru"])
    assert (found.candidate("a").interval or ())[1] == 1.0
    assert (found.candidate("gru").interval or ())[0] == 0.0
    ends = found.comparisons[0].difference.interval or (0.0, 0.0)
    assert -1.0 <= ends[0] < ends[1] <= 1.0
    error = judge({"a": [0.1, 0.9]}, Objective("rmse", "min"), finalists=["a"])
    low, high = error.candidate("a").interval or (0.0, 0.0)
    assert low == 0.0
    assert high > 1.0


def test_the_table_across_tasks() -> None:
    trials = [make_trial(0, accuracy=0.5, params=7.0), make_trial(1, accuracy=0.9, params=9.0)]
    results = [
        TaskResult("one", trials, (ACCURACY,), (), judged({"a": GOOD})),
        TaskResult("two", trials[:1], (ACCURACY,), (), judged({"a": ALIKE})),
        TaskResult("three", [make_trial(0, State.CRASHED)], (ACCURACY,)),
    ]
    table = across(results)
    assert [row.task for row in table] == ["one", "two", "three"]
    assert [(row.trials, row.complete) for row in table] == [(2, 2), (1, 1), (1, 0)]
    assert [row.value for row in table] == [0.9, 0.5, None]
    assert table[0].title == "gru w9"
    assert table[0].params == 9.0
    assert table[0].gain == pytest.approx(0.0214)
    assert [row.baseline for row in table] == ["gru", "gru", None]
    assert [row.finding for row in table] == ["better", "no gain", None]
    assert tally(table) == (
        "better than the best baseline on 1, no significant gain on 1 of 2 tasks"
    )
    assert tally(table[2:]) == ""


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0214, "0.021"),
        (0.0, "0.000"),
        (-0.0004, "-0.0004"),
        (0.0017359, "0.00174"),
        (0.01, "0.010"),
        (12345.6, "1.23e+04"),
        (3.0, "3.000"),
    ],
)
def test_numbers_in_words(value: float, words: str) -> None:
    assert number(value) == words
