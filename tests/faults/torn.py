"""One file of a run whose driver was killed is cut short or has a bit flipped: what comes of it?"""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

DATABASE = "studies.db"


@dataclass(frozen=True)
class Damage:
    """``bit`` of the byte at ``offset`` is flipped; with None, the file ends there."""

    name: str
    offset: int
    bit: int | None

    def __str__(self) -> str:
        what = "cut" if self.bit is None else f"bit {self.bit} flipped"
        return f"{self.name} {what} at {self.offset}"

    def do(self, folder: Path) -> None:
        path = folder / self.name
        content = bytearray(path.read_bytes())
        if self.bit is None:
            del content[self.offset :]
        else:
            content[self.offset] ^= 1 << self.bit
        path.write_bytes(content)


def chosen(folder: Path, rng: random.Random) -> Damage:
    """Of the database, its journal and the checkpoints, each kind as likely; most in used bytes."""
    names = [str(path.relative_to(folder)) for path in files(folder)]
    kinds = [
        [name for name in names if name == DATABASE],
        [name for name in names if name.startswith(f"{DATABASE}-")],
        [name for name in names if name.endswith(".json")],
        [name for name in names if name.endswith(".safetensors")],
    ]
    name = rng.choice(rng.choice([kind for kind in kinds if kind]))
    content = (folder / name).read_bytes()
    if rng.random() < 0.3:
        return Damage(name, rng.randrange(len(content)), None)
    offset = rng.randrange(len(content))
    while content[offset] == 0 and rng.random() < 0.9:
        offset = rng.randrange(len(content))
    return Damage(name, offset, rng.randrange(8))


def files(folder: Path) -> list[Path]:
    """The database, its journal, and what lies in the folder of the run."""
    found = [*folder.glob(f"{DATABASE}*")]
    for runs in ("run", "archsearch-runs"):
        found += (folder / runs).rglob("*")
    return sorted(path for path in found if path.is_file())


def seals(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files(folder)
    }


def untouched(folder: Path, aside: Path) -> list[dict[str, str]]:
    """What the files are if nobody but SQLite touches them, which may play a journal back."""
    shutil.copytree(folder, aside)
    with (
        suppress(sqlite3.Error, UnicodeDecodeError),
        closing(sqlite3.connect(aside / DATABASE)) as raw,
    ):
        raw.execute("SELECT count(*) FROM sqlite_master")
    return [seals(folder), seals(aside)]
