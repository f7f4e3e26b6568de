"""Tensors with many zeros in fewer bytes: a bit for each number, and those that are not zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

BITS, VALUES = ".nonzero", ".values"


def packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state with two tensors in place of each that takes fewer bytes that way.

    ``name.nonzero`` are uint8 with a bit per number, the lowest first; ``name.values`` those
    numbers whose bits are not all zero, in order. Only float32 is packed; nothing is rounded.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        flat = tensor.detach().cpu().contiguous().flatten()
        if flat.dtype == torch.float32:
            there = flat.view(torch.int32) != 0
            if _bytes(len(flat), int(there.sum())) < flat.numel() * flat.itemsize:
                found[name + BITS], found[name + VALUES] = _to_bits(there), flat[there]
                continue
        found[name] = tensor
    return found


def packed_names(state: Iterable[str]) -> tuple[str, ...]:
    """The tensors that two stand for in what :func:`packed` gave."""
    there = set(state)
    return tuple(
        name.removesuffix(BITS)
        for name in sorted(there)
        if name.endswith(BITS) and name.removesuffix(BITS) + VALUES in there
    )


def unpacked(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What :func:`packed` was given; ``like`` has the shapes. ValueError where bits do not fit."""
    found = {}
    for name, wanted in like.items():
        if name in state:
            found[name] = state[name]
            continue
        there = _from_bits(state[name + BITS], wanted.numel())
        values = state[name + VALUES]
        if int(there.sum()) != len(values):
            raise ValueError(f"{name}: {int(there.sum())} bits are set for {len(values)} values")
        flat = values.new_zeros(wanted.numel())
        flat[there] = values
        found[name] = flat.view(wanted.shape)
    return found


def size_of(state: Mapping[str, Tensor]) -> int:
    """Bytes that the tensors take once packed."""
    return sum(part.numel() * part.itemsize for part in packed(state).values())


def bits_of(numbers: int) -> int:
    """Bytes of a bit for each number."""
    return (numbers + 7) // 8


def _bytes(numbers: int, nonzero: int) -> int:
    return bits_of(numbers) + 4 * nonzero


def _to_bits(there: Tensor) -> Tensor:
    padded = there.new_zeros(8 * bits_of(len(there)), dtype=torch.uint8)
    padded[: len(there)] = there
    weights = 2 ** torch.arange(8, dtype=torch.uint8)
    return (padded.view(-1, 8) * weights).sum(1, dtype=torch.uint8)


def _from_bits(bits: Tensor, numbers: int) -> Tensor:
    places = torch.arange(8, dtype=torch.uint8)
    return (bits[:, None] >> places & 1).flatten()[:numbers].bool()
