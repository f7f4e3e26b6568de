"""The process behind ``--backend tune``: a Ray Tune Tuner with our parts and nothing else.

Started by :class:`archsearch.execute.cluster.backends.TuneBackend` as ``python -m``.
"""

from __future__ import annotations

import os
import shutil
import sys
import uuid
from collections import deque
from typing import Any

# no tables, no files per trial, no snapshots of the experiment: none of them is read again
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "TUNE_WARN_THRESHOLD_S": "60",
}
os.environ.update(QUIET)

import ray  # noqa: E402
from ray import tune  # noqa: E402

from archsearch.execute.channel import Channel  # noqa: E402
from archsearch.execute.cluster.entry import enter, failure, refuse  # noqa: E402
from archsearch.execute.cluster.exchange import Exchange, NoMore  # noqa: E402
from archsearch.execute.cluster.gauges import Gauges  # noqa: E402
from archsearch.execute.cluster.placed import folder  # noqa: E402
from archsearch.execute.cluster.slots import Shape, room  # noqa: E402
from archsearch.execute.cluster.tune import (  # noqa: E402
    JobSearcher,
    OutcomeCallback,
    TrialTrainable,
)
from archsearch.execute.job import Job  # noqa: E402
from archsearch.execute.plain import job_from_plain, outcome_to_plain  # noqa: E402
from archsearch.spec.trial import Outcome  # noqa: E402


class ChannelExchange(Exchange):
    """The driver at the other end of a channel; it is heard whenever Tune asks for a trial."""

    def __init__(self, control: Channel) -> None:
        self._control = control
        self._jobs: deque[tuple[int, Job]] = deque()
        self._gauges = Gauges()

    def take(self, seconds: float) -> tuple[int, Job] | None:
        if not self._jobs:
            self._jobs += self._heard(seconds)
        if self._jobs:
            return self._jobs.popleft()
        if self._control.closed:
            raise NoMore
        return None

    def _heard(self, seconds: float) -> list[tuple[int, Job]]:
        told = self._control.receive(seconds)
        if any("stop" in message for message in told):
            # what runs has its last checkpoints, and nothing more is asked of it
            leave()
        for message in told:
            self._gauges.take(message.get("gauges", ()))
        jobs = [message for message in told if "job" in message]
        return [(message["id"], job_from_plain(message["job"])) for message in jobs]

    @property
    def gone(self) -> bool:
        self._jobs += self._heard(0.0)
        return self._control.closed

    def give(self, number: int, outcome: Outcome) -> None:
        self._control.send({"id": number, "outcome": outcome_to_plain(outcome)})


class LastToLeave(tune.Callback):
    """Ends everything when the driver is gone, whatever still runs."""

    def __init__(self, exchange: ChannelExchange) -> None:
        self._exchange = exchange

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._exchange.gone:
            leave()


def leave() -> None:
    """The actors are the cluster's to end once their driver has left it."""
    ray.shutdown()
    shutil.rmtree(STORAGE, ignore_errors=True)
    os._exit(0)


STORAGE = folder() / "tune" / uuid.uuid4().hex


def main() -> None:
    """``python -m archsearch.execute.cluster.tuned SOCKET RUN WORKERS SETTINGS``."""
    control, run, settings = enter(sys.argv[1:])
    most = settings["most"] or max(room(ray.nodes(), Shape.of(settings)), 1)
    control.send({"workers": most})
    exchange = ChannelExchange(control)
    tuner = tune.Tuner(
        TrialTrainable,
        tune_config=tune.TuneConfig(
            search_alg=JobSearcher(exchange, most, run),
            num_samples=-1,
            max_concurrent_trials=None,
            reuse_actors=True,
            trial_name_creator=lambda trial: str(trial.config["title"]),
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            storage_path=str(STORAGE),
            verbose=0,
            callbacks=[LastToLeave(exchange), OutcomeCallback(exchange)],
        ),
    )
    try:
        tuner.fit()
    except Exception as error:
        refuse(control, failure(error), 1)
    control.drain()
    leave()


if __name__ == "__main__":
    main()
