"""A stored study read back as its result: trials, evidence and verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archsearch.cli.drawing import draw
from archsearch.errors import InputError
from archsearch.plugins import built_in
from archsearch.select.across import TaskResult
from archsearch.select.competitors import counting, finalist_role
from archsearch.select.evidence import Evidence, judge, runs_by_role
from archsearch.select.leading import leading
from archsearch.select.places import places_of
from archsearch.select.ranking import finalists, rank
from archsearch.select.verdict import verdict
from archsearch.spec.architecture import Architecture, layer_from_plain, layers
from archsearch.spec.catalog import suggestion
from archsearch.spec.settings import TIMED, Constraint, Objective, TaskSpec, confirm_seeds
from archsearch.spec.trial import State, Trial
from archsearch.store.connect import read_url
from archsearch.store.records import Attempt, StudyRecord
from archsearch.store.store import Store

RUNS = Path("archsearch-runs")
# in the folder of a study, the bundle that adapts its depth
ADAPTED = "adapted"
# rows of a table that are asked for one by one; databases bound the number of such questions
MOST_LEADING = 1000


@dataclass(frozen=True)
class Result:
    """What is known of one study; ``evidence`` is None until something was confirmed.

    ``plugins`` is what its fingerprint says of them, ``accelerated`` the cells that are trained on
    accelerators, ``*`` for all; ``attempts`` are those at all trials.
    """

    name: str
    ended: str
    settings: dict[str, Any]
    task: TaskSpec
    data: str
    searched: list[Trial]
    confirmed: list[Trial]
    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...]
    evidence: Evidence | None
    plugins: Mapping[str, Any]
    attempts: list[Attempt]
    accelerated: Sequence[str] = ()

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = self.settings["facts"]
        return facts

    @property
    def ranked(self) -> list[Trial]:
        return rank(self.searched, self.objectives, self.constraints)

    def plugins_of(self, architecture: Architecture) -> dict[str, Any]:
        """Those that provide layers of it; all, in a study that did not say which do."""
        names = {(kind, layer.name) for kind, layer in layers(architecture)}
        if "providers" not in self.settings:
            return {} if names <= {(e.kind, e.name) for e in built_in()} else dict(self.plugins)
        used = {of for kind, name, of in self.settings["providers"] if (kind, name) in names}
        return {name: what for name, what in self.plugins.items() if name in used}

    def code_of(self, architecture: Architecture) -> tuple[tuple[str, str], ...]:
        """The distributions that provide layers of it, with the SHA-256 of their code."""
        used = self.plugins_of(architecture).items()
        # a study of an earlier archsearch knows the version alone
        return tuple((name, "" if isinstance(what, str) else what["sha256"]) for name, what in used)

    def gpus_of(self, architecture: Architecture) -> float:
        """How many accelerators a training of it again takes, as those of the study did."""
        cells = {layer.name for kind, layer in layers(architecture) if kind == "cell"}
        return float(bool({"*", *cells} & {*self.accelerated}))

    @property
    def nobody(self) -> str:
        """Why no trial leads, where none does."""
        within = " within the constraints" if self.constraints else ""
        return f"no trial completed{within}"

    def role(self, name: str) -> list[Trial]:
        """The confirmation runs of one competitor."""
        return [trial for trial in self.confirmed if trial.role == name]

    @property
    def lost(self) -> dict[str, int]:
        """How many attempts were lost, by the reason; what was lost is tried again."""
        reasons = (attempt.reason for attempt in self.attempts if is_lost(attempt))
        return dict(Counter(reason or "" for reason in reasons).most_common())

    @property
    def across(self) -> TaskResult:
        return TaskResult(
            self.settings["label"], self.searched, self.objectives, self.constraints, self.evidence
        )

    def to_plain(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        best = self.ranked[:1]
        return {
            "study": self.name,
            "ended": self.ended,
            "data": self.facts["data"],
            "trials": len(self.searched),
            "lost_attempts": self.lost,
            "objectives": {o.metric: o.direction for o in self.objectives},
            "best": [
                {"trial": t.index, "digest": t.digest, "metrics": dict(t.outcome.metrics)}
                for t in best
            ],
            "chance": self.facts.get("chance"),
            "trivial": self.facts.get("trivial"),
            "evidence": self.evidence.to_plain() if self.evidence else None,
            "verdict": verdict(self.evidence) if self.evidence else None,
            "drawing": draw(best[0].architecture) if best else None,
        }


def read_result(store: Store, name: str, ended: str = "") -> Result:
    """The result of a stored study; InputError with what exists when there is none."""
    record, objectives, constraints = _found(store, name)
    searched = store.history(record.id, "search")
    confirmed, evidence = store.history(record.id, "confirm"), None
    if confirmed:
        asked = record.settings["confirm"]
        leading_now = finalists(searched, objectives, constraints, asked["finalists"])
        chosen = {finalist_role(trial): trial for trial in leading_now}
        seeds = confirm_seeds(record.fingerprint["seed"], asked["seeds"])
        confirmed = counting(confirmed, [*chosen, *asked["baselines"]], seeds)
    if confirmed:
        evidence = _evidence(record.settings, objectives[0], chosen, seeds, confirmed)
    if evidence is not None and evidence.best is not None:
        masks = store.history(record.id, "masks")
        places = places_of(masks, evidence.best, confirmed, objectives[0])
        evidence = replace(evidence, places=places)
    result = _result(record, ended, objectives, constraints, searched)
    attempts = store.attempts(record.id)
    return replace(result, confirmed=confirmed, evidence=evidence, attempts=attempts)


def read_leading(store: Store, name: str, limit: int) -> Result:
    """The result with no more of its trials than the first ``limit`` rows of its leaderboard.

    Nothing of it but that table is to be read: evidence and attempts are left out.
    """
    record, objectives, constraints = _found(store, name)
    asked = [each.metric for each in objectives] + [each.metric for each in constraints]
    timed = any(metric in TIMED for metric in asked)
    known = store.values(record.id, timed=timed)
    chosen = leading(*known, objectives, constraints, min(limit, MOST_LEADING))
    if len(chosen) < limit:
        # there is something to be said of those that have no place
        return read_result(store, name)
    return _result(record, "", objectives, constraints, store.some(record.id, chosen))


def is_lost(attempt: Attempt) -> bool:
    """Whether it ended without an outcome: its worker or its driver was lost."""
    return attempt.ended is not None and attempt.reason not in [str(state) for state in State]


def run_folder(storage: str, name: str) -> Path:
    """Where the weights of a study's finalists lie: beside a SQLite file, else here."""
    url = read_url(storage)
    of_file = url.get_backend_name() == "sqlite" and url.database
    beside = Path(str(url.database)).parent if of_file else Path()
    return (beside / RUNS / name).resolve()


