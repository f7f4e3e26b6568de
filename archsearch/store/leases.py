"""Who may write to a study: one driver at a time, held by a lease and told apart by an epoch."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, select, update
from sqlalchemy.engine import Connection

from archsearch.errors import LockedError, StateError
from archsearch.store.connect import now
from archsearch.store.owner import is_dead, label
from archsearch.store.tables import study as table

_STUDY = (
    select(table.c.name, table.c.driver, table.c.driver_epoch, table.c.lease_until)
    .where(table.c.id == bindparam("of_study"))
    .with_for_update()
)
_TAKE = update(table).where(table.c.id == bindparam("of_study"))
_OURS = _TAKE.where(
    table.c.driver_epoch == bindparam("of_epoch"), table.c.driver == bindparam("of_owner")
)
_KEEP = _OURS.values(
    lease_until=bindparam("until"),
    active_seconds=table.c.active_seconds + bindparam("elapsed"),
)
_LET_GO = _OURS.values(driver=None, lease_until=None)


@dataclass
class Hold:
    """This process's right to write to a study; ``seen`` is its last sign of life, monotonic."""

    study: int
    owner: str
    epoch: int
    ttl: float
    seen: float

    @property
    def key(self) -> dict[str, object]:
        return {"of_study": self.study, "of_epoch": self.epoch, "of_owner": self.owner}


@dataclass(frozen=True)
class Turn:
    """One transaction of the driver that holds a study; ``moment`` is the database's time."""

    connection: Connection
    hold: Hold
    moment: float


def take(connection: Connection, study: int, owner: str, ttl: float) -> int:
    """The new driver epoch; raises LockedError while another live driver holds the study.

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
    epoch = int(row.driver_epoch) + 1
    taken = {"driver": owner, "driver_epoch": epoch, "lease_until": moment + ttl, "ended": None}
    connection.execute(_TAKE.values(taken), {"of_study": study})
    return epoch


def keep(connection: Connection, hold: Hold, elapsed: float) -> Turn:
    """Renew the lease and book the seconds since the last renewal; raises LockedError if lost.

    Every write begins here: the row of the study stays locked until the write is committed, so
    that no other driver can take over half-way.
    """
    moment = now(connection)
    values = {**hold.key, "until": moment + hold.ttl, "elapsed": elapsed}
    if connection.execute(_KEEP, values).rowcount == 1:
        return Turn(connection, hold, moment)
    row = connection.execute(_STUDY, {"of_study": hold.study}).one()
    taker = f"was taken over by {label(row.driver)}" if row.driver else "was let go"
    raise LockedError(f"study '{row.name}' {taker}; this run writes no more to it")


def let_go(connection: Connection, hold: Hold) -> None:
    """End the lease, if it is still ours."""
    connection.execute(_LET_GO, hold.key)
