"""The page on learning while predicting: its Python runs, and it has every setting there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from exported import export, network

from archsearch.spec.learnsettings import LEARNERS
from archsearch.spec.signature import Signature

PAGE = (Path(__file__).parents[2] / "docs" / "test-time-learning.md").read_text()


def test_the_python_of_the_page_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    signature = Signature("values", 2, "value", 1, every_step=False, length=9)
    export(tmp_path / "best", network("gru"), signature)
    rng = np.random.default_rng(0)
    steps = [(rng.normal(size=2), np.asarray([4.0])) for _ in range(5)]
    exec(compile(code, "page", "exec"), {"path": tmp_path / "best", "steps": steps})
    assert re.fullmatch(r"moved by [\d.]+%, 5 updates, 0 refused\n", capsys.readouterr().out)


@pytest.mark.parametrize("name", LEARNERS)
def test_the_page_has_every_setting(name: str) -> None:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    assert re.findall(r"`(\w+)`", row.rpartition("|")[0].rpartition("|")[2]) == [
        field.name for field in fields(LEARNERS[name])
    ]
