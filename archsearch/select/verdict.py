"""The evidence in one sentence that a person can act on."""

from __future__ import annotations

from archsearch.select.evidence import Candidate, Comparison, Evidence
from archsearch.select.places import Places
from archsearch.select.statistics import Paired


def verdict(evidence: Evidence) -> str:
    """What was found, the numbers it rests on and what to do, on one line."""
    if evidence.best is None:
        text = "no finalist finished a single run, so nothing can be said"
    else:
        best = evidence.candidate(evidence.best)
        if evidence.finding == "useless":
            text = _useless(evidence, best)
        elif evidence.rival is None:
            text = f"{_level(evidence, best)}; no baseline was there to compare it with"
        else:
            text = _against(evidence, best, evidence.candidate(evidence.rival))
    if any(candidate.awaited for candidate in evidence.candidates):
        text = f"so far, {text}"
    places = [] if evidence.places is None else [_places(evidence, evidence.places)]
    return "; ".join((text, *places, *evidence.notes))


def number(value: float) -> str:
    """Three decimals, or three significant digits where these would say too little."""
    return f"{value:.3f}" if value == 0 or 0.01 <= abs(value) < 1000 else f"{value:.3g}"


def _useless(evidence: Evidence, best: Candidate) -> str:
    name, value = evidence.floor or ("chance", 0.0)
    floor = "chance" if name == "chance" else f"the trivial predictor '{name}'"
    text = f"{_level(evidence, best)}, not better than {floor} ({number(value)})"
    if evidence.take is None:
        return f"{text}; use neither it nor a baseline"
    return f"{text}; take {evidence.candidate(evidence.take).title}"


def _against(evidence: Evidence, best: Candidate, rival: Candidate) -> str:
    metric = evidence.objective.metric
    found = evidence.comparison(best.name, rival.name)
    if found is None:
        return (
            f"{best.title} and {rival.title} finished no seed in common, so they cannot be "
            f"compared; {_simpler(evidence)}"
        )
    gain = found.difference.mean
    match evidence.finding:
        case "better":
            return (
                f"{best.title} beats the best baseline ({rival.title}) by {number(gain)} {metric} "
                f"({_basis(found, 1)})"
            )
        case "worse":
            return (
                f"{best.title} is worse than {rival.title} by {number(-gain)} {metric} "
                f"({_basis(found, -1)}); take {rival.title}"
            )
        case "one seed":
            return (
                f"one seed shows nothing: {best.title} reaches "
                f"{number(best.mean or 0.0)} {metric}, {rival.title} {number(rival.mean or 0.0)}; "
                f"{_simpler(evidence)}, or confirm over at least 5 seeds"
            )
        case _:
            return (
                f"no significant gain over {rival.title}: difference {number(gain)} {metric} "
                f"({_basis(found, 1)}); {_simpler(evidence)}"
            )


def _places(evidence: Evidence, places: Places) -> str:
    """What random masks in place of the learned one say of it."""
    several = f"the best of {places.masks} random masks" if places.masks > 1 else "a random mask"
    if places.best is None or places.finding == "one seed":
        return f"whether its learned mask is better than {several} needs more seeds"
    gain, metric = places.best.mean, evidence.objective.metric
    match places.finding:
        case "places":
            sign, words = 1, f"its learned mask beats {several} of its sizes by {number(gain)}"
        case "worse":
            sign, words = -1, f"its learned mask is worse than {several} by {number(-gain)}"
        case _:
            sign = 1
            words = (
                f"its learned mask shows no gain over {several} of its sizes: "
                f"difference {number(gain)}"
            )
    return f"{words} {metric} ({_numbers(places.best, places.corrected, sign)})"


def _basis(found: Comparison, sign: int) -> str:
    return _numbers(found.difference, found.corrected, sign)


def _numbers(difference: Paired, corrected: float | None, sign: int) -> str:
    """The interval, the corrected p-value and the number of seeds behind a difference."""
    low, high = sorted(sign * end for end in difference.interval or (0.0, 0.0))
    p_value = 1.0 if corrected is None else corrected
    p_words = f"{p_value:.3f}" if p_value >= 0.0995 else f"{p_value:.2g}"
    claimed = "corrected p < 0.001" if p_value < 0.001 else f"corrected p = {p_words}"
    return f"95% interval {number(low)} to {number(high)}, {claimed} over {difference.count} seeds"


def _level(evidence: Evidence, candidate: Candidate) -> str:
    ends = candidate.interval
    interval = f"95% interval {number(ends[0])} to {number(ends[1])}, " if ends else ""
    seeds = "1 seed" if candidate.finished == 1 else f"{candidate.finished} seeds"
    return (
        f"{candidate.title} reaches {number(candidate.mean or 0.0)} {evidence.objective.metric} "
        f"({interval}{seeds})"
    )


def _simpler(evidence: Evidence) -> str:
    taken = evidence.candidate(evidence.take or evidence.rival or "")
    size = "" if taken.params is None else f", {taken.params:.0f} parameters"
    return f"take the simpler model ({taken.title}{size})"
