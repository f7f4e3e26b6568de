"""Smaller dense models: what goes, what stays, and that the answers are the same."""

import pytest
import torch
from torch import nn
from trained import CATALOG, SIGNATURE, batch, masked, train
from trained import model as small

from archsearch.blocks.activations.declared_activations import FUNCTIONS, MODULES
from archsearch.blocks.channels.channels import GLU, MLP
from archsearch.build import Model, build
from archsearch.sparsity.compaction import check_sizes, compact, resized
from archsearch.sparsity.hidden import hidden
from archsearch.sparsity.packing import bits_of, packed, packed_names, size_of, unpacked
from archsearch.spec.architecture import Architecture, Block, Layer, Stage


def moved(network: nn.Module) -> nn.Module:
    """Every weight away from its first value, so that no bias is zero."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=draw)
    return network.eval()


def linear(rows: list[list[float]], bias: list[float]) -> nn.Linear:
    made = nn.Linear(len(rows[0]), len(rows))
    with torch.no_grad():
        made.weight.copy_(torch.tensor(rows))
        made.bias.copy_(torch.tensor(bias))
    return made


@torch.no_grad()
def test_a_constant_goes_to_the_bias_and_what_is_unread_goes() -> None:
    mixer = MLP(2, 2.0, "relu")
    mixer.into = linear([[1, 2], [0, 0], [0, 0], [3, 4]], [5.0, 6, -7, 8])
    mixer.out = linear([[1, 10, 100, 0], [2, 20, 200, 0]], [0.5, 0.25])
    x = torch.randn(7, 2)
    before = mixer(x)
    found = compact(mixer)
    # unit 1 is always 6, unit 2 always 0, unit 3 goes nowhere
    assert mixer.into.weight.tolist() == [[1, 2]]
    assert mixer.out.weight.tolist() == [[1], [2]]
    assert mixer.out.bias.tolist() == [60.5, 120.25]
    assert [*found.values()] == [(1, 2), (2, 1)]
    assert torch.allclose(mixer(x), before, rtol=1e-6)


@torch.no_grad()
def test_a_gated_unit_needs_both_sides_unless_one_is_zero() -> None:
    mixer = moved(GLU(4, 1.25))
    mixer.into.weight[[0, 5]] = 0  # both sides of unit 0
    mixer.into.weight[1] = 0  # a value that is its bias, gated by x
    mixer.into.weight[2] = 0  # a value that is zero
    mixer.into.bias[2] = 0
    mixer.into.weight[8] = 0  # a gate that is constant, of a value that is not
    x = torch.randn(7, 4)
    before = mixer(x)
    compact(mixer)
    assert mixer.out.in_features == 3
    assert torch.allclose(mixer(x), before, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mixer", ["mlp", "glu"])
@pytest.mark.parametrize("activation", [*FUNCTIONS, *MODULES])
@torch.no_grad()
def test_every_activation(activation: str, mixer: str) -> None:
    """Those that have numbers of their own are left as they are."""
    network = moved({"mlp": MLP, "glu": GLU}[mixer](6, 2.0, activation))
    rows = network.into.weight.view(-1, 12, 6)
    rows[:, 2:8] = 0
    x = torch.randn(50, 6)
    before = network(x)
    own = isinstance(network.activation, nn.Module) and bool(network.activation.state_dict())
    assert bool(compact(network)) != own
    assert network.out.in_features == (12 if own else 6)
    assert torch.allclose(network(x), before, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_one_unit_stays_where_all_could_go() -> None:
    mixer = moved(MLP(4, 2.0))
    mixer.into.weight.zero_()
    x = torch.randn(5, 4)
    before = mixer(x)
    compact(mixer)
    assert mixer.out.in_features == 1
    assert torch.allclose(mixer(x), before, rtol=1e-6, atol=1e-6)


def network(tie: str, loops: int) -> Model:
    blocks = (Block(Layer("gru"), channel=Layer("mlp")), Block(Layer("lstm"), channel=Layer("glu")))
    given = Architecture(width=8, stages=(Stage(blocks, loops=loops, tie=Layer(tie)),))
    return build(CATALOG.complete_architecture(given), CATALOG, SIGNATURE, seed=3)


@pytest.mark.parametrize("tie", CATALOG.names("tie"))
@torch.no_grad()
def test_every_tie(tie: str) -> None:
    model = moved(network(tie, 2))
    for group in hidden(model):
        group.into.weight.view(group.parts, group.units, -1)[:, 1:4] = 0
    for name, weight in model.named_parameters():
        if name.endswith("layer.into.weight"):
            weight[2] = 0
    x = batch(0)[0]
    before, state = model(x)[0], model.state_dict()
    found = compact(model)
    groups = 4 if tie in ("projected", "sliced") else 2
    assert len(found) == (0 if tie == "lora" else 2 * groups)
    assert torch.allclose(model(x)[0], before, rtol=1e-5, atol=1e-6)
    again = network(tie, 2)
    check_sizes(again, found)
    resized(again, found).load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(x)[0], model(x)[0])
    assert tie == "lora" or size_of(model.state_dict()) < size_of(state)


@pytest.mark.parametrize("pattern", ["row", "block"])
def test_what_a_training_left_idle_is_gone(pattern: str) -> None:
    model = small("gru")
    layer = Layer.of("one_shot", density=0.3, at=0.5, which="channel", pattern=pattern, block=8)
    for _ in train(model, masked(model, layer)):
        pass
    model.eval()
    x = batch(1)[0]
    with torch.no_grad():
        before = model(x)[0]
        found = compact(model)
        assert torch.allclose(model(x)[0], before, rtol=1e-6, atol=1e-6)
    assert found


@torch.no_grad()
def test_a_dense_model_stays_as_it_is() -> None:
    model = moved(network("projected", 2))
    before = {name: part.clone() for name, part in model.state_dict().items()}
    assert compact(model) == {}
    assert all(torch.equal(before[name], part) for name, part in model.state_dict().items())


def test_packing_is_exact_and_never_larger() -> None:
    draw = torch.Generator().manual_seed(0)
    state = {
        "half": torch.randn(5, 7, generator=draw).masked_fill_(torch.arange(7) % 2 == 0, 0),
        "full": torch.randn(3, 3, generator=draw),
        "negative": torch.full((9,), -0.0),
        "none": torch.zeros(0),
        "zero": torch.zeros(11),
        "count": torch.zeros(40, dtype=torch.int64),
    }
    stored = packed(state)
    assert packed_names(stored) == ("half", "zero")
    assert stored["half.nonzero"].numel() == bits_of(35) == 5
    assert stored["half.values"].numel() == 15
    back = unpacked(stored, state)
    for name, part in state.items():
        assert back[name].dtype == part.dtype
        assert back[name].numpy().tobytes() == part.numpy().tobytes()
    assert size_of(state) == 5 + 60 + 36 + 36 + 2 + 320
