"""Every policy keeps the contract, on networks that answer once and at every step."""

import numpy as np
import pytest
import torch
from adapted_networks import example, made, network, signature

from archsearch.adapt.chain import Chain, prefixes
from archsearch.adapt.labels.graded import Graded
from archsearch.adapt.policies.cascade import Cascade, Patience, loop_rungs, prefix_rungs
from archsearch.adapt.policies.halting import halting_of
from archsearch.adapt.policies.router import Router, fit_router
from archsearch.adapt.policies.static import Static, best_static, truncations
from archsearch.adapt.policies.stream_view import StreamView
from archsearch.adapt.policies.view import WholeView
from archsearch.adapt.walk import Walk
from archsearch.spec.architecture import Block, Layer, Stage
from archsearch.testing.policies import PolicyContract

BLOCKS = (Block(Layer("gru"), channel=Layer("mlp")), Block(Layer("attention")))
LOOPED = Stage((Block(Layer("lru")),), loops=3, tie=Layer.of("shared", embedding=True))


def walk(every_step=False, targets="class", halting=None):
    given = signature(every_step, targets)
    stages = [Stage(BLOCKS), LOOPED, Stage(BLOCKS[:1])]
    if halting:
        stages[1] = Stage(LOOPED.blocks, loops=4, halting=halting)
    head = Layer.of("linear", pool="mean")
    return Walk(made(network(*stages, head=head), given, dtype=torch.float64))


def inputs(every_step=False):
    return example(signature(every_step), 9, 6, seed=5).double() * 2


WALK, EACH = walk(), walk(True)
THRESHOLDS = {
    "gap": (0.3, 0.15, 0.05, 0.0),
    "entropy": (0.2, 0.1, 0.02, 0.0),
    "cosine": (0.99, 0.9, 0.6, -1.0),
}


class TestStatic(PolicyContract):
    policy = Static((Chain((0, 1, 2, 4, 5)), Chain((0, 0, 5)), Chain()))
    walk, x = WALK, inputs()


class TestPrefix(PolicyContract):
    policy = truncations(6)
    walk, x = EACH, inputs(True)
    every_step = True


class TestGap(PolicyContract):
    policy = Cascade("gap", prefix_rungs(6), THRESHOLDS["gap"])
    walk, x = WALK, inputs()


class TestEntropyAtEveryStep(PolicyContract):
    policy = Cascade("entropy", prefix_rungs(6), THRESHOLDS["entropy"])
    walk, x = EACH, inputs(True)
    every_step = True


class TestCosine(PolicyContract):
    policy = Cascade("cosine", prefix_rungs(6), THRESHOLDS["cosine"])
    walk, x = WALK, inputs()


class TestCosineOfLoops(PolicyContract):
    policy = Cascade("cosine", loop_rungs(EACH.units, look_through=False), THRESHOLDS["cosine"])
    walk, x = EACH, inputs(True)
    every_step = True


class TestGapOfLoops(PolicyContract):
    policy = Cascade("gap", loop_rungs(WALK.units, look_through=True), THRESHOLDS["gap"])
    walk, x = WALK, inputs()
    # looking applies what follows the loops once for each rung
    cheaper = False

    def test_the_knob_never_asks_for_more(self):
        assert self.decided(self.policy.settings - 1).layers.mean() < self.walk.full


class TestPatience(PolicyContract):
    policy = Patience(prefix_rungs(6))
    walk, x = WALK, inputs()


class TestPatienceAtEveryStep(PolicyContract):
    policy = Patience(prefix_rungs(6))
    walk, x = EACH, inputs(True)
    every_step = True


class TestPatienceWithValues(PolicyContract):
    policy = Patience(prefix_rungs(6), tolerance=0.3)
    walk, x = walk(targets="value"), inputs()
    classes = False


def routed():
    rng = np.random.default_rng(0)
    library = (WALK.plain, Chain((0, 1)), Chain((0, 3, 5)), Chain((1, 5)))
    with torch.inference_mode():
        features = WholeView(WALK, inputs(), None, True).features(Chain((0,)), torch.arange(9))
    return fit_router(features, rng.random((9, 4)), library, (0.01, 0.1, 0.3, 1.0, 5.0))


class TestRouter(PolicyContract):
    policy = routed()
    walk, x = WALK, inputs()


class TestHalting(PolicyContract):
    walk, x = walk(halting=Layer.of("act", threshold=0.01)), inputs()
    policy = halting_of(walk)

    def test_a_stream_says_what_the_whole_so_far_does(self):
        """The memory of a stream is of one place of the knob."""
        for setting in (0, self.policy.settings - 1):
            view = StreamView(self.walk, 9, (), True, False)
            with torch.inference_mode():
                for t in range(6):
                    view.push(self.x[:, t])
                    said = self.policy.decide(view, setting).prediction
                    whole = self.decided(setting, time=t + 1).prediction
                    torch.testing.assert_close(said, whole, rtol=1e-6, atol=1e-6)


class TestSaturated(TestHalting):
    walk, x = walk(halting=Layer.of("saturated", rest=0.01)), inputs()
    policy = halting_of(walk)


