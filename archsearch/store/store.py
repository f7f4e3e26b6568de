"""What is remembered: studies and trials in SQL, the only truth from which a study continues."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from archsearch.errors import InputError, LockedError, StateError
from archsearch.failpoints import failpoint
from archsearch.spec.trial import Metrics, Outcome, State, Trial
from archsearch.store import attempts, leases, queries, tables
from archsearch.store.connect import now
from archsearch.store.database import Database
from archsearch.store.owner import this_process
from archsearch.store.records import Attempt, Cost, StudyRecord
from archsearch.store.rows import study_row

T = TypeVar("T")


def open_store(url: str, *, read_only: bool = False) -> Store:
    """The store at ``url`` (``sqlite:///file.db``, ``sqlite://`` in memory, PostgreSQL, MariaDB).

    Its tables are made or migrated if need be. Raises InputError for a URL that cannot be used,
    StateError for a database that is damaged, another program's or a newer archsearch's, and
    TryAgainError for a server that does not answer within ten seconds; none shows a password.
    """
    return Store(Database(url, read_only=read_only))


class Store:
    """Studies, their trials and what came of them.

    Whoever writes trials first acquires the study; from then on each write renews the lease and
    is refused with LockedError once another driver has taken over. Every write is one durable
    transaction: when it returns, it survives a crash. A study is named by its number ``id``.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._holds: dict[int, leases.Hold] = {}

    @property
    def place(self) -> str:
        """Where the database is, without user and password."""
        return self._database.place

    @property
    def folder(self) -> Path | None:
        """The folder of an SQLite file; None for a server and for a database in memory."""
        return self._database.folder

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # studies

    def studies(self) -> list[StudyRecord]:
        """Every study, the oldest first."""
        return self._database.read(queries.studies)

    def find_study(self, name: str) -> StudyRecord | None:
        named = tables.study.c.name == name
        found = self._database.read(lambda connection: queries.studies(connection, named))
        return found[0] if found else None

    def create_study(
        self, name: str, fingerprint: Mapping[str, Any], text: str, settings: Mapping[str, Any]
    ) -> StudyRecord:
        """A new study; the stored one if it is the same. Raises StateError if another has the name.

        A name has 1 to 200 printable characters. ``fingerprint`` and ``settings`` are JSON data.
        """
        if not name.isprintable() or not 1 <= len(name) <= 200:
            raise InputError("a study's name has 1 to 200 printable characters; choose another")
        row = study_row(name, fingerprint, text, settings)
        table = tables.study
        named = table.c.name == name

        def created(connection: Connection) -> StudyRecord:
            seal = connection.scalar(select(table.c.seal).where(named))
            if seal is None:
                fresh = {"created": now(connection), "driver_epoch": 0, "active_seconds": 0.0}
                connection.execute(insert(table).values(**row, **fresh))
                failpoint("store.create")
            elif seal != row["seal"]:
                raise StateError(f"study '{name}' exists and is another one; choose another name")
            return queries.studies(connection, named)[0]

        return self._database.write(created)

    # driving

    def acquire(self, study: int, owner: str | None = None, ttl: float = 30.0) -> int:
        """Become the driver of a study; returns the driver epoch.

        Raises LockedError, naming ``pid@host``, while another live process holds it. A lease that
        ran out, or whose process is dead on this host, is taken over at once. Raises StateError,
        and writes nothing, for a study that is damaged. ``ttl`` is in seconds; ``owner`` is this
        process unless told otherwise.
        """
        name = this_process() if owner is None else owner
        began = time.monotonic()
        epoch, before = self._database.write(
            lambda connection: leases.take(connection, study, name, ttl)
        )
        failpoint("store.acquire.after")
        self._holds[study] = leases.Hold(study, name, epoch, ttl, began, before)
        return epoch

    def renew(self, study: int) -> None:
        """Say that the driver lives; owed every third of ``ttl`` unless something was written."""
        failpoint("store.renew")
        self._write(study, lambda turn: turn.moment)

    def release(self, study: int) -> None:
        """Let the study go; does nothing if it is no longer ours."""
        hold = self._holds.pop(study, None)
        if hold is not None:
            failpoint("store.release")
            self._database.write(lambda connection: leases.let_go(connection, hold))

    def advance(
        self,
        study: int,
        finished: Sequence[tuple[Trial, int, Outcome]] = (),
        started: Sequence[tuple[Trial, str]] = (),
    ) -> tuple[list[bool], list[int]]:
        """Finish some trials and start others in one transaction, which costs one commit.

        Takes (trial, epoch, outcome) and (trial, job key); returns what :meth:`finish` and
        :meth:`start` do for each. A started trial that has an outcome already is written as
        finished with it. Either all of it is written or nothing.
        """
        return self._write(
            study,
            lambda turn: (
                attempts.finish(turn, finished),
                attempts.start(turn, started),
            ),
        )

    def start(self, study: int, trial: Trial, job_key: str) -> int:
        """Write a trial as running, with its first attempt; returns the attempt's epoch."""
        return self.advance(study, started=[(trial, job_key)])[1][0]

    def finish(self, study: int, trial: Trial, epoch: int, outcome: Outcome) -> bool:
        """Write what came of a trial; False, and nothing written, if ``epoch`` is not current.

        A finished trial never changes; finishing it again with the same outcome is True.
        """
        return self.advance(study, finished=[(trial, epoch, outcome)])[0][0]

    def restart(
        self, study: int, trial: Trial, reason: str = "the driver was lost", timings: Metrics = ()
    ) -> int | None:
        """Begin the next attempt of a trial whose current one was lost; returns its epoch.

        The epoch counts the attempts. None if there is nothing to run: the trial is final, or it
        was lost for the third time while its driver lived (or for the twentieth time in all) and
        is now written as crashed. ``timings`` of the lost attempt are booked to its cost.
        """
        lost = self._write(study, lambda turn: attempts.current_epoch(turn, trial))
        return self._write(study, lambda turn: attempts.restart(turn, trial, lost, reason, timings))

    def ended(self, study: int, reason: str) -> None:
        """Note why the search ended; acquiring the study again takes the note away."""
        failpoint("store.ended")
        table = tables.study
        noted = update(table).where(table.c.id == study).values(ended=reason)
        self._write(study, lambda turn: turn.connection.execute(noted))

    def judge(self, study: int, confirm: Mapping[str, Any]) -> None:
        """Note among the settings of a study how its answer is judged from now on."""
        table = tables.study
        known = self._database.read(
            lambda connection: queries.studies(connection, table.c.id == study)
        )[0]
        if known.settings.get("confirm") == confirm:
            return
        settings = {**known.settings, "confirm": dict(confirm)}
        row = study_row(known.name, known.fingerprint, known.text, settings)
        noted = update(table).where(table.c.id == study).values(**row)
        self._write(study, lambda turn: turn.connection.execute(noted))

    # reading

    def history(self, study: int, phase: str = "search") -> list[Trial]:
        """The trials of a phase in the order of their index, those still running included."""
        table = tables.trial.c
        return self._database.read(
            lambda connection: queries.trials(
                connection, table.study == study, table.phase == phase
            )
        )

    def values(
        self, study: int, phase: str = "search", *, timed: bool = False
    ) -> tuple[list[int], list[dict[str, float]]]:
        """The index of each complete trial of a phase, and its metrics, with timings if ``timed``.

        Quick, for it does not look whether they are as they were written.
        """
        table = tables.trial.c
        return self._database.read(
            lambda connection: queries.values(
                connection, timed, table.study == study, table.phase == phase
            )
        )

    def some(self, study: int, indices: Collection[int], phase: str = "search") -> list[Trial]:
        """These trials of a phase, in the order of their index."""
        table = tables.trial.c
        chosen = table.idx.in_(sorted(indices))
        return self._database.read(
            lambda connection: queries.trials(
                connection, table.study == study, table.phase == phase, chosen
            )
        )

    def unfinished(self, study: int) -> list[Trial]:
        """The trials of all phases that have no outcome yet."""
        table = tables.trial.c
        running = table.state == str(State.RUNNING)
        return self._database.read(
            lambda connection: queries.trials(connection, table.study == study, running)
        )

    def answer(self, job_key: str) -> Outcome | None:
        """What came of the same computation before, in whichever study of this store."""
        return self._database.read(lambda connection: queries.answer(connection, job_key))

    def ledger(self, study: int) -> Cost:
        """What the study has cost so far, over all phases, drivers and attempts."""
        return self._database.read(lambda connection: queries.cost(connection, study))

    def attempts(self, study: int) -> list[Attempt]:
        """Every attempt at every trial, in the order of the trials and their epochs."""
        return self._database.read(lambda connection: queries.attempts(connection, study))

    def active_seconds(self, study: int) -> float:
        """Wall-clock seconds that drivers have held the study, up to their last sign of life."""
        table = tables.study.c
        statement = select(table.active_seconds).where(table.id == study)
        found = self._database.read(lambda connection: connection.scalar(statement))
        return float(found or 0.0)

    def _write(self, study: int, work: Callable[[leases.Turn], T]) -> T:
        """Work as the driver of a study; the lease is renewed in the same transaction."""
        hold = self._holds.get(study)
        if hold is None:
            raise StateError(f"study {study} is not held by this process; acquire it first")
        began = time.monotonic()
        try:
            return self._database.write(
                lambda connection: work(leases.keep(connection, hold, began))
            )
        except LockedError:
            self._holds.pop(study, None)
            raise
