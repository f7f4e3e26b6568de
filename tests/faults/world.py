"""A world in which drivers live: its clocks, its faults, and whose turn it is, all from a seed."""

from __future__ import annotations

import copy
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from chain import CHAIN
from journal import JournaledStore, Line
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError
from toy_study import answer

from archsearch.errors import ArchsearchError
from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome, State
from archsearch.store.database import Database
from archsearch.study.course import Progress
from archsearch.study.drive import Driver

WORKERS, TTL = 2, 30.0
MOST_DRIVERS, MOST_TURNS = 8, 5_000
HOUR = 3600.0


class Killed(BaseException):
    """A process that is gone says nothing more, not even in its finally clauses."""


@dataclass
class Actor:
    """A driver process."""

    number: int
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    thread: threading.Thread | None = None
    wakes: float = 0.0
    asked: float = 0.0
    set_forward: float = 0.0
    fault: str | None = None
    dead: bool = False
    gone: bool = False

    @property
    def name(self) -> str:
        return f"{self.number}@simulated"


class World:
    """One history; ``lines`` is its journal."""

    def __init__(self, seed: int, database: Database, patient: bool = False) -> None:
        self.rng = random.Random(seed)
        self.lines: list[Line] = []
        self.clock = 1000.0
        self.began = self.clock
        self.set_forward, self.clock_was_set = 0.0, False
        self.faults = 0 if patient else self.rng.randrange(1, 12)
        self.losses: Counter[int] = Counter()
        self.done: Counter[str] = Counter()
        self.turns = 0
        self.actors: list[Actor] = []
        self.curtain = threading.Semaphore(0)
        self.acting: Actor | None = None
        self.over = self.closing = False
        self.errors: list[BaseException] = []
        self.database = database

    # what the drivers see of the world

    def monotonic(self) -> float:
        return self.clock

    def time(self) -> float:
        """What the clock on the wall of the driver says."""
        assert self.acting is not None
        return self.clock + self.acting.set_forward

    def clock_of_database(self, connection: Connection) -> float:
        return self.clock + self.set_forward

    def sleep(self, seconds: float) -> None:
        self.moment("sleep", seconds)

    def is_dead(self, owner: str) -> bool:
        """Known of half of the drivers, as of those on this host."""
        number = int(owner.partition("@")[0])
        return self.actors[number].dead and number % 2 == 0

    def moment(self, what: str, seconds: float = 0.0) -> None:
        """The driver stands still until it is its turn again."""
        actor = self.acting
        assert actor is not None
        if actor.dead:
            raise Killed
        actor.wakes = self.clock + seconds
        actor.fault = None
        if self.give_way() is not actor:
            actor.go.acquire()
        if actor.dead:
            raise Killed
        if actor.fault == "lost" and what in ("request", "answer"):
            self.done[f"lose {what}"] += 1
            raise OperationalError("", {}, Exception("gone"), connection_invalidated=True)

    def note(self, what: str, **facts: Any) -> None:
        actor = self.acting
        assert actor is not None
        if what == "asked":
            actor.asked = self.clock
        line = {"what": what, "pid": actor.number, "at": self.clock, "asked": actor.asked}
        self.lines.append({**line, **facts})

    # what the world does with them

    def play(self) -> None:
        """From the first driver to the end of the study."""
        self.give_way()
        self.curtain.acquire()
        self.closing = True
        for actor in self.actors:
            actor.dead = True
            self.acting = actor
            actor.go.release()
            assert actor.thread is not None
            actor.thread.join()
        if self.errors:
            raise self.errors[0]

    def give_way(self) -> Actor | None:
        """Whoever stands still lets the next one act, who may be itself."""
        before, actor = self.acting, self.choose()
        self.acting = actor
        if actor is None:
            self.curtain.release()
        elif actor is not before:
            actor.go.release()
        return actor

    def choose(self) -> Actor | None:
        """Whose turn it is; None at the end."""
        while self.faults or not self.over:
            self.turns += 1
            if self.turns == MOST_TURNS:
                self.give_up(RuntimeError("the study does not end"))
            awake = [actor for actor in self.actors if not actor.gone]
            if not awake:
                self.begin()
                continue
            ready = [actor for actor in awake if actor.wakes <= self.clock]
            if not ready:
                self.clock = min(actor.wakes for actor in awake)
                continue
            actor = self.rng.choice(ready)
            if self.faults and self.rng.random() < 0.15:
                self.faults -= 1
                self.disturb(actor)
            if actor.wakes <= self.clock:
                return actor
        return None

    def disturb(self, actor: Actor) -> None:
        fault = self.rng.choice(("kill", "pause", "lost", "lost", "clock", "driver"))
        self.done[fault] += fault != "lost"
        match fault:
            case "kill":
                actor.dead = True
            case "pause":
                actor.wakes = self.clock + self.rng.uniform(0.2, 3.0) * TTL
            case "lost":
                actor.fault = "lost"
            case "clock":
                by = self.rng.choice((-HOUR, -1.0, 1.0, TTL, HOUR))
                if self.rng.random() < 0.5:
                    actor.set_forward += by
                else:
                    self.clock_was_set = True
                    self.set_forward += by
            case "driver":
                self.begin()

    def begin(self) -> None:
        """Another driver comes up; once there were many, it is the one that ends the study."""
        actor = Actor(len(self.actors))
        # the lease of a driver that nobody knows to be dead has to run out
        actor.wakes = self.clock + (self.rng.uniform(0.0, 2.0) * TTL if self.actors else 0.0)
        if len(self.actors) > MOST_DRIVERS + 3:
            self.give_up(RuntimeError("nobody may take the study"))
        if len(self.actors) > MOST_DRIVERS:
            self.faults = 0
            actor.wakes = self.clock + HOUR + 2 * TTL
        self.actors.append(actor)
        actor.thread = threading.Thread(target=self.live, args=(actor,))
        actor.thread.start()

    def give_up(self, error: BaseException) -> None:
        self.errors.append(error)
        self.over, self.faults = True, 0

    def live(self, actor: Actor) -> None:
        actor.go.acquire()
        try:
            if not actor.dead:
                self.work(actor)
        except Killed:
            self.lines.append({"what": "killed", "pid": actor.number, "at": self.clock})
        except ArchsearchError as error:
            self.note("left", error=type(error).__name__, words=str(error))
        except BaseException as error:
            self.give_up(error)
        actor.gone = True
        if not self.closing:
            self.give_way()

    def work(self, actor: Actor) -> None:
        own = copy.copy(self.database)
        own._turn = threading.RLock()
        own._writing = Engineered(self.database._writing, self)  # type: ignore[assignment]
        own._patience = 300.0
        keeper = JournaledStore(own, self)  # type: ignore[arg-type]
        study = keeper.create_study("simulated", {}, "", {}).id
        keeper.acquire(study, actor.name, TTL)

        def acknowledge(progress: Progress) -> None:
            if progress.trial is not None and progress.trial.state.final:
                trial = progress.trial
                self.note("acknowledged", trial=trial.index, state=trial.state)

        try:
            driver = Driver(keeper, study, Workers(self), acknowledge, TTL)
            keeper.ended(study, driver.drive(CHAIN).reason)
        finally:
            keeper.release(study)
        self.note("done")
        self.over = True


