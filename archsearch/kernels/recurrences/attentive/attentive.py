"""Recurrent steps that attend to their own last outputs, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from archsearch.kernels.choose import accelerated

State = tuple[Any, ...]


class Maps(NamedTuple):
    """W_x (G W, W), its bias (G W,) and U (G W, W) of the core's gates, b' (W,) of a gated unit's
    candidate; Q (W, W), P, K and V in one (3 W, W), O (W, W); b (heads, window).
    """

    drive: Tensor
    bias: Tensor
    recurrent: Tensor
    inner: Tensor | None
    query: Tensor
    seen: Tensor
    output: Tensor
    added: Tensor


@accelerated(cpu="archsearch.kernels.recurrences.attentive.attentive_cpu:attentive")
def attentive(
    x: Tensor,
    state: State,
    _maps: Maps,
    _core: str,
    repeated: Callable[[Tensor, State], tuple[Tensor, State]],
) -> tuple[Tensor, State]:
    """h_t = core(x_t + a_t, state), a_t = O sum_j softmax_j(q_t' k_j / sqrt(d) + b_{t-j}) v_j over
    the last ``window`` outputs j, q_t = Q x_t + P h_{t-1}, k_j = K h_j and v_j = V h_j.

    ``x`` is (B, T, W). ``_core`` is "gru", which resets after its matrix, "lstm" or "rnn", a tanh.
    ``state`` is the core's, keys and values (B, S, 2 W) and P h (B, W), as it comes back with the
    outputs (B, T, W). ``repeated`` takes the steps one at a time, and is the plain form.
    """
    return repeated(x, state)
