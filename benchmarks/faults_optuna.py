"""Studies of plain Optuna whose workers are killed at random: RDBStorage, heartbeat and retries."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState

TRIALS, WORKERS = 120, 4
BEAT, GRACE = 1, 2
PROCESSES = multiprocessing.get_context("forkserver")


def opened(url: str, name: str) -> optuna.Study:
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    storage = RDBStorage(
        url,
        heartbeat_interval=BEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
    )
    sampler = optuna.samplers.RandomSampler()
    return optuna.create_study(
        storage=storage, study_name=name, sampler=sampler, load_if_exists=True
    )


def objective(trial: optuna.Trial) -> float:
    value = trial.suggest_float("x", 0.0, 1.0) + trial.suggest_int("k", 1, 4)
    trial.report(value, 1)
    time.sleep(0.2 * (value % 1))
    return value


def work(url: str, name: str, journal: str) -> None:
    """Trials until enough are complete; notes what was run and what Optuna said is finished."""
    file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(what: str, trial: int | None, value: float | None = None) -> None:
        line = {"what": what, "pid": os.getpid(), "trial": trial, "value": value}
        os.write(file, b"\n" + json.dumps(line).encode() + b"\n")

    def noted(trial: optuna.Trial) -> float:
        note("run", trial.number)
        return objective(trial)

    def ended(study: optuna.Study, trial: FrozenTrial) -> None:
        del study
        note("acknowledged", trial.number, trial.value)

    study = opened(url, name)
    note("begun", None)
    enough = MaxTrialsCallback(TRIALS, states=(TrialState.COMPLETE,))
    study.optimize(noted, callbacks=[ended, enough])


def read(journal: Path) -> list[dict[str, Any]]:
    lines = journal.read_bytes().split(b"\n") if journal.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"}")]


def plain_optuna(url: str | None, kills: int, seed: int = 0) -> dict[str, Any]:
    """As many studies as it takes for so many kills of workers; ``url`` None is a SQLite file."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    left, number = kills, 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        place = url or f"sqlite:///{folder}/optuna.db"
        while left:
            name, journal = f"{folder} {number}", Path(folder) / f"journal-{number}"
            opened(place, name)
            killed, died = _torment(place, name, journal, left, rng)
            left -= killed
            found.update(workers_that_died_by_themselves=died, **_count(place, name, journal))
            number += 1
        seconds = time.monotonic() - began
        damaged = None if url else [_damaged_file(Path(folder), name), _damaged_journal()]
    return {
        "faults": kills,
        "kinds": {"kill worker": kills},
        "studies": number,
        **found,
        "damaged": damaged,
        "seconds": round(seconds, 1),
    }


def _torment(url: str, name: str, journal: Path, kills: int, rng: random.Random) -> tuple[int, int]:
    """Kill workers until the study has enough trials; (killed, died by themselves)."""

    def launch() -> Any:
        worker = PROCESSES.Process(target=work, args=(url, name, str(journal)))
        worker.start()
        return worker

    workers = [launch() for _ in range(WORKERS)]
    killed = died = 0
    while workers:
        time.sleep(rng.uniform(0.0, 0.4))
        at_work = {line["pid"] for line in read(journal)}
        victims = [worker for worker in workers if worker.pid in at_work and worker.is_alive()]
        if killed < kills and victims:
            victim = rng.choice(victims)
            victim.kill()
            victim.join()
            killed += victim.exitcode != 0
        for place, worker in reversed(list(enumerate(workers))):
            if worker.is_alive():
                continue
            del workers[place]
            if worker.exitcode != 0:
                died += worker.exitcode > 0
                workers.append(launch())
    return killed, died


def _count(url: str, name: str, journal: Path) -> dict[str, int]:
    study = opened(url, name)
    # whatever still runs is past its grace now, and is asked about twice
    for _ in range(2):
        time.sleep(GRACE + BEAT)
        fail_stale_trials(study)
    trials = {trial.number: trial for trial in study.get_trials()}
    lines = read(journal)
    told = {line["trial"]: line["value"] for line in lines if line["what"] == "acknowledged"}
    lost = [n for n, value in told.items() if value is not None and trials[n].value != value]
    finished: set[int] = set()
    again = 0
    for line in lines:
        again += line["what"] == "run" and line["trial"] in finished
        if line["what"] == "acknowledged":
            finished.add(line["trial"])
    history = RetryHeartbeatStaleTrialCallback.retry_history
    children = Counter(history(trial)[-1] for trial in trials.values() if history(trial))
    states = Counter(trial.state for trial in trials.values())
    return {
        "trials": len(trials),
        "acknowledged": len(told),
        "lost": len(lost),
        "run_again": again,
        "stuck": states[TrialState.RUNNING],
        "double_retries": sum(count - 1 for count in children.values()),
        "retries": sum(children.values()),
    }


RESUME = """
import sys, optuna
from faults_optuna import objective
from optuna.storages.journal import JournalFileBackend, JournalStorage
optuna.logging.set_verbosity(optuna.logging.CRITICAL)
where, name, kind = sys.argv[1:]
storage = JournalStorage(JournalFileBackend(where)) if kind == "journal" else where
study = optuna.create_study(storage=storage, study_name=name, load_if_exists=True)
study.optimize(objective, n_trials=2)
print(len(study.trials))
"""


def _resumed(cut: str, file: Path, name: str, kind: str, before: int) -> dict[str, Any]:
    """Cut the file in half, and run the study for two trials more, twice."""
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)
    where = str(file) if kind == "journal" else f"sqlite:///{file}"
    said = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", RESUME, where, name, kind],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout if done.returncode == 0 else done.stderr
        errors = [line for line in text.splitlines() if "Error" in line and line[0].isalpha()]
        said.append((done.returncode, (errors or text.strip().splitlines())[-1]))
    (code, last), again = said
    if code == 0 and again[0] == 0:
        verdict = f"exit 0, {int(last) - 2} of {before} trials left"
    else:
        error = (last if code else again[1]).partition(":")[0].rpartition(".")[2].lstrip("(")
        verdict = f"fatal, exit 1: {error.partition(')')[0]}"
    return {
        "cut": cut,
        "trials_before": before,
        "exit_codes": [code, again[0]],
        "said": [text[:300] for _, text in said],
        "file_changed": file.read_bytes() != half,
        "verdict": verdict,
    }


def _damaged_file(folder: Path, name: str) -> dict[str, Any]:
    file = folder / "optuna.db"
    before = len(opened(f"sqlite:///{file}", name).get_trials())
    return _resumed("the SQLite file", file, name, "sqlite", before)


def _damaged_journal() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "optuna.log"
        storage = JournalStorage(JournalFileBackend(str(file)))
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        study = optuna.create_study(storage=storage, study_name="cut")
        study.optimize(objective, n_trials=20)
        return _resumed("the journal file", file, "cut", "journal", 20)
