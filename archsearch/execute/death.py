"""What is told of a worker that did not survive its job."""

from __future__ import annotations

import os
import signal

from archsearch.execute.failure import one_line, says_out_of_memory
from archsearch.spec.trial import Outcome, State

MEGABYTE = 2**20
LOG_LINES = 6


def outcome_of_death(
    verdict: State | None,
    status: int,
    said: bytes,
    *,
    limit: float | None,
    seconds: float,
    cpu_seconds: float,
    peak: int,
    gpus: float = 0.0,
) -> Outcome:
    """The outcome of a job whose worker died.

    ``verdict`` is why we killed it, if we did, and ``limit`` the bound it broke, in seconds or
    bytes; ``status`` is as from ``os.wait``; ``said`` is the end of what it printed; ``gpus`` is
    the share of accelerators that it had. A death that is not ours is marked ``lost``.
    """
    timings = [("seconds", seconds), ("cpu_seconds", cpu_seconds)]
    if gpus:
        timings.append(("gpu_seconds", gpus * seconds))
    if peak:
        timings.append(("peak_rss_mb", peak / MEGABYTE))
    state, message = _account(verdict, status, said, limit or 0.0, peak)
    lost = state is State.CRASHED
    return Outcome(state, message=one_line(message), timings=tuple(timings), lost=lost)


def _account(
    verdict: State | None, status: int, said: bytes, limit: float, peak: int
) -> tuple[State, str]:
    if verdict is State.TIMEOUT:
        return State.TIMEOUT, f"still running after its limit of {limit:g} s{last_words(said)}"
    if verdict is State.OOM:
        return State.OOM, (
            f"used {peak / MEGABYTE:.0f} MB of memory, its limit is {limit / MEGABYTE:.0f} MB;"
            " raise execution.memory, or search smaller widths, batches and sequences"
            f"{last_words(said)}"
        )
    if says_out_of_memory(said.decode(errors="replace")):
        return State.OOM, f"out of memory, and {_cause(status)}{last_words(said)}"
    return State.CRASHED, f"the worker {_cause(status)}{last_words(said)}"


def last_words(said: bytes) -> str:
    """The last lines of what was printed, or the first of a fatal error's account of itself.

    Of where each thread was when time was almost up, the first lines on the main thread count.
    """
    lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
    telling = [line for line in lines if line]
    fatal = [k for k, line in enumerate(telling) if line.startswith("Fatal Python error")]
    watched = [k for k, line in enumerate(telling) if line.startswith("Timeout (")]
    if fatal:
        chosen = telling[fatal[-1] :][:LOG_LINES]
    elif watched:
        said_before, threads = telling[: watched[-1]], telling[watched[-1] :]
        # it comes last
        main = max(k for k, line in enumerate(threads) if k == 0 or line.startswith("Thread 0x"))
        chosen = said_before[-LOG_LINES // 2 :] + threads[main + 1 :][: LOG_LINES // 2]
    else:
        chosen = telling[-LOG_LINES:]
    return "; its last words: " + " | ".join(chosen) if chosen else ""


def _cause(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"left with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (perhaps the system was out of memory)" if -code == signal.SIGKILL else ""
    return f"was killed by {name}{hint}"
