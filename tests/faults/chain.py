"""The study of the simulation: a few trials, each a function of those before it."""

from __future__ import annotations

import random
from collections.abc import Sequence

from toy_study import canonical

from archsearch.execute.job import Job
from archsearch.spec.settings import TaskSpec, derived_seed
from archsearch.spec.trial import Trial
from archsearch.study.course import Ended, Phase
from archsearch.testing.toy import example_space

TRIALS, LAG = 6, 3


class Chain(Phase):
    """Each trial is a function of the outcomes of those LAG before it."""

    name = "search"
    total = TRIALS

    def __init__(self) -> None:
        space = example_space()
        point = space.sample(random.Random(0))
        self._point, self._architecture = point, space.architecture(point)

    def next(self, trials: Sequence[Trial]) -> Trial | Ended | None:
        index = len(trials)
        if index == TRIALS:
            return Ended("all trials are done")
        known = trials[: max(0, index - LAG + 1)]
        if not all(trial.state.final for trial in known):
            return None
        seen = [canonical(trial) for trial in known]
        seed = derived_seed(index, repr(seen))
        return Trial(index, "search", self._point, self._architecture, f"{seed:016x}"[:16], seed)

    def job(self, trial: Trial, trials: Sequence[Trial]) -> Job:
        # the architecture's own digest stands in the key of a job
        task = TaskSpec("toy", TASK)
        return Job(trial.index, "", task, "", self._architecture, trial.seed)


CHAIN = Chain()
TASK = CHAIN._architecture.stages[0].blocks[0].cell
