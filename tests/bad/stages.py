"""What the commands of category L (and one of K) find in their folder, and servers that refuse."""

from __future__ import annotations

import ctypes
import os
import socket
import sqlite3
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from builders import GOOD

from archsearch.cli.plans import plans_of
from archsearch.plugins import load_catalog
from archsearch.spec.spacefile import read_space
from archsearch.store.store import Store, open_store

Words = dict[str, str]
Stage = Callable[[Path, ExitStack], Words | None]


@contextmanager
def studied(folder: Path, **changed: object) -> Iterator[tuple[Store, int]]:
    """A store with the study of ``space.yaml`` in it, begun with some other facts."""
    plan = plans_of(read_space(folder / "space.yaml", load_catalog()), load_catalog())[0]
    with open_store(f"sqlite:///{folder}/studies.db") as store:
        record = store.create_study(
            plan.name, plan.fingerprint() | changed, plan.text, plan.settings()
        )
        yield store, record.id


def _study(folder: Path, stack: ExitStack) -> None:
    with studied(folder):
        pass


def _study_with_another_plugin(folder: Path, stack: ExitStack) -> None:
    (folder / "space.yaml").write_text(GOOD.replace("gru", "leaky"))
    with studied(folder, plugins={"archsearch-leaky": "1.0"}):
        pass


def _locked(folder: Path, stack: ExitStack) -> None:
    with studied(folder) as (store, study):
        store.acquire(study, owner="4242@elsewhere", ttl=3600.0)


def _cut(folder: Path, stack: ExitStack) -> None:
    _study(folder, stack)
    path = folder / "studies.db"
    path.write_bytes(path.read_bytes()[:-5000])


def _newer(folder: Path, stack: ExitStack) -> None:
    _study(folder, stack)
    _change(folder / "studies.db", "UPDATE archsearch_version SET version_num = '9999'")


def _read_only(folder: Path, stack: ExitStack) -> None:
    locked = folder / "locked"
    locked.mkdir()
    open_store(f"sqlite:///{locked}/studies.db").close()
    (locked / "studies.db").chmod(0o444)
    locked.chmod(0o555)
    stack.callback(locked.chmod, 0o755)
    stack.enter_context(no_override())


def _bundle(folder: Path, stack: ExitStack) -> None:
    (folder / "bundle").mkdir()
    (folder / "bundle" / "bundle.json").write_text('{"format": "archsearch bundle", "vers')
    (folder / "bundle" / "model.safetensors").write_bytes(b"\0" * 8)


def _change(path: Path, statement: str) -> None:
    raw = sqlite3.connect(path)
    with raw:
        raw.execute(statement)
    raw.close()


def _down(folder: Path, stack: ExitStack) -> Words:
    # bound but not listening: connections are refused
    taken = stack.enter_context(socket.socket())
    taken.bind(("127.0.0.1", 0))
    return {"port": str(taken.getsockname()[1])}


def _refuses(folder: Path, stack: ExitStack) -> Words:
    server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    answering = threading.Thread(target=_refuse_all, args=(server,), daemon=True)
    answering.start()
    stack.callback(answering.join)
    # wakes the thread out of its waiting
    stack.callback(server.shutdown, socket.SHUT_RDWR)
    return {"port": str(server.getsockname()[1])}


def _refuse_all(server: socket.socket) -> None:
    """PostgreSQL's protocol as far as a client with a wrong password comes."""
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        with client, client.makefile("rb") as said:
            while True:
                length, code = struct.unpack("!ii", said.read(8))
                said.read(length - 8)
                if code == 196608:
                    break
                client.sendall(b"N")
            client.sendall(b"R" + struct.pack("!ii", 8, 3))
            _, length = struct.unpack("!ci", said.read(5))
            said.read(length - 4)
            fault = b'SFATAL\0C28P01\0Mpassword authentication failed for user "user"\0\0'
            client.sendall(b"E" + struct.pack("!i", len(fault) + 4) + fault)


@contextmanager
def no_override() -> Iterator[None]:
    """Take from root, for a while, the right to pass over the permissions of files (Linux)."""
    if sys.platform != "linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = struct.pack("Ii", 0x20080522, 0)
    kept = ctypes.create_string_buffer(24)
    assert libc.capget(header, kept) == 0
    sets = list(struct.unpack("6I", kept.raw))
    # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    sets[0] &= ~0b110
    assert libc.capset(header, struct.pack("6I", *sets)) == 0
    try:
        yield
    finally:
        assert libc.capset(header, kept.raw) == 0


STAGES: dict[str, Stage] = {
    "K-plugins/28-another-version.args": _study_with_another_plugin,
    "L-commands/14-storage-refuses-the-password.args": _refuses,
    "L-commands/15-storage-host-is-down.args": _down,
    "L-commands/16-storage-is-a-folder.args": lambda folder, _: (folder / "folder").mkdir(),
    "L-commands/19-storage-may-not-be-written.args": _read_only,
    "L-commands/20-storage-is-no-database.args": lambda folder, _: _note(folder),
    "L-commands/21-storage-is-cut-short.args": _cut,
    "L-commands/22-storage-of-a-newer-schema.args": _newer,
    "L-commands/23-storage-of-another-program.args": lambda folder, _: _change(
        folder / "other.db", "CREATE TABLE bookmarks (url TEXT)"
    ),
    "L-commands/24-study-unknown.args": _study,
    "L-commands/25-study-locked.args": _locked,
    "L-commands/26-space-changed.args": _study,
    "L-commands/27-trial-unknown.args": _study,
    "L-commands/28-export-what-was-not-confirmed.args": _study,
    "L-commands/29-export-over-a-file.args": _study,
    "L-commands/30-export-to-the-folder-above.args": _study,
    "L-commands/31-predict-with-no-bundle.args": lambda folder, _: (folder / "folder").mkdir(),
    "L-commands/32-predict-with-a-cut-bundle.args": _bundle,
    "L-commands/35-adapt-a-study-without-trials.args": _study,
}


def _note(folder: Path) -> None:
    (folder / "notes.txt").write_text("not a database, but long enough for a header\n" * 40)
