"""What a command answers stands on its output as it would in a file."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from archsearch.cli.predict import show_answers


def test_names_keep_every_character(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame({"prediction": ["up\x1b[31mred", "größer"], "value": [0.5, 1.0]})
    show_answers(table, (), tmp_path / "answers.csv", as_json=False)
    capfd.readouterr()
    show_answers(table, (), None, as_json=False)
    assert capfd.readouterr().out == (tmp_path / "answers.csv").read_text()
