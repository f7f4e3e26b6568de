"""Who is judged at the end: finalists of the search, and baselines tuned on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archsearch.select.baselines import tuned
from archsearch.select.ranking import finalists, rank
from archsearch.spec.architecture import Architecture
from archsearch.spec.settings import ConfirmSettings, derived_seed
from archsearch.spec.trial import Trial
from archsearch.study.plan import Plan


@dataclass(frozen=True)
class Candidate:
    """One training to be done for the answer; equal roles are the same competitor."""

    role: str
    architecture: Architecture
    seed: int


def chosen_finalists(
    plan: Plan, confirm: ConfirmSettings, searched: Sequence[Trial]
) -> list[Trial]:
    search = plan.search
    return finalists(searched, search.objectives, search.constraints, confirm.finalists)


def tuning_candidates(
    plan: Plan, confirm: ConfirmSettings, searched: Sequence[Trial]
) -> list[Candidate]:
    """Each baseline at each learning rate, so that none loses for want of tuning."""
    leading = chosen_finalists(plan, confirm, searched)
    if not leading:
        return []
    like = leading[0].architecture
    return [
        Candidate(name, variant, derived_seed(plan.search.seed, variant.digest))
        for name in confirm.baselines
        for variant in tuned(name, like, plan.catalog)
    ]


def final_candidates(
    plan: Plan,
    confirm: ConfirmSettings,
    searched: Sequence[Trial],
    tuned_baselines: Sequence[Trial],
) -> list[Candidate]:
    """Finalists and tuned baselines, each over the same seeds, all of one seed together."""
    competitors = [
        (f"trial {trial.index}", trial.architecture)
        for trial in chosen_finalists(plan, confirm, searched)
    ]
    for name in confirm.baselines if competitors else ():
        ranked = rank([trial for trial in tuned_baselines if trial.role == name], (plan.primary,))
        competitors += [(name, trial.architecture) for trial in ranked[:1]]
    return [
        Candidate(role, architecture, derived_seed(plan.search.seed, "confirm", number))
        for number in range(confirm.seeds)
        for role, architecture in competitors
    ]
