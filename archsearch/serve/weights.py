"""The parameters of a model in a safetensors file: written whole, read within limits."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from archsearch.errors import StateError
from archsearch.sparsity.packing import BITS, VALUES, bits_of, unpacked
from archsearch.spec.tensorheader import TYPES, Entry, read_header
from archsearch.spec.untrusted import regular_file, shown


def serialize(state: Mapping[str, Tensor]) -> bytes:
    """The state as the bytes of a safetensors file; equal states give equal bytes."""
    own = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    return safetensors.torch.save(own)


def read_weights(
    path: Path,
    expected: Mapping[str, Tensor],
    sha256: str | None = None,
    packed: Collection[str] = (),
) -> dict[str, Tensor]:
    """The state in a file, which must have exactly the expected names, shapes and types.

    ``expected`` may lie on the meta device; those of it that are ``packed`` are stored as
    :func:`archsearch.sparsity.packing.packed` does. Header and sizes are checked
    before any tensor is read; StateError names the file and the first fault.
    """
    with regular_file(path) as stream:
        header, entries = read_header(stream, path)
        _compare(path, entries, _stored(path, entries, expected, packed))
        room = max((entry.end for entry in entries.values()), default=0)
        data = header + stream.read(room)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise StateError(
            f"{path}: is damaged: its SHA-256 is {found[:16]}..., not {sha256[:16]}..."
        )
    try:
        return unpacked(safetensors.torch.load(data), expected)
    except Exception as error:  # whatever the parser still objects to is a damaged file
        raise StateError(f"{path}: is damaged: {shown(error)}") from None


def _stored(
    path: Path,
    entries: Mapping[str, Entry],
    expected: Mapping[str, Tensor],
    packed: Collection[str],
) -> dict[str, Tensor]:
    """What the file must have; how many values are not zero is up to it, within the tensor."""
    found = dict(expected)
    for name in packed:
        whole = found.pop(name, None)
        if whole is None or whole.dtype != torch.float32:
            raise StateError(f"{path}: {name} is packed, and is no tensor of numbers of the model")
        values = entries.get(name + VALUES)
        count = values.shape[0] if values is not None and len(values.shape) == 1 else 0
        bits, numbers = bits_of(whole.numel()), min(count, whole.numel())
        found[name + BITS] = torch.empty(bits, dtype=torch.uint8, device="meta")
        found[name + VALUES] = torch.empty(numbers, device="meta")
    return found


def _compare(path: Path, entries: Mapping[str, Entry], expected: Mapping[str, Tensor]) -> None:
    """Refuse a file that has other tensors than the model."""
    for name in sorted(expected.keys() - entries.keys()):
        raise StateError(f"{path}: lacks the tensor {name}, which the model has")
    for name in sorted(entries.keys() - expected.keys()):
        raise StateError(f"{path}: has the tensor {name}, which the model lacks")
    for name, entry in entries.items():
        kind, wanted = TYPES[entry.dtype][0], expected[name]
        needed = str(wanted.dtype).removeprefix("torch.")
        if entry.shape != tuple(wanted.shape) or kind != needed:
            raise StateError(
                f"{path}: tensor {name} is {entry.dtype} {shown(list(entry.shape), 60)}, "
                f"the model needs {needed} {list(wanted.shape)}"
            )
