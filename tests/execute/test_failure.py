"""What failures say: one line, the fault, the place."""

from __future__ import annotations

import signal

import pytest
import torch

from archsearch.errors import ArchitectureError, DataError
from archsearch.execute.death import last_words, outcome_of_death
from archsearch.execute.failure import LONGEST, failed, one_line
from archsearch.spec.trial import Outcome, State


def caught(action) -> Outcome:
    try:
        action()
    except BaseException as error:
        return failed(error)
    raise AssertionError("nothing was raised")


def throw(error: BaseException) -> None:
    raise error


def test_a_crash_names_type_fault_and_place() -> None:
    outcome = caught(lambda: throw(ValueError("first\nsecond")))
    assert outcome.state is State.CRASHED
    assert outcome.message.startswith("ValueError: first (tests/execute/test_failure.py:")
    assert outcome.message.endswith(" in throw)")


def test_an_error_without_words_is_its_type() -> None:
    assert caught(lambda: throw(KeyError())).message.startswith("KeyError (")


@pytest.mark.parametrize("error", [ArchitectureError("no such head"), DataError("no such file")])
def test_wrong_input_is_invalid(error: Exception) -> None:
    assert failed(error) == Outcome(State.INVALID, message=str(error))


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "gpus"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"), "memory"),
        (RuntimeError("std::bad_alloc"), "memory"),
    ],
)
def test_exhausted_memory_is_told_from_a_crash(error: Exception, key: str) -> None:
    outcome = failed(error)
    assert outcome.state is State.OOM
    assert f"raise execution.{key}, or" in outcome.message


def test_torch_really_says_so() -> None:
    outcome = caught(lambda: torch.empty(1 << 60))
    assert outcome.state is State.OOM, outcome.message


def test_messages_fit_on_a_line() -> None:
    line = one_line("a\tb\nc\x1b[31m" + "x" * 10_000)
    assert line.startswith("a b c [31m")
    assert len(line) == LONGEST
    assert line.isprintable()


def died(status: int, said: bytes = b"", verdict: State | None = None, **given) -> Outcome:
    facts = {"limit": None, "seconds": 1.0, "cpu_seconds": 0.5, "peak": 0} | given
    return outcome_of_death(verdict, status, said, **facts)


def test_a_death_by_signal_is_lost_work() -> None:
    outcome = died(signal.SIGSEGV, b"Fatal Python error: Segmentation fault\n  File x in forward\n")
    assert (outcome.state, outcome.lost) == (State.CRASHED, True)
    assert "SIGSEGV" in outcome.message
    assert "in forward" in outcome.message
    assert dict(outcome.timings) == {"seconds": 1.0, "cpu_seconds": 0.5}


def test_an_exit_code_is_named() -> None:
    assert "exit code 3" in died(3 << 8).message


def test_a_killed_worker_is_judged_by_why_we_killed_it() -> None:
    late = died(signal.SIGKILL, verdict=State.TIMEOUT, limit=30.0)
    assert (late.state, late.lost) == (State.TIMEOUT, False)
    assert "30 s" in late.message
    greedy = died(signal.SIGKILL, verdict=State.OOM, limit=64 << 20, peak=70 << 20)
    assert (greedy.state, greedy.lost) == (State.OOM, False)
    assert "70 MB" in greedy.message
    assert "64 MB" in greedy.message
    assert dict(greedy.timings)["peak_rss_mb"] == 70


def test_an_abort_for_want_of_memory_is_no_crash() -> None:
    said = b"terminate called after throwing an instance of 'std::bad_alloc'\n"
    assert died(signal.SIGABRT, said).state is State.OOM


def test_last_words_are_the_last() -> None:
    assert last_words(b"") == ""
    assert last_words("\n".join(f"line {k}" for k in range(20)).encode()).endswith(
        "line 14 | line 15 | line 16 | line 17 | line 18 | line 19"
    )
