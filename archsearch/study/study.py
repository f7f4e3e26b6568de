"""A study from its first proposal to its answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from archsearch.errors import TryAgainError
from archsearch.execute.backend import Backend
from archsearch.spec.trial import Trial
from archsearch.store.store import Store
from archsearch.study.course import Progress
from archsearch.study.drive import LEASE_SECONDS, Driver
from archsearch.study.finals import (
    Candidate,
    final_candidates,
    mask_candidates,
    tuning_candidates,
)
from archsearch.study.folder import Folder
from archsearch.study.phases import ListPhase, SearchPhase
from archsearch.study.plan import Plan, refuse_difference


def run_study(
    plan: Plan,
    store: Store,
    backend: Backend,
    watch: Callable[[Progress], None],
    folder: Path | None = None,
    lease: float = LEASE_SECONDS,
) -> str:
    """Search, then confirm; returns why the search ended.

    A stored study of the same name is continued; StateError names the first difference when it
    is another one, LockedError the driver that holds it, TryAgainError a disk without room,
    InputError a folder in which finalists could not be kept.
    One that was confirmed before is confirmed anew where more trials or other settings have changed
    who is judged. ``folder`` is the study's own: it receives the parameters of the finalists, and
    the checkpoints of what runs. ``lease`` is for how many seconds the study stays ours without a
    sign of life.
    """
    own = Folder(folder, store.folder)
    if plan.confirm is not None:
        own.refuse_closed()
    if own.shortage is not None:
        raise TryAgainError(own.shortage)
    record = store.find_study(plan.name)
    if record is None:
        record = store.create_study(plan.name, plan.fingerprint(), plan.text, plan.settings())
    else:
        refuse_difference(plan.name, record.fingerprint, plan.fingerprint())
    store.acquire(record.id, ttl=lease)
    try:
        driver = Driver(store, record.id, backend, watch, lease, own)
        ended = driver.drive(SearchPhase(plan, driver))
        store.ended(record.id, ended.reason)
        if plan.confirm is not None:
            store.judge(record.id, plan.settings()["confirm"])
            searched = store.history(record.id, "search")
            tuning = tuning_candidates(plan, plan.confirm, searched)
            tuned = _trained(driver, "tune", plan, tuning)
            finals = final_candidates(plan, plan.confirm, searched, tuned)
            confirmed = _trained(driver, "confirm", plan, finals, folder)
            if masks := mask_candidates(plan, plan.confirm, confirmed):
                _trained(driver, "masks", plan, masks)
        return ended.reason
    finally:
        store.release(record.id)


def _trained(
    driver: Driver,
    phase: str,
    plan: Plan,
    candidates: Sequence[Candidate],
    weights: Path | None = None,
) -> list[Trial]:
    """The trials of the candidates, in their order, once all of them are final."""
    stored = driver.store.history(driver.study, phase)
    driver.drive(ListPhase(phase, plan, candidates, weights, stored))
    found = {
        (trial.role, trial.digest, trial.seed): trial
        for trial in driver.store.history(driver.study, phase)
    }
    return [found[candidate.key] for candidate in candidates]
