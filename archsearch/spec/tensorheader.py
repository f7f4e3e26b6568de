"""The header of a safetensors file, checked within limits before a byte of any tensor is read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from archsearch.errors import StateError
from archsearch.spec.untrusted import file_size, parse_json, shown

LARGEST_HEADER = 1 << 20
MOST_TENSORS = 10_000
# the types we write and read: what safetensors calls them, what torch does, and bytes of a number
TYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "C64": ("complex64", 8),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}

_NAME = re.compile(r"[A-Za-z0-9_.]{1,256}")


@dataclass(frozen=True)
class Entry:
    """One tensor: its type as safetensors calls it, its shape, and its bytes behind the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def is_tensor_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def read_header(stream: BinaryIO, path: Path) -> tuple[bytes, dict[str, Entry]]:
    """The bytes of the header, with its length before it, and its entries in order of place.

    ``stream`` is at its beginning and is left at the first tensor. The tensors have names that we
    give, known types, sizes that follow from their shapes, and fill the file without a gap;
    StateError names ``path`` and the first fault.
    """
    size = file_size(stream)
    start = stream.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > LARGEST_HEADER or 8 + length > size:
        raise StateError(
            f"{path}: is not a whole safetensors file with a header of at most "
            f"{LARGEST_HEADER} bytes"
        )
    text = stream.read(length)
    header = parse_json(text, f"{path}: header")
    if not isinstance(header, dict):
        raise StateError(f"{path}: header: expected a mapping of tensors")
    header.pop("__metadata__", None)
    if len(header) > MOST_TENSORS:
        raise StateError(f"{path}: holds {len(header)} tensors, expected at most {MOST_TENSORS}")
    for name in header:
        if not is_tensor_name(name):
            raise StateError(f"{path}: '{shown(name, 60)}' is not the name of a tensor")
    entries = {name: _entry(path, name, entry) for name, entry in header.items()}
    placed = dict(sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)))
    _check_places(path, placed, size - 8 - length)
    return start + text, placed


def _entry(path: Path, name: str, entry: Any) -> Entry:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)]}:
            numbers = (*shape, begin, end)
            whole = all(type(number) is int and number >= 0 for number in numbers)
            if len(entry) == 3 and whole and dtype in TYPES:
                if end - begin != math.prod(shape) * TYPES[dtype][1]:
                    raise StateError(f"{path}: tensor {name} has the wrong number of bytes")
                return Entry(dtype, tuple(shape), begin, end)
    raise StateError(f"{path}: the header of tensor {name} is malformed")


def _check_places(path: Path, placed: dict[str, Entry], room: int) -> None:
    ends = 0
    for name, entry in placed.items():
        if entry.begin != ends:
            raise StateError(f"{path}: the tensor {name} overlaps another or leaves a gap")
        ends = entry.end
    if ends != room:
        raise StateError(f"{path}: holds {room} bytes of tensors, its header says {ends}")
