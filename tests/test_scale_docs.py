"""The page on long studies says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scale.md").read_text()
TOLD: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "scale.json").read_text())


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    part = PAGE.partition(f"## {heading}")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return rows[2:]


def test_the_driver() -> None:
    wanted = [
        [
            str(row["workers"]),
            str(row["lag"]),
            f"{row['propose_core_ms_median']:.1f}",
            f"{row['driver_core_ms_per_trial']:.1f}",
            f"{row['megabytes']:.0f} MB",
        ]
        for row in TOLD["driven"]
    ]
    assert table("The driver") == wanted
    slowest = max(row["propose_core_ms_largest_of_1000"] for row in TOLD["driven"])
    assert f"took {slowest:.0f} ms" in PAGE
    assert f"{TOLD['store_bytes_per_trial'] / 1000:.1f} KB" in PAGE


def test_the_lag() -> None:
    wanted = {
        f"{workers} workers": [
            f"{100 * row['utilisation']:.0f} %" for row in TOLD["lag"] if row["workers"] == workers
        ]
        for workers in (10, 1000)
    }
    assert {name: shares for name, *shares in table("The lag")} == wanted


def test_the_leaderboard() -> None:
    wanted = [
        [
            row["store"],
            f"{row['leaderboard_core_seconds']:.2f} s",
            f"{row['leaderboard_seconds']:.2f} s",
            f"{row['seconds_of_the_command']:.2f} s",
            f"{row['history_seconds']:.1f} s",
        ]
        for row in TOLD["leaderboard"]
    ]
    assert table("Reading it") == wanted
