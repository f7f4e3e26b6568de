"""What was lost and tried again is told to a person: how often, why, at which trial."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from commands import run_in

RELEASED = Path(__file__).parents[1] / "store" / "released" / "0001.sqlite.sql"


def test_lost_attempts_are_shown(tmp_path: Path) -> None:
    raw = sqlite3.connect(tmp_path / "archsearch.db")
    raw.executescript(RELEASED.read_text())
    raw.close()
    command = run_in(tmp_path)
    # of the third outcome of this study the worker was lost
    assert (
        "attempts lost and tried again: 1 × killed by SIGKILL" in command("show", "released").stdout
    )
    plain = json.loads(command("show", "released", "--json").stdout)
    assert plain["lost_attempts"] == {"killed by SIGKILL": 1}
    lines = command("studies").stdout.splitlines()
    column = lines[0].index("lost")
    assert lines[1][column] == "1"

    attempts = {
        index: json.loads(command("show", "released", str(index), "--json").stdout)["attempts"]
        for index in (0, 2, 7)
    }
    assert [(each["epoch"], each["reason"], each["lost"]) for each in attempts[2]] == [
        (1, "killed by SIGKILL", True),
        (2, "complete", False),
    ]
    assert [(each["reason"], each["lost"]) for each in attempts[0]] == [("complete", False)]
    assert [(each["ended"], each["lost"]) for each in attempts[7]] == [(None, False)]
    assert attempts[2][0]["driver"] == "4711@elsewhere"
    shown = command("show", "released", "2").stdout
    assert "lost: killed by SIGKILL" in shown
    assert "how it ended" not in command("show", "released", "0").stdout
