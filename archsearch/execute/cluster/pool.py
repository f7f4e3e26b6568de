"""The process between driver and Ray cluster: keeps actors warm and busy, replaces the dead.

Started by :class:`archsearch.execute.cluster.backends.RayBackend` as ``python -m``. What Ray says
comes from Ray's threads; they only write it down and wake the one thread that acts on it.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import ray

from archsearch.execute.channel import Channel
from archsearch.execute.cluster.backends import lost
from archsearch.execute.cluster.entry import enter, failure, refuse
from archsearch.execute.cluster.gauges import Gauges
from archsearch.execute.cluster.packing import Packing
from archsearch.execute.cluster.placed import files_of, named
from archsearch.execute.cluster.slots import Shape, Slot, middle, room
from archsearch.execute.cluster.stored import Stored
from archsearch.execute.cluster.worker import CONTROL, TrialWorker, versions, write_down
from archsearch.execute.environment import NO_ACCELERATOR
from archsearch.execute.failure import described, one_line
from archsearch.execute.job import Job
from archsearch.execute.plain import job_from_plain, job_to_plain, outcome_to_plain
from archsearch.spec.trial import Outcome, State

LOOK_SECONDS = 1.0
# an actor that starts may wait for what idle ones of other shapes hold
HELD_SECONDS = 2.0
# after which a person is told what is waited for
TELL_SECONDS = 10.0
# an autoscaler may need minutes to bring a node; nobody brings one in this time
NO_ROOM_SECONDS = 900.0
# actors that die one after the other before they ever answer
MOST_STILLBORN = 10

Event = Callable[[], None]


class Unusable(Exception):
    """The cluster cannot run any job; the words are for the user, ``code`` is the exit code."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


