"""The knob of a bundle that adapts its depth, set to a share of compute."""

from __future__ import annotations

from dataclasses import dataclass

from archsearch.adapt.adapted import Adapted
from archsearch.adapt.policies.policy import Decision
from archsearch.adapt.policies.view import View
from archsearch.adapt.walk import Walk
from archsearch.build import Model
from archsearch.errors import InputError
from archsearch.serve.bundle import Bundle


@dataclass(frozen=True)
class Knob:
    """A model's policy at one place of its knob."""

    walk: Walk
    adapted: Adapted
    setting: int

    def decide(self, view: View) -> Decision:
        return self.adapted.policy.decide(view, self.setting)


def set_knob(bundle: Bundle, model: Model, compute: float, uncertified: bool) -> Knob:
    """For ``model``, which is the bundle's; InputError as :meth:`Adapted.setting_for` says."""
    walk = Walk(model)
    adapted = bundle.adapted(walk)
    if adapted is None:
        raise InputError(
            f"{bundle.path}: its depth is fixed, so --compute says nothing; "
            "make one that adapts with 'archsearch adapt'"
        )
    return Knob(walk, adapted, adapted.setting_for(compute, uncertified=uncertified))
