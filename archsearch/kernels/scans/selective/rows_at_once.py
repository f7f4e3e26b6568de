"""Work on some rows of a batch at a time, so that it stays in the processor's own memory."""

from __future__ import annotations

from torch import Tensor

POSITIONS = 2048  # at a time, if their rows are that short


def blocks(x: Tensor) -> list[slice]:
    """The rows of ``x`` (B, T, .) that are worked on together."""
    count = max(1, POSITIONS // x.shape[1])
    return [slice(begin, begin + count) for begin in range(0, len(x), count)]


def listed(x: Tensor) -> Tensor:
    """All positions of all rows as the rows of one matrix."""
    return x.reshape(-1, x.shape[-1])


def add_last(dseen: Tensor, dx: Tensor, drecent: Tensor) -> None:
    """Add the slopes of the inputs seen last, to those of x and where it is short of them before.

    ``dseen`` and ``drecent`` are (B, taps - 1, C), ``dx`` (B, T, C).
    """
    own = min(dseen.shape[1], dx.shape[1])
    older = dseen.shape[1] - own
    dx[:, dx.shape[1] - own :] += dseen[:, older:]
    drecent[:, own:] += dseen[:, :older]
