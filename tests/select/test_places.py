"""Whether the places of a learned mask matter beyond their numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from trial_records import make_trial

from archsearch.select.evidence import judge
from archsearch.select.places import mask_role, places_of, weigh_places
from archsearch.select.verdict import verdict
from archsearch.spec.settings import Objective
from archsearch.spec.trial import State

ACCURACY = Objective("accuracy", "max")
MSE = Objective("mse", "min")
OWN = [0.90, 0.92, 0.91, 0.93, 0.90]
MASKS = [
    [0.86, 0.87, 0.88, 0.86, 0.86],
    [0.88, 0.89, 0.87, 0.88, 0.84],
    # the highest value of all, by luck
    [0.80, 0.81, 0.82, 0.80, 0.95],
]


def test_the_best_mask_is_picked_by_the_other_seeds() -> None:
    found = weigh_places("trial 3", OWN, MASKS, ACCURACY)
    # of any four seeds the second mask has the best mean
    held = MASKS[1]
    known = stats.ttest_rel(OWN, held)
    one = stats.ttest_rel(OWN, np.mean(MASKS, 0))
    assert found.best is not None
    assert found.one is not None
    assert found.best.mean == pytest.approx(0.04)
    assert found.best.p_value == pytest.approx(known.pvalue)
    assert found.one.mean == pytest.approx(np.mean(OWN) - np.mean(MASKS))
    assert found.one.p_value == pytest.approx(one.pvalue)
    assert found.corrected == pytest.approx(max(known.pvalue, one.pvalue))
    assert found.mean == pytest.approx(np.mean(MASKS))
    assert (found.masks, found.finding) == (3, "places")


def test_both_must_hold() -> None:
    # one mask as good as its own, among bad ones: better than one of them, not than the best
    found = weigh_places("a", OWN, [MASKS[0], [*OWN]], ACCURACY)
    assert found.one is not None
    assert found.one.p_value is not None
    assert found.one.p_value < 0.05
    assert found.best is not None
    assert (found.best.mean, found.corrected, found.finding) == (0.0, 1.0, "numbers")


def test_less_is_better_where_the_objective_says_so() -> None:
    assert weigh_places("a", OWN, MASKS[:2], MSE).finding == "worse"
    swapped = weigh_places("a", MASKS[0], [OWN], ACCURACY)
    assert swapped.finding == "worse"
    assert swapped.best is not None
    assert swapped.best.mean == pytest.approx(-0.046)


def test_one_seed_says_nothing_and_two_masks_with_none_in_common_neither() -> None:
    assert weigh_places("a", OWN[:1], [[0.1], [0.2]], ACCURACY).finding == "one seed"
    found = weigh_places("a", [0.9, None], [[None, 0.5]], ACCURACY)
    assert (found.one, found.best, found.mean, found.finding) == (None, None, None, "one seed")


def test_failed_runs_leave_their_seed_out() -> None:
    own: list[float | None] = [*OWN[:4], None]
    masks = [MASKS[0], [None, 0.89, 0.87, 0.88, 0.88]]
    found = weigh_places("a", own, masks, ACCURACY)
    assert found.one is not None
    assert found.one.count == 4
    # the first seed has the first mask alone
    assert found.best is not None
    assert found.best.mean == pytest.approx(np.mean(OWN[:4]) - np.mean([0.86, 0.89, 0.87, 0.88]))


def test_under_no_difference_places_are_claimed_rarely_though_the_best_is_picked() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2000):
        of_seed = rng.normal(0, 1, 5)
        runs = of_seed + rng.normal(0, 1, (6, 5))
        found.append(weigh_places("a", list(runs[0]), [list(run) for run in runs[1:]], ACCURACY))
    share = {name: np.mean([f.finding == name for f in found]) for name in ("places", "worse")}
    assert 0.001 < share["places"] < 0.03
    assert 0.001 < share["worse"] < 0.03
    # the held-out best of equals is no better than any of them; the best by its own values is
    gains = [f.best.mean for f in found if f.best is not None]
    assert abs(np.mean(gains)) < 0.05
    naive = [np.mean(f.values, 1).max() for f in found]
    assert np.mean(naive) - np.mean([f.mean for f in found]) > 0.3


def test_a_better_mask_among_the_random_ones_is_found() -> None:
    good = [0.91, 0.93, 0.92, 0.94, 0.91]
    found = weigh_places("a", OWN, [*MASKS, good], ACCURACY)
    assert found.best is not None
    assert found.best.mean == pytest.approx(-0.01)
    assert found.one is not None
    assert found.one.mean > 0


def test_the_runs_of_a_study() -> None:
    confirmed, masks = [], []
    for seed in range(3):
        for role, value in (("trial 3", OWN[seed]), ("lstm", 0.5)):
            confirmed.append(_run(len(confirmed), role, seed, value))
        for number in range(2):
            masks.append(_run(len(masks), mask_role("trial 3", number), seed, MASKS[number][seed]))
    found = places_of(masks, "trial 3", confirmed, ACCURACY)
    assert found is not None
    assert found.values == (tuple(MASKS[0][:3]), tuple(MASKS[1][:3]))
    assert places_of(masks, "trial 4", confirmed, ACCURACY) is None
    assert places_of([], "trial 3", confirmed, ACCURACY) is None


def _run(index: int, role: str, seed: int, value: float):  # type: ignore[no-untyped-def]
    trial = make_trial(index, state=State.COMPLETE, accuracy=value)
    return replace(trial, role=role, seed=seed)


def test_the_verdict_says_it() -> None:
    runs = {"trial 3": OWN, "gru": [0.80, 0.81, 0.82, 0.80, 0.81]}
    plain = judge(runs, ACCURACY, finalists=["trial 3"], baselines=["gru"])
    places = weigh_places("trial 3", OWN, MASKS, ACCURACY)
    found = replace(plain, places=places)
    assert verdict(found).startswith(verdict(plain) + "; its learned mask beats the best of 3 ")
    assert "random masks of its sizes by 0.040 accuracy (95% interval" in verdict(found)
    assert verdict(found).endswith("over 5 seeds)")
    alike = weigh_places("trial 3", OWN, [[0.90, 0.93, 0.91, 0.92, 0.91]], ACCURACY)
    text = verdict(replace(plain, places=alike))
    assert "; its learned mask shows no gain over a random mask of its sizes: difference " in text
    single = weigh_places("trial 3", OWN[:1], [[0.5]], ACCURACY)
    assert verdict(replace(plain, places=single)).endswith(
        "; whether its learned mask is better than a random mask needs more seeds"
    )
    assert json.loads(json.dumps(found.to_plain()))["places"]["finding"] == "places"
