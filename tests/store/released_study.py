"""The study that is frozen, half finished, in the database dumps of every released schema.

``python tests/store/released_study.py`` writes the dump of the newest schema; do so once, when a
migration is added, and never change a dump. With ARCHSEARCH_TEST_POSTGRES it writes that of
PostgreSQL too.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path

from sqlalchemy import create_engine, make_url, update

from archsearch.cli.plans import plans_of
from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.plugins import load_catalog
from archsearch.spec.spacefile import read_space
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store import schema, tables
from archsearch.store.store import Store, open_store
from archsearch.study.plan import Plan
from archsearch.study.study import run_study

RELEASED = Path(__file__).parent / "released"
SPACE = RELEASED / "study.yaml"
# outcomes after which the driver is killed in the dump; of 12, 3 and 6 in the three phases
OUTCOMES = 8
PHASES = ("search", "tune", "confirm")


class Exact(Backend):
    """Answers with numbers made of the job's digest, the same on every machine and for ever.

    The worker of the third outcome is lost. After ``most`` outcomes this process is killed.
    """

    def __init__(self, most: int | None = None) -> None:
        self.workers = 2
        self.held: deque[Job] = deque()
        self.given, self.most = 0, most

    def submit(self, job: Job) -> None:
        self.held.append(job)

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        if not self.held:
            return []
        if self.given == self.most:
            os.kill(os.getpid(), signal.SIGKILL)
        self.given += 1
        job = self.held.popleft()
        if self.given == 3:
            return [(job, Outcome(State.CRASHED, message="killed by SIGKILL", lost=True))]
        return [(job, scored(job))]

    def close(self) -> None:
        self.held.clear()


def scored(job: Job) -> Outcome:
    """An accuracy of eighths, learnt in four steps and held to the limits of the job."""
    share = (int(job.architecture.digest[:4], 16) + job.seed) % 64 / 64
    if share < 0.1:
        return Outcome(State.DIVERGED, message="the loss is nan at step 2 — «naïve»")
    curve: tuple[tuple[int, tuple[tuple[str, float], ...]], ...] = ()
    for step in (10, 20, 30, 40):
        accuracy = share * step / 40
        curve += ((step, (("accuracy", accuracy), ("loss", float("inf")))),)
        if any(limit.step == step and limit.stops((-accuracy,)) for limit in job.limits):
            return Outcome(State.STOPPED, curve=curve)
    metrics = (("accuracy", share), ("params", float(job.architecture.width)))
    return Outcome(State.COMPLETE, metrics, curve, timings=(("cpu_seconds", 0.5),))


def plan() -> Plan:
    catalog = load_catalog()
    return plans_of(read_space(SPACE, catalog), catalog)[0]


def run(store: Store, most: int | None = None) -> str:
    """The study to its end, from wherever it stands, or until so many outcomes were given."""
    return run_study(plan(), store, Exact(most), lambda progress: None)


def trials(store: Store) -> list[Trial]:
    found = store.find_study(plan().name)
    assert found is not None
    return [trial for phase in PHASES for trial in store.history(found.id, phase)]


def half(url: str) -> None:
    """Run the study in a process that is killed in the middle; its lease ran out long ago."""
    done = subprocess.run([sys.executable, __file__, url], check=False)
    assert done.returncode == -signal.SIGKILL
    engine = create_engine(url)
    with engine.begin() as connection:
        owner = {"driver": "4711@elsewhere/0/0", "lease_until": 0.0}
        connection.execute(update(tables.study).values(owner))
        connection.execute(update(tables.attempt).values(owner=owner["driver"]))
    engine.dispose()


def dump_sqlite(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        half(f"sqlite:///{folder}/studies.db")
        raw = sqlite3.connect(Path(folder) / "studies.db")
        path.write_text("\n".join(raw.iterdump()) + "\n")
        raw.close()


def dump_postgres(path: Path, url: str) -> None:
    half(url)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run(
        ["pg_dump", "--inserts", "--no-owner", "--no-privileges", plain],
        capture_output=True,
        text=True,
        check=True,
    )
    # settings of the session, comments and commands of psql are not part of the database
    kept = [
        line
        for line in done.stdout.splitlines()
        if line and not re.match(r"--|SET |SELECT pg_catalog.set_config|\\", line)
    ]
    path.write_text("\n".join(kept) + "\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        with open_store(sys.argv[1]) as store:
            run(store, OUTCOMES)
    else:
        dump_sqlite(RELEASED / f"{schema.REVISIONS[-1]}.sqlite.sql")
        if server := os.environ.get("ARCHSEARCH_TEST_POSTGRES"):
            dump_postgres(RELEASED / f"{schema.REVISIONS[-1]}.postgresql.sql", server)
