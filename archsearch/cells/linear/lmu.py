"""Legendre memory unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.hippo import sliding_window
from archsearch.cells.linear.window import TrainedWindow
from archsearch.kernels.memories.window_memory import window_memory


class LMU(Cell):
    """m_t = A m_{t-1} + B u_t per channel: the last ``theta`` steps of u as Legendre coefficients.

    The parallel form has u_t = relu(W_u x_t + b_u), y_t = relu(W_h [m_t; x_t] + b_h) (Chilkuri,
    Eliasmith 2021, arXiv 2102.11417). The recurrent form feeds its output back,
    u_t = E_x x_t + E_h y_{t-1} + E_m m_{t-1}, y_t = tanh(W_x x_t + W_y y_{t-1} + W_m m_t), with
    E_m zero at the start (Voelker, Kajic, Eliasmith 2019, NeurIPS). ``order`` coefficients resolve
    about order / 2 periods in the window. What encodes x, and y beside it, starts as one
    LeCun-uniform matrix, what reads m, x and y as one Xavier-normal. State: m (B, channels, order),
    and y (B, W) for the recurrent form.

    A and B hold u over a step and are fixed, or follow a :class:`TrainedWindow`, of which ``learn``
    says what is trained: ``theta``, or the ``matrix`` and what is written, within a stable family.
    """

    matrix: Tensor
    write: Tensor

    def __init__(
        self,
        width: int,
        order: int = 16,
        theta: float = 64.0,
        channels: int = 4,
        form: str = "parallel",
        learn: str = "none",
    ) -> None:
        super().__init__(width)
        self.order, self.channels, self.recurrent = order, channels, form == "recurrent"
        if learn == "none":
            matrix, write = (
                part.to(torch.get_default_dtype()) for part in sliding_window(order, theta)
            )
            self.register_buffer("matrix", matrix, persistent=False)  # (N, N)
            self.register_buffer("write", write, persistent=False)  # (N,)
        size = channels * order
        extra = width if self.recurrent else 0  # the output fed back
        self.encode = nn.Linear(width + extra, channels, bias=not self.recurrent)
        self.hidden = nn.Linear(size + width + extra, width, bias=not self.recurrent)
        bound = (3 / (width + extra)) ** 0.5
        nn.init.uniform_(self.encode.weight, -bound, bound)
        nn.init.xavier_normal_(self.hidden.weight)
        if self.recurrent:
            self.echo = nn.Linear(size, channels, bias=False)
            nn.init.zeros_(self.echo.weight)
        self.window = None if learn == "none" else TrainedWindow(order, theta, learn == "matrix")

    def _system(self) -> tuple[Tensor, Tensor]:
        """A (N, N) and B (N,), in single precision at least."""
        if self.window is None:
            return full(self.matrix), full(self.write)
        trained: tuple[Tensor, Tensor] = self.window()
        return trained

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.initial_state(len(x)) if state is None else state
        system = self._system()
        if self.recurrent:
            outputs = []
            for x_t in x.unbind(1):
                y_t, state = self._step(x_t, state, *system)
                outputs.append(y_t)
            return torch.stack(outputs, 1), state
        u = relu(self.encode(x))
        found = in_full(window_memory, u, *system, state[0])
        y = relu(self.hidden(torch.cat([found.flatten(-2).to(x.dtype), x], -1)))
        return y, (found[:, -1],)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.channels, self.order)
        return (memory, self.zeros(batch, self.width)) if self.recurrent else (memory,)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self._step(x, state, *self._system())

    def _step(self, x: Tensor, state: State, matrix: Tensor, write: Tensor) -> tuple[Tensor, State]:
        memory = state[0]
        if self.recurrent:
            seen = torch.cat([x, state[1]], -1)
            u = self.encode(seen) + self.echo(memory.flatten(-2).to(x.dtype))
        else:
            seen, u = x, relu(self.encode(x))
        with torch.autocast(x.device.type, enabled=False):
            memory = full(memory) @ matrix.mT + write * full(u)[..., None]
        y = self.hidden(torch.cat([memory.flatten(-2).to(x.dtype), seen], -1))
        return (y.tanh(), (memory, y.tanh())) if self.recurrent else (relu(y), (memory,))
