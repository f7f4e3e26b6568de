"""A disk whose power can be cut: what was written and not synced is then gone, all or any of it.

SQLite writes through :class:`PowerVFS` to real files, which are what a running process sees. Beside
them :class:`Disk` keeps what would be there after a power cut. The model is that of POSIX: a write
is safe once its file was synced, the making or removal of a file once its folder was. Before that
it may have reached the disk or not, a write also in part and after writes that came later.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import apsw

SECTOR = 512
# SQLite's own file system layer syncs the folder with the first sync of one of these
_SYNCED_WITH_FOLDER = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


class PowerCut(Exception):
    """The machine is off: nothing that is asked of it happens any more."""


@dataclass(eq=False)
class Content:
    """A file: what of it is safe, and the writes (offset, data) and cuts (size, None) since."""

    safe: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            apply(self.safe, *change)
        self.pending.clear()

    def after_cut(self, rng: random.Random | None) -> bytes:
        found = bytearray(self.safe)
        for place, data in self.pending:
            if rng is None or rng.random() < 0.5:
                continue
            if data is not None and rng.random() < 0.25:
                data = data[: SECTOR * rng.randrange(1 + len(data) // SECTOR)]
            apply(found, place, data)
        return bytes(found)


def apply(content: bytearray, place: int, data: bytes | None) -> None:
    if data is None:
        del content[place:]
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(data)] = data


class Disk:
    """One folder. ``cut_at`` is the number of the operation at which the power goes, from 1."""

    def __init__(self, cut_at: int | None = None) -> None:
        self.cut_at = cut_at
        self.operations = 0
        self.off = False
        self.entries: dict[str, Content] = {}
        self._safe: dict[str, Content] = {}
        self._pending: list[tuple[str, Content | None]] = []

    def operate(self) -> None:
        self.operations += 1
        self.off = self.off or self.operations == self.cut_at
        if self.off:
            raise PowerCut

    def put(self, name: str, content: Content | None) -> None:
        """Make or, with None, remove a file."""
        if content is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = content
        self._pending.append((name, content))

    def sync_folder(self) -> None:
        self._safe = dict(self.entries)
        self._pending.clear()

    def load(self, folder: Path) -> None:
        """What lies in the folder is safe."""
        for path in folder.iterdir():
            self.entries[path.name] = Content(bytearray(path.read_bytes()))
        self.sync_folder()

    def after_cut(self, folder: Path, rng: random.Random | None) -> None:
        """Write what is on the disk when the power is back into the new ``folder``.

        Without ``rng`` nothing survives that was not synced, with it some does: of the changes to
        the folder a first part, which is how file systems keep them, of the writes any.
        """
        folder.mkdir()
        kept = 0 if rng is None else rng.randrange(len(self._pending) + 1)
        there = dict(self._safe)
        for name, content in self._pending[:kept]:
            if content is None:
                there.pop(name, None)
            else:
                there[name] = content
        for name, content in there.items():
            (folder / name).write_bytes(content.after_cut(rng))


class PowerFile(apsw.VFSFile):
    def __init__(self, disk: Disk, path: str, flags: list[int]) -> None:
        self._disk, name = disk, Path(path).name
        fresh = name not in disk.entries
        if fresh:
            disk.operate()
        super().__init__("", path, flags)
        if fresh:
            disk.put(name, Content())
        self._content = disk.entries[name]
        self._folder_too = fresh and bool(flags[0] & _SYNCED_WITH_FOLDER)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.operate()
        super().xWrite(data, offset)
        self._content.pending.append((offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        self._disk.operate()
        super().xTruncate(size)
        self._content.pending.append((size, None))

    def xSync(self, flags: int) -> None:
        self._disk.operate()
        self._content.sync()
        if self._folder_too:
            self._disk.sync_folder()
            self._folder_too = False


class PowerVFS(apsw.VFS):
    """SQLite's default file system on one disk, to be named as ``vfs`` of a connection."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return apsw.VFSFile("", None, flags)
        return PowerFile(self._disk, path, flags)

    def xDelete(self, path: str, with_folder: bool) -> None:
        self._disk.operate()
        super().xDelete(path, with_folder)
        self._disk.put(Path(path).name, None)
        if with_folder:
            self._disk.sync_folder()
