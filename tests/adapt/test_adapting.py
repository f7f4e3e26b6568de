"""From a network and held-out data to a policy, its curve and its certificate."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from adapted_networks import example, made, network, signature, small

from archsearch.adapt.adapt import adapt, apart
from archsearch.adapt.adapted import Adapted, adapted_from_plain, curves_of
from archsearch.adapt.certify import Certificate
from archsearch.adapt.chain import Chain
from archsearch.adapt.curve import between, curve, resampled
from archsearch.adapt.examples import Examples
from archsearch.adapt.labels.oracle import TITLE
from archsearch.adapt.measured import Measured, measure
from archsearch.adapt.policies.cascade import Cascade, prefix_rungs
from archsearch.adapt.policies.static import Static, truncations
from archsearch.adapt.walk import Walk
from archsearch.depth.area import area
from archsearch.errors import InputError
from archsearch.spec.architecture import Block, Layer, Stage
from archsearch.spec.depthsettings import DepthSettings

SKIP = DepthSettings(moves="skip")


def held(count, every_step=False, targets="class", seed=0):
    """Answers that the network itself gives, some of them spoilt."""
    given = signature(every_step, targets)
    x = example(given, count, seed=seed)
    model = small() if (every_step, targets) == (False, "class") else other(given)
    with torch.inference_mode():
        prediction = model(x)[0]
    if targets == "value":
        wanted = prediction + 0.1 * torch.randn(prediction.shape)
    else:
        wanted = prediction.argmax(-1)
        generator = torch.Generator().manual_seed(seed)
        spoilt = torch.rand(wanted.shape, generator=generator) < 0.2
        wanted = torch.where(spoilt, (wanted + 1) % 3, wanted)
    mask = torch.ones(count, 7, dtype=torch.bool) if every_step else None
    return Examples(x.clone(), None, wanted.clone(), mask, given)


def other(given):
    block = Block(Layer("gru"), channel=Layer("mlp"))
    return made(network(Stage((block,) * 3)), given)


def test_parts_share_no_sequence():
    whole = held(50)
    parts = apart(whole, held(20, seed=1), seed=3)
    sizes = [len(parts.search), len(parts.tune), len(parts.calibrate), len(parts.test)]
    assert sizes == [20, 10, 20, 20]
    rows = [tuple(x.flatten().tolist()) for part in (parts.search, parts.tune, parts.calibrate)
            for x in part.x]  # fmt: skip
    assert len(set(rows)) == 50
    again = apart(whole, parts.test, seed=3)
    assert torch.equal(again.search.x, parts.search.x)
    with pytest.raises(InputError, match="too few"):
        apart(held(5), parts.test, seed=0)


@pytest.mark.parametrize(
    ("every_step", "targets"), [(False, "class"), (True, "class"), (False, "value")]
)
def test_what_is_adapted_is_plain_data_and_repeats(every_step, targets):
    whole, test = held(60, every_step, targets), held(40, every_step, targets, seed=1)
    model = small() if (every_step, targets) == (False, "class") else other(whole.signature)
    parts = apart(whole, test, seed=0)
    found = adapt(model, parts, SKIP, seed=0)
    again = adapt(model, parts, SKIP, seed=0)
    assert found == again
    plain = json.loads(json.dumps(found.to_plain(), allow_nan=False))
    assert adapted_from_plain(plain, Walk(model)) == found
    assert found.compute[0] == 1.0
    assert len(found.compute) == found.policy.settings
    curves = curves_of(plain["report"])
    assert {"static", "prefix", "cosine", "patience", "router"} <= set(curves)
    for points in curves.values():
        assert points[0].compute == 1.0
        for point in points:
            assert point.interval[0] <= point.score <= point.interval[1]
    oracle = plain["report"]["oracle"]
    assert (oracle is None) == (targets == "value")
    if oracle:
        assert oracle["sequences"] == len(parts.search)
        assert oracle["chains"] == 2 ** Walk(model).depth
    assert "labels" in TITLE


def test_the_policy_asked_for_is_taken_and_one_that_does_not_fit_refused():
    parts = apart(held(40), held(20, seed=1), seed=0)
    found = adapt(small(), parts, replace(SKIP, policy="loop_cosine", guarantee="none"))
    assert found.name == "loop_cosine"
    assert found.certificate is None
    with pytest.raises(InputError, match="policy 'halting' does not fit"):
        adapt(small(), parts, replace(SKIP, policy="halting"))
    values = apart(held(40, targets="value"), held(20, targets="value", seed=1), seed=0)
    with pytest.raises(InputError, match="is about classes"):
        adapt(other(values.test.signature), values, replace(SKIP, risk="loses"))


def test_a_network_without_layers_has_nothing_to_leave_out():
    parts = apart(held(40), held(20, seed=1), seed=0)
    with pytest.raises(InputError, match="no layers"):
        adapt(made(network()), parts, SKIP)


def test_losses_are_those_against_the_network():
    model, given = small(), held(30)
    walk = Walk(model)
    found = measure(truncations(walk.depth), walk, given)
    full = model(given.x)[0].argmax(-1)
    for setting in range(found.settings):
        said = walk.run(Chain.plain(walk.depth - setting), given.x).argmax(-1)
        np.testing.assert_array_equal(found.differs[:, setting], (said != full).numpy())
        lost = (said != full) & (full == given.targets)
        np.testing.assert_array_equal(found.loses[:, setting], lost.numpy())
        np.testing.assert_array_equal(found.score[:, setting], (said == given.targets).numpy())
        assert (found.compute[:, setting] == (walk.depth - setting) / walk.depth).all()
    assert (found.differs[:, 0] == 0).all()


def knob(certified=2, method="ltt"):
    policy = Cascade("gap", prefix_rungs(4), (0.9, 0.5, 0.1))
    promise = Certificate(method, "differs", 0.05, 0.1, certified, "gap >= 0.5", 300, (0.0,) * 4)
    return Adapted("gap", policy, (1.0, 0.80001, 0.6, 0.3), promise)


def test_compute_chooses_the_place_of_the_knob():
    given = knob()
    assert given.setting_for(1.0) == 0
    assert given.setting_for(0.99) == 1
    assert given.setting_for(0.61) == 2
    assert given.setting_for(0.6) == 2
    assert given.setting_for(0.45, uncertified=True) == 3


def test_a_dearer_place_that_is_not_certified_does_not_hide_one_that_is():
    given = replace(knob(1), compute=(1.0, 0.8, 0.85, 0.3))
    assert given.setting_for(0.85) == 1
    assert given.setting_for(0.85, uncertified=True) == 2
    with pytest.raises(InputError, match=r"certified is 0\.8 or more"):
        given.setting_for(0.7)


def test_what_was_not_certified_is_refused_unless_told_to():
    with pytest.raises(
        InputError, match=r"certified is 0\.6 or more: answers differ.*--uncertified"
    ):
        knob().setting_for(0.5)
    # what the message offers may be asked for
    with pytest.raises(InputError, match=r"certified is 0\.801 or more"):
        knob(1).setting_for(0.7)
    assert knob(1).setting_for(0.801) == 1
    with pytest.raises(InputError, match="nothing was certified"):
        knob(0).setting_for(0.9)
    with pytest.raises(InputError, match="nothing was certified"):
        replace(knob(), certificate=None).setting_for(0.9)
    with pytest.raises(InputError, match=r"needs 0\.3 or more"):
        knob().setting_for(0.2, uncertified=True)
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match="share from 0 to 1"):
            knob().setting_for(wrong)


def table(score, compute):
    score = np.asarray(score, dtype=float)
    return Measured(score, np.broadcast_to(compute, score.shape), score * 0, score * 0)


def test_areas_by_hand():
    # from 0.2 at nothing to 0.8 at half, and the same up to all
    assert area(np.array([0.8, 0.8]), np.array([0.5, 1.0]), 0.2) == pytest.approx(0.25 + 0.4)
    assert area(np.array([0.8]), np.array([0.5]), 0.2) == pytest.approx(0.65)
    assert area(np.array([0.9, 0.5]), np.array([1.0, 1.0]), 0.1) == pytest.approx(0.5)


def test_static_chains_are_mixed_to_an_equal_compute():
    static = table([[1, 0], [1, 1]], [1.0, 0.5])
    np.testing.assert_allclose(between(static, 0.75), [0.5, 1.0])
    np.testing.assert_allclose(between(static, 1.0), [1, 1])
    np.testing.assert_allclose(between(static, 0.5), [0, 1])
    assert between(static, 0.4) is None
    points = curve(table([[1], [1]], [0.75]), static, resampled(2, 200, 0))
    assert points[0].gain == pytest.approx(0.25)
    low, high = points[0].gain_interval
    assert low == 0.0
    assert high == 0.5


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    covered = 0
    for draw in range(200):
        score = (rng.random((150, 1)) < 0.7).astype(float)
        (point,) = curve(table(score, [1.0]), None, resampled(150, 300, draw))
        covered += point.interval[0] <= 0.7 <= point.interval[1]
    assert 0.88 <= covered / 200 <= 0.99


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("policy", {"name": "gone"}),
        ("policy", {"name": "static", "steps": ["0-9"]}),
        ("policy", {"name": "static", "steps": 5}),
        ("compute", [1.0]),
        ("compute", ["a", "b"]),
        ("certificate", {}),
        ("report", []),
    ],
)
def test_malformed_data_is_refused(key, wrong):
    walk = Walk(small())
    promise = Certificate("ltt", "differs", 0.05, 0.1, 1, "", 9, (0.0, 0.0))
    given = Adapted("static", Static((Chain((0,)),)), (1.0, 0.2), promise, {"a": 1})
    plain = given.to_plain()
    assert adapted_from_plain(plain, walk) == given
    with pytest.raises((KeyError, TypeError, ValueError, InputError)):
        adapted_from_plain(plain | {key: wrong}, walk)
