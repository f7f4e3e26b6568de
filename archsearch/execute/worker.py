"""A worker process: takes one job after the other from its channel until that closes."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from archsearch.execute.channel import Channel
from archsearch.execute.environment import VISIBLE
from archsearch.execute.failure import failed
from archsearch.execute.job import Job
from archsearch.execute.plain import job_from_plain, outcome_to_plain
from archsearch.execute.process import (
    data_size,
    die_with_parent,
    forget_peak,
    limit_data,
    peak_memory,
)
from archsearch.failpoints import failpoint
from archsearch.spec.trial import Outcome

MEGABYTE = 2**20
# where a job is when its time is almost up is what its last words tell
ALMOST, SECONDS_BEFORE = 0.9, 5.0


def become_worker(
    run: Callable[[Job], Outcome], channel: Channel, log: int, parent: int, device: str | None
) -> NoReturn:
    """Turn the process just forked from ``parent`` into a worker; never returns.

    It leads a process group of its own, writes what it prints to the file descriptor ``log``, and
    says on dying of a signal where it was. Of the accelerators it sees ``device`` alone, or those
    that its parent sees.
    """
    if device is not None:
        os.environ[VISIBLE] = device
    os.setsid()
    die_with_parent(parent)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    # so that what was printed before a crash is known
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    faulthandler.enable(2)
    try:
        serve(run, channel)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def serve(run: Callable[[Job], Outcome], channel: Channel) -> None:
    """Answer every job with its outcome; ``memory`` is on top of what an idle worker has."""
    # the stack of the thread that watches the time is there before a job
    watch(60.0)
    watch(None)
    forget_peak()
    idle, at_rest = data_size(), peak_memory()
    while not channel.closed:
        for message in channel.receive(timeout=None):
            job = job_from_plain(message["job"])
            failpoint("worker.job")
            watch(job.timeout)
            # an accelerator's driver reserves far more addresses than it uses
            if job.memory is not None and not job.gpus:
                limit_data(idle + job.memory)
            try:
                outcome = run(job)
            except (Exception, SystemExit) as error:
                outcome = failed(error)
            limit_data(None)
            peak = max(peak_memory() - at_rest, 0) / MEGABYTE
            outcome = replace(outcome, timings=(*outcome.timings, ("peak_rss_mb", peak)))
            failpoint("worker.answer")
            channel.send({"id": message["id"], "outcome": outcome_to_plain(outcome)})
            channel.drain()
            # in nobody's time
            watch(None)
            forget_peak()


def watch(timeout: float | None) -> None:
    """Print where each thread is when a job's seconds are almost up; None ends the watch."""
    if timeout is None:
        faulthandler.cancel_dump_traceback_later()
    else:
        almost = max(ALMOST * timeout, timeout - SECONDS_BEFORE)
        faulthandler.dump_traceback_later(max(almost, 1e-3), file=2)
