"""Who is judged at the end: finalists of the search, and baselines tuned on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from archsearch.select.baselines import tuned
from archsearch.select.competitors import finalist_role
from archsearch.select.places import mask_role
from archsearch.select.ranking import finalists, rank
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.counts import KEPT, spell_counts
from archsearch.spec.settings import ConfirmSettings, confirm_seeds, derived_seed
from archsearch.spec.trial import Trial
from archsearch.study.plan import Plan


@dataclass(frozen=True)
class Candidate:
    """One training to be done for the answer; equal roles are the same competitor."""

    role: str
    architecture: Architecture
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        """What its trial has in common with no other candidate's."""
        return self.role, self.architecture.digest, self.seed


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
        (finalist_role(trial), trial.architecture)
        for trial in chosen_finalists(plan, confirm, searched)
    ]
    for name in confirm.baselines if competitors else ():
        ranked = rank([trial for trial in tuned_baselines if trial.role == name], (plan.primary,))
        competitors += [(name, trial.architecture) for trial in ranked[:1]]
    return [
        Candidate(role, architecture, seed)
        for seed in confirm_seeds(plan.search.seed, confirm.seeds)
        for role, architecture in competitors
    ]


def mask_candidates(
    plan: Plan, confirm: ConfirmSettings, confirmed: Sequence[Trial]
) -> list[Candidate]:
    """Random masks in place of the one that the best finalist has learned, seed by seed.

    Each has as many weights of every matrix as that seed left; the places of mask k are the same
    for all seeds, as far as their numbers allow. None where no mask was learned.
    """
    finished = [trial for trial in confirmed if trial.state.has_value]
    # in their validation order, whatever became of a seed
    roles = dict.fromkeys(t.role for t in confirmed if t.role not in confirm.baselines)
    best = next((role for role in roles if any(t.role == role for t in finished)), None)
    return [
        Candidate(
            mask_role(trial.role, number),
            plan.catalog.complete_architecture(_redrawn(trial, number)),
            trial.seed,
        )
        for trial in finished
        if trial.role == best and _sizes(trial)
        for number in range(confirm.masks)
    ]


def _redrawn(trial: Trial, number: int) -> Architecture:
    options = dict(trial.architecture.sparsity.options)
    shape = {key: options[key] for key in ("pattern", "block") if key in options}
    sparsity = Layer.of("drawn", counts=spell_counts(_sizes(trial)), number=number, **shape)
    return replace(trial.architecture, sparsity=sparsity)


def _sizes(trial: Trial) -> dict[str, int]:
    """What a learned mask has left of each matrix; empty where it left all of them whole."""
    metrics = dict(trial.outcome.metrics)
    if metrics.get("density") == 1.0:
        return {}
    return {
        name.removeprefix(KEPT): int(value)
        for name, value in metrics.items()
        if name.startswith(KEPT)
    }
