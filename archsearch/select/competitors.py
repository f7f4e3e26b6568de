"""Whose runs count for the answer: those of the finalists and baselines of the study as it is now.

A study that was extended also holds runs of who was a finalist before, and of baselines that were
tuned beside another leader.
"""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.spec.trial import Trial


def finalist_role(trial: Trial) -> str:
    """What the runs of a searched trial are called once it is a finalist."""
    return f"trial {trial.index}"


def counting(runs: Sequence[Trial], roles: Sequence[str], seeds: Sequence[int]) -> list[Trial]:
    """The runs of these roles over these seeds, in that order; what was not begun is left out.

    Of a role the network that was begun last counts, and of equal runs the last.
    """
    begun = sorted(runs, key=lambda trial: trial.index)
    latest = {trial.role: trial.digest for trial in begun}
    found = {(t.seed, t.role): t for t in begun if t.digest == latest[t.role]}
    places = [(seed, role) for seed in seeds for role in roles]
    return [found[place] for place in places if place in found]
