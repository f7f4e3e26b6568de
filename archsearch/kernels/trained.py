"""What the compiled loops share: whether a training on the CPU is asked for, and its arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _get_current_dispatch_mode

SINGLE = (torch.float32,)


def trained(inputs: Sequence[Tensor], kinds: Sequence[torch.dtype]) -> bool:
    """Whether gradients are wanted, all inputs are of one of the types, and none is empty.

    Not so where somebody records what is done, who would see nothing of a loop, or where autocast
    chooses the precision.
    """
    first = inputs[0]
    if not torch.is_grad_enabled() or not any(part.requires_grad for part in inputs):
        return False
    if recorded(first):
        return False
    one_type = first.dtype in kinds and all(part.dtype == first.dtype for part in inputs)
    return one_type and first.numel() > 0 and not torch.is_autocast_enabled("cpu")


def recorded(x: Tensor) -> bool:
    """Whether operations on ``x`` are written down, counted or compiled rather than just done."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    return type(x) is not Tensor or _get_current_dispatch_mode() is not None


def arrays(*tensors: Tensor) -> tuple[Any, ...]:
    """The tensors as arrays on the same memory, copied where they do not lie in one piece."""
    return tuple(part.contiguous().numpy(force=True) for part in tensors)


def flat(x: Tensor) -> Any:
    """All memory from the first number of ``x`` to its last, as an array; nothing is copied."""
    reach = 1 + sum((size - 1) * apart for size, apart in zip(x.shape, x.stride(), strict=True))
    return x.detach().as_strided((reach,), (1,)).numpy()


def in_rows(x: Tensor) -> tuple[Tensor, int]:
    """``x`` (..., E) with all its rows equally far apart, copied if it is not, and how far that is.

    The part of a projection stays as it lies. Strides of sizes of one say nothing, and stay wrong
    where torch calls the whole contiguous.
    """
    width = x.shape[-1]
    steps = [
        (size, step) for size, step in zip(x.shape[:-1], x.stride()[:-1], strict=True) if size > 1
    ]
    apart = whole = steps[-1][1] if steps else width
    fits = apart >= width and (width == 1 or x.stride(-1) == 1)
    for size, step in reversed(steps):
        fits = fits and step == whole
        whole *= size
    return (x, apart) if fits else (x.contiguous(), width)
