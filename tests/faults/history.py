"""Holds what the processes of a study said they did against what is stored: who was lied to?

The rules are those of a history checker: what was acknowledged is there, nothing is there twice,
nothing came from someone who had lost the right to it. An act that was asked for and never
answered may have happened or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from journal import Line, told
from sqlalchemy import select

from archsearch.spec.trial import Trial
from archsearch.store import attempts as limits
from archsearch.store import tables
from archsearch.store.records import Attempt
from archsearch.store.store import Store

Place = tuple[str, int]


@dataclass(frozen=True)
class Stored:
    """What a study holds at its end; ``epochs`` are of the trial and of its result."""

    trials: dict[Place, Trial]
    attempts: dict[Place, list[Attempt]]
    epochs: dict[Place, tuple[int, int | None]]


def stored(store: Store, study: int) -> Stored:
    """Read in one go; raises StateError where a row is not as it was written."""
    trial, result = tables.trial.c, tables.result.c
    asked = (
        select(trial.phase, trial.idx, trial.epoch, result.epoch)
        .join(tables.result, result.trial == trial.id, isouter=True)
        .where(trial.study == study)
    )
    rows = store._database.read(lambda connection: list(connection.execute(asked)))
    attempts: dict[Place, list[Attempt]] = defaultdict(list)
    for attempt in store.attempts(study):
        attempts[attempt.phase, attempt.index].append(attempt)
    phases = sorted({row[0] for row in rows})
    trials = [trial for phase in phases for trial in store.history(study, phase)]
    return Stored(
        {(trial.phase, trial.index): trial for trial in trials},
        dict(attempts),
        {(phase, index): (current, done) for phase, index, current, done in rows},
    )


def violations(lines: Iterable[Line], found: Stored, *, ended: bool = True) -> list[str]:
    """Every broken promise in words; none for a right history. ``ended``: the study is over."""
    lines = list(lines)
    return [
        *_standing(found, ended),
        *_acknowledged(lines, found),
        *_fenced(lines),
        *_repeated(lines, found),
        *_changed(lines, found),
    ]


def _standing(found: Stored, ended: bool) -> Iterator[str]:
    """What must hold of any stored study, whatever was said about it."""
    for phase in {place[0] for place in found.trials}:
        indices = sorted(index for name, index in found.trials if name == phase)
        if indices != list(range(len(indices))):
            yield f"{phase}: the numbers of the trials have gaps"
    for place, trial in found.trials.items():
        attempts = found.attempts.get(place, [])
        epoch, done = found.epochs[place]
        if [attempt.epoch for attempt in attempts] != list(range(1, epoch + 1)):
            yield f"{place}: epoch {epoch} with {len(attempts)} attempts"
        if epoch > limits.MOST_ATTEMPTS:
            yield f"{place}: begun {epoch} times"
        if (done is not None) is not trial.state.final:
            yield f"{place}: {trial.state} with a result of {done}"
        if done is not None and done != epoch:
            yield f"{place}: the result is of attempt {done}, not of {epoch}"
        if ended and not trial.state.final:
            yield f"{place}: stuck"
        still = [attempt.epoch for attempt in attempts if attempt.ended is None]
        if still != ([] if trial.state.final else [epoch]):
            yield f"{place}: attempts {still} were never ended"


def _acknowledged(lines: list[Line], found: Stored) -> Iterator[str]:
    """What was told to be written is there, as it was told."""
    winners: dict[Place, set[tuple[int, str]]] = defaultdict(set)
    written: set[tuple[int, int]] = set()
    for line in lines:
        if line["what"] == "acknowledged":
            trial = found.trials.get(("search", line["trial"]))
            if trial is None or trial.state != line["state"]:
                yield f"trial {line['trial']}: acknowledged as {line['state']}, not stored so"
            if (line["pid"], line["trial"]) not in written:
                yield f"trial {line['trial']}: acknowledged before it was written"
        if line["what"] == "did" and line["act"] == "restart" and line["answer"] is None:
            written.add((line["pid"], line["trial"]))
        if line["what"] != "did" or line["act"] != "advance":
            continue
        written |= {(line["pid"], index) for _, index, *_ in line["finished"] + line["started"]}
        for (phase, index, epoch, outcome), kept in zip(
            line["finished"], line["answer"][0], strict=True
        ):
            if not kept:
                continue
            place = (phase, index)
            winners[place].add((epoch, outcome))
            trial = found.trials.get(place)
            if trial is None or told(trial.outcome) != outcome:
                yield f"{place}: an acknowledged result is not stored"
            elif found.epochs[place][1] != epoch:
                yield f"{place}: acknowledged in attempt {epoch}, stored in {found.epochs[place]}"
        for (phase, index, *_), epoch in zip(line["started"], line["answer"][1], strict=True):
            if (phase, index) not in found.trials or epoch != 1:
                yield f"{(phase, index)}: an acknowledged start is not stored"
    for place, results in winners.items():
        if len(results) > 1:
            yield f"{place}: {len(results)} results were acknowledged"


def _fenced(lines: list[Line]) -> Iterator[str]:
    """Once a driver was told that the study is its own, no driver before it writes."""
    newest = 0
    given: set[int] = set()
    known: dict[int, int] = {}
    stale: set[tuple[int, int]] = set()
    for line in lines:
        if line.get("act") == "acquire":
            if line["what"] == "asked":
                known[line["pid"]] = newest
            elif line["what"] == "did":
                if line["answer"] <= known[line["pid"]] or line["answer"] in given:
                    yield f"driver epoch {line['answer']} was given after {newest}"
                given.add(line["answer"])
                newest = max(newest, line["answer"])
        elif line["what"] == "asked" and line["driver"] is not None and line["driver"] < newest:
            stale.add((line["pid"], line["driver"]))
        elif (
            line["what"] == "did"
            and (line["pid"], line["driver"]) in stale
            and line["act"] != "release"
        ):
            yield f"driver {line['driver']} did {line['act']} under driver {newest}"


def _repeated(lines: list[Line], found: Stored) -> Iterator[str]:
    """Nothing finished is begun again, and each loss leads to one further try."""
    finished: set[Place] = set()
    asked_after: set[tuple[int, Place]] = set()
    restarts: Counter[tuple[Place, int]] = Counter()
    losses: Counter[Place] = Counter()
    handed_out: Counter[int] = Counter()
    ran: Counter[int] = Counter()
    for line in lines:
        if line["what"] == "submitted":
            handed_out[line["trial"]] += 1
        elif line["what"] == "run":
            ran[line["trial"]] += 1
        elif line.get("act") == "advance" and line["what"] == "did":
            told_so = zip(line["finished"], line["answer"][0], strict=True)
            finished |= {(phase, index) for (phase, index, *_), written in told_so if written}
        elif line.get("act") == "restart":
            place = (line["phase"], line["trial"])
            if line["what"] == "asked":
                losses[place] += 1
                if place in finished:
                    asked_after.add((line["pid"], place))
            if line["what"] == "did" and line["answer"] is not None:
                restarts[place, line["answer"]] += 1
                if (line["pid"], place) in asked_after:
                    yield f"{place}: finished, yet begun again"
    for (place, epoch), times in restarts.items():
        if times > 1:
            yield f"{place}: attempt {epoch} was begun {times} times"
    for place, (epoch, _) in found.epochs.items():
        if epoch > 1 + losses[place]:
            yield f"{place}: {epoch} attempts after {losses[place]} losses"
    for index, times in handed_out.items():
        epoch = found.epochs.get(("search", index), (0, None))[0]
        if times > epoch:
            yield f"trial {index}: handed out {times} times in {epoch} attempts"
        if ran[index] > times:
            yield f"trial {index}: ran {ran[index]} times, handed out {times} times"


def _changed(lines: list[Line], found: Stored) -> Iterator[str]:
    """What a trial is does not change from one driver to the next."""
    seen: dict[Place, tuple[Any, ...]] = {}
    for line in lines:
        if line.get("act") != "advance":
            continue
        for phase, index, *what in line["started"]:
            if seen.setdefault((phase, index), tuple(what)) != tuple(what):
                yield f"{(phase, index)}: begun as another candidate"
    for place, what in seen.items():
        trial = found.trials.get(place)
        if trial is not None and (trial.digest, trial.seed, repr(trial.point)) != what:
            yield f"{place}: stored as another candidate"
