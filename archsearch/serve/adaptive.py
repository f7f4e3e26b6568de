"""A network with its depth policy as one call; exports as plain PyTorch are given its source."""

from __future__ import annotations

from torch import Tensor

from archsearch.adapt.adapted import Adapted
from archsearch.adapt.policies.view import WholeView
from archsearch.adapt.walk import Walk
from archsearch.build import Model


class Adaptive:
    """Applies as much of a network, on the CPU, as its policy says; ``full`` are all its layers.

    ``classes`` says whether its outputs are logits of classes, else they are values.
    """

    def __init__(self, model: Model, adapted: Adapted, classes: bool) -> None:
        self.walk, self.adapted, self.classes = Walk(model), adapted, classes
        self.full = self.walk.full

    def __call__(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        *,
        compute: float,
        uncertified: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The prediction, as the network gives it, and (batch,) layers that each sequence took.

        ``compute`` is the share of the layers that may be applied on average. Raises InputError
        for a share that the policy does not reach, or that is not certified unless ``uncertified``.
        """
        return self.at(self.adapted.setting_for(compute, uncertified=uncertified), x, lengths)

    def at(self, setting: int, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same at a place of the knob, from 0, the whole network, to the cheapest."""
        view = WholeView(self.walk, x, lengths, self.classes)
        decision = self.adapted.policy.decide(view, setting)
        return decision.prediction, decision.layers
