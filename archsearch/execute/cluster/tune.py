"""Our parts of a Ray Tune experiment: what trains, who proposes, who writes it down.

They go into anybody's ``tune.Tuner``, with any of Tune's schedulers; ``--backend tune`` is a Tuner
with these three and nothing else. Tune decides when a trial runs and whether it goes on. What is
tried and what came of it stays with the driver on the other side of the exchange, so Tune's own
way to restore an experiment is not used: run again, and the study continues.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, ClassVar

import ray
from ray import tune
from ray.tune.search import Searcher

from archsearch.errors import StateError
from archsearch.execute.cluster.exchange import Exchange, NoMore
from archsearch.execute.cluster.legs import OUTCOME, Legs
from archsearch.execute.cluster.placed import digest, files_of, named
from archsearch.execute.cluster.slots import Shape
from archsearch.execute.cluster.worker import TrialWorker, unpacked, write_down
from archsearch.execute.failure import one_line
from archsearch.execute.inline import RUN_JOB
from archsearch.execute.job import Job
from archsearch.execute.plain import job_from_plain, job_to_plain, outcome_from_plain
from archsearch.spec.trial import Outcome, State

ANSWER, NUMBER, MEMBER = "archsearch_answer", "archsearch_number", "trial"
LIBRARY = "archsearch"
# Tune sleeps for a second when nothing runs and nobody has anything to run
IDLE_SECONDS = 60.0
# what the driver may take to commit an outcome and to propose the next trial
REPLY_SECONDS = 0.05


class TrialTrainable(tune.Trainable):
    """Trains one proposed architecture, in a process of its own below the actor.

    A result is a look at the validation split: ``step`` and the metrics of the task. A trial that
    nobody steers is one result. ``config["training"]`` holds the options of its training; what a
    scheduler changes there counts from the next step on. Works with ``reuse_actors=True``.
    """

    run: ClassVar[str] = RUN_JOB

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        job = json.loads(proposed(config)["job"])
        found = Shape.of(job).resources.items()
        needs: dict[str, int | float] = {name: value for name, value in found if value}
        return tune.PlacementGroupFactory([needs])

    def setup(self, config: dict[str, Any]) -> None:
        run = proposed(config).get("run", self.run)
        self._worker = TrialWorker(uuid.uuid4().hex[:6], run)
        self._legs: Legs | None = None
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.config, self._given = new_config, proposed(new_config)
        plain = json.loads(self._given["job"])
        if self._legs is not None:
            self._legs.forget()
        self._legs = None
        if plain["steered"]:
            self._legs = Legs(job_from_plain(plain), new_config.get("training", {}))
        return True

    def step(self) -> dict[str, Any]:
        if self._legs is None:
            answer = self._answer(self._given["job"])
            return {**dict(unpacked(answer)[0].metrics), ANSWER: answer, "done": True}
        answer = self._answer(json.dumps(job_to_plain(self._legs.next)))
        return {**self._legs.told(unpacked(answer)[0]), NUMBER: self._given["number"]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        if self._legs is not None:
            self._legs.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: Any) -> None:
        if self._legs is not None:
            self._legs.load(Path(checkpoint))

    def cleanup(self) -> None:
        self._worker.close()
        if self._legs is not None:
            self._legs.forget()

    def _answer(self, text: str) -> bytes:
        told = {"job": json.loads(text), "data": self._given["data"]}
        return self._worker.answer(json.dumps(told).encode(), self._fetch)

    def _fetch(self, sha256: str) -> bytes:
        library = ray.get_actor(self._given["library"], namespace=LIBRARY)
        found: Any = ray.get(library.get.remote(sha256))
        return bytes(found)


def proposed(config: dict[str, Any]) -> dict[str, Any]:
    """What the study proposed: the config itself, or the part of it that a population has."""
    found: dict[str, Any] = config.get(MEMBER, config)
    return found


class Library:
    """An actor with the data files of the driver's machine, by their SHA-256."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}

    def put(self, sha256: str, data: bytes) -> None:
        self._files[sha256] = data

    def get(self, sha256: str) -> bytes:
        return self._files[sha256]


