"""What is certified holds as often as promised, and what is not calibrated does not."""

import math
from functools import cache

import numpy as np
import pytest
import torch
from adapted_networks import example, signature, small
from scipy.stats import binom

from archsearch.adapt.certify import Certificate, conformal_risk, learn_then_test, p_value
from archsearch.adapt.examples import Examples
from archsearch.adapt.measured import measure
from archsearch.adapt.policies.cascade import Cascade, prefix_rungs
from archsearch.adapt.walk import Walk

DELTA, EPSILON, DRAWS = 0.05, 0.1, 500
# the true risks of nine places of a knob; the fourth is just within what is allowed
RISKS = np.array([0.0, 0.01, 0.03, 0.05, 0.0501, 0.06, 0.08, 0.1, 0.3])


def losses_of(rng, n, fractions=False):
    """Who is lost at one place is lost at the next; with fractions some are lost in part."""
    worst = rng.random((n, 1))
    if not fractions:
        return (worst < RISKS).astype(float)
    return np.where(worst < 2 * RISKS, 0.25 + 0.5 * rng.random((n, len(RISKS))), 0.0)


def violations(choose, n, fractions=False):
    rng = np.random.default_rng(0)
    chosen = [choose(losses_of(rng, n, fractions)) for _ in range(DRAWS)]
    return float(np.mean(RISKS[chosen] > DELTA)), chosen


def test_exact_tails_and_the_bound_that_is_of_no_use():
    losses = np.zeros(500)
    losses[:2] = 1
    assert p_value(losses, 0.02) == pytest.approx(0.0026, abs=5e-5)
    assert math.exp(-2 * 500 * (0.02 - 0.004) ** 2) == pytest.approx(0.77, abs=5e-3)
    assert p_value(losses, 0.02) == pytest.approx(float(binom.cdf(2, 500, 0.02)))
    assert p_value(np.ones(10), 0.5) == 1.0
    assert p_value(np.zeros(10), 0.5) == pytest.approx(0.5**10)


def test_parts_of_a_loss_are_bounded_and_never_below_the_exact_tail():
    losses = np.zeros(500)
    losses[:8] = 0.25
    assert p_value(losses, 0.02) > float(binom.cdf(2, 500, 0.02))
    assert p_value(losses, 0.02) < 0.77
    assert p_value(np.full(50, 0.5), 0.2) == 1.0


@pytest.mark.parametrize("fractions", [False, True])
@pytest.mark.parametrize("n", [60, 300, 1000])
def test_the_promise_is_broken_no_more_often_than_promised(n, fractions):
    rate, chosen = violations(lambda found: learn_then_test(found, DELTA, EPSILON), n, fractions)
    assert rate <= EPSILON + 2 * math.sqrt(EPSILON * (1 - EPSILON) / DRAWS)
    if n == 1000:
        # and it is not kept by certifying nothing
        assert np.mean(chosen) > 1


def test_a_threshold_that_is_not_calibrated_breaks_it():
    def greedy(found):
        return int(np.flatnonzero(found.mean(0) <= DELTA)[-1])

    rate, _ = violations(greedy, 300)
    assert rate > EPSILON + 2 * math.sqrt(EPSILON * (1 - EPSILON) / DRAWS)


def test_each_test_alone_in_place_of_the_sequence_breaks_it():
    """Taking the last place that passes is many tests at once; it is not what is certified."""
    risks = np.full(40, 0.051)
    rng = np.random.default_rng(1)

    def drawn():
        return (rng.random((300, 40)) < risks).astype(float)

    last, first = 0, 0
    for _ in range(DRAWS):
        found = drawn()
        passed = [p_value(found[:, place], DELTA) <= EPSILON for place in range(1, 40)]
        last += any(passed)
        first += learn_then_test(found, DELTA, EPSILON) > 0
    bound = EPSILON + 2 * math.sqrt(EPSILON * (1 - EPSILON) / DRAWS)
    assert last / DRAWS > bound
    assert first / DRAWS <= bound


@pytest.mark.parametrize("n", [60, 300])
def test_conformal_control_keeps_the_mean_risk(n):
    _, chosen = violations(lambda found: conformal_risk(found, DELTA), n)
    risks = RISKS[chosen]
    assert risks.mean() <= DELTA + 2 * risks.std() / math.sqrt(DRAWS)
    assert risks.mean() > 0.2 * DELTA
    # it says nothing of how often the risk is above
    assert (risks > DELTA).mean() > 0.05


def test_losses_that_fall_again_do_not_help():
    losses = np.zeros((100, 4))
    losses[:20, 1] = 1
    assert conformal_risk(losses, 0.1) == 0
    assert learn_then_test(losses, 0.1, 0.1) == 0
    assert conformal_risk(losses, 0.5) == 3


def test_too_few_sequences_certify_nothing():
    losses = np.zeros((10, 5))
    assert learn_then_test(losses, 0.05, 0.1) == 0
    assert conformal_risk(losses, 0.05) == 0
    assert learn_then_test(np.zeros((50, 5)), 0.05, 0.1) == 4


def test_a_certificate_is_plain_data():
    given = Certificate("ltt", "differs", 0.05, 0.1, 3, "0.8", 400, (0.0, 0.01))
    assert Certificate.from_plain(given.to_plain()) == given
    assert given.words == "answers differ with probability at most 0.05, 90% sure (n = 400)"
    conformal = Certificate("crc", "loses", 0.05, None, 3, "0.8", 400, (0.0,))
    assert Certificate.from_plain(conformal.to_plain()) == conformal
    for key, wrong in (("method", "trust"), ("risk", "none"), ("setting", 1.5), ("n", "9")):
        with pytest.raises((TypeError, ValueError)):
            Certificate.from_plain(given.to_plain() | {key: wrong})


@cache
def population():
    """What a confidence cascade of a network loses at each place of its knob."""
    walk, given = Walk(small()), signature()
    x = example(given, 1500, seed=9)
    policy = Cascade("gap", prefix_rungs(6), tuple(np.linspace(0.3, 0.0, 12).tolist()))
    examples = Examples(x, None, torch.zeros(1500, dtype=torch.long), None, given)
    return measure(policy, walk, examples).differs


@pytest.mark.parametrize("delta", [0.02, 0.1])
def test_the_promise_holds_for_a_policy_of_a_network(delta):
    """The sequences measured are all there are; each calibration draws some of them."""
    losses = population()
    risks, rng = losses.mean(0), np.random.default_rng(2)
    assert risks[0] == 0
    assert risks.max() > 0.2
    broken = [
        risks[learn_then_test(losses[rng.integers(len(losses), size=250)], delta, EPSILON)] > delta
        for _ in range(DRAWS)
    ]
    assert np.mean(broken) <= EPSILON + 2 * math.sqrt(EPSILON * (1 - EPSILON) / DRAWS)