class TestPonder(TestHalting):
    walk, x = walk(halting=Layer.of("ponder", prior=0.15)), inputs()
    policy = halting_of(walk)


def test_a_network_that_does_not_halt_has_no_such_policy():
    assert halting_of(WALK) is None
    assert loop_rungs(WALK.units[:2], look_through=True) == ()


def test_a_row_leaves_at_the_first_rung_that_is_sure():
    x = inputs()
    rungs = prefix_rungs(6)
    policy = Cascade("gap", rungs, (0.1,))
    with torch.inference_mode():
        found = policy.decide(WholeView(WALK, x, None, True), 1)
        for row, chain in enumerate(found.chains):
            for rung in rungs:
                top = WALK.run(rung.take, x[row : row + 1]).softmax(-1).topk(2).values[0]
                if top[0] - top[1] >= 0.1:
                    assert chain == rung.take
                    break
            else:
                assert chain == WALK.plain
    assert len(set(found.chains)) > 2
    # what a rung has computed the next one does not compute again
    assert found.layers.tolist() == [chain.cost(WALK.costs) for chain in found.chains]


def test_patience_counts_agreements_in_a_row():
    x = inputs()
    policy = Patience(prefix_rungs(6))
    with torch.inference_mode():
        said = [WALK.run(Chain.plain(n), x).argmax(-1).tolist() for n in range(1, 6)]
        for setting in range(1, policy.settings):
            patience = policy.settings - setting
            found = policy.decide(WholeView(WALK, x, None, True), setting)
            for row in range(9):
                expected, run = 6, 0
                for rung in range(1, 5):
                    run = run + 1 if said[rung][row] == said[rung - 1][row] else 0
                    if run >= patience:
                        expected = rung + 1
                        break
                assert found.chains[row] == Chain.plain(expected)


def test_a_router_that_only_knows_the_network_is_the_network():
    library = (WALK.plain, Chain((0, 1)), Chain((0,)))
    x = inputs()
    with torch.inference_mode():
        features = WholeView(WALK, x, None, True).features(Chain((0,)), torch.arange(9))
    right = np.zeros((9, 3))
    right[:, 0] = 1
    policy = fit_router(features, right, library, (0.01, 0.2))
    with torch.inference_mode():
        for setting in range(3):
            found = policy.decide(WholeView(WALK, x, None, True), setting)
            assert torch.equal(found.prediction, WALK.model(x)[0])
            assert (found.layers == WALK.full).all()


def test_a_router_learns_who_needs_which_chain():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 32, generator=generator)
    easy = (features[:, 3] > 0).numpy()
    right = np.stack([np.ones(400), easy], 1)
    policy = fit_router(features[:300], right[:300], (WALK.plain, Chain((0,))), (0.3,))
    weights, bias = torch.tensor(policy.weights), torch.tensor(policy.bias)
    p = (features[300:] @ weights.T + bias).sigmoid()
    assert ((p[:, 1] > 0.5).numpy() == easy[300:]).mean() > 0.95
    assert (p[:, 0] > 0.9).all()
    # a higher price never sends anyone to a costlier chain
    priced = Router(policy.library, policy.weights, policy.bias, tuple(np.linspace(0, 3, 20)))
    costs = np.array([c.cost(WALK.costs) for c in priced.library])
    chosen = [costs[(p.numpy() - price * costs / WALK.full).argmax(1)] for price in priced.prices]
    assert (np.diff(np.array(chosen), axis=0) <= 0).all()


def test_the_best_chain_of_each_cost_that_beats_the_cheaper_ones():
    chains = (*prefixes(3), Chain((1,)), Chain((0, 2)))
    score = np.array([[0.2, 0.5, 0.5, 0.9, 0.6, 0.4]])
    given = Graded(
        chains, np.array([0, 1, 2, 3, 1, 2]), 3, score, score, np.zeros((1, 6)), np.zeros(1)
    )
    # of two layers none is better than the best of one
    assert best_static(given, Chain.plain(3)) == Static((Chain((1,)), Chain()))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), "0.5", None, True])
def test_numbers_of_a_stored_policy_are_finite(wrong):
    from archsearch.adapt.policies.open import policy_from_plain, policy_to_plain

    plain = policy_to_plain(Cascade("gap", prefix_rungs(6), (0.5,)))
    plain["thresholds"] = [wrong]
    with pytest.raises(ValueError, match="finite"):
        policy_from_plain(plain, WALK)


def test_a_long_stream_keeps_what_waits_and_no_more():
    chains = tuple(Chain.plain(n) for n in range(1, 6))
    view = StreamView(WALK, 2, chains, True, False)
    policy = Cascade("gap", prefix_rungs(6), (-1.0,))
    x = inputs()[:2]
    with torch.inference_mode():
        for t in range(40):
            view.push(x[:, t % 6])
            policy.decide(view, 1)
    # everybody leaves at the first rung: what waits is what it left, once for each step
    assert view.spent.tolist() == [40.0, 40.0]
    waiting = [len(node.items) for node in view._nodes.values()]
    assert sorted(waiting) == [0, 0, 0, 0, 0, 0, 40]