class Workers(Backend):
    """Answers come after a while, in any order; now and then a worker is lost."""

    workers = WORKERS

    def __init__(self, world: World) -> None:
        self.world = world
        self.running: list[tuple[float, Job]] = []

    def submit(self, job: Job) -> None:
        self.world.note("submitted", trial=job.trial)
        self.running.append((self.world.clock + self.world.rng.expovariate(0.1), job))

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        assert timeout is not None
        next_end = min((end for end, _ in self.running), default=self.world.clock + timeout)
        self.world.moment("workers", max(0.0, min(timeout, next_end - self.world.clock)))
        done = [(end, job) for end, job in self.running if end <= self.world.clock]
        self.running = [entry for entry in self.running if entry not in done]
        return [(job, self.outcome(job)) for _, job in done]

    def outcome(self, job: Job) -> Outcome:
        world = self.world
        if world.faults and world.losses[job.trial] < 2 and world.rng.random() < 0.15:
            world.losses[job.trial] += 1
            world.done["lose worker"] += 1
            return Outcome(State.CRASHED, message="the worker was killed", lost=True)
        return answer(job)

    def close(self) -> None:
        self.running.clear()


class Engineered:
    """Stands still before each transaction is asked for and before its answer is heard."""

    def __init__(self, engine: Engine, world: World) -> None:
        self.engine, self.world = engine, world

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        self.world.moment("request")
        with self.engine.begin() as connection:
            yield connection
        self.world.moment("answer")
