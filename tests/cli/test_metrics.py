"""``run --metrics``: gauges while a study runs, and one line where they cannot be served."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import pytest
from commands import Command


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("http", "expected PORT or ADDRESS:PORT"),
        ("0.0.0.0:0", "other machines can reach 0.0.0.0"),
        ("taken", "address already in use; choose another port"),
    ],
)
def test_a_place_that_cannot_be_had(fresh: tuple[Path, Command], place: str, why: str) -> None:
    folder, command = fresh
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = str(other.getsockname()[1]) if place == "taken" else place
        refused = command("run", "starts.yaml", "--metrics", place, code=2)
    assert refused.stderr.count("\n") == 1
    assert why in refused.stderr
    assert not list(folder.glob("archsearch*"))


def test_the_study_ends_and_the_endpoint_with_it(fresh: tuple[Path, Command]) -> None:
    _, command = fresh
    done = command("run", "starts.yaml", "--metrics", "0", "--set", "confirm=none")
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("gauges at "))
    address = line.removeprefix("gauges at ")
    assert address.startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(address, timeout=5)
