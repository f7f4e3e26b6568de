"""Real drivers and a real store in a world whose time, faults and order of events a seed decides.

``python tests/faults/simulation.py SEED`` replays one history and prints it. Drivers are threads of
which one runs at a time; it stands still before and after each transaction, and while it waits
for workers. There it may be killed, paused past its lease, lose its request or the answer to it,
or find that the clock was set. A worker may be lost under a trial, though no more than twice.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from history import stored, violations
from toy_study import canonical
from world import HOUR, TTL, World

from archsearch.errors import LockedError
from archsearch.store import database, leases, store
from archsearch.store.database import Database
from archsearch.study import drive

LOCKED = LockedError.__name__


@cache
def template() -> tuple[Database, bytes]:
    """A database in memory, and its pages while it has tables and nothing in them."""
    made = Database("sqlite://")
    return made, raw(made).serialize()


def fresh_database() -> Database:
    """The one database, empty again."""
    made, pages = template()
    raw(made).deserialize(pages)
    return made


def raw(opened: Database) -> sqlite3.Connection:
    with opened._reading.connect() as connection:
        inner = connection.connection.driver_connection
        assert isinstance(inner, sqlite3.Connection)
        return inner


@contextmanager
def inhabited(world: World) -> Iterator[None]:
    """The drivers' clocks are those of the world."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (drive, store, database):
            patch.setattr(module, "time", world)
        for room in (leases, store):
            patch.setattr(room, "now", world.clock_of_database)
        patch.setattr(leases, "is_dead", world.is_dead)
        yield


@cache
def undisturbed() -> list[tuple[Any, ...]]:
    world = World(0, fresh_database(), patient=True)
    with inhabited(world):
        world.play()
    return outcome_of(world)


def outcome_of(world: World) -> list[tuple[Any, ...]]:
    keeper = store.Store(world.database)
    return [canonical(trial) for trial in keeper.history(1)]


def simulate(seed: int) -> tuple[World, list[str]]:
    """One history, and what it did wrong."""
    expected = undisturbed()
    world = World(seed, fresh_database())
    with inhabited(world):
        try:
            world.play()
        except Exception as error:
            return world, [f"a driver broke: {error!r}"]
    keeper = store.Store(world.database)
    found = violations(world.lines, stored(keeper, 1))
    # that another driver has the study is the one thing that may be in the way of a driver
    left = (line["words"] for line in world.lines if line.get("error", LOCKED) != LOCKED)
    found += [f"a driver left: {words}" for words in left]
    if outcome_of(world) != expected:
        found.append("the study came to something else")
    if not 0.0 <= keeper.active_seconds(1) <= longest(world):
        found.append(f"{keeper.active_seconds(1):g} s with a driver in {longest(world):g} s")
    if not world.clock_was_set:
        found += robbed(world)
    return world, found


def longest(world: World) -> float:
    """Seconds that there was a driver, at most; one that waits for the study may count as one."""
    taken = (line for line in world.lines if line.get("act") == "acquire" and line["what"] == "did")
    waited = sum(line["at"] - line["asked"] for line in taken)
    return world.clock - world.began + waited + 1e-6


def robbed(world: World) -> list[str]:
    """Who lost the study while it lived and had given a sign of life."""
    signs: dict[int, float] = {}
    held_by, newest = 0, 0
    for line in world.lines:
        if line["what"] == "killed" or (line["what"], line.get("act")) == ("asked", "release"):
            signs.pop(line["pid"], None)
        if line["what"] != "did" or line["act"] == "release":
            continue
        epoch = line["answer"] if line["act"] == "acquire" else line["driver"] or 0
        if epoch > newest:
            if line["at"] < signs.get(held_by, -HOUR) + TTL:
                return [f"driver {line['pid']} took the study from {held_by}, which had a lease"]
            held_by, newest = line["pid"], epoch
        if epoch == newest:
            # the answer may be heard long after the lease was written
            signs[held_by] = line["asked"]
    return []


def main() -> None:
    world, found = simulate(int(sys.argv[1]))
    for line in world.lines:
        print(line)
    print(found or "nothing is wrong")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
