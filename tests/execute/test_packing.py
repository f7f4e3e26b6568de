"""How much memory a trial reserves, from what like ones were measured to use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.execute.cluster.packing import (
    ENOUGH,
    HEADROOM,
    MEGABYTE,
    Measured,
    Packing,
    reserved,
    size_of,
)
from archsearch.execute.job import Job
from archsearch.spec.architecture import Block, Layer, Stage
from archsearch.spec.trial import Outcome, State
from archsearch.testing.faults import fault_job

GIB = 1 << 30
declared_bytes = st.integers(1 << 20, 1 << 40)
records = st.lists(
    st.builds(Measured, st.floats(1.0, 1e9), st.floats(0.0, 1e12)), min_size=0, max_size=60
)


def like(*peaks: float, size: float = 100.0) -> list[Measured]:
    return [Measured(size, peak) for peak in peaks]


@given(declared_bytes, st.integers(0, 1 << 40), st.floats(1.0, 1e9), records)
def test_it_lies_between_the_least_and_what_is_declared(
    declared: int, least: int, size: float, known: list[Measured]
) -> None:
    found = reserved(declared, least, size, known)
    assert min(declared, least) <= found <= declared
    # a half of a half, and so on, so that there are few sizes of actors
    assert found in {declared >> k for k in range(41)}


@given(declared_bytes, records, st.randoms())
def test_the_order_of_what_is_known_does_not_matter(
    declared: int, known: list[Measured], random: object
) -> None:
    found = reserved(declared, 0, 100.0, known)
    shuffled = list(known)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert reserved(declared, 0, 100.0, shuffled) == found


@given(declared_bytes, st.lists(st.floats(0.0, 1e12), min_size=ENOUGH, max_size=19))
def test_of_few_the_largest_has_room_and_more(declared: int, peaks: list[float]) -> None:
    found = reserved(declared, 0, 100.0, like(*peaks))
    assert found == declared or found >= int(HEADROOM * max(peaks))


@given(declared_bytes, st.lists(st.floats(0.0, 1e12), min_size=ENOUGH, max_size=60))
def test_a_larger_peak_never_makes_it_less(declared: int, peaks: list[float]) -> None:
    before = reserved(declared, 0, 100.0, like(*peaks))
    assert reserved(declared, 0, 100.0, like(*peaks, max(peaks))) >= before


def test_four_tell_nothing_and_a_fifth_does() -> None:
    assert reserved(GIB, 0, 100.0, like(*[1e6] * 4)) == GIB
    assert reserved(GIB, 0, 100.0, like(*[1e6] * 5)) == GIB >> 9
    assert reserved(GIB, 100 << 20, 100.0, like(*[1e6] * 5)) == GIB >> 3


def test_a_rare_large_one_is_left_to_the_headroom() -> None:
    peaks = [1e6] * 99
    assert reserved(GIB, 0, 100.0, like(*peaks, 9e8)) < GIB
    assert reserved(GIB, 0, 100.0, like(*[1e6] * 10, 9e8)) == GIB


def test_other_sizes_are_no_measure_and_smaller_ones_count_in_proportion() -> None:
    assert reserved(GIB, 0, 100.0, like(*[1e6] * 9, size=49.0)) == GIB
    assert reserved(GIB, 0, 100.0, like(*[1e6] * 9, size=201.0)) == GIB
    small = reserved(GIB, 0, 100.0, like(*[8e6] * 9, size=50.0))
    assert small == reserved(GIB, 0, 100.0, like(*[16e6] * 9, size=100.0))
    # larger ones only say that it is enough
    assert reserved(GIB, 0, 100.0, like(*[8e6] * 9, size=200.0)) == small >> 1


def job(trial: int, cell: str = "gru", width: int = 8, memory: int | None = GIB) -> Job:
    plain = replace(fault_job(trial, "complete"), memory=memory)
    stages = (Stage((Block(Layer(cell)),)),)
    return replace(plain, architecture=replace(plain.architecture, width=width, stages=stages))


def ended(megabytes: float, state: State = State.COMPLETE) -> Outcome:
    return Outcome(state, timings=(("seconds", 1.0), ("peak_rss_mb", megabytes)))


@pytest.fixture
def packing() -> Packing:
    found = Packing(least=0)
    for trial in range(ENOUGH):
        found.learn(job(trial), ended(100.0))
    return found


def test_only_trials_with_the_same_cells_are_alike(packing: Packing) -> None:
    assert packing.memory(job(9)) == GIB >> 3
    assert packing.memory(job(9, "lstm")) == GIB
    assert packing.memory(replace(job(9), protocol="confirm")) == GIB
    assert packing.memory(job(9, width=512)) == GIB


def test_what_was_lost_gets_all_that_it_may_use(packing: Packing) -> None:
    assert packing.memory(replace(job(9), epoch=2)) == GIB


def test_one_that_had_too_little_makes_room_for_the_next(packing: Packing) -> None:
    packing.learn(job(9), ended(GIB / MEGABYTE, State.OOM))
    assert packing.memory(job(10)) == GIB


def test_without_a_bound_or_without_being_asked_to_nothing_is_changed(packing: Packing) -> None:
    assert packing.memory(job(9, memory=None)) is None
    asked = Packing(None)
    for trial in range(2 * ENOUGH):
        asked.learn(job(trial), ended(1.0))
    assert asked.memory(job(9)) == GIB


def test_what_was_not_measured_is_not_known() -> None:
    packing = Packing(least=0)
    for trial in range(2 * ENOUGH):
        packing.learn(job(trial), Outcome(State.CRASHED, lost=True))
    assert packing.memory(job(9)) == GIB


def test_size_grows_with_width_depth_loops_and_batch() -> None:
    small = job(0).architecture
    (stage,) = small.stages
    training = Layer.of("adamw", batch=64)
    larger = [
        replace(small, width=16),
        replace(small, stages=(stage, stage)),
        replace(small, stages=(replace(stage, repeat=2),)),
        replace(small, stages=(replace(stage, loops=2),)),
        replace(small, training=training),
    ]
    assert all(size_of(one) > size_of(small) > 0 for one in larger)
