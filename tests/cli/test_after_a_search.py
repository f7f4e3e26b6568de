"""What commands on bundles do when they are stopped, wait long, or find no room."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path
from typing import Any

import click
import pytest

from archsearch.cli import main as front
from archsearch.cli.lessons import kept_aside, require_value
from archsearch.cli.outputs import check_output, no_part_of
from archsearch.cli.waiting import told_how_far
from archsearch.errors import MAKE_ROOM, InputError, TryAgainError
from archsearch.execute.failure import unkept
from archsearch.execute.files import written_whole
from archsearch.serve.folder import folders_above
from archsearch.spec.trial import Outcome, State

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def ended(monkeypatch: pytest.MonkeyPatch, command: Any) -> object:
    monkeypatch.setattr(front, "cli", lambda: None)
    monkeypatch.setattr(front.cli, "main", lambda **_: command(), raising=False)
    with pytest.raises(SystemExit) as end:
        front.main()
    return end.value.code


def test_sigterm_is_as_polite_as_ctrl_c(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM)) == 75
    assert capsys.readouterr().err == "stopped; the same command continues\n"


def test_a_disk_that_fills_up_names_the_file_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole, part = tmp_path / "lesson.json", tmp_path / "answers.csv"

    def fill_whole() -> None:
        with written_whole(whole):
            raise OSError(*FULL.args)

    def fill_part() -> None:
        with no_part_of(part):
            part.write_text("id,pred")
            raise OSError(*FULL.args)

    for path, command in ((whole, fill_whole), (part, fill_part)):
        assert ended(monkeypatch, command) == 75
        assert capsys.readouterr().err == (f"error: {path}: no space left on device; {MAKE_ROOM}\n")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_found_no_room_are_no_fault_of_the_input() -> None:
    with pytest.raises(TryAgainError, match=f"taught.safetensors cannot be written.*; {MAKE_ROOM}"):
        require_value(unkept("taught.safetensors", FULL))
    with pytest.raises(InputError, match="its training ended diverged: at step 3"):
        require_value(Outcome(State.DIVERGED, message="at step 3"))
    require_value(Outcome(State.COMPLETE))


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    ("error", "left"), [(None, ()), (InputError("no"), ()), (TryAgainError("full"), ("lesson",))]
)
def test_finished_trainings_wait_for_those_to_come(
    tmp_path: Path, error: Exception | None, left: tuple[str, ...], there: bool
) -> None:
    place = tmp_path / "exports" / "small"
    aside = place.parent / ".small.shrinking"
    if there:
        aside.mkdir(parents=True)
        left = ("lesson",) if error else ()

    def learn() -> None:
        with kept_aside(place, "shrinking") as found:
            assert found == aside
            (found / "lesson").write_text("learned")
            place.mkdir()
            place.rmdir()
            if error is not None:
                raise error

    if error is None:
        learn()
        assert list(place.parent.iterdir()) == []
    else:
        with pytest.raises(type(error)):
            learn()
        assert place.parent.exists() == bool(left)
    assert tuple(path.name for path in aside.glob("*")) == left


def test_what_was_made_above_goes_with_what_was_not_made(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    place = tmp_path / "mine" / "deep" / "er" / "best"

    def fill() -> None:
        with folders_above(place):
            assert place.parent.is_dir()
            raise TryAgainError("full")

    with pytest.raises(TryAgainError):
        fill()
    assert list((tmp_path / "mine").iterdir()) == []


def test_where_answers_go_is_looked_at_first(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a file"):
        check_output(tmp_path)
    with pytest.raises(InputError, match="its folder does not exist; make it first"):
        check_output(tmp_path / "none" / "answers.csv")
    check_output(tmp_path / "answers.csv")


def test_who_waits_is_told_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(click, "echo", lambda line, err: said.append(line))
    with told_how_far(lambda: "predicted 3 of 5 sequences", first=0.01, every=0.01):
        while len(said) < 2:
            time.sleep(0.005)
    assert said[0] == "predicted 3 of 5 sequences, 0 s"
    told = len(said)
    with told_how_far(lambda: "nothing", first=60.0):
        pass
    assert len(said) == told