def _found(
    store: Store, name: str
) -> tuple[StudyRecord, tuple[Objective, ...], tuple[Constraint, ...]]:
    record = store.find_study(name)
    if record is None:
        names = [study.name for study in store.studies()]
        stored = f"stored are: {', '.join(names)}" if names else "none is stored here yet"
        raise InputError(f"no study '{name}'{suggestion(name, names)}; {stored}")
    objectives = tuple(Objective(*pair) for pair in record.settings["objectives"])
    constraints = tuple(Constraint(*triple) for triple in record.settings["constraints"])
    return record, objectives, constraints


def _result(
    record: StudyRecord,
    ended: str,
    objectives: tuple[Objective, ...],
    constraints: tuple[Constraint, ...],
    searched: list[Trial],
) -> Result:
    settings = record.settings
    return Result(
        name=record.name,
        ended=ended or record.ended or "",
        settings=settings,
        task=TaskSpec(settings["label"], layer_from_plain(record.fingerprint["task"])),
        data=record.fingerprint["data"],
        searched=searched,
        confirmed=[],
        objectives=objectives,
        constraints=constraints,
        evidence=None,
        plugins=record.fingerprint["plugins"],
        attempts=[],
        accelerated=record.fingerprint.get("accelerated", ()),
    )


def _evidence(
    settings: dict[str, Any],
    judged: Objective,
    chosen: Mapping[str, Trial],
    seeds: list[int],
    confirmed: list[Trial],
) -> Evidence:
    """What the runs over the seeds say of the finalists ``chosen``, by role in validation order."""
    facts = settings["facts"]
    # one that could not be tuned was never begun
    begun = {trial.role for trial in confirmed}
    baselines = [role for role in settings["confirm"]["baselines"] if role in begun]
    ended = Counter(trial.role for trial in confirmed if trial.state.final)
    trivial = {
        name: scores[judged.metric]
        for name, scores in facts["trivial"].items()
        if judged.metric in scores
    }
    params = [(trial.role, trial.outcome.metric("params")) for trial in confirmed]
    none: dict[str, list[float | None]] = {role: [None] * len(seeds) for role in chosen}
    return judge(
        none | runs_by_role(confirmed, judged.metric, seeds),
        judged,
        finalists=list(chosen),
        baselines=baselines,
        chance=facts["chance"].get(judged.metric),
        trivial=trivial,
        params={role: value for role, value in params if value is not None},
        titles={role: f"{trial.architecture.title} ({role})" for role, trial in chosen.items()},
        awaited={role: len(seeds) - ended[role] for role in (*chosen, *baselines)},
    )
