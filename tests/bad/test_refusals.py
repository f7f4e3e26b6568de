"""Refusals of the command line beside the corpus: what it is told is shown, but never obeyed."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import GOOD
from corpus import LONGEST_LINE, run


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "space.yaml").write_text(GOOD)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["validate", "a\x1b[31m\nb.yaml"], 2, r"a\x1b[31m\nb.yaml:1:1: error: file: "),
        (["show", "\x1b]0;title\x07"], 2, "archsearch.db does not exist"),
        (["\u202efoo"], 2, r"error: no such command '\u202efoo'"),
        (["x" * 5000], 2, "xxx ... xxx"),
        (["run", "space.yaml", "--name", "../../up"], 2, "--set name:1:1: error: name: expected a"),
        (["run", "space.yaml", "--name", "a: [b"], 2, "got the text 'a: [b'"),
        (["predict", "bundle", "new.csv", "-o", "gone/x.csv"], 2, "gone/x.csv: its folder"),
        (["studies", "--storage", ""], 2, "expected a database URL"),
        (["plugin", "chek"], 2, "no such command 'chek' (did you mean 'check'?)"),
    ],
)
def test_one_line_that_acts_on_no_terminal(arguments, code, words, tmp_path) -> None:
    done = run(arguments)
    assert done.code == code, done.err
    assert words in done.err
    line = done.err.removesuffix("\n")
    assert line.isprintable()
    assert len(line) <= LONGEST_LINE
    assert [path.name for path in tmp_path.iterdir()] == ["space.yaml"]


def test_a_name_that_looks_like_a_number_is_a_name() -> None:
    done = run(["run", "space.yaml", "--name", "2024", "--dry-run"], forbidden=["torch"])
    assert done.code == 0, done.err
    assert "2024" in done.out
