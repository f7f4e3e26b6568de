"""How a drawing shows where norms stand, what blocks read, and how weights begin."""

from __future__ import annotations

from archsearch.cli.drawing import draw
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage


def drawn(block: Block, **slots: Layer) -> str:
    stage = Stage((block,), connections=slots.pop("connections", Layer("chain")))
    return draw(load_catalog().complete_architecture(Architecture(8, (stage,), **slots)))


def test_norms_stand_where_they_are_applied() -> None:
    order = {
        "pre": "│ rmsnorm → gru → additive gate",
        "post": "│ gru → additive gate → rmsnorm",
        "sandwich": "│ rmsnorm → gru → rmsnorm → additive gate",
    }
    for placement, line in order.items():
        assert line in drawn(Block(Layer("gru"), placement=Layer(placement))).splitlines()


def test_connections_and_first_weights_are_named_where_they_are_not_the_usual_ones() -> None:
    usual = drawn(Block(Layer("gru")))
    assert "connected" not in usual
    assert "weights" not in usual
    other = drawn(
        Block(Layer("gru")),
        connections=Layer.of("dense", read="projected"),
        init=Layer.of("truncated_normal", std=0.05),
    )
    assert "┌ connected by dense(read=projected)" in other
    assert "from truncated_normal(std=0.05) weights" in " ".join(other.split())
