"""A policy that breaks its promise fails the check that is meant for it."""

from __future__ import annotations

import pytest
import torch
from adapted_networks import example, signature, small

from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.cascade import Cascade, prefix_rungs
from archsearch.adapt.policies.static import Static
from archsearch.adapt.walk import Walk
from archsearch.testing.policies import PolicyContract

WALK = Walk(small())
SHORT = Chain((0, 1))


class AllTogether(Static):
    """Shortens everybody once a batch has more than three rows."""

    def choose(self, view, setting):
        return [SHORT if view.count > 3 else view.walk.plain] * view.count


class NeverWhole(Static):
    """Has no place for the network itself."""

    def decide(self, view, setting):
        return super().decide(view, max(setting, 1))


class Forgetful(Static):
    """Says that it applied nothing."""

    def decide(self, view, setting):
        found = super().decide(view, setting)
        return type(found)(found.prediction, torch.zeros(view.count), found.chains)


class Backwards(Static):
    """Asks for more the further it is turned."""

    def choose(self, view, setting):
        return [self.steps[-setting]] * view.count


class Padded(Cascade):
    """Is as sure as its longest neighbour makes it."""

    def leaves(self, view, setting, rung, rows, memory):
        return torch.full((len(rows),), view.x.shape[1] > 3)


STEPS = (Chain((0, 1, 2)), SHORT, Chain())
CASES = [
    (AllTogether((SHORT,)), "test_a_row_does_not_depend_on_the_others"),
    (NeverWhole(STEPS), "test_the_first_place_of_the_knob_is_the_network"),
    (Forgetful(STEPS), "test_every_place_answers_and_says_what_it_applied"),
    (Backwards(STEPS), "test_the_knob_never_asks_for_more"),
    (Padded("gap", prefix_rungs(6), (0.5,)), "test_what_is_beyond_a_length_changes_nothing"),
]


@pytest.mark.parametrize(("policy", "check"), CASES, ids=lambda part: type(part).__name__)
def test_what_breaks_a_promise_is_found(policy, check):
    contract = PolicyContract()
    contract.policy, contract.walk, contract.x = policy, WALK, example(signature(), 6, 7)
    with pytest.raises(AssertionError):
        getattr(contract, check)()
    contract.policy = Static(STEPS)
    getattr(contract, check)()
