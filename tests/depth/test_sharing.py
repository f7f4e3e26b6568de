"""A stack of layers that becomes a loop: what stays, what is lost, and what it starts as."""

from __future__ import annotations

import pytest
import torch

from archsearch.build import Model, build
from archsearch.depth.lora import LoRA
from archsearch.depth.sharing import PATTERNS, STARTS, Place, looped, take_over
from archsearch.errors import InputError
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
SIGNATURE = Signature("values", 3, "value", 2, every_step=True, length=7)
WIDTH = 8
FULL = Layer.of("lora", rank=64, rest=True)


def stack(cells: tuple[str, ...]) -> Architecture:
    blocks = tuple(
        Block(Layer(cell), channel=Layer("mlp"), norm=Layer("layernorm")) for cell in cells
    )
    return CATALOG.complete_architecture(Architecture(WIDTH, (Stage(blocks),)))


def with_weights(architecture: Architecture, seed: int) -> Model:
    """Every weight away from its first value, and every layer different."""
    model = build(architecture, CATALOG, SIGNATURE, seed).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return model


def converted(
    cells: tuple[str, ...], pattern: str, loops: int, tie: Layer, **options: str
) -> tuple[Model, Model, dict[str, float]]:
    given = stack(cells)
    told = with_weights(given, 1)
    shape, places = looped(given, pattern, loops, tie)
    model = build(CATALOG.complete_architecture(shape), CATALOG, SIGNATURE, 2).eval()
    return model, told, take_over(model, told, places, **options)


def randn(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def order(pattern: str, loops: int, count: int) -> list[tuple[int, int]]:
    shape, places = looped(stack(("gru",) * count), pattern, loops, Layer("shared"))
    assert sum(len(stage.blocks) * stage.loops for stage in shape.stages) == count
    return [(place.stage, place.block) for place in places]


def test_patterns_say_which_layers_share() -> None:
    assert order("cycle", 2, 4) == [(0, 0), (0, 1), (0, 0), (0, 1)]
    assert order("sequence", 2, 4) == [(0, 0), (0, 0), (1, 0), (1, 0)]
    assert order("middle_cycle", 2, 6) == [(0, 0), (1, 0), (1, 1), (1, 0), (1, 1), (2, 0)]
    assert order("middle_sequence", 2, 6) == [(0, 0), (1, 0), (1, 0), (2, 0), (2, 0), (3, 0)]
    _, places = looped(stack(("gru",) * 6), "cycle", 3, Layer("shared"))
    assert places[3] == Place(0, 1, 1)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_full_rank_is_the_stack_itself(pattern: str, start: str) -> None:
    cells = ("attention",) * 6 if pattern.startswith("middle") else ("gru", "attention") * 2
    if pattern == "sequence":
        cells = ("gru", "gru", "attention", "attention") if start == "average" else ("gru",) * 4
    model, told, missing = converted(cells, pattern, 2, FULL, start=start)
    x = randn(2, 7, 3)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], told(x)[0], rtol=1e-4, atol=1e-5)
    assert max(missing.values()) < 1e-4


def test_what_a_rank_cannot_hold_are_the_last_singular_values() -> None:
    model, told, missing = converted(("attention",) * 3, "cycle", 3, Layer.of("lora", rank=2))
    layers = [block.cell.layer.project.weight.detach() for block in told.stages[0].tie.body.blocks]
    mean = torch.stack(list(layers)).mean(0)
    torch.testing.assert_close(
        model.stages[0].tie.body.blocks[0].cell.layer.project.weight.detach(), mean
    )
    for at, weight in enumerate(layers):
        tail = torch.linalg.svdvals(weight - mean)[2:].square().sum().sqrt()
        found = missing[f"layer {at}: cell.layer.project.weight"]
        assert found == pytest.approx(float(tail), rel=1e-4)
        # without differences of the rest, a norm loses all that it had beside the mean
        norms = [block.cell.norm.weight.detach() for block in told.stages[0].tie.body.blocks]
        lost = float((norms[at] - sum(norms) / 3).norm())
        assert missing[f"layer {at}: cell.norm.weight"] == pytest.approx(lost, rel=1e-4)


@pytest.mark.parametrize(
    ("start", "layers"),
    [("stepwise", [0, 5]), ("lower", [0, 1]), ("upper", [4, 5])],
)
def test_shared_layers_begin_as_one_of_the_stack(start: str, layers: list[int]) -> None:
    model, told, _ = converted(("gru",) * 6, "cycle", 3, Layer("shared"), start=start)
    x = randn(2, 7, 3)
    with torch.no_grad():
        h = told.embed(x)
        for _ in range(3):
            for at in layers:
                h = told.stages[0].tie.body.blocks[at](h)
        torch.testing.assert_close(model(x)[0], told.head(told.norm(h)), rtol=1e-4, atol=1e-5)


def test_strides_are_equal_and_keep_both_ends() -> None:
    model, told, _ = converted(("gru",) * 8, "middle_cycle", 2, Layer("shared"), start="stepwise")
    blocks = told.stages[0].tie.body.blocks
    for own, at in zip(model.stages[1].tie.body.blocks, (1, 3, 6), strict=True):
        name = "cell.layer.recurrent.weight"
        assert torch.equal(own.get_parameter(name), blocks[at].get_parameter(name))


def test_without_singular_values_it_is_the_plainly_shared_network() -> None:
    tie = Layer.of("lora", rank=3, rest=True)
    model, _, _ = converted(("gru",) * 4, "cycle", 2, tie, difference="zero")
    plain, _, _ = converted(("gru",) * 4, "cycle", 2, Layer("shared"))
    x = randn(2, 7, 3)
    with torch.no_grad():
        torch.testing.assert_close(model(x)[0], plain(x)[0])
    assert isinstance(model.stages[0].tie, LoRA)


@pytest.mark.parametrize(
    ("cells", "pattern", "loops", "said"),
    [
        (("gru",) * 5, "cycle", 2, "5 layers cannot be shared out over 2 loops"),
        (("gru",) * 4, "cycle", 1, "cannot be shared out over 1 loops"),
        (("gru",), "cycle", 2, "one layer has no other"),
        (("gru",) * 2, "middle_cycle", 2, "2 layers leave none between"),
        (("gru", "attention", "gru", "gru"), "cycle", 2, "differ in kind"),
    ],
)
def test_layers_that_cannot_share_are_refused(
    cells: tuple[str, ...], pattern: str, loops: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        looped(stack(cells), pattern, loops, Layer("shared"))


def test_a_shared_layer_starts_as_one_of_its_kind() -> None:
    cells = ("gru", "gru", "attention", "attention")
    with pytest.raises(InputError, match="layer 1 is of another kind"):
        converted(cells, "sequence", 2, Layer("shared"), start="lower")
