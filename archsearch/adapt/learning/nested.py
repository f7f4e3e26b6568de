"""Nested tuples of tensors, which states are: their parts, their copies, their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor


def mapped(change: Callable[[Tensor], Tensor], nested: Any) -> Any:
    """The same structure with every tensor changed; what is no tensor stays."""
    if isinstance(nested, Tensor):
        return change(nested)
    if isinstance(nested, tuple | list):
        parts = [mapped(change, part) for part in nested]
        named = hasattr(nested, "_fields")
        return type(nested)(*parts) if named else type(nested)(parts)
    if isinstance(nested, dict):
        return {key: mapped(change, part) for key, part in nested.items()}
    return nested


def tensors_of(nested: Any) -> Iterator[Tensor]:
    """Every tensor, in the order in which :func:`mapped` meets them."""
    if isinstance(nested, Tensor):
        yield nested
    elif isinstance(nested, dict | tuple | list):
        for part in nested.values() if isinstance(nested, dict) else nested:
            yield from tensors_of(part)


def is_movable(tensor: Tensor) -> bool:
    """Whether a gradient can move it: numbers, and not counters or masks."""
    return tensor.is_floating_point() or tensor.is_complex()


def movable(nested: Any) -> list[Tensor]:
    """The tensors of a state that a gradient can move and that are not empty."""
    return [tensor for tensor in tensors_of(nested) if tensor.numel() and is_movable(tensor)]


def with_movable(nested: Any, values: Iterable[Tensor]) -> Any:
    """The structure with its movable tensors replaced, in their order."""
    left = iter(values)

    def replaced(tensor: Tensor) -> Tensor:
        return next(left) if tensor.numel() and is_movable(tensor) else tensor

    return mapped(replaced, nested)


def size_of(tensors: Iterable[Tensor]) -> float:
    """The Euclidean length of all of them together; what is not finite in a state is left out.

    A running maximum starts at minus infinity.
    """
    total = 0.0
    for tensor in tensors:
        length = torch.linalg.vector_norm(torch.nan_to_num(tensor, 0.0, 0.0, 0.0)).item()
        total += length * length
    return float(total**0.5)


def digest_of(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """A SHA-256 over names, types, shapes and bytes: equal only where every bit is."""
    found = hashlib.sha256()
    for name, tensor in tensors:
        plain = tensor.detach().cpu().contiguous()
        if plain.is_conj() or plain.is_neg():
            plain = plain.resolve_conj().resolve_neg()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
