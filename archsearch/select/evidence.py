"""Whether the search found anything: finalists against baselines over paired seeds, on test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from archsearch.select.places import Places
from archsearch.select.ranking import measured
from archsearch.select.statistics import CONFIDENCE, Paired, holm, mean_interval, paired
from archsearch.spec.settings import Objective
from archsearch.spec.trial import Trial

SIGNIFICANT = 1 - CONFIDENCE
Finding = Literal["better", "no gain", "worse", "useless", "one seed", "no baseline", "nothing"]


@dataclass(frozen=True)
class Candidate:
    """One competitor: its value for each seed (None where the run failed) and their mean.

    ``interval`` is the 95 % interval of the mean over seeds, None for fewer than two runs.
    ``awaited`` of the runs are still to come, and have no value either.
    """

    name: str
    title: str
    role: Literal["finalist", "baseline"]
    values: tuple[float | None, ...]
    mean: float | None
    interval: tuple[float, float] | None
    params: float | None = None
    awaited: int = 0

    @property
    def finished(self) -> int:
        return sum(value is not None for value in self.values)

    @property
    def failed(self) -> int:
        return len(self.values) - self.finished - self.awaited


@dataclass(frozen=True)
class Comparison:
    """A finalist against a baseline; differences are positive where the finalist is better.

    ``corrected`` is the p-value after Holm's correction for the number of finalists compared
    with the same baseline.
    """

    finalist: str
    baseline: str
    difference: Paired
    corrected: float | None


@dataclass(frozen=True)
class Evidence:
    """Everything that the verdict rests on.

    ``best`` is the first finalist in the validation order with a finished run: the test split has
    no say in it. ``rival`` is the baseline with the best test mean, the hardest to beat.
    ``floor`` is the best of chance and the trivial predictors. ``take`` is whom to deploy; None
    when nobody deserves it. ``places`` is of a best finalist that has learned which weights to
    keep.
    """

    objective: Objective
    candidates: tuple[Candidate, ...]
    comparisons: tuple[Comparison, ...]
    floor: tuple[str, float] | None
    best: str | None
    rival: str | None
    finding: Finding
    take: str | None
    notes: tuple[str, ...] = field(default=())
    places: Places | None = None

    def candidate(self, name: str) -> Candidate:
        return next(entry for entry in self.candidates if entry.name == name)

    def comparison(self, finalist: str, baseline: str) -> Comparison | None:
        """None where the two finished no seed in common."""
        for entry in self.comparisons:
            if (entry.finalist, entry.baseline) == (finalist, baseline):
                return entry
        return None

    def to_plain(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)


def judge(
    runs: Mapping[str, Sequence[float | None]],
    objective: Objective,
    *,
    finalists: Sequence[str],
    baselines: Sequence[str] = (),
    chance: float | None = None,
    trivial: Mapping[str, float] | None = None,
    params: Mapping[str, float] | None = None,
    titles: Mapping[str, str] | None = None,
    awaited: Mapping[str, int] | None = None,
) -> Evidence:
    """Weigh the runs, which map a competitor to its test metric for each of the same seeds.

    A run that failed is None (or not finite). ``finalists`` stand in their validation order.
    ``params`` says which of two equally good models is the simpler one, ``awaited`` how many runs
    of a competitor are still to come. Raises ValueError when the competitors have different numbers
    of seeds.
    """
    if len({len(values) for values in runs.values()}) > 1:
        raise ValueError("every competitor needs one value, or None, for each seed")
    sizes, names, coming = params or {}, titles or {}, awaited or {}
    candidates = tuple(
        replace(
            _candidate(
                objective, name, names.get(name, name), role, runs.get(name, ()), sizes.get(name)
            ),
            awaited=coming.get(name, 0),
        )
        for role, group in (("finalist", finalists), ("baseline", baselines))
        for name in group
    )
    return _weigh(objective, candidates, _floor(objective, chance, trivial or {}))


def runs_by_role(
    trials: Sequence[Trial], metric: str, seeds: Sequence[int] = ()
) -> dict[str, list[float | None]]:
    """The metric of each role of a confirmation, by seed: the given ones, or in their order."""
    seeds = seeds or list(dict.fromkeys(trial.seed for trial in trials))
    found = {
        (trial.role, trial.seed): measured(trial, metric)
        for trial in trials
        if trial.state.has_value
    }
    roles = dict.fromkeys(trial.role for trial in trials)
    return {role: [found.get((role, seed)) for seed in seeds] for role in roles}


def _candidate(
    objective: Objective,
    name: str,
    title: str,
    role: Any,
    values: Sequence[float | None],
    params: float | None,
) -> Candidate:
    kept = tuple(v if v is not None and math.isfinite(v) else None for v in values)
    finished = [value for value in kept if value is not None]
    mean = math.fsum(finished) / len(finished) if finished else None
    interval = mean_interval(finished, objective.extent)
    return Candidate(name, title, role, kept, mean, interval, params)


def _weigh(
    objective: Objective, candidates: tuple[Candidate, ...], floor: tuple[str, float] | None
) -> Evidence:
    finalists = [c for c in candidates if c.role == "finalist" and c.finished]
    rivals = [c for c in candidates if c.role == "baseline" and c.finished]
    comparisons = tuple(
        comparison for rival in rivals for comparison in _against(objective, finalists, rival)
    )
    best = finalists[0] if finalists else None
    rival = min(rivals, key=lambda c: objective.loss(c.mean or 0.0)) if rivals else None
    finding, take = _finding(objective, best, rival, len(rivals), comparisons, floor)
    return Evidence(
        objective,
        candidates,
        comparisons,
        floor,
        best.name if best else None,
        rival.name if rival else None,
        finding,
        take,
        tuple(note for candidate in candidates for note in _notes(candidate)),
    )


def _against(
    objective: Objective, finalists: Sequence[Candidate], rival: Candidate
) -> list[Comparison]:
    tests: list[tuple[str, Paired]] = []
    for finalist in finalists:
        pairs = [
            (one, other)
            for one, other in zip(finalist.values, rival.values, strict=True)
            if one is not None and other is not None
        ]
        if pairs:
            scale = max(abs(value) for pair in pairs for value in pair)
            gains = [objective.loss(other) - objective.loss(one) for one, other in pairs]
            tests.append((finalist.name, paired(gains, scale, objective.widest)))
    tested = [test.p_value for _, test in tests if test.p_value is not None]
    corrected = iter(holm(tested))
    return [
        Comparison(name, rival.name, test, None if test.p_value is None else next(corrected))
        for name, test in tests
    ]


def _finding(
    objective: Objective,
    best: Candidate | None,
    rival: Candidate | None,
    rivals: int,
    comparisons: Sequence[Comparison],
    floor: tuple[str, float] | None,
) -> tuple[Finding, str | None]:
    if best is None:
        return "nothing", None
    if not _clears(objective, best, floor):
        return "useless", rival.name if rival and _clears(objective, rival, floor) else None
    if rival is None:
        return "no baseline", best.name
    pair = [c for c in comparisons if (c.finalist, c.baseline) == (best.name, rival.name)]
    if not pair or pair[0].corrected is None:
        return "one seed", _simpler(best, rival).name
    gain, corrected = pair[0].difference.mean, pair[0].corrected
    # the rival was picked by its test mean: that is against a gain, but in favour of a loss
    if gain > 0 and corrected < SIGNIFICANT:
        return "better", best.name
    if gain < 0 and corrected * rivals < SIGNIFICANT:
        return "worse", rival.name
    return "no gain", _simpler(best, rival).name


def _clears(objective: Objective, candidate: Candidate, floor: tuple[str, float] | None) -> bool:
    if floor is None or candidate.mean is None:
        return True
    ends = candidate.interval or (candidate.mean,)
    return max(objective.loss(end) for end in ends) < objective.loss(floor[1])


def _simpler(best: Candidate, rival: Candidate) -> Candidate:
    if best.params is not None and rival.params is not None and best.params < rival.params:
        return best
    return rival


def _floor(
    objective: Objective, chance: float | None, trivial: Mapping[str, float]
) -> tuple[str, float] | None:
    levels = {**({} if chance is None else {"chance": chance}), **trivial}
    known = [(name, value) for name, value in levels.items() if math.isfinite(value)]
    return min(known, key=lambda level: objective.loss(level[1])) if known else None


def _notes(candidate: Candidate) -> Iterator[str]:
    """What became of the runs that have no value."""
    of, runs = f"runs of {candidate.title}", len(candidate.values)
    if candidate.awaited:
        yield f"{candidate.awaited} of {runs} {of} are still to come"
    if candidate.failed == runs > 0:
        yield f"all {runs} {of} failed"
    elif candidate.failed:
        yield f"{candidate.failed} of {runs} {of} failed; they are left out, which flatters it"
