"""Every gate and channel mixer keeps its contract, and wrong ones fail the intended check."""

import pytest
import torch
from torch import nn

from archsearch.blocks.declared import CHANNELS, GATES
from archsearch.spec.catalog import LayerType
from archsearch.testing.blocks import WIDTH, ChannelContract, GateContract, PositionwiseContract

DECLARED = {(entry.kind, entry.name): entry for entry in GATES + CHANNELS}


class TestAdditive(GateContract):
    layer_type = DECLARED["gate", "additive"]


class TestHighway(GateContract):
    layer_type = DECLARED["gate", "highway"]


class TestReplace(GateContract):
    layer_type = DECLARED["gate", "none"]


class TestInputDependent(GateContract):
    layer_type = DECLARED["gate", "input_dependent"]


class TestLearnedRate(GateContract):
    layer_type = DECLARED["gate", "learned_rate"]


class TestReZero(GateContract):
    layer_type = DECLARED["gate", "rezero"]


class TestLayerScale(GateContract):
    layer_type = DECLARED["gate", "layerscale"]


class TestMultiplicative(GateContract):
    layer_type = DECLARED["gate", "multiplicative"]


class TestGRUGate(GateContract):
    layer_type = DECLARED["gate", "gru"]


class TestStochasticDepth(GateContract):
    layer_type = DECLARED["gate", "stochastic_depth"]


class TestOutputGate(GateContract):
    layer_type = DECLARED["gate", "output"]


def test_every_gate_and_channel_has_its_contract_here():
    contracts = {
        (kind.layer_type.kind, kind.layer_type.name)
        for kind in globals().values()
        if isinstance(kind, type) and issubclass(kind, PositionwiseContract)
        if hasattr(kind, "layer_type")
    }
    assert contracts == set(DECLARED)


class TestMLP(ChannelContract):
    layer_type = DECLARED["channel", "mlp"]


class TestGLU(ChannelContract):
    layer_type = DECLARED["channel", "glu"]


class TestKAN(ChannelContract):
    layer_type = DECLARED["channel", "kan"]


class TestReLUKAN(ChannelContract):
    layer_type = DECLARED["channel", "relu_kan"]


class TestAFKAN(ChannelContract):
    layer_type = DECLARED["channel", "af_kan"]


class TestHyperMLP(ChannelContract):
    layer_type = DECLARED["channel", "hyper"]


class TestCodebook(ChannelContract):
    layer_type = DECLARED["channel", "codebook"]

    def test_gradients_are_those_of_the_function(self):
        """Of the codes and what comes after; x gets what the codes chosen for it get."""
        for model in self.models():
            x = self.inputs(2, 3, WIDTH)[0].double().requires_grad_()
            model.double()
            names, own = zip(*model.named_parameters(), strict=True)
            later = [name != "into.weight" and name != "into.bias" for name in names]

            def given(*some, model=model, x=x, names=names, own=own, later=later):
                values = dict(zip(names, own, strict=True))
                moved = iter(some)
                values |= {name: next(moved) for name, on in zip(names, later, strict=True) if on}
                return torch.func.functional_call(model, values, x.detach())

            assert torch.autograd.gradcheck(
                given, [p for p, on in zip(own, later, strict=True) if on]
            )
            (straight,) = torch.autograd.grad(model(x).sum(), x)
            expected = model.out.weight.sum(0) @ model.into.weight
            torch.testing.assert_close(straight, expected.expand_as(straight))


class TestKeyValue(ChannelContract):
    layer_type = DECLARED["channel", "key_value"]


class TestQuadratic(ChannelContract):
    layer_type = DECLARED["channel", "quadratic"]


class TestRandomFeatures(ChannelContract):
    layer_type = DECLARED["channel", "random_features"]


class TestNoChannel(ChannelContract):
    layer_type = DECLARED["channel", "none"]


class Peeking(nn.Module):
    """Looks at the next position."""

    def __init__(self, width):
        super().__init__()

    def forward(self, x):
        return x + x.roll(-1, dims=1) if x.ndim == 3 else x


class Mingling(nn.Module):
    """Centres over the batch."""

    def __init__(self, width):
        super().__init__()

    def forward(self, x):
        return x - x.mean(dim=0, keepdim=True)


class Dead(nn.Linear):
    """Has a parameter that multiplies with zero."""

    def __init__(self, width):
        super().__init__(width, width)
        self.idle = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return super().forward(x) + 0 * self.idle


class Deaf(nn.Module):
    """A gate that drops the layer."""

    def __init__(self, width):
        super().__init__()

    def forward(self, x, fx):
        return x


@pytest.mark.parametrize(
    ("wrong", "kind", "check"),
    [
        (Peeking, "channel", "test_a_position_alone_gives_the_same_as_in_a_sequence"),
        (Mingling, "channel", "test_a_sequence_does_not_see_the_others_of_its_batch"),
        (Dead, "channel", "test_every_parameter_gets_a_finite_gradient"),
        (Deaf, "gate", "test_what_the_layer_computes_matters"),
    ],
)
def test_a_wrong_layer_fails_the_intended_check(wrong, kind, check):
    contract = GateContract if kind == "gate" else ChannelContract
    declared = LayerType("wrong", wrong, kind=kind)
    promises = type("Promises", (contract,), {"layer_type": declared})()
    with pytest.raises(AssertionError):
        getattr(promises, check)()
