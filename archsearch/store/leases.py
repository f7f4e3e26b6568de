"""Who may write to a study: one driver at a time, held by a lease and told apart by an epoch."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Double, bindparam, cast, extract, func, select, update
from sqlalchemy.engine import Connection

from archsearch.errors import LockedError, StateError
from archsearch.failpoints import failpoint
from archsearch.store import together
from archsearch.store.audit import audit
from archsearch.store.connect import now
from archsearch.store.owner import is_dead, label
from archsearch.store.tables import study as table

_STUDY = (
    select(
        table.c.name,
        table.c.driver,
        table.c.driver_epoch,
        table.c.lease_until,
        table.c.active_seconds,
    )
    .where(table.c.id == bindparam("of_study"))
    .with_for_update()
)
_TAKE = update(table).where(table.c.id == bindparam("of_study"))
_OURS = _TAKE.where(
    table.c.driver_epoch == bindparam("of_epoch"), table.c.driver == bindparam("of_owner")
)
# the sum and not what is added to it, so that a commit whose answer was lost may be repeated
_KEEP = _OURS.values(lease_until=bindparam("until"), active_seconds=bindparam("active"))
# the same where the database can be asked for its time in passing
_CLOCK = cast(extract("epoch", func.clock_timestamp()), Double)
_KEEP_AT_ONCE = _OURS.values(
    lease_until=_CLOCK + bindparam("ttl", type_=Double), active_seconds=bindparam("active")
).returning(_CLOCK)
_LET_GO = _OURS.values(driver=None, lease_until=None)


@dataclass
class Hold:
    """This process's right to write to a study, had since a time of the monotonic clock.

    ``before`` are the seconds that drivers had held the study until then.
    """

    study: int
    owner: str
    epoch: int
    ttl: float
    since: float
    before: float

    @property
    def key(self) -> dict[str, object]:
        return {"of_study": self.study, "of_epoch": self.epoch, "of_owner": self.owner}


@dataclass(frozen=True)
class Turn:
    """One transaction of the driver that holds a study; ``moment`` is the database's time."""

    connection: Connection
    hold: Hold
    moment: float


def take(connection: Connection, study: int, owner: str, ttl: float) -> tuple[int, float]:
    """The new driver epoch, and for how many seconds drivers have held the study so far.

    Raises LockedError while another live driver holds it, and Damaged for a damaged study.

    A lease that ran out, or whose process is known to be dead, is taken over at once. The same
    owner may take its study again; whatever it wrote under the epoch before is then refused.
    """
    row = connection.execute(_STUDY, {"of_study": study}).one_or_none()
    if row is None:
        raise StateError(f"there is no study {study}; create it first")
    moment = now(connection)
    if row.driver not in (None, owner) and row.lease_until > moment and not is_dead(row.driver):
        raise LockedError(
            f"study '{row.name}' is driven by {label(row.driver)}; stop that run, or wait "
            f"{row.lease_until - moment:.0f} s if it is gone"
        )
    # before anything is written, and under the lock
    audit(connection, study)
    epoch = int(row.driver_epoch) + 1
    taken = {"driver": owner, "driver_epoch": epoch, "lease_until": moment + ttl, "ended": None}
    connection.execute(_TAKE.values(taken), {"of_study": study})
    failpoint("store.acquire")
    return epoch, float(row.active_seconds)


def keep(connection: Connection, hold: Hold, at: float) -> Turn:
    """Renew the lease and book the seconds until ``at``, monotonic; raises LockedError if lost.

    Every write begins here: the row of the study stays locked until the write is committed, so
    that no other driver can take over half-way.
    """
    active = hold.before + at - hold.since
    if together.possible(connection):
        kept = {**hold.key, "ttl": hold.ttl, "active": active}
        told = connection.scalar(_KEEP_AT_ONCE, kept)
        if told is not None:
            return Turn(connection, hold, float(told))
    moment = now(connection)
    values = {**hold.key, "until": moment + hold.ttl, "active": active}
    if connection.execute(_KEEP, values).rowcount == 1:
        return Turn(connection, hold, moment)
    row = connection.execute(_STUDY, {"of_study": hold.study}).one()
    taker = f"was taken over by {label(row.driver)}" if row.driver else "was let go"
    raise LockedError(f"study '{row.name}' {taker}; this run writes no more to it")


def let_go(connection: Connection, hold: Hold) -> None:
    """End the lease, if it is still ours."""
    connection.execute(_LET_GO, hold.key)
