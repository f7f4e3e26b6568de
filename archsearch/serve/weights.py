"""The parameters of a model in a safetensors file: written whole, read within limits."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from archsearch.errors import StateError
from archsearch.serve.untrusted import file_size, parse_json, regular_file, shown

LARGEST_HEADER = 1 << 20
MOST_TENSORS = 10_000
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "C64": torch.complex64,
}

_NAME = re.compile(r"[A-Za-z0-9_.]{1,256}")


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
        size = file_size(stream)
        start = stream.read(8)
        length = int.from_bytes(start, "little")
        if len(start) < 8 or length > LARGEST_HEADER or 8 + length > size:
            raise StateError(
                f"{path}: is not a whole safetensors file with a header of at most "
                f"{LARGEST_HEADER} bytes"
            )
        header = stream.read(length)
        _check(path, parse_json(header, f"{path}: header"), expected, size - 8 - length)
        data = start + header + stream.read(size - 8 - length)
    found = hashlib.sha256(data).hexdigest()
    if sha256 is not None and found != sha256:
        raise StateError(
            f"{path}: is damaged: its SHA-256 is {found[:16]}..., not {sha256[:16]}..."
        )
    try:
        return safetensors.torch.load(data)
    except Exception as error:  # whatever the parser still objects to is a damaged file
        raise StateError(f"{path}: is damaged: {shown(error)}") from None


def _check(path: Path, header: Any, expected: Mapping[str, Tensor], room: int) -> None:
    """Compare a header with what the model needs and with the ``room`` of bytes behind it."""
    if not isinstance(header, dict):
        raise StateError(f"{path}: header: expected a mapping of tensors")
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if len(entries) > MOST_TENSORS:
        raise StateError(f"{path}: holds {len(entries)} tensors, expected at most {MOST_TENSORS}")
    for name in entries:
        if not _NAME.fullmatch(name):
            raise StateError(f"{path}: '{shown(name, 60)}' is not the name of a tensor")
    for name in sorted(expected.keys() - entries.keys()):
        raise StateError(f"{path}: lacks the tensor {name}, which the model has")
    for name in sorted(entries.keys() - expected.keys()):
        raise StateError(f"{path}: has the tensor {name}, which the model lacks")
    ends = 0
    for name, (begin, end) in sorted(
        ((name, _entry(path, name, entries[name], expected[name])) for name in entries),
        key=lambda item: item[1],
    ):
        if begin != ends:
            raise StateError(f"{path}: the tensor {name} overlaps another or leaves a gap")
        ends = end
    if ends != room:
        raise StateError(f"{path}: holds {room} bytes of tensors, its header says {ends}")


def _entry(path: Path, name: str, entry: Any, expected: Tensor) -> tuple[int, int]:
    """Where a tensor lies, once its type, shape and size are as expected."""
    wanted = list(expected.shape)
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            if len(entry) > 3 or any(type(number) is not int for number in (*shape, begin, end)):
                raise StateError(f"{path}: the header of tensor {name} is malformed")
            if shape != wanted or DTYPES.get(dtype) is not expected.dtype:
                kind = str(expected.dtype).removeprefix("torch.")
                raise StateError(
                    f"{path}: tensor {name} is {shown(dtype, 10)} {shown(shape, 60)}, "
                    f"the model needs {kind} {wanted}"
                )
            if end - begin != math.prod(wanted) * expected.dtype.itemsize:
                raise StateError(f"{path}: tensor {name} has the wrong number of bytes")
            return begin, end
        case _:
            raise StateError(f"{path}: the header of tensor {name} is malformed")
