"""Folders to run commands in: a fresh one, and one in which a study is finished."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Command, run_in, write_starts


@pytest.fixture(autouse=True)
def _own_handler() -> Iterator[None]:
    """What a command does at SIGTERM is not what the tests do after it."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def fresh(tmp_path: Path) -> tuple[Path, Command]:
    """A folder with data and a space file in which nothing ran yet."""
    write_starts(tmp_path)
    return tmp_path, run_in(tmp_path)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Command]:
    """A folder in which the study was searched, confirmed and exported; read it, do not write."""
    folder = tmp_path_factory.mktemp("finished")
    write_starts(folder)
    command = run_in(folder)
    done = command("run", "starts.yaml", "--export", "exports/starts")
    (folder / "run.txt").write_text(done.stdout)
    (folder / "progress.txt").write_text(done.stderr)
    return folder, command
