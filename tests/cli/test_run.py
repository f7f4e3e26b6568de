"""``archsearch run`` from the outside: what it prints, writes, continues and refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import Command


def test_prints_the_answer(finished: tuple[Path, Command]) -> None:
    text = (finished[0] / "run.txt").read_text()
    for word in ("chance", "majority", "lstm", "Verdict:", "95% interval", "exported"):
        assert word in text, word
    assert "5 trials" in text


def test_reports_plain_lines_when_not_a_terminal(finished: tuple[Path, Command]) -> None:
    lines = (finished[0] / "progress.txt").read_text().splitlines()
    assert sum(line.startswith("[") for line in lines) >= 5
    assert not any("\x1b" in line for line in lines)


def test_running_again_repeats_nothing(fresh: tuple[Path, Command]) -> None:
    _, command = fresh
    first = json.loads(command("run", "starts.yaml", "--json").stdout)
    began = time.monotonic()
    again = command("run", "starts.yaml", "--json")
    assert json.loads(again.stdout) == first
    assert time.monotonic() - began < 20
    more = json.loads(command("run", "starts.yaml", "--json", "--trials", "7").stdout)
    assert more[0]["trials"] == 7


def test_dry_run_leaves_nothing(fresh: tuple[Path, Command]) -> None:
    folder, command = fresh
    before = sorted(folder.iterdir())
    text = command("run", "starts.yaml", "--dry-run").stdout
    assert "trial 0" in text
    assert "nothing was written" in text
    assert sorted(folder.iterdir()) == before


def test_a_changed_space_is_refused(fresh: tuple[Path, Command]) -> None:
    _, command = fresh
    command("run", "starts.yaml", "--set", "confirm=none", "--trials", "2")
    changed = ("run", "starts.yaml", "--set", "confirm=none", "--set", "space.width=16")
    refused = command(*changed, "--trials", "2", "--quiet", code=3)
    assert refused.stderr.count("\n") == 1
    assert "space" in refused.stderr
    assert "--new" in refused.stderr
    command(*changed, "--trials", "2", "--new")
    studies = json.loads(command("studies", "--json").stdout)
    assert [study["study"] for study in studies] == ["starts", "starts-2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "missing.yaml"), "missing.yaml"),
        (("run", "starts.yaml", "--set", "space.width=wide"), "whole number"),
        (("run", "starts.yaml", "--set", "task.data=none.csv"), "none.csv"),
        (("run", "starts.yaml", "--set", "task.target=outcom"), "outcome"),
        (("run", "starts.yaml", "--set", "search.objectives={acuracy: max}"), "accuracy"),
        (("run", "starts.yaml", "--set", "nonsense"), "KEY=VALUE"),
        (("run", "starts.yaml", "--storage", "oracle://x"), "oracle"),
        (("run", "starts.yaml", "--set", "confirm=none", "--export", "out"), "confirm section"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], words: str, fresh: tuple[Path, Command]
) -> None:
    folder, command = fresh
    before = sorted(folder.iterdir())
    refused = command(*arguments, code=2)
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_stopping_politely_is_resumable(fresh: tuple[Path, Command]) -> None:
    folder, command = fresh
    slow = ["--set", "space.training.steps=400", "--set", "execution.backend=local"]
    with subprocess.Popen(
        [sys.executable, "-m", "archsearch", "run", "starts.yaml", *slow],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as driver:
        assert driver.stderr is not None
        next(line for line in driver.stderr if line.startswith("["))
        second = command("run", "starts.yaml", *slow, code=4)
        assert str(driver.pid) in second.stderr
        os.kill(driver.pid, signal.SIGTERM)
        assert driver.wait(timeout=20) == 75
        assert "continues" in driver.stderr.read()
    command("run", "starts.yaml", *slow)


def test_several_tasks_give_one_answer_each(fresh: tuple[Path, Command]) -> None:
    folder, command = fresh
    text = (folder / "starts.yaml").read_text()
    one = "task: {name: classification, data: starts.csv, target: outcome}"
    two = "tasks:\n  - {label: starts, name: classification, data: starts.csv, target: outcome}\n"
    two += "  - {label: bits, name: parity, length: 8, validation_size: 32, test_size: 32}"
    (folder / "two.yaml").write_text(text.replace(one, two))
    out = command("run", "two.yaml", "--trials", "2").stdout
    assert "across tasks" in out
    names = [entry["study"] for entry in json.loads(command("studies", "--json").stdout)]
    assert names == ["two/starts", "two/bits"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_done_cannot_be_stopped(number: signal.Signals) -> None:
    """A signal while the interpreter takes its modules down, when it has handlers no more."""
    sent_at_the_end = f"""
import os
from archsearch.cli.main import main

class Last:
    kill, process = os.kill, os.getpid()
    def __del__(self):
        self.kill(self.process, {int(number)})
        print("sent", flush=True)

last = Last()
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", sent_at_the_end, "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["sent"]), done.stderr
