"""How what a layer computes meets the stream it read from."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from archsearch.kernels.one_type import mix


class Gate(nn.Module):
    """``Gate(width, **options)``; it looks at one position at a time and needs no state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @abstractmethod
    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        """What goes on, given the stream x and what the layer made of it; all (.., width)."""


class Additive(Gate):
    """The residual stream, x + f(x)."""

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return x + fx


class Replace(Gate):
    """No stream: f(x) alone."""

    # a gate is always given the stream
    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return fx


class Highway(Gate):
    """A coupled gate: t f(x) + (1 - t) x with t = sigmoid(W x + bias).

    Every output lies between x and f(x). ``bias`` is where t starts; below zero the stream is
    carried through (Srivastava et al. 2015, arXiv 1505.00387, equation 3).
    """

    def __init__(self, width: int, bias: float = -2.0) -> None:
        super().__init__(width)
        self.transform = nn.Linear(width, width)
        nn.init.constant_(self.transform.bias, bias)

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return mix(torch.sigmoid(self.transform(x)), fx, x)


class InputDependent(Gate):
    """A coupled gate that sees both: g f(x) + (1 - g) x with g = sigmoid(W [x; f(x)] + bias).

    The input-dependent gate of arXiv 2410.02654; MEGA's is the same (arXiv 2209.10655, equation
    13). ``bias`` is where g starts.
    """

    def __init__(self, width: int, bias: float = -2.0) -> None:
        super().__init__(width)
        self.mix = nn.Linear(2 * width, width)
        nn.init.constant_(self.mix.bias, bias)

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return mix(torch.sigmoid(self.mix(torch.cat([x, fx], -1))), fx, x)


class LearnedRate(Gate):
    """A rate per feature that no input changes: (1 - r) x + r f(x), r = sigmoid(w).

    The learned-rate gate of arXiv 2410.02654. ``start`` is w at first; below zero the stream is
    carried through.
    """

    def __init__(self, width: int, start: float = -2.0) -> None:
        super().__init__(width)
        self.rate = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return mix(torch.sigmoid(self.rate), fx, x)


class ReZero(Gate):
    """x + a f(x) with one learned a, zero at first: a block begins as the identity.

    Bachlechner et al. 2020, arXiv 2003.04887, equation 1.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return torch.addcmul(x, self.alpha, fx)


class LayerScale(Gate):
    """x + diag(s) f(x), every s at ``start`` (Touvron et al. 2021, arXiv 2103.17239, section 2)."""

    def __init__(self, width: int, start: float = 0.1) -> None:
        super().__init__(width)
        self.scale = nn.Parameter(torch.full((width,), start))

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return torch.addcmul(x, self.scale, fx)


class Multiplicative(Gate):
    """The layer only opens and closes the stream: 2 sigmoid(f(x)) x, feature by feature.

    The excitation of Hu et al. 2018, arXiv 1709.01507, equation 4, twice as large so that a layer
    that says nothing leaves the stream as it is.
    """

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return 2 * torch.sigmoid(fx) * x


class GRUGate(Gate):
    """A gated recurrent unit across depth, with f(x) as its input and the stream as its state.

    z = sigmoid(W_z f + U_z x - bias); y = (1 - z) x + z tanh(W f + U (r x)), r likewise without a
    bias (Parisotto et al. 2019, arXiv 1910.06764, equations 7 to 10). ``bias`` above zero carries
    the stream through at first.
    """

    def __init__(self, width: int, bias: float = 2.0) -> None:
        super().__init__(width)
        self.of_layer = nn.Linear(width, 3 * width)
        self.of_stream = nn.Linear(width, 2 * width, bias=False)
        self.of_reset = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            self.of_layer.bias.zero_()
            self.of_layer.bias[width : 2 * width] = -bias

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        r, z, new = self.of_layer(fx).chunk(3, -1)
        of_r, of_z = self.of_stream(x).chunk(2, -1)
        new = torch.tanh(new + self.of_reset(torch.sigmoid(r + of_r) * x))
        return mix(torch.sigmoid(z + of_z), new, x)


class OutputGate(Gate):
    """x + o f(x) with o = sigmoid(W x + bias): the stream says how much of the layer it lets out.

    The output gate of the LSTM around any layer; around attention, Bondarenko et al. 2023, arXiv
    2306.12929, section 4.2. ``bias`` is where o starts.
    """

    def __init__(self, width: int, bias: float = 1.0) -> None:
        super().__init__(width)
        self.open = nn.Linear(width, width)
        nn.init.constant_(self.open.bias, bias)

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return torch.addcmul(x, torch.sigmoid(self.open(x)), fx)


class StochasticDepth(Gate):
    """x + b f(x) / survive in training, b drawn per sequence, 1 with probability ``survive``.

    Once trained x + f(x), which is its expectation (Huang et al. 2016, arXiv 1603.09382); the same
    rate at every depth, as in Touvron et al. 2021, arXiv 2103.17239.
    """

    def __init__(self, width: int, survive: float = 0.9) -> None:
        super().__init__(width)
        self.survive = survive

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        if not self.training:
            return x + fx
        kept = x.new_empty(len(x), *[1] * (x.ndim - 1)).bernoulli_(self.survive)
        return torch.addcmul(x, kept / self.survive, fx)
