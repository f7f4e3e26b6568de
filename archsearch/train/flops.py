"""Floating-point operations of a forward pass, with what torch's own counter passes over."""

from __future__ import annotations

import math
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils import flop_counter
from torch.utils.flop_counter import FlopCounterMode

# what is wrapped around it for torch.compile imports the compiler: two seconds of every process
_MODE = getattr(flop_counter, "_FlopCounterMode", FlopCounterMode)
_MODE.__torch_dispatch__ = unwrap(_MODE.__torch_dispatch__)


def flops(model: nn.Module, inputs: Tensor) -> int:
    """Operations of the matrix products, convolutions and transforms in ``model(inputs)``.

    A multiplication and an addition are two. What is done to each channel by itself in the domain
    of time, a scan or a few taps, is not counted; attention is counted over all pairs of steps.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_FORMULAS)
    # the fused attention of the CPU is not counted, its plain form is
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(inputs)
    return int(counter.get_total_flops())


def _recurrent_layer(*shapes: Any, **_: Any) -> int:
    """oneDNN's fused LSTM: x (time, batch, inputs), weights (gates, inputs) and (gates, width)."""
    (time, batch, inputs), _input, (gates, width) = shapes[:3]
    return int(2 * time * batch * gates * (inputs + width))


def _triangular_solve(*shapes: Any, **_: Any) -> int:
    """Substitution: a matrix (.., n, n), right-hand sides (.., n, columns)."""
    *batch, size, columns = shapes[1]
    return int(math.prod(batch) * size * size * columns)


def _fourier(shape: Any, dimensions: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """5 n log2 n of a transform of n complex numbers, half of it of n real ones (Cooley, Tukey)."""
    length = math.prod(max(shape[at], out_shape[at]) for at in dimensions)
    others = math.prod(shape) // math.prod(shape[at] for at in dimensions)
    real = shape[dimensions[-1]] != out_shape[dimensions[-1]]
    return int((2.5 if real else 5.0) * others * length * math.log2(max(length, 2)))


_FORMULAS = {
    torch.ops.aten._fft_r2c: _fourier,
    torch.ops.aten._fft_c2r: _fourier,
    torch.ops.aten._fft_c2c: _fourier,
    torch.ops.aten.mkldnn_rnn_layer: _recurrent_layer,
    torch.ops.aten.linalg_solve_triangular: _triangular_solve,
}
