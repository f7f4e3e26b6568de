"""Bundles that carry a policy: predictions, streams, and what a stranger may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from exported import REGRESSION, TOKENS, VALUES, export, network

from archsearch.adapt.adapted import Adapted
from archsearch.adapt.certify import Certificate
from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.cascade import Cascade, prefix_rungs
from archsearch.adapt.policies.static import Static
from archsearch.adapt.walk import Walk
from archsearch.errors import InputError, StateError
from archsearch.serve.bundle import Bundle, read_bundle
from archsearch.serve.predictor import Predictor
from archsearch.serve.stream import Stream
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

PROMISE = Certificate("ltt", "differs", 0.05, 0.1, 1, "gap >= 0.4", 300, (0.0, 0.01, 0.3))
GAPS = Adapted("gap", Cascade("gap", prefix_rungs(4), (0.4, 0.2)), (1.0, 0.7, 0.4), PROMISE)
FIRST = Adapted("static", Static((Chain((0, 2)), Chain())), (1.0, 0.5, 0.0), PROMISE)


def deep(cell: str) -> Architecture:
    block = Block(Layer(cell), channel=Layer("mlp"))
    return Architecture(
        8,
        (Stage((block, block)), Stage((block,), loops=2)),
        head=Layer.of("linear", pool="mean"),
    )


def exported(folder: Path, depth: Adapted, cell: str = "gru", signature: Any = VALUES) -> Bundle:
    return export(folder / "best", deep(cell), signature, depth=depth)


def inputs(signature: Signature, count: int = 6, time: int = 7) -> Any:
    rng = np.random.default_rng(0)
    if signature.inputs == "tokens":
        return rng.integers(0, signature.channels, (count, time))
    return rng.normal(size=(count, time, signature.channels)).astype(np.float32) * 3


@pytest.mark.parametrize("cell", ["gru", "bidirectional"])
def test_predictions_are_those_of_the_policy(tmp_path: Path, cell: str) -> None:
    bundle = exported(tmp_path, FIRST, cell)
    x = inputs(VALUES)
    predictor = Predictor(bundle, compute=0.5)
    found = predictor.predict(x)
    walk = Walk(bundle.model())
    with torch.inference_mode():
        expected = walk.run(Chain((0, 2)), torch.from_numpy(x)).softmax(-1)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert predictor.applied == pytest.approx(0.5)
    plain = Predictor(bundle)
    np.testing.assert_array_equal(plain.predict(x), Predictor(bundle, compute=1.0).predict(x))
    assert plain.applied is None


@pytest.mark.parametrize("cell", ["gru", "attention", "bidirectional"])
@pytest.mark.parametrize("signature", [VALUES, TOKENS], ids=["once", "every step"])
def test_a_stream_says_what_the_predictor_does(
    tmp_path: Path, cell: str, signature: Signature
) -> None:
    if signature.every_step and cell == "bidirectional":
        cell = "lstm"
    bundle = exported(tmp_path, GAPS, cell, signature)
    x = inputs(signature, 3)
    for compute, uncertified in ((0.7, False), (0.4, True)):
        predictor = Predictor(bundle, compute=compute, uncertified=uncertified)
        # one after the other, since streams of a batch share what they wait for
        for row in range(3):
            stream = Stream(bundle, compute=compute, uncertified=uncertified)
            for time in range(1, 8):
                said = stream.push(x[row, time - 1])
                whole = predictor.predict(x[row : row + 1, :time])[0]
                expected = whole[-1] if signature.every_step else whole
                np.testing.assert_allclose(said, expected, atol=1e-5)
            assert stream.applied is not None
            if cell != "bidirectional":
                assert 0 < stream.applied <= 1
            first = stream.push(x[row, 0])
            stream.forget()
            assert stream.steps == 0
            again = stream.push(x[row, 0])
            np.testing.assert_allclose(
                again, predictor.predict(x[row : row + 1, :1])[0].reshape(again.shape), atol=1e-5
            )
            assert not np.array_equal(first, again)


def test_a_bundle_without_a_policy_has_no_knob(tmp_path: Path) -> None:
    bundle = export(tmp_path / "best", network())
    for make in (Predictor, Stream):
        with pytest.raises(InputError, match="its depth is fixed"):
            make(bundle, compute=0.5)
    assert "depth" not in json.loads((tmp_path / "best" / "bundle.json").read_text())


def test_what_was_not_certified_is_refused(tmp_path: Path) -> None:
    bundle = exported(tmp_path, GAPS)
    with pytest.raises(InputError, match=r"certified is 0\.7 or more"):
        Predictor(bundle, compute=0.5)
    with pytest.raises(InputError, match="--uncertified"):
        Stream(bundle, compute=0.5)
    assert Predictor(bundle, compute=0.5, uncertified=True).predict(inputs(VALUES)).shape == (6, 4)


def test_a_bundle_is_read_back_and_one_that_was_changed_refused(tmp_path: Path) -> None:
    bundle = exported(tmp_path, GAPS)
    read = read_bundle(bundle.path)
    assert read.adapted(Walk(read.model())) == GAPS
    path = bundle.path / "bundle.json"
    plain = json.loads(path.read_text())
    del plain["seal"]
    policy = plain["depth"]["policy"]
    for key, wrong in (
        ("policy", policy | {"name": "gone"}),
        ("policy", policy | {"rungs": [["0-99", "0"]]}),
        ("policy", policy | {"thresholds": [0.4, "no"]}),
        ("policy", policy | {"thresholds": [0.1] * 5000}),
        ("compute", [1.0]),
        ("certificate", plain["depth"]["certificate"] | {"setting": 9}),
        ("report", None),
    ):
        changed = plain | {"depth": plain["depth"] | {key: wrong}}
        path.write_text(json.dumps(changed))
        with pytest.raises(StateError, match="depth is malformed") as fault:
            read_bundle(bundle.path)
        assert "\n" not in str(fault.value)
    path.write_text(json.dumps(plain | {"depth": [1]}))
    with pytest.raises(StateError, match="depth"):
        read_bundle(bundle.path)


def test_values_have_policies_too(tmp_path: Path) -> None:
    policy = Cascade("cosine", prefix_rungs(4), (0.9, -1.0))
    bundle = exported(tmp_path, Adapted("cosine", policy, (1.0, 0.7, 0.25), PROMISE),
                      signature=REGRESSION)  # fmt: skip
    predictor = Predictor(bundle, compute=0.3, uncertified=True)
    assert predictor.predict(inputs(REGRESSION)).shape == (6, 1)
    assert predictor.applied == pytest.approx(0.25)
