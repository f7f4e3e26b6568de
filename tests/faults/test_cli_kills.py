"""``archsearch run`` killed at any moment and run again ends as if nobody had touched it."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from killing import left_behind
from seeds import FIRST
from tiers import tiered
from toy_study import canonical

from archsearch.store.store import open_store

MARK = "ARCHSEARCH_TEST_FOLDER"
PHASES = ("search", "tune", "confirm")
TITLES = {"search": "search", "tune baselines": "tune", "confirm on test": "confirm"}
SPACE = """
archsearch: 1
task: {name: parity, length: 8, validation_size: 32, test_size: 32}
space:
  width: {choice: [8, 12]}
  stages:
    - repeat: {int: [1, 2]}
      blocks: [{cell: {choice: [gru, rnn, lstm]}, channel: {choice: [none, glu]}}]
  training: {lr: {float: [1.0e-3, 1.0e-1], log: true}, steps: 20, batch: 8}
search: {trials: 20, seed: 5, sampler: {name: tpe, startup: 6}, lag: 4}
confirm: {finalists: 1, seeds: 1, baselines: [lstm]}
execution: {backend: local, workers: 2}
"""
TRY_AGAIN = 75
STOP_SECONDS = 15.0
# begun by a driver, each with at most as many trials as there are workers in its hands
WORKERS = 2
SOME, MANY = 8, 40


@pytest.fixture(autouse=True)
def _interruptible() -> Iterator[None]:
    """A shell has what it runs in the background ignore Ctrl-C, and that is inherited."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@dataclass
class Said:
    """What the drivers of one study printed, one after the other."""

    folder: Path
    logs: list[Path] = field(default_factory=list)

    def begin(self) -> Path:
        self.logs.append(self.folder / f"driver-{len(self.logs)}.log")
        return self.logs[-1]

    def ends(self, log: Path) -> list[tuple[str, int]]:
        """(phase, how many were finished then) of each trial whose end was told."""
        return [(phase, count) for phase, count, told in self._counts(log) if told]

    def contradictions(self) -> list[str]:
        """Nothing that was told as finished is taken back or told again."""
        most: Counter[str] = Counter()
        found = []
        for log in self.logs:
            for phase, count, told in self._counts(log):
                if count < most[phase] + told:
                    found.append(f"{log.name}: {phase} at {count} after {most[phase]}")
                most[phase] = count
        return found

    def _counts(self, log: Path) -> list[tuple[str, int, bool]]:
        found, phase = [], ""
        # the last line may have been cut
        for line in log.read_text().split("\n")[:-1]:
            if begun := re.match(r"space · ([a-z ]+): \d+ trials(?:, (\d+) of them)?", line):
                phase = TITLES[begun[1]]
                found.append((phase, int(begun[2] or 0), False))
            elif ended := re.match(r"\[(\d+)/\d+\] ", line):
                found.append((phase, int(ended[1]), True))
        return found


