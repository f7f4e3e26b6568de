"""What a command does when nobody takes what it prints."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archsearch.cli.main import main
from archsearch.cli.progress import Watcher
from archsearch.errors import MAKE_ROOM, TryAgainError

FULL = Path("/dev/full")


@contextmanager
def printing_to(stream: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with path.open("w") as opened, monkeypatch.context() as patched:
        patched.setattr(sys, stream, opened)
        yield


def ended(*arguments: str) -> object:
    sys.argv = ["archsearch", *arguments]
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.mark.skipif(not FULL.exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("arguments", [("cells", "gru"), ("tasks", "--json"), ("--help",)])
def test_a_full_disk_is_one_line(
    arguments: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [])
    with printing_to("stdout", FULL, monkeypatch):
        assert ended(*arguments) == 75
    assert capsys.readouterr().err == f"error: the output: no space left on device; {MAKE_ROOM}\n"


def test_any_locale_can_be_printed_to(
    fresh: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = io.BytesIO()
    monkeypatch.chdir(fresh[0])
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(said, encoding="ascii"))
    assert ended("run", "starts.yaml", "--dry-run") == 0
    sys.stdout.flush()
    assert b"rmsnorm ? " in said.getvalue()


@pytest.mark.skipif(not FULL.exists(), reason="this system has no disk that is always full")
def test_an_error_that_cannot_be_told_keeps_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [])
    with printing_to("stderr", FULL, monkeypatch):
        assert ended("validate", "nothing.yaml") == 2


def test_a_study_nobody_watches_any_more_can_be_continued(
    fresh: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*told: object) -> None:
        raise BrokenPipeError

    folder, _ = fresh
    monkeypatch.chdir(folder)
    monkeypatch.setattr(Watcher, "__call__", gone)
    monkeypatch.setattr(sys, "argv", [])
    assert ended("run", "starts.yaml", "--quiet") == TryAgainError.exit_code
