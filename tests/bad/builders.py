"""Cases that cannot lie in the repository as files: devices, pipes, odd bytes, huge texts."""

from __future__ import annotations

import os
from pathlib import Path

from corpus import Builder

GOOD = """\
archsearch: 1
task: parity
space:
  width: 32
  stages:
    - blocks:
        - cell: gru
"""


def text(content: str, encoding: str = "utf-8") -> Builder:
    return lambda path: _write(path, content.encode(encoding))


def raw(content: bytes) -> Builder:
    return lambda path: _write(path, content)


def nothing(path: Path) -> None:
    """Leaves the place empty."""


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _unreadable(path: Path) -> None:
    path.write_text(GOOD)
    path.chmod(0)


def _stairs(levels: int) -> str:
    return "\n".join(" " * depth + "a:" for depth in range(levels)) + "\n"


BUILDERS: dict[str, Builder] = {
    "A-file/13-latin-1.yaml": raw(b"archsearch: 1\nname: caf\xe9\n"),
    "A-file/14-utf-16.yaml": text(GOOD, "utf-16"),
    "A-file/15-utf-32.yaml": text(GOOD, "utf-32"),
    "A-file/16-nul-byte.yaml": raw(GOOD.encode() + b"name: a\0b\n"),
    "A-file/17-escape-character.yaml": raw(GOOD.encode() + b"name: a\x1b[31m\n"),
    "A-file/18-missing.yaml": nothing,
    "A-file/19-a-directory.yaml": lambda path: path.mkdir(),
    "A-file/20-mode-000.yaml": _unreadable,
    "A-file/21-a-fifo.yaml": lambda path: os.mkfifo(path),
    "A-file/22-dev-zero.yaml": lambda path: path.symlink_to("/dev/zero"),
    "A-file/23-symlink-loop.yaml": lambda path: path.symlink_to(path.name),
    "A-file/24-300-kib.yaml": text(GOOD + "# x\n" * 75_000),
    "B-bombs/11-500-lists.yaml": text("a: " + "[" * 500 + "]" * 500 + "\n"),
    "B-bombs/12-3000-lists.yaml": text("a: " + "[" * 3000 + "]" * 3000 + "\n"),
    "B-bombs/13-100000-lists.yaml": text("a: " + "[" * 100_000 + "]" * 100_000 + "\n"),
    "B-bombs/16-500-mappings.yaml": text(_stairs(500)),
    "B-bombs/19-20001-keys.yaml": text("".join(f"k{n}: 1\n" for n in range(20_001))),
    "B-bombs/20-20001-items.yaml": text("a: [" + "1," * 20_001 + "]\n"),
    "B-bombs/22-a-key-of-one-megabyte.yaml": text(GOOD + "x" * 2**20 + ": 1\n"),
    "B-bombs/23-a-key-of-200-kib.yaml": text(GOOD + "? " + "x" * 200 * 1024 + "\n: 1\n"),
    "B-bombs/24-a-name-of-200-kib.yaml": text(GOOD + "name: " + "x" * 200 * 1024 + "\n"),
    "B-bombs/25-a-name-of-30000-escapes.yaml": text(GOOD + 'name: "' + "\\u0041" * 30_000 + '"\n'),
    "B-bombs/26-a-fault-on-line-100001.yaml": text(GOOD + "\n" * 99_993 + "serach: {}\n"),
    "B-bombs/27-10000-documents.yaml": text(GOOD + "---\n" * 10_000),
    "H-sizes/10-1001-blocks.yaml": text(
        GOOD.partition("blocks:")[0] + "blocks: [" + "{cell: gru}, " * 1001 + "]\n"
    ),
}