class Study:
    """One study in a folder of its own, run by as many processes as it takes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "space.yaml").write_text(SPACE)
        self.folder, self.said = folder, Said(folder)
        self.url = f"sqlite:///{folder}/studies.db"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "archsearch", *arguments, "--storage", self.url]

    def start(self) -> subprocess.Popen[bytes]:
        with self.said.begin().open("wb") as log:
            return subprocess.Popen(
                self.command("run", "space.yaml"),
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=os.environ | {MARK: str(self.folder)},
            )

    def wait_for_ends(self, driver: subprocess.Popen[bytes], wanted: int) -> bool:
        """Until it has told of so many trials; False when it is gone before."""
        while driver.poll() is None:
            if len(self.said.ends(self.said.logs[-1])) >= wanted:
                return True
            time.sleep(0.005)
        return False

    def results(self) -> list[tuple[Any, ...]]:
        with open_store(self.url, read_only=True) as store:
            study = store.find_study("space")
            assert study is not None
            assert study.driver is None
            trials = [trial for phase in PHASES for trial in store.history(study.id, phase)]
        return [(trial.phase, trial.role, *canonical(trial)) for trial in trials]

    def repeated(self) -> list[str]:
        """Attempts at a trial that was finished, and losses that no fault accounts for."""
        with open_store(self.url, read_only=True) as store:
            study = store.find_study("space")
            assert study is not None
            attempts = store.attempts(study.id)
        newest = {(one.phase, one.index): one.epoch for one in attempts}
        found = [
            f"{one.phase} {one.index}: begun again after '{one.reason}'"
            for one in attempts
            if one.epoch < newest[one.phase, one.index] and one.reason != "the driver was lost"
        ]
        lost = len(attempts) - len(newest)
        if lost > WORKERS * (len(self.said.logs) - 1):
            found.append(f"{lost} attempts were lost in {len(self.said.logs) - 1} faults")
        return found


def inject(study: Study, number: signal.Signals, rng: random.Random) -> bool:
    """Start a driver and send it the signal at some moment; False if it was done before."""
    driver = study.start()
    try:
        ends = rng.randrange(9)
        if number is signal.SIGKILL and ends == 0:
            # while it imports, reads, opens and starts workers
            time.sleep(rng.uniform(0.0, 3.0))
        elif not study.wait_for_ends(driver, max(ends, 1)):
            assert driver.returncode == 0, study.said.logs[-1].read_text()
            return False
        time.sleep(rng.uniform(0.0, 0.15))
        began = time.monotonic()
        driver.send_signal(number)
        code = driver.wait(timeout=60)
    finally:
        driver.kill()
    if number is signal.SIGKILL:
        assert code in (-number, 0), study.said.logs[-1].read_text()
    else:
        assert code in (TRY_AGAIN, 0), study.said.logs[-1].read_text()
        assert time.monotonic() - began < STOP_SECONDS
    return code != 0


def hold(study: Study, expected: list[tuple[Any, ...]]) -> None:
    """The study is complete, as the undisturbed one, and its commands answer."""
    assert left_behind((MARK, str(study.folder))) == []
    assert study.said.contradictions() == []
    assert study.repeated() == []
    assert study.results() == expected
    for arguments in (("show", "space", "--json"), ("leaderboard", "space", "--json")):
        told = subprocess.run(study.command(*arguments), capture_output=True, check=True)
        assert json.loads(told.stdout)
    assert list((study.folder / "archsearch-runs" / "space" / "checkpoints").rglob("*.json")) == []


def torment(folder: Path, faults: list[signal.Signals], seed: int) -> Counter[str]:
    rng = random.Random(seed)
    rng.shuffle(faults)
    undisturbed = Study(folder / "undisturbed")
    whole = undisturbed.start()
    done: Counter[str] = Counter()
    number, most = 0, len(faults)
    try:
        while faults:
            assert number < most, f"studies end although they are sent {faults[-1].name}"
            study = Study(folder / f"study-{number}")
            while faults and inject(study, faults[-1], rng):
                done[faults.pop().name] += 1
            assert study.start().wait() == 0, study.said.logs[-1].read_text()
            assert whole.wait() == 0, undisturbed.said.logs[-1].read_text()
            assert len(undisturbed.results()) == 20 + 3 + 2
            hold(study, undisturbed.results())
            number += 1
    finally:
        whole.kill()
        whole.wait()
    return done


def test_three_kills_and_a_polite_word(tmp_path: Path) -> None:
    faults = [signal.SIGKILL] * 3 + [signal.SIGINT]
    assert torment(tmp_path, faults, FIRST) == {"SIGKILL": 3, "SIGINT": 1}


@pytest.mark.parametrize("kills", tiered((SOME, MANY), (), (SOME,)))
def test_many_kills(tmp_path: Path, kills: int) -> None:
    polite = kills // 8
    faults = [signal.SIGKILL] * kills + [signal.SIGTERM, signal.SIGINT] * polite
    expected = {"SIGKILL": kills, "SIGTERM": polite, "SIGINT": polite}
    assert torment(tmp_path, faults, FIRST + 1) == expected
