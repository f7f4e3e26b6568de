"""What the compiled loops share: whether a training on the CPU is asked for, and its arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
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


def fit(letters: str, *inputs: Tensor) -> bool:
    """Whether each letter stands for one size: ``fit("btk bk", x, h)``; a capital may also be one.

    Loops do not look whether what they read is there. Torch does, and says what is wrong.
    """
    return _fit(letters, *(part.shape for part in inputs))


@lru_cache(maxsize=1024)
def _fit(letters: str, *shapes: torch.Size) -> bool:
    words, sizes = letters.split(), dict[str, int]()
    if list(map(len, words)) != list(map(len, shapes)):
        return False
    pairs = [pair for each in zip(words, shapes, strict=True) for pair in zip(*each, strict=True)]
    if not all(sizes.setdefault(one, size) == size for one, size in pairs if one.islower()):
        return False
    return all(size in (1, sizes[one.lower()]) for one, size in pairs if one.isupper())


def recorded(x: Tensor) -> bool:
    """Whether operations on ``x`` are written down, counted or compiled rather than just done."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing() or transformed():
        return True
    return type(x) is not Tensor or _get_current_dispatch_mode() is not None


def transformed() -> bool:
    """Whether torch.func is at work (grad, vmap, jvp, ...), which knows torch's operations only."""
    return torch._C._are_functorch_transforms_active()


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """``backward`` whose slopes cannot be differentiated again; then RuntimeError says so.

    torch's decorator of this name lets it pass where what comes in is a constant, as with a sum of
    the outputs; a penalty on slopes would then do nothing.
    """

    @wraps(backward)
    def call(ctx: Any, *slopes: Any) -> Any:
        with torch.no_grad():
            found = backward(ctx, *slopes)
        if not torch.is_grad_enabled():
            return found
        asked = torch.ones((), requires_grad=True)
        parts = _Final.apply(asked, *(found if isinstance(found, tuple) else (found,)))
        return parts if isinstance(found, tuple) else parts[0]

    return call


class _Final(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, _asked: Tensor, *slopes: Tensor | None) -> tuple[Tensor | None, ...]:
        return slopes

    @staticmethod
    def backward(_ctx: Any, *_: Tensor) -> Any:
        raise RuntimeError(
            "there is no second derivative of this; ARCHSEARCH_KERNELS=plain has that of a loop"
        )


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
