"""What every policy of test-time depth promises, as tests: subclass, and pytest runs them."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from archsearch.adapt.policies.open import policy_from_plain, policy_to_plain
from archsearch.adapt.policies.policy import Decision, Policy
from archsearch.adapt.policies.stream_view import StreamView
from archsearch.adapt.policies.table_view import TableView
from archsearch.adapt.policies.view import WholeView
from archsearch.adapt.walk import Walk


class PolicyContract:
    """Derive from it and give a policy and a network in double precision.

    ``x`` is a batch of sequences of the network, ``classes`` whether it tells classes apart,
    ``every_step`` whether it answers at every step. ``cheaper`` is whether the knob must never
    make the mean of applied layers rise; a policy whose looks cost something says False.
    """

    policy: Policy
    walk: Walk
    x: Tensor
    classes: bool = True
    every_step: bool = False
    cheaper: bool = True

    def decided(self, setting: int, rows: slice = slice(None), time: int | None = None) -> Decision:
        x = self.x[rows] if time is None else self.x[rows, :time]
        with torch.inference_mode():
            return self.policy.decide(WholeView(self.walk, x, None, self.classes), setting)

    def whole(self) -> Tensor:
        """The network's own answers, computed as it is used."""
        with torch.inference_mode():
            answers: Tensor = self.walk.model(self.x)[0]
        return answers

    def padded(self, lengths: Tensor, setting: int) -> Decision:
        with torch.inference_mode():
            view = WholeView(self.walk, self.x, lengths, self.classes)
            return self.policy.decide(view, setting)

    def test_the_first_place_of_the_knob_is_the_network(self) -> None:
        found = self.decided(0)
        assert torch.equal(found.prediction, self.whole())
        assert found.layers.max() <= self.walk.full

    def test_every_place_answers_and_says_what_it_applied(self) -> None:
        moved = 0
        for setting in range(self.policy.settings):
            found = self.decided(setting)
            assert found.prediction.shape == self.decided(0).prediction.shape
            assert torch.isfinite(found.prediction).all()
            assert found.layers.shape == (len(self.x),)
            assert (found.layers >= 0).all()
            moved += int((found.layers != self.walk.full).sum())
            if found.chains is None:
                continue
            for row, chain in enumerate(found.chains):
                alone = self.walk.run(chain, self.x[row : row + 1])
                assert_close(found.prediction[row : row + 1], alone)
                assert found.layers[row] >= chain.cost(self.walk.costs)
        assert moved or self.policy.settings == 1, "the knob changes nothing"

    def test_a_row_does_not_depend_on_the_others(self) -> None:
        for setting in range(self.policy.settings):
            together = self.decided(setting)
            for row in range(len(self.x)):
                alone = self.decided(setting, slice(row, row + 1))
                assert_close(alone.prediction, together.prediction[row : row + 1])
                assert alone.layers[0] == pytest.approx(float(together.layers[row]))

    def test_what_is_beyond_a_length_changes_nothing(self) -> None:
        time = self.x.shape[1]
        lengths = torch.arange(len(self.x)) % time + 1
        for setting in range(self.policy.settings):
            found = self.padded(lengths, setting)
            for row, length in enumerate(lengths.tolist()):
                alone = self.decided(setting, slice(row, row + 1), length)
                here = found.prediction[row : row + 1]
                assert_close(here[:, :length] if self.every_step else here, alone.prediction)
                assert found.layers[row] == pytest.approx(float(alone.layers[0]))

    def test_the_knob_never_asks_for_more(self) -> None:
        spent = [float(self.decided(s).layers.mean()) for s in range(self.policy.settings)]
        if self.cheaper:
            assert all(b <= a + 1e-6 for a, b in pairwise(spent)), spent
        assert min(spent) <= spent[0]

    def test_asked_twice_it_says_the_same(self) -> None:
        last = self.policy.settings - 1
        one, other = self.decided(last), self.decided(last)
        assert torch.equal(one.prediction, other.prediction)
        assert torch.equal(one.layers, other.layers)
        # and the network is as it was
        assert torch.equal(self.decided(0).prediction, self.whole())

    def test_a_table_of_all_places_says_what_each_does(self) -> None:
        table = TableView(self.walk, self.x, None, self.classes)
        for setting in range(self.policy.settings):
            with torch.inference_mode():
                found = self.policy.decide(table.again(), setting)
            alone = self.decided(setting)
            assert found.chains == alone.chains
            assert_close(found.prediction, alone.prediction)
            assert_close(found.layers, alone.layers)

    def test_it_is_plain_data(self) -> None:
        plain = policy_to_plain(self.policy)
        assert policy_from_plain(plain, self.walk) == self.policy
        assert hash(self.policy) == hash(policy_from_plain(plain, self.walk))

    def test_a_stream_says_what_the_whole_so_far_does(self) -> None:
        for setting in {0, self.policy.settings // 2, self.policy.settings - 1}:
            chains = self.policy.chains
            view = StreamView(self.walk, len(self.x), chains, self.classes, self.every_step)
            with torch.inference_mode():
                for t in range(self.x.shape[1]):
                    view.push(self.x[:, t])
                    said = self.policy.decide(view, setting).prediction
                    whole = self.decided(setting, time=t + 1).prediction
                    assert_close(said, whole[:, t] if self.every_step else whole)


def assert_close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)
