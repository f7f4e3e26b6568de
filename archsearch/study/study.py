"""A study from its first proposal to its answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from archsearch.execute.backend import Backend
from archsearch.store.store import Store
from archsearch.study.drive import LEASE_SECONDS, Driver, Progress
from archsearch.study.finals import final_candidates, tuning_candidates
from archsearch.study.phases import ListPhase, SearchPhase
from archsearch.study.plan import Plan, refuse_difference


def run_study(
    plan: Plan,
    store: Store,
    backend: Backend,
    watch: Callable[[Progress], None],
    weights: Path | None = None,
) -> str:
    """Search, then confirm; returns why the search ended.

    A stored study of the same name is continued; StateError names the first difference when it
    is another one, LockedError the driver that holds it. ``weights`` is the folder that receives
    the parameters of the finalists.
    """
    record = store.find_study(plan.name)
    if record is None:
        record = store.create_study(plan.name, plan.fingerprint(), plan.text, plan.settings())
    else:
        refuse_difference(plan.name, record.fingerprint, plan.fingerprint())
    store.acquire(record.id, ttl=LEASE_SECONDS)
    try:
        driver = Driver(store, record.id, backend, watch)
        ended = driver.drive(SearchPhase(plan, driver))
        store.ended(record.id, ended.reason)
        if plan.confirm is not None:
            searched = store.history(record.id, "search")
            tuning = tuning_candidates(plan, plan.confirm, searched)
            driver.drive(ListPhase("tune", plan, tuning))
            tuned = store.history(record.id, "tune")
            finals = final_candidates(plan, plan.confirm, searched, tuned)
            driver.drive(ListPhase("confirm", plan, finals, weights))
        return ended.reason
    finally:
        store.release(record.id)
