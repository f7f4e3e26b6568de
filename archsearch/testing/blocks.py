"""What every gate and channel mixer owes, as classes of tests for whoever writes one.

A plugin's test file is::

    class TestSqueeze(ChannelContract):
        layer_type = LayerType("squeeze", Squeeze, {...}, kind="channel")

Each check runs for the defaults and for every value that the declaration lets a search explore.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from archsearch.spec.architecture import Layer, Value
from archsearch.spec.catalog import LayerType
from archsearch.spec.domains import FloatRange, IntRange

WIDTH = 6


def variants(declared: LayerType) -> Iterator[dict[str, Value]]:
    """The options of the defaults, and of every explored value of one option at a time."""
    spellings = [Layer(declared.name)]
    for key, option in declared.options.items():
        explored = option.search or ()
        if isinstance(explored, IntRange | FloatRange):
            explored = (explored.low, explored.high)
        spellings += [Layer.of(declared.name, **{key: value}) for value in explored]
    for layer in dict.fromkeys(declared.complete(spelling) for spelling in spellings):
        yield declared.settings(layer)


class PositionwiseContract:
    """What gates and channel mixers have in common; ``layer_type`` is the declaration."""

    layer_type: ClassVar[LayerType]

    def inputs(self, *shape: int) -> tuple[Tensor, ...]:
        """The arguments of one call, each of this shape."""
        raise TypeError("a contract is GateContract or ChannelContract")

    def models(self, width: int = WIDTH) -> Iterator[nn.Module]:
        """The layer under every variant of its options, with weights that are the same anew."""
        construct = self.layer_type.implementation()
        for options in variants(self.layer_type):
            with torch.random.fork_rng(devices=()):
                torch.default_generator.manual_seed(0)
                yield construct(width, **options).eval()

    def test_the_shape_stays(self) -> None:
        for width in (1, WIDTH):
            for model in self.models(width):
                for shape in ((1, 1, width), (3, 5, width), (2, width)):
                    assert model(*self.inputs(*shape)).shape == shape

    def test_a_position_alone_gives_the_same_as_in_a_sequence(self) -> None:
        for model in self.models():
            given = self.inputs(3, 5, WIDTH)
            whole = model(*given)
            for t in range(5):
                alone = model(*(x[:, t] for x in given))
                torch.testing.assert_close(whole[:, t], alone, rtol=1e-5, atol=1e-6)

    def test_a_sequence_does_not_see_the_others_of_its_batch(self) -> None:
        for model in self.models():
            given = self.inputs(3, 5, WIDTH)
            whole = model(*given)
            for row in range(3):
                alone = model(*(x[row : row + 1] for x in given))
                torch.testing.assert_close(whole[row : row + 1], alone, rtol=1e-5, atol=1e-6)

    def test_every_parameter_gets_a_finite_gradient(self) -> None:
        for model in self.models():
            given = [x.requires_grad_() for x in self.inputs(3, 5, WIDTH)]
            model(*given).square().sum().backward()
            for name, parameter in model.named_parameters():
                assert parameter.grad is not None, f"{name} is unused"
                assert parameter.grad.isfinite().all(), f"the gradient of {name} is not finite"
                assert parameter.grad.any(), f"{name} has no influence"

    def test_gradients_are_those_of_the_function(self) -> None:
        for model in self.models():
            given = [x.double().requires_grad_() for x in self.inputs(2, 3, WIDTH)]
            assert torch.autograd.gradcheck(model.double(), given)

    def test_the_same_seed_gives_the_same_weights(self) -> None:
        for one, other in zip(self.models(), self.models(), strict=True):
            for first, second in zip(one.parameters(), other.parameters(), strict=True):
                assert torch.equal(first, second)

    def test_weights_can_be_stored(self) -> None:
        for one, other in zip(self.models(), self.models(), strict=True):
            with torch.no_grad():
                for parameter in other.parameters():
                    parameter.add_(1)
            other.load_state_dict(one.state_dict())
            given = self.inputs(2, 3, WIDTH)
            assert torch.equal(one(*given), other(*given))

    def test_half_precision_stays_finite(self) -> None:
        for model in self.models():
            given = [x.bfloat16() for x in self.inputs(2, 3, WIDTH)]
            y = model.bfloat16()(*given)
            assert y.dtype == torch.bfloat16
            assert y.isfinite().all()


class GateContract(PositionwiseContract):
    """What every gate owes: position by position, and the layer reaches the stream."""

    def inputs(self, *shape: int) -> tuple[Tensor, ...]:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(shape, generator=generator)
        return x, torch.randn(shape, generator=generator)

    def test_what_the_layer_computes_matters(self) -> None:
        for model in self.models():
            x, fx = self.inputs(2, 3, WIDTH)
            with torch.no_grad():
                for parameter in model.parameters():
                    # it may have started closed
                    parameter.add_(0.1)
            assert (model(x, fx) - model(x, fx + 1)).abs().min() > 1e-4


class ChannelContract(PositionwiseContract):
    """What every channel mixer owes: position by position, and the input matters."""

    def inputs(self, *shape: int) -> tuple[Tensor, ...]:
        return (torch.randn(shape, generator=torch.Generator().manual_seed(1)),)

    def test_the_input_matters(self) -> None:
        for model in self.models():
            (x,) = self.inputs(2, 3, WIDTH)
            assert (model(x) - model(x + 1)).abs().max() > 1e-4
