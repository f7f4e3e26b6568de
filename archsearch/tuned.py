"""A study inside somebody's own Ray Tune experiment: their Tuner and scheduler, our trials.

with tuned_study("space.yaml", "sqlite:///archsearch.db") as study:
    tune.Tuner(
        study.trainable,
        tune_config=tune.TuneConfig(
            search_alg=study.searcher, scheduler=ASHAScheduler(...), num_samples=-1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(callbacks=[study.callback]),
    ).fit()
print(study.ended)
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from archsearch.cli.plans import plans_of
from archsearch.cli.results import run_folder
from archsearch.errors import InputError
from archsearch.execute.cluster.exchange import Counter, NobodyThere
from archsearch.plugins import load_catalog
from archsearch.spec.spacefile import read_space
from archsearch.store.store import open_store
from archsearch.study.phases import STEERED
from archsearch.study.plan import Plan
from archsearch.study.study import run_study


@dataclass
class TunedStudy:
    """What goes into a Tuner; ``ended`` is why the search ended, known once the block is left."""

    plan: Plan
    trainable: Any
    searcher: Any
    callback: Any
    ended: str = ""
    error: BaseException | None = field(default=None, repr=False)

    @property
    def metric(self) -> str:
        """The first objective, as results call it."""
        return self.plan.primary.metric

    @property
    def mode(self) -> str:
        return self.plan.primary.direction


@contextmanager
def tuned_study(
    space: str | Path, storage: str = "sqlite:///archsearch.db", name: str | None = None
) -> Iterator[TunedStudy]:
    """The study of a space file with one task, begun or continued while a Tuner runs its trials.

    It is driven by a thread of its own, which alone writes to the store. As many trials are open
    at once as ``search.lag`` says, which a scheduler that waits for a whole bracket has to know.
    Leaving the block waits for the last outcomes to be stored, and raises what the driver raised.
    """
    from archsearch.execute.cluster.tune import JobSearcher, OutcomeCallback, TrialTrainable

    plans = plans_of(read_space(space, catalog := load_catalog()), catalog, name)
    if len(plans) != 1:
        raise InputError(f"{space}: expected one task, got {len(plans)}")
    plan = replace(plans[0], execution=replace(plans[0].execution, backend=STEERED))
    counter = Counter(plan.search.lag)
    study = TunedStudy(plan, TrialTrainable, JobSearcher(counter), OutcomeCallback(counter))
    thread = threading.Thread(target=_drive, args=(study, storage, counter), daemon=True)
    thread.start()
    try:
        yield study
    finally:
        counter.close()
        thread.join()
    if study.error is not None:
        raise study.error


def _drive(study: TunedStudy, storage: str, counter: Counter) -> None:
    try:
        with open_store(storage) as store, counter:
            folder = run_folder(storage, study.plan.name)
            study.ended = run_study(study.plan, store, counter, lambda progress: None, folder)
    except NobodyThere as error:
        study.ended = str(error)
    except BaseException as error:
        # told by the thread that opened the study
        study.error = error
