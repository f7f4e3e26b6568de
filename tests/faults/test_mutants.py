"""A harness that lets a broken promise pass is broken itself: each of these is noticed."""

from __future__ import annotations

from collections.abc import Iterator

import checks
import pytest
from mutants import MUTANTS, Check, Mutant
from simulation import simulate

CHECKS = list(dict.fromkeys(mutant.check for mutant in MUTANTS))
# these pass in tests of their own, with more of the same
SLOW = (checks.store_machine, checks.histories)


@pytest.fixture(scope="module", autouse=True)
def sound() -> Iterator[None]:
    """What is computed once and kept is that of the product itself."""
    simulate(0)
    yield
    simulate(0)


@pytest.mark.parametrize(
    "check",
    [pytest.param(c, marks=pytest.mark.faults) if c in SLOW else c for c in CHECKS],
    ids=lambda check: check.__name__,
)
def test_the_product_passes(check: Check) -> None:
    assert check() == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_noticed(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.apply(monkeypatch)
    assert mutant.check() != [], "the mutant survived"


def test_there_are_enough() -> None:
    assert len(MUTANTS) >= 16
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
