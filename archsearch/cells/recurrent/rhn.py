"""Recurrent highway network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.noise import noisy_steps, spared_inputs
from archsearch.kernels.one_type import mix
from archsearch.kernels.recurrences.graph_steps import Apply, Product, Program, graph_steps


class RHN(Cell):
    """A step of time as ``depth`` highway layers (Zilly et al. 2016, arXiv 1607.03474).

    s_0 = h_{t-1}; for l = 1 .. depth: [u, g] = [l = 1] W x_t + U_l s_{l-1} + b_l and
    s_l = s(g) tanh(u) + (1 - s(g)) s_{l-1}, with s the logistic function; y_t = h_t = s_depth.
    Without ``coupled`` a third part c of the product carries s(c) s_{l-1} instead. ``shared`` is
    one U and b for all layers. U starts orthogonal per gate, b at zero but ``transform_bias`` for
    g and its negative for c. State: h (B, W).

    In training every U_l reads m s_{l-1} and W reads m' x_t, with masks m and m' (B, W) drawn once
    for each row and call, of ``recurrent_dropout`` and ``input_dropout`` (Gal & Ghahramani 2016,
    arXiv 1512.05287); what is carried is whole. A ``step`` drops nothing.
    """

    state_matrices = frozenset({"layers"})

    def __init__(
        self,
        width: int,
        depth: int = 2,
        coupled: bool = True,
        transform_bias: float = -2.0,
        shared: bool = False,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        super().__init__(width)
        self.input_dropout, self.recurrent_dropout = input_dropout, recurrent_dropout
        self.depth, self.coupled = depth, coupled
        self.program = highways(depth, coupled, shared)
        gates = 2 if coupled else 3
        self.input = nn.Linear(width, gates * width, bias=False)
        self.layers = nn.ModuleList(
            nn.Linear(width, gates * width) for _ in range(1 if shared else depth)
        )
        for matrix in self.input.weight.chunk(gates):
            nn.init.xavier_uniform_(matrix)
        for layer in self._each_layer()[: len(self.layers)]:
            for matrix in layer.weight.chunk(gates):
                nn.init.orthogonal_(matrix)
            nn.init.zeros_(layer.bias)
            nn.init.constant_(layer.bias[width : 2 * width], transform_bias)
            nn.init.constant_(layer.bias[2 * width :], -transform_bias)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        layers = self._each_layer()
        if self.training:
            x = spared_inputs(x, self.input_dropout)
        driven = self.input(x.transpose(0, 1)) + layers[0].bias
        streams = [driven] + [layer.bias.expand_as(driven) for layer in layers[1:]]
        matrices = [layer.weight.unflatten(0, (-1, self.width)).mT for layer in self.layers]
        given = torch.cat(streams, -1), h[None], torch.cat(matrices)
        if self.training and self.recurrent_dropout:
            one_head = (given[0][None], given[1][:, None], given[2][None])
            y, (h,) = noisy_steps(*one_head, self.program, self.recurrent_dropout, (), True)
            return y.squeeze(2), (h.squeeze(0),)
        y, (h,) = graph_steps(*given, self.program)
        return y, (h,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        drive = self.input(x)
        for layer in self._each_layer():
            h = self._highway(drive + layer(h), h)
            drive = torch.zeros_like(drive)
        return h, (h,)

    def _each_layer(self) -> list[nn.Linear]:
        """The layer of every depth, in order; one and the same where they share weights."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return layers if len(layers) == self.depth else layers * self.depth

    def _highway(self, gates: Tensor, h: Tensor) -> Tensor:
        u, g, *c = torch.split(gates, self.width, -1)
        if self.coupled:
            return mix(torch.sigmoid(g), torch.tanh(u), h)
        return torch.addcmul(torch.sigmoid(c[0]) * h, torch.sigmoid(g), torch.tanh(u))


def highways(depth: int, coupled: bool, shared: bool) -> Program:
    """The step of time; the first slots are what the gates of every layer are given."""
    gates = 2 if coupled else 3
    state = depth * gates
    actions: list[Product | Apply] = []
    h = state
    for layer in range(depth):
        first, before = layer * gates, h
        u, g, c = first, first + 1, first + 2
        new, opened, h = before + 1, before + 2, before + 3
        actions.append(Product(first, gates, ((before, 0 if shared else first),)))
        actions.append(Apply("tanh", new, (u,)))
        actions.append(Apply("sigmoid", opened, (g,)))
        if coupled:
            actions.append(Apply("mix", h, (opened, new, before)))
            continue
        written, kept, old, h = h, h + 1, h + 2, h + 3
        actions.append(Apply("multiply", written, (opened, new)))
        actions.append(Apply("sigmoid", kept, (c,)))
        actions.append(Apply("multiply", old, (kept, before)))
        actions.append(Apply("add", h, (written, old)))
    return Program(h + 1, (state,), (h,), tuple(actions))