class Pool:
    """At most ``most`` actors at once; with None as many of the ``usual`` shape as have room.

    ``least`` is that of :class:`Packing`.
    """

    def __init__(
        self,
        control: Channel,
        run: str,
        most: int | None,
        usual: Shape,
        least: int | None = None,
    ) -> None:
        self.control, self.run, self.asked, self.usual = control, run, most, usual
        self.packing = Packing(least)
        self.most = most or max(room(ray.nodes(), usual), 1)
        self.actor: Any = ray.remote(concurrency_groups={CONTROL: 1})(  # type: ignore[call-overload]
            TrialWorker
        )
        self.slots: list[Slot] = []
        self.waiting: deque[tuple[int, Job]] = deque()
        self.running: dict[int, Job] = {}
        self.stored = Stored()
        self.gauges = Gauges()
        self.events: deque[Event] = deque()
        self.started = self.stillborn = 0
        self.told: set[Shape] = set()
        self.stops_at: float | None = None
        self.wake, self.waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.selector = selectors.DefaultSelector()
        self.selector.register(control, selectors.EVENT_READ)
        self.selector.register(self.wake, selectors.EVENT_READ)
        threading.Thread(target=self.watch_nodes, daemon=True).start()

    def keep(self) -> None:
        """Until the driver is gone or has stopped us."""
        self.control.send({"workers": self.most})
        # what is imported by now is never collected, nor looked through for what could be
        gc.freeze()
        while not self.control.closed and not self.stopped:
            for key, _ in self.selector.select(LOOK_SECONDS):
                if key.fileobj is not self.control:
                    os.read(self.wake, 1 << 12)
            self.hear_driver()
            while self.events:
                self.events.popleft()()
            self.dispatch()
            self.control.flush()
        self.control.flush()
        for slot in self.slots:
            ray.kill(slot.actor)

    @property
    def stopped(self) -> bool:
        if self.stops_at is None:
            return False
        return not self.running or time.monotonic() >= self.stops_at

    def hear_driver(self) -> None:
        for message in self.control.receive():
            if "stop" in message:
                self.stops_at = time.monotonic() + message["stop"]
                self.waiting.clear()
                for slot in self.slots:
                    if slot.job is not None:
                        slot.actor.stop.remote(message["stop"])
            elif "gauges" in message:
                self.gauges.take(message["gauges"])
            else:
                self.waiting.append((message["id"], job_from_plain(message["job"])))

    def dispatch(self) -> None:
        """Give every waiting job an idle actor of its shape, or have one started."""
        if self.stops_at is not None:
            return
        coming = [slot.shape for slot in self.slots if not slot.ready]
        left: list[tuple[int, Job]] = []
        while self.waiting and (
            coming or len(self.slots) < self.most or any(slot.idle for slot in self.slots)
        ):
            number, job = self.waiting.popleft()
            shape = self.shape_of(job)
            idle = next((s for s in self.slots if s.idle and s.shape == shape), None)
            if idle is not None:
                self.assign(idle, number, job)
                continue
            left.append((number, job))
            if shape in coming:
                coming.remove(shape)
                self.make_room(shape)
            elif len(self.slots) < self.most or self.retire_other(shape):
                self.start(shape)
        self.waiting.extendleft(reversed(left))

    def shape_of(self, job: Job) -> Shape:
        return Shape(job.cpus, job.gpus, self.packing.memory(job))

    def assign(self, slot: Slot, number: int, job: Job) -> None:
        slot.become(number)
        self.running[number] = job
        if job.checkpoints is not None:
            # a worker that sees it too writes there
            Path(job.checkpoints).mkdir(parents=True, exist_ok=True)
        files = files_of(job.task)
        held = self.stored.references([path for paths in files.values() for path in paths])
        told = json.dumps({"job": job_to_plain(job), "data": named(files)}).encode()
        reference = slot.actor.run.options(name=job.title).remote(told, held)
        self.after(reference, partial(self.finished, slot, number))

    def start(self, shape: Shape) -> None:
        self.started += 1
        name = str(self.started)
        # its death is ours to answer, since only we know what it worked on
        actor = self.actor.options(max_restarts=0, max_task_retries=0, **shape.options)
        slot = Slot(actor.remote(name, self.run), shape, name)
        self.slots.append(slot)
        self.after(slot.actor.ready.remote(), partial(self.began, slot))

    def make_room(self, shape: Shape) -> None:
        """An actor that starts for long may wait for an idle one of another shape to leave."""
        starting = [s for s in self.slots if not s.ready and s.shape == shape]
        longest = max((slot.seconds for slot in starting), default=0.0)
        if longest > HELD_SECONDS:
            self.retire_other(shape)
        if longest < TELL_SECONDS or any(slot.job is not None for slot in self.slots):
            return
        if shape not in self.told:
            self.told.add(shape)
            news = f"no node of the Ray cluster has room for a trial ({shape.words}); waiting for"
            self.control.send({"news": f"{news} one, for {NO_ROOM_SECONDS / 60:.0f} minutes"})
        if longest > NO_ROOM_SECONDS:
            raise Unusable(
                f"no node of the Ray cluster has had room for a trial ({shape.words}) for"
                f" {NO_ROOM_SECONDS / 60:.0f} minutes; the same command continues",
                75,
            )

    def retire_other(self, shape: Shape) -> bool:
        """End the actor that has been idle longest among those of other shapes."""
        idle = [slot for slot in self.slots if slot.idle and slot.shape != shape]
        if not idle:
            return False
        self.end(max(idle, key=lambda slot: slot.seconds))
        return True

    def forget_unwanted(self) -> None:
        """End actors that start for long and that no waiting job has the shape of any more."""
        long = [s for s in self.slots if not s.ready and s.seconds > HELD_SECONDS]
        wanted = {self.shape_of(job) for _, job in self.waiting} if long else set()
        for slot in [slot for slot in long if slot.shape not in wanted]:
            self.end(slot)

    def began(self, slot: Slot, answer: Future[Any]) -> None:
        if slot not in self.slots:
            return
        if (error := answer.exception()) is not None:
            self.end(slot)
            self.stillborn += 1
            if self.stillborn >= MOST_STILLBORN:
                raise Unusable(one_line(f"workers cannot start: {described(error)}"), 1)
            return
        told, own = answer.result(), versions()
        if told["blind"]:
            raise Unusable(f"node {told['node']} of the Ray cluster: {NO_ACCELERATOR}", 2)
        for name, number in told["versions"].items():
            if number != own[name]:
                raise Unusable(
                    f"node {told['node']} of the Ray cluster has {name} {number}, here it is"
                    f" {own[name]}; the same trials need the same software on every node",
                    2,
                )
        self.stillborn, slot.node, slot.node_id = 0, told["node"], told["id"]
        slot.become(None)

    def finished(self, slot: Slot, number: int, answer: Future[Any]) -> None:
        job = self.running.pop(number)
        error = answer.exception()
        if error is not None:
            self.end(slot)
            if isinstance(error, ray.exceptions.RayTaskError):
                raise Unusable(one_line(f"node {slot.node}: {described(error.cause)}"), 1)
            message = f"the worker on node {slot.node} was lost: {described(error)}"
            told = one_line(message)
            outcome = Outcome(State.CRASHED, message=told, timings=slot.spent, lost=True)
        else:
            outcome = write_down(answer.result(), job)
            self.packing.learn(job, outcome)
            slot.become(None)
        self.control.send({"id": number, "outcome": outcome_to_plain(outcome)})

    def end(self, slot: Slot) -> None:
        self.slots.remove(slot)
        ray.kill(slot.actor)

    def after(self, reference: Any, act: Callable[[Future[Any]], None]) -> None:
        """Have something done once Ray has an answer, or knows that none will come."""
        reference.future().add_done_callback(lambda answer: self.tell(partial(act, answer)))

    def tell(self, event: Event) -> None:
        """From any thread: let the pool's own do something soon."""
        self.events.append(event)
        # full, it wakes all the same
        try:
            os.write(self.waker, b".")
        except BlockingIOError:
            return

    def watch_nodes(self) -> None:
        """A thread that looks which nodes there are."""
        while True:
            time.sleep(2 * LOOK_SECONDS)
            self.tell(partial(self.see, ray.nodes()))

    def see(self, nodes: list[dict[str, Any]]) -> None:
        """Use nodes that have come, and forget idle actors of those that have gone."""
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        for slot in [slot for slot in self.slots if slot.idle and slot.node_id not in alive]:
            self.end(slot)
        self.forget_unwanted()
        usual = middle([slot.shape for slot in self.slots], self.usual)
        most = self.asked or max(room(nodes, usual), 1)
        if most != self.most:
            self.most = most
            self.control.send({"workers": most})


def main() -> None:
    """``python -m archsearch.execute.cluster.pool SOCKET RUN WORKERS SETTINGS``."""
    control, run, settings = enter(sys.argv[1:])
    try:
        usual, least = Shape.of(settings), settings.get("least_memory")
        Pool(control, run, settings["most"], usual, least).keep()
    except Unusable as fault:
        refuse(control, str(fault), fault.code)
    except (ray.exceptions.RayError, ConnectionError):
        refuse(control, lost(settings["address"]), 75)
    except Exception as error:
        refuse(control, failure(error), 1)
    ray.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
