"""A network that was trained with exits answers from them when it adapts its depth."""

from dataclasses import replace

import torch
from adapted_networks import CATALOG, example, network, signature

from archsearch.adapt.chain import Chain, prefixes
from archsearch.adapt.policies.static import truncations
from archsearch.adapt.policies.view import WholeView
from archsearch.adapt.walk import Walk
from archsearch.build import build
from archsearch.depth.positions import prefixes as cut
from archsearch.spec.architecture import Block, Layer, Stage
from archsearch.train.exits import answers

BLOCK = Block(Layer("gru"), channel=Layer("mlp"))
LOOPED = Stage((BLOCK,), loops=3, tie=Layer.of("shared", embedding=True))


def walk_of(*stages):
    model = build(network(*stages), CATALOG, signature(), 0)
    return Walk(model.eval().requires_grad_(False))


def test_the_trained_exits_are_the_prefixes_of_every_policy():
    walk = walk_of(
        Stage((BLOCK,) * 2), LOOPED, replace(LOOPED, halting=Layer("act")), Stage((BLOCK,))
    )
    x, lengths = example(signature()), torch.tensor([7, 3, 5, 7])
    trained, _ = answers(walk.model, x, lengths)
    assert len(trained) == walk.depth == 7
    policy = truncations(walk.depth)
    for depth, said in enumerate(trained, start=1):
        assert torch.equal(walk.run(Chain.plain(depth), x, lengths), said)
        view = WholeView(walk, x, lengths, True)
        assert torch.equal(policy.decide(view, walk.depth - depth).prediction, said)


def test_the_curve_along_depth_has_the_chains_of_prefixes_and_of_fewer_loops():
    walk = walk_of(Stage((BLOCK,) * 2), LOOPED, Stage((BLOCK,)))
    x = example(signature())
    found = cut(walk.model.stages, walk.model.embed(x))
    chains = [*prefixes(6)[:-1], Chain((0, 1, 2, 5)), Chain((0, 1, 2, 3, 5)), walk.plain]
    assert len(found) == len(chains)
    for prefix, chain in zip(found, chains, strict=True):
        said = walk.model.head(walk.model.norm(prefix.h))
        assert torch.equal(said, walk.run(chain, x))
        assert (prefix.layers == chain.cost(walk.costs)).all()
