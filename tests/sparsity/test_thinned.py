"""Zeros among activations: published choices, brute force, calibration, and what is told."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from trained import CATALOG, SIGNATURE, STEPS, batch, loss, train

from archsearch.build import Model, build
from archsearch.sparsity.activations import calibrate, greedy, threshold
from archsearch.sparsity.activity import Activity
from archsearch.sparsity.masks import Masks
from archsearch.sparsity.sparsify import sparsify
from archsearch.sparsity.thinned import Heaviest, Ranked, Rectified, Thinned, Thresholded
from archsearch.spec.architecture import Architecture, Block, Layer, Stage

torch.set_num_threads(1)
THINNING = ("teal", "wina", "r_sparse")


def linear(inputs: int, outputs: int, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs).eval()


def network(sparsity: Layer, cell: str = "attention", tie: str = "shared", loops: int = 1) -> Model:
    blocks = (Block(Layer(cell), channel=Layer("mlp")), Block(Layer("gru"), channel=Layer("glu")))
    stage = Stage(blocks, loops=loops, tie=Layer(tie))
    given = CATALOG.complete_architecture(Architecture(8, (stage,), sparsity=sparsity))
    return build(given, CATALOG, SIGNATURE, seed=3)


def masked(model: Model, layer: Layer) -> Masks:
    layer = CATALOG.complete("sparsity", layer)
    return sparsify(model, layer, STEPS, loss=lambda number: loss(model.eval(), 5000 + number))


def trained(model: Model, layer: Layer) -> Masks:
    masks = masked(model, layer)
    for _ in train(model.train(), masks):
        model.train()
    model.eval()
    return masks


def test_the_column_counts_as_the_input_does() -> None:
    x = torch.tensor([1.0, -3.0, 2.0])
    weight = torch.diag(torch.tensor([5.0, 1.0, 0.5]))
    plain = linear(3, 3)
    with torch.no_grad():
        plain.weight.copy_(weight)
    heaviest, thresholded = Heaviest(plain).eval(), Thresholded(plain).eval()
    calibrate(heaviest, x[None], 2 / 3)
    assert heaviest.norms.tolist() == [5, 1, 0.5]
    assert heaviest.thin(x).tolist() == [1, 0, 0]
    calibrate(thresholded, x[None], 2 / 3)
    assert thresholded.thin(x).tolist() == [0, -3, 0]


@pytest.mark.parametrize("kept", [1, 2, 3, 4])
def test_with_orthogonal_columns_no_other_choice_is_better(kept: int) -> None:
    draw = torch.Generator().manual_seed(kept)
    columns = torch.linalg.qr(torch.randn(7, 5, generator=draw))[0]
    plain = linear(5, 7)
    with torch.no_grad():
        plain.weight.copy_(columns * torch.rand(5, generator=draw).add(0.1) * 3)
    plain.requires_grad_(False)
    part = Heaviest(plain).eval()
    calibrate(part, torch.randn(9, 5), 1 - kept / 5)
    for x in torch.randn(20, 5, generator=draw):
        whole = plain.weight @ x
        errors = {
            chosen: float((whole - plain.weight[:, list(chosen)] @ x[list(chosen)]).norm())
            for chosen in itertools.combinations(range(5), kept)
        }
        best = min(errors, key=lambda chosen: errors[chosen])
        assert part.thin(x).nonzero().flatten().tolist() == list(best)


def test_a_threshold_leaves_exactly_the_share_that_was_asked_for() -> None:
    x = torch.randn(40, 25)
    for gone in (0.0, 0.3, 0.5, 1.0):
        assert int((x.abs() > threshold(x, gone)).sum()) == round((1 - gone) * 1000)


@torch.no_grad()
def test_nothing_left_out_is_the_dense_map() -> None:
    plain, x = linear(6, 9), torch.randn(4, 6)
    exact = plain(x)
    assert torch.equal(Thresholded(plain).eval()(x), exact)
    assert torch.equal(Heaviest(plain).eval()(x), exact)
    ranked = Ranked(plain, 0.5).eval()
    assert torch.equal(ranked(x), exact)
    full = Ranked(plain, 1.0).eval()
    calibrate(full, x, 0.7)
    assert 0 < int((full.thin(x) == 0).sum()) < x.numel()
    assert torch.allclose(full(x), exact, rtol=1e-5, atol=1e-6)
    calibrate(ranked, x, 0.7)
    u, s, v = torch.linalg.svd(plain.weight)
    rest = x - ranked.thin(x)
    low = u[:, :3] * s[:3] @ v[:3]
    assert torch.allclose(ranked(x), ranked.thin(x) @ plain.weight.T + plain.bias + rest @ low.T)


def test_greedy_spares_the_map_that_suffers_most() -> None:
    """One map reads few large inputs and much noise, the other inputs that are all alike."""
    draw = torch.Generator().manual_seed(0)
    spiky = torch.randn(200, 10, generator=draw) * torch.tensor([100.0] * 3 + [0.01] * 7)
    even = torch.randn(200, 10, generator=draw).sign()
    pairs = [(Thresholded(linear(10, 10)), spiky), (Thresholded(linear(10, 10)), even)]
    shares = greedy(pairs, 0.3)
    assert sum(shares) / 2 == pytest.approx(0.3)
    assert shares[0] > 0.5 > 0.1 > shares[1]
    large = [(Thresholded(linear(10, 30)), spiky), (Thresholded(linear(10, 10)), spiky)]
    shares = greedy(large, 0.4)
    assert (3 * shares[0] + shares[1]) / 4 == pytest.approx(0.4)


@pytest.mark.parametrize("name", THINNING)
@pytest.mark.parametrize("which", ["stages", "channel", "attention"])
def test_training_is_dense_and_use_is_not(name: str, which: str) -> None:
    layer = Layer.of(name, density=0.4, which=which)
    model, plain = network(layer), network(Layer("none"))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)
    )
    masks = trained(model, layer)
    for _ in train(plain, None):
        pass
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)
    )
    assert masks.density() == (1, 1)
    names = {
        key.rsplit(".", 1)[1] for key, part in model.named_modules() if isinstance(part, Thinned)
    }
    assert names == {"channel": {"into", "out"}, "attention": {"project", "output"}}.get(
        which, {"into", "out", "project", "output"}
    )
    x = batch(0)[0]
    with torch.no_grad():
        assert not torch.allclose(model(x)[0], plain.eval()(x)[0], rtol=1e-3)
    seen, before = Activity(model), Activity(plain)
    for part, activity in ((model, seen), (plain, before)):
        with activity.noted(), torch.no_grad():
            part(batch(7)[0])
    assert before.figures()["activation_sparsity"] == 0
    if which == "stages":
        assert seen.figures()["activation_sparsity"] == pytest.approx(0.6, abs=0.08)
    else:
        assert 0 < seen.figures()["activation_sparsity"] < 0.6


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("cell", CATALOG.names("cell"))
@pytest.mark.parametrize("name", ["teal", "wina"])
def test_a_stream_reads_what_a_whole_sequence_does(cell: str, name: str) -> None:
    layer = Layer.of(name, density=0.5)
    model = network(layer, cell)
    masked(model, layer).after_step(STEPS, torch.optim.SGD(model.parameters()))
    model = model.eval().double()
    x = batch(0)[0].double()
    with torch.no_grad():
        whole, state = model(x)[0], model.initial_state(len(x))
        for x_t in x.unbind(1):
            streamed, state = model.step(x_t, state)
    torch.testing.assert_close(streamed, whole, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("tie", CATALOG.names("tie"))
@pytest.mark.parametrize("name", [*THINNING, "relufied"])
def test_every_loop_is_calibrated(name: str, tie: str) -> None:
    layer = Layer(name)
    model = network(layer, tie=tie, loops=2)
    trained(model, layer)
    seen = Activity(model)
    with seen.noted(), torch.no_grad():
        model(batch(3)[0])
    assert seen.figures()["activation_sparsity"] > 0.1
    again = network(layer, tie=tie, loops=2).eval()
    again.load_state_dict(model.state_dict())
    with torch.no_grad():
        assert torch.equal(again(batch(3)[0])[0], model(batch(3)[0])[0])


@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("inputs", [False, True])
def test_activations_become_rectifiers_when_it_is_time(at: float, inputs: bool) -> None:
    layer = Layer.of("relufied", at=at, shift=0.5, inputs=inputs)
    model = network(layer)
    masks = masked(model, layer)
    parts = [part for part in model.modules() if isinstance(part, Rectified)]
    assert len(parts) == 2
    assert all(bool(part.on) == (at == 0) for part in parts)
    for step, _ in train(model, masks):
        assert all(bool(part.on) == (step >= at * STEPS) for part in parts)
    x = torch.tensor([[-1.0, 0.25, 0.75]])
    assert parts[0](x).tolist() == [[0, 0, 0.25]]
    wide = [part for part in model.modules() if isinstance(part, Thinned)]
    assert len(wide) == (3 if inputs else 0)
    for part in wide:
        assert part.thin(x).tolist() == [[0, 0.25, 0.75]]


@torch.no_grad()
def test_dead_units_and_idle_products_are_counted() -> None:
    given = Architecture(
        4, (Stage((Block(Layer("rnn"), channel=Layer.of("mlp", activation="relu")),)),)
    )
    model = build(CATALOG.complete_architecture(given), CATALOG, SIGNATURE, seed=0).eval()
    mixer = model.stages[0].tie.body.blocks[0].channel.layer
    mixer.into.weight.zero_()
    mixer.into.bias.copy_(torch.tensor([1.0, -1, -1, 0, 1, 1, 1, -1]))
    seen = Activity(model)
    with seen.noted():
        model(batch(0)[0])
    found = seen.figures()
    assert found["dead_units"] == 0.5
    # half of the second map's 8 x 4 products are idle, none of the first's and of the cell's 4 x 4
    assert found["activation_sparsity"] == pytest.approx(16 / 80)


def test_the_digest_tells_and_a_shift_of_nothing_is_the_default() -> None:
    base = CATALOG.complete_architecture(Architecture(8, (Stage((Block(Layer("gru")),)),)))
    digests = {
        replace(
            base, sparsity=CATALOG.complete("sparsity", Layer.of("relufied", shift=shift))
        ).digest
        for shift in (0.0, 1.0)
    }
    assert len(digests) == 2
