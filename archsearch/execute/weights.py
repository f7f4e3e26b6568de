"""Tensors on disk: safetensors, written without a second copy in memory, read within limits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import safetensors.torch
import torch
from torch import Tensor, nn

from archsearch.errors import StateError
from archsearch.execute.files import written_whole
from archsearch.spec.tensorheader import LARGEST_HEADER, TYPES, is_tensor_name, read_header
from archsearch.spec.untrusted import regular_file, shown

_CODES = {kind: code for code, (kind, _) in TYPES.items()}


def keep_weights(model: nn.Module, path: Path) -> None:
    """Write the parameters and buffers to ``path``, whole or not at all; equal weights, equal file.

    Shared weights are written once for each of their names.
    """
    with written_whole(path) as stream:
        write_tensors(stream, model.state_dict())


def write_tensors(stream: BinaryIO, tensors: Mapping[str, Tensor]) -> tuple[int, str]:
    """Write a safetensors file, one tensor after the other; returns its size and its SHA-256.

    Raises ValueError for a name or a type that :func:`read_tensors` would refuse.
    """
    # the widest types first, so that every tensor is aligned
    placed = sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0]))
    header, end = {}, 0
    for name, tensor in placed:
        kind = str(tensor.dtype).removeprefix("torch.")
        if kind not in _CODES or not is_tensor_name(name):
            raise ValueError(f"the tensor {shown(name)} of type {kind} cannot be stored")
        begin, end = end, end + tensor.numel() * tensor.itemsize
        header[name] = {
            "dtype": _CODES[kind],
            "shape": list(tensor.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > LARGEST_HEADER:
        raise ValueError(f"{len(header)} tensors are more than can be stored in one file")
    start = len(text).to_bytes(8, "little") + text
    seal = hashlib.sha256(start)
    stream.write(start)
    for _, tensor in placed:
        flat = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        data = flat.numpy().data
        seal.update(data)
        stream.write(data)
    return len(start) + end, seal.hexdigest()


def read_tensors(path: Path, size: int, sha256: str) -> dict[str, Tensor]:
    """The tensors of a file that :func:`write_tensors` said this of; StateError for any other."""
    with regular_file(path) as stream:
        header, _ = read_header(stream, path)
        # one byte more, to see a file that is longer
        data = header + stream.read(size - len(header) + 1)
    if len(data) != size or hashlib.sha256(data).hexdigest() != sha256:
        raise StateError(f"{path}: is damaged: it is not what was written")
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # whatever the parser still objects to is a damaged file
        raise StateError(f"{path}: is damaged: {shown(error)}") from None
