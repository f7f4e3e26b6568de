"""The parameters of a model in a safetensors file: written whole, read within limits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
from torch import Tensor

from archsearch.errors import StateError
from archsearch.spec.tensorheader import TYPES, Entry, read_header
from archsearch.spec.untrusted import regular_file, shown


def serialize(state: Mapping[str, Tensor]) -> bytes:
    """The state as the bytes of a safetensors file; equal states give equal bytes."""
    own = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    return safetensors.torch.save(own)


def read_weights(
    path: Path, expected: Mapping[str, Tensor], sha256: str | None = None
) -> dict[str, Tensor]:
    """The state in a file, which must have exactly the expected names, shapes and types.

    ``expected`` may lie on the meta device. Header and sizes are checked before any tensor is
    read; StateError names the file and the first fault.
    """
    with regular_file(path) as stream:
        header, entries = read_header(stream, path)
        _compare(path, entries, expected)
        room = max((entry.end for entry in entries.values()), default=0)
        data = header + stream.read(room)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise StateError(
            f"{path}: is damaged: its SHA-256 is {found[:16]}..., not {sha256[:16]}..."
        )
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # whatever the parser still objects to is a damaged file
        raise StateError(f"{path}: is damaged: {shown(error)}") from None


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
