"""How the first weights are drawn once a network stands: ``Init(**options)(model, signature)``.

The maps are those of :mod:`archsearch.blocks.starts.maps`; everything else is left alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from archsearch.blocks.starts.maps import blocks, mixer, projections
from archsearch.spec.signature import Signature


class Default:
    """Every layer keeps what it drew itself."""

    def __call__(self, model: nn.Module, signature: Signature) -> None:
        return


class Drawn(ABC):
    """Draws map by map; biases of channel mixers start at zero, those of cells are left alone."""

    @abstractmethod
    def draw(self, linear: nn.Linear, gain: float) -> None:
        """New weights; ``gain`` makes up for the activation that the map reads through."""

    def __call__(self, model: nn.Module, signature: Signature) -> None:
        for block in blocks(model):
            for linear in projections(block):
                self.draw(linear, 1.0)
            found = mixer(block)
            if found is not None:
                self.draw(found.into, 1.0)
                self.draw(found.out, found.gain)
                nn.init.zeros_(found.into.bias)
                nn.init.zeros_(found.out.bias)


class He(Drawn):
    """Normal of variance gain^2 / inputs: what a map computes is as large as what it reads.

    He et al. 2015, arXiv 1502.01852, equation 10, with the gain of any activation.
    """

    def draw(self, linear: nn.Linear, gain: float) -> None:
        nn.init.normal_(linear.weight, std=gain * linear.in_features**-0.5)


class Xavier(Drawn):
    """Normal of variance 2 gain^2 / (inputs + outputs), between values and gradients.

    Glorot and Bengio 2010, equation 12.
    """

    def draw(self, linear: nn.Linear, gain: float) -> None:
        nn.init.xavier_normal_(linear.weight, gain)


class Lecun(Drawn):
    """Normal of variance 1 / inputs, whatever the activation (LeCun et al. 1998, section 4.6)."""

    def draw(self, linear: nn.Linear, gain: float) -> None:
        nn.init.normal_(linear.weight, std=linear.in_features**-0.5)


class Orthogonal(Drawn):
    """Orthogonal matrices times the gain; a matrix of several square parts is drawn in parts.

    Saxe et al. 2014, arXiv 1312.6120, section 4.
    """

    def draw(self, linear: nn.Linear, gain: float) -> None:
        with torch.no_grad():
            for part in linear.weight.split(linear.in_features):
                nn.init.orthogonal_(part, gain)


class TruncatedNormal(Drawn):
    """Normal of deviation ``std``, cut at two of it (as BERT starts, arXiv 1810.04805)."""

    def __init__(self, std: float = 0.02) -> None:
        self.std = std

    def draw(self, linear: nn.Linear, gain: float) -> None:
        nn.init.trunc_normal_(linear.weight, std=self.std, a=-2 * self.std, b=2 * self.std)
