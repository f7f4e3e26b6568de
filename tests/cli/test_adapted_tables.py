"""What is told of a model that adapts its depth, in a terminal of eighty columns."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from archsearch.cli.curves import print_adapted
from archsearch.spec.depthsettings import POLICIES

ENDS = [-0.123, 0.123]


def point(setting: int) -> dict[str, Any]:
    compute = 1.0 - setting / 4
    return {
        "setting": setting, "compute": compute, "score": -1.234, "interval": [-1.814, -1.284],
        "gain": -0.123, "gain_interval": ENDS,
    }  # fmt: skip


def test_no_number_is_cut_off() -> None:
    names = list(POLICIES)
    report = {
        "score": "accuracy",
        "curves": {name: [point(setting) for setting in range(4)] for name in names},
        "areas": {name: {"area": -0.938, "gain": -0.123, "gain_interval": ENDS} for name in names},
        "sequences": {"search": 10},
        "oracle": None,
    }
    depth = {
        "name": "loop_cosine", "report": report, "certificate": None,
        "compute": [1.0, 0.75, 0.5, 0.25],
    }  # fmt: skip
    out = StringIO()
    print_adapted(Console(file=out, width=80), depth, "here")
    text = out.getvalue()
    assert "loop_cosine *" in text
    assert text.count("-0.938") == len(names)
    assert "…" not in text