class JobSearcher(Searcher):
    """Suggests the jobs that the driver of a study hands over, as they come."""

    def __init__(
        self,
        exchange: Exchange,
        concurrent: int | None = None,
        run: str | None = None,
        metric: str | None = None,
        mode: str | None = None,
    ) -> None:
        super().__init__(metric, mode)
        self._exchange, self._concurrent, self._run = exchange, concurrent, run
        self._trials: set[str] = set()
        self._library: Any = None
        self._name = uuid.uuid4().hex
        self._known: set[str] = set()

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        return True

    def suggest(self, trial_id: str) -> Any:
        if not self._trials:
            patience = IDLE_SECONDS
        elif self._concurrent is None or len(self._trials) < self._concurrent:
            patience = REPLY_SECONDS
        else:
            patience = 0.0
        try:
            found = self._exchange.take(patience)
        except NoMore:
            return Searcher.FINISHED
        if found is None:
            return None
        self._trials.add(trial_id)
        return self._config(*found)

    def population(self, size: int) -> dict[str, Any]:
        """The next ``size`` proposals as a parameter space, for a scheduler that takes no searcher.

        Such is population based training. Raises StateError when fewer can be had at once.
        """
        members: list[dict[str, Any]] = []
        while len(members) < size:
            found = self._exchange.take(IDLE_SECONDS)
            if found is None:
                raise StateError(
                    f"a population of {size} needs as many trials at once; {len(members)} can be"
                    " had: raise search.lag"
                )
            members.append(self._config(*found))
        return {MEMBER: tune.grid_search(members)}

    def _config(self, number: int, job: Job) -> dict[str, Any]:
        config = {"number": number, "title": job.title, "job": json.dumps(job_to_plain(job))}
        config |= {"data": self._files(job), "library": self._name}
        if job.steered:
            config["training"] = dict(job.architecture.training.options)
        return config | ({"run": self._run} if self._run else {})

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self._trials.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is in its store."""

    def restore(self, checkpoint_path: str) -> None:
        raise StateError("an experiment is not restored; run it again, and its study continues")

    def _files(self, job: Job) -> dict[str, list[tuple[str, str]]]:
        """What the task reads, put where every node can fetch it."""
        files = files_of(job.task)
        for path in (path for paths in files.values() for path in paths):
            if self._library is None:
                library: Any = ray.remote(num_cpus=0)(Library)
                self._library = library.options(name=self._name, namespace=LIBRARY).remote()
            if (sha256 := digest(path)) not in self._known:
                ray.get(self._library.put.remote(sha256, path.read_bytes()))
                self._known.add(sha256)
        return named(files)


class OutcomeCallback(tune.Callback):
    """Hands over what came of every trial, however it ended; Tune need not keep any of it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._last: dict[str, dict[str, Any]] = {}
        self._own: dict[str, dict[str, Any]] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        # a scheduler may put another's proposal in its place later on
        self._own.setdefault(trial.trial_id, proposed(trial.config))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        # out of the result, for Tune keeps the last of every trial
        found = {key: result.pop(key) for key in (ANSWER, OUTCOME) if key in result}
        own = self._own[trial.trial_id]
        # what it does with another's architecture and weights is no outcome of its own
        if found and result.pop(NUMBER, own["number"]) == own["number"]:
            self._last[trial.trial_id] = found

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        last = self._last.pop(trial.trial_id, {})
        own = self._own.pop(trial.trial_id, proposed(trial.config))
        job = job_from_plain(json.loads(own["job"]))
        if ANSWER in last:
            outcome = write_down(last[ANSWER], job)
        elif OUTCOME in last:
            outcome = outcome_from_plain(json.loads(last[OUTCOME]))
        else:
            outcome = Outcome(State.STOPPED, message="stopped before its first look at the data")
        self._exchange.give(own["number"], outcome)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._last.pop(trial.trial_id, None)
        words = str(trial.get_error() or "no reason is known").strip().splitlines()[-1]
        message = one_line(f"the worker of the trial was lost: {words}")
        lost = Outcome(State.CRASHED, message=message, lost=True)
        own = self._own.pop(trial.trial_id, proposed(trial.config))
        self._exchange.give(own["number"], lost)
