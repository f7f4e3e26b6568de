"""Intervals and tests against hand computation and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from archsearch.select.statistics import holm, mean_interval, paired, sign_flip

numbers = st.floats(-100, 100).map(lambda value: round(value, 3))


def test_an_interval_ends_where_values_do() -> None:
    assert mean_interval([0.2, 0.9], (0.0, 1.0)) == (0.0, 1.0)
    low, high = mean_interval([0.1, 0.2], (0.0, math.inf)) or (0.0, 0.0)
    assert (low, high) == (0.0, pytest.approx(0.785, abs=1e-3))
    # in per cent, so that it is another metric of that name
    low, high = mean_interval([20.0, 90.0], (0.0, 1.0)) or (0.0, 0.0)
    assert low < 0.0
    assert high > 100.0
    assert paired([0.9, -0.5], widest=1.0).interval == (-1.0, 1.0)
    assert paired([0.9, -0.5], widest=1.0).p_value == paired([0.9, -0.5]).p_value


def test_an_interval_by_hand() -> None:
    # mean 3, standard deviation sqrt(2.5), t(0.975, 4) = 2.776445
    half = 2.776445105 * math.sqrt(2.5) / math.sqrt(5)
    assert mean_interval([1, 2, 3, 4, 5]) == pytest.approx((3 - half, 3 + half), rel=1e-9)


def test_one_value_has_no_interval_and_equal_values_have_a_point() -> None:
    assert mean_interval([]) is None
    assert mean_interval([0.5]) is None
    assert mean_interval([0.7, 0.7, 0.7]) == (pytest.approx(0.7), pytest.approx(0.7))


def test_a_paired_test_by_hand() -> None:
    # differences 1, 2, 3: mean 2, deviation 1, t = 2 sqrt(3); with 2 degrees of freedom the
    # two-sided p is 1 - t / sqrt(t^2 + 2)
    found = paired([1.0, 2.0, 3.0])
    t = 2 * math.sqrt(3)
    assert found.mean == 2.0
    assert found.effect == pytest.approx(2.0)
    assert found.p_t == pytest.approx(1 - t / math.sqrt(t * t + 2), rel=1e-9)
    assert found.p_value == found.p_t
    half = 4.302652730 / math.sqrt(3)
    assert found.interval == pytest.approx((2 - half, 2 + half), rel=1e-9)
    # only +++ and --- of the eight signs are as extreme
    assert found.p_flip == 0.25


@given(st.lists(numbers, min_size=3, max_size=9).filter(lambda d: np.std(d) > 1e-3))
@settings(max_examples=60, deadline=None)
def test_the_paired_test_is_scipys(differences: list[float]) -> None:
    found = paired(differences)
    known = stats.ttest_1samp(differences, 0.0)
    assert found.p_t == pytest.approx(known.pvalue, rel=1e-8, abs=1e-12)
    known_interval = known.confidence_interval(0.95)
    assert found.interval == pytest.approx((known_interval.low, known_interval.high), rel=1e-8)


@given(st.lists(numbers, min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_the_sign_flip_test_is_its_definition(differences: list[float]) -> None:
    observed = abs(sum(differences)) - 1e-9
    signs = list(itertools.product((1, -1), repeat=len(differences)))
    extreme = [
        abs(sum(sign * d for sign, d in zip(flip, differences, strict=True))) >= observed
        for flip in signs
    ]
    assert sign_flip(differences) == sum(extreme) / len(signs)


def test_the_sign_flip_test_is_scipys_permutation_test() -> None:
    differences = [0.3, -0.1, 0.4, 0.2, 0.25, -0.05]
    known = stats.permutation_test(
        (np.asarray(differences),), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(differences) == pytest.approx(known.pvalue)


def test_many_pairs_have_no_exact_test() -> None:
    assert sign_flip([1.0] * 20) == pytest.approx(2**-19)
    assert sign_flip([1.0] * 21) is None
    assert paired([1.0, 2.0] * 11).p_flip is None


def test_one_pair_shows_nothing() -> None:
    found = paired([0.3])
    assert (found.count, found.mean) == (1, 0.3)
    assert (found.interval, found.p_value, found.effect) == (None, None, None)


def test_equal_differences_do_not_claim_certainty() -> None:
    found = paired([0.1] * 5, scale=0.9)
    assert (found.p_t, found.effect) == (None, None)
    assert found.p_value == found.p_flip == 2 / 32
    assert found.interval == (pytest.approx(0.1), pytest.approx(0.1))


def test_a_spread_from_rounding_is_none() -> None:
    differences = [0.9 - 0.8, 0.7 - 0.6, 0.4 - 0.3, 1.0 - 0.9]
    assert len(set(differences)) > 1
    assert paired(differences, scale=1.0).p_value == 2 / 16


def test_no_difference_at_all() -> None:
    found = paired([0.0] * 5, scale=0.9)
    assert (found.mean, found.p_value, found.effect, found.p_flip) == (0.0, 1.0, 0.0, 1.0)


def test_holm_by_hand() -> None:
    # sorted .01 .02 .03 .04 times 4 3 2 1, never falling: .04 .06 .06 .06
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_holm_lies_between_the_raw_values_and_bonferroni(p_values: list[float]) -> None:
    for raw, corrected in zip(p_values, holm(p_values), strict=True):
        assert raw <= corrected <= min(1.0, raw * len(p_values)) + 1e-15


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    covered, rejected, repeats = 0, 0, 2000
    for sample in rng.normal(0.3, 2.0, (repeats, 5)):
        interval = mean_interval(sample)
        assert interval is not None
        covered += interval[0] <= 0.3 <= interval[1]
        rejected += (paired(sample - 0.3).p_value or 0.0) < 0.05
    # three standard errors of a binomial with 2000 draws are 0.015
    assert abs(covered / repeats - 0.95) < 0.015
    assert rejected == repeats - covered
