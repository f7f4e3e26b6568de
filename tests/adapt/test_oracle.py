"""Oracle numbers beside the rates that luck alone gives."""

import numpy as np
import pytest

from archsearch.adapt.chain import Chain
from archsearch.adapt.labels.graded import Graded
from archsearch.adapt.labels.oracle import chance_of, independent, oracle

SEQUENCES, CLASSES = 4000, 5


def table(said, wanted):
    """Graded chains; chain k applies k layers, and the last is the plain one."""
    count = said.shape[1]
    chains = tuple(Chain(tuple(range(k))) for k in range(count))
    right = (said == wanted[:, None]) * 1.0
    return Graded(chains, np.arange(count), count - 1, right, right, said, wanted)


def drawn(count, seed=0):
    """A network that is right half the time, and chains that answer anything."""
    rng = np.random.default_rng(seed)
    wanted = rng.integers(CLASSES, size=SEQUENCES)
    said = rng.integers(CLASSES, size=(SEQUENCES, count + 1))
    wrong = (wanted + rng.integers(1, CLASSES, SEQUENCES)) % CLASSES
    said[:, -1] = np.where(rng.random(SEQUENCES) < 0.5, wanted, wrong)
    logits = np.eye(CLASSES)[said[:, -1]] * 3 + rng.standard_normal((SEQUENCES, CLASSES)) * 0.1
    return said, wanted, logits


def test_what_independent_guesses_reach():
    assert chance_of(4, 10) == pytest.approx(0.9437, abs=5e-5)
    assert chance_of(10, 50) == pytest.approx(0.9948, abs=5e-5)


def test_chains_that_guess_fix_errors_as_often_as_luck_does():
    said, wanted, logits = drawn(10)
    found = oracle(table(said, wanted), Chain(tuple(range(10))), logits)
    assert found.plain == pytest.approx(0.5, abs=0.03)
    lucky = 1 - (1 - 1 / CLASSES) ** 10
    assert found.fixed == pytest.approx(lucky, abs=0.03)
    assert found.null_fixed == pytest.approx(lucky, abs=0.03)
    assert abs(found.excess) < 0.03
    assert found.null_reached == pytest.approx(lucky + 0.5 * (1 - lucky) / 4, abs=0.03)
    # every correct sequence has a shorter right chain as often as any label has
    assert found.shorter == pytest.approx(found.null_shorter, abs=0.03)
    assert found.independent == pytest.approx(lucky, abs=0.03)
    # noise that flips as many answers cannot flip more than nearly all
    assert found.noise_fixed == pytest.approx(lucky, abs=0.1)


def test_a_chain_that_knows_shows_as_excess():
    said, wanted, logits = drawn(3)
    said[:, 1] = np.where(np.random.default_rng(1).random(SEQUENCES) < 0.9, wanted, said[:, 1])
    found = oracle(table(said, wanted), Chain(tuple(range(3))), logits)
    assert found.fixed > 0.9
    assert found.excess > 0.4


def test_the_null_rate_is_that_of_labels_drawn_at_random():
    said, wanted, logits = drawn(6, seed=3)
    said[:, 1] = said[:, -1]
    given = table(said, wanted)
    found = oracle(given, Chain(tuple(range(6))), logits)
    rng = np.random.default_rng(5)
    base = said[:, -1]
    errs = np.flatnonzero(base != wanted)
    rates = []
    for _ in range(200):
        row = rng.choice(errs, 400)
        label = np.array(
            [rng.choice([k for k in range(CLASSES) if k not in (wanted[r], base[r])]) for r in row]
        )
        rates.append((said[row] == label[:, None]).any(1).mean())
    rate, error = np.mean(rates), np.std(rates) / np.sqrt(len(rates))
    assert found.null_fixed == pytest.approx(rate, abs=3 * error + 1e-3)


def test_with_two_classes_no_error_has_another_label():
    rng = np.random.default_rng(0)
    wanted = rng.integers(2, size=50)
    said = rng.integers(2, size=(50, 4))
    found = oracle(table(said, wanted), Chain((0, 1, 2)), rng.standard_normal((50, 2)))
    assert found.null_fixed is None
    assert found.excess is None
    assert 0 <= found.null_reached <= 1


def test_a_network_that_never_errs_has_nothing_to_fix():
    wanted = np.arange(30) % 3
    said = np.repeat(wanted[:, None], 3, 1)
    said[:, 0] = 0
    found = oracle(table(said, wanted), Chain((0, 1)), np.eye(3)[wanted])
    assert (found.plain, found.fixed, found.null_fixed, found.excess) == (1.0, None, None, None)
    assert found.shorter == 1.0
    assert found.shortest == pytest.approx(2 / 3)


def test_chains_that_flip_together_count_as_one():
    rng = np.random.default_rng(0)
    flips = rng.random((20000, 8)) < 0.3
    assert independent(flips) == pytest.approx(8, rel=0.05)
    assert independent(np.repeat(flips[:, :1], 8, 1)) == pytest.approx(1)
    assert independent(np.zeros((10, 4), dtype=bool)) == 0
