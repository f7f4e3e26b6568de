"""Finds the learner that settings are of."""

from __future__ import annotations

from archsearch.adapt.chain import Chain
from archsearch.adapt.learning.learner import Learner
from archsearch.adapt.learning.memory import MemoryUpdate
from archsearch.adapt.learning.state import StateCorrection
from archsearch.build import Model
from archsearch.spec.learnsettings import Settings, StateSettings
from archsearch.spec.signature import Signature


def open_learner(
    model: Model,
    signature: Signature,
    settings: Settings,
    *,
    batch: int = 1,
    chain: Chain | None = None,
) -> Learner:
    """A learner that owns the model; InputError where it has nothing to learn with."""
    if isinstance(settings, StateSettings):
        return StateCorrection(model, signature, settings, batch=batch, chain=chain)
    return MemoryUpdate(model, signature, settings, batch=batch, chain=chain)
