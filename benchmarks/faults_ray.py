"""Experiments of Ray Tune whose driver is killed at random and goes on with Tuner.restore.

python benchmarks/faults_ray.py drive FOLDER random     # one driver; what faults.py starts
"""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

TRIALS, SLEEP = 40, 0.4
MARK = "FAULTS_RAY_FOLDER"
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_DEDUP_LOGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
SECONDS = 300


def note(folder: str, what: str, trial: str, value: float | None = None) -> None:
    line = {"what": what, "trial": trial, "value": value}
    with (Path(folder) / "journal").open("ab", buffering=0) as file:
        file.write(b"\n" + json.dumps(line).encode() + b"\n")


def read(folder: Path) -> list[dict[str, Any]]:
    journal = folder / "journal"
    lines = journal.read_bytes().split(b"\n") if journal.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"}")]


def drive(folder: str, searcher: str) -> None:
    """Begin the experiment in the folder, or go on with it; prints what came of it."""
    import ray
    from ray import tune

    class Told(tune.Callback):
        def on_trial_complete(
            self, iteration: int, trials: list[Any], trial: Any, **_: Any
        ) -> None:
            note(folder, "acknowledged", trial.trial_id, trial.last_result.get("value"))

    def work(config: dict[str, float]) -> None:
        trial = tune.get_context().get_trial_id()
        note(folder, "run", trial)
        time.sleep(SLEEP)
        tune.report({"value": config["x"] + config["k"]})

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level=logging.ERROR,
        log_to_driver=False,
        _temp_dir=str(Path(folder) / "r"),
    )
    place = Path(folder) / "results"
    space = {"x": tune.uniform(0.0, 1.0), "k": tune.randint(1, 5)}
    if tune.Tuner.can_restore(str(place / "study")):
        note(folder, "restored", "")
        tuner = tune.Tuner.restore(str(place / "study"), trainable=work, param_space=space)
    else:
        search = None
        if searcher == "optuna":
            from ray.tune.search import ConcurrencyLimiter
            from ray.tune.search.optuna import OptunaSearch

            search = ConcurrencyLimiter(OptunaSearch(metric="value", mode="max"), 2)
        tuner = tune.Tuner(
            work,
            param_space=space,
            tune_config=tune.TuneConfig(
                num_samples=TRIALS, metric="value", mode="max", search_alg=search
            ),
            run_config=tune.RunConfig(
                name="study", storage_path=str(place), verbose=0, callbacks=[Told()]
            ),
        )
    note(folder, "begun", "")
    found = tuner.fit()
    ends = [result.metrics or {} for result in found]
    values = {end["trial_id"]: end.get("value") for end in ends if "trial_id" in end}
    print(json.dumps({"trials": len(found), "errors": found.num_errors, "values": values}))


def ray_tune(kills: int, searcher: str, seed: int = 0) -> dict[str, Any]:
    """As many experiments as it takes for so many ``kill -9`` of the driver."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    left, number = kills, 0
    began = time.monotonic()
    while left:
        with tempfile.TemporaryDirectory(prefix="fr", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            try:
                killed, end = _torment(folder, searcher, left, rng)
                left -= killed
                found.update(_count(folder, end))
            finally:
                end_left(folder)
        number += 1
    return {
        "faults": kills,
        "kinds": {"kill driver": kills},
        "studies": number,
        **found,
        "seconds": round(time.monotonic() - began, 1),
        "damaged": damaged(searcher),
    }


def start(folder: Path, searcher: str) -> subprocess.Popen[str]:
    with (folder / "driver.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, __file__, "drive", str(folder), searcher],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | QUIET | {MARK: str(folder)},
        )


def _torment(
    folder: Path, searcher: str, kills: int, rng: random.Random
) -> tuple[int, dict[str, Any]]:
    killed = 0
    while True:
        before = len(read(folder))
        driver = start(folder, searcher)
        try:
            if killed == kills:
                return killed, _end(driver, folder)
            # Ray saves every ten seconds or more; some kills come before, some after
            moment = None
            wait = rng.uniform(1.0, 16.0)
            while driver.poll() is None:
                at_work = any(line["what"] == "run" for line in read(folder)[before:])
                if at_work and moment is None:
                    moment = time.monotonic() + wait
                if moment is not None and time.monotonic() > moment:
                    driver.kill()
                    break
                time.sleep(0.02)
            driver.wait()
            if driver.returncode >= 0:
                return killed, _end(driver, folder)
            killed += 1
        finally:
            driver.kill()
            driver.wait()
            end_left(folder)


def _end(driver: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    out, _ = driver.communicate(timeout=SECONDS)
    if driver.returncode != 0:
        words = (folder / "driver.log").read_text()[-2000:]
        raise RuntimeError(f"a Ray driver left with exit code {driver.returncode}: {words}")
    told: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return told


def _count(folder: Path, end: dict[str, Any]) -> dict[str, int]:
    lines = read(folder)
    told: dict[str, float] = {}
    runs = again = 0
    for line in lines:
        if line["what"] == "acknowledged":
            told[line["trial"]] = line["value"]
        elif line["what"] == "run":
            runs += 1
            again += line["trial"] in told
    values = end["values"]
    lost = [trial for trial, value in told.items() if values.get(trial) != value]
    return {
        "trials": end["trials"],
        "acknowledged": len(told),
        "runs": runs,
        "lost": len(lost),
        "run_again": again,
        "stuck": end["trials"] - sum(value is not None for value in values.values()),
    }


def damaged(searcher: str) -> dict[str, Any]:
    """Cut the newest state file of a finished experiment in half and restore it."""
    with tempfile.TemporaryDirectory(prefix="fr", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        try:
            _, before = _torment(folder, searcher, 0, random.Random(0))
            states = list((folder / "results" / "study").glob("experiment_state-*.json"))
            newest = max(states, key=lambda path: path.stat().st_mtime)
            newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
            lines, log = len(read(folder)), (folder / "driver.log").stat().st_size
            driver = start(folder, searcher)
            out, _ = driver.communicate(timeout=SECONDS)
            said = (folder / "driver.log").read_text()[log:].splitlines()
            told = json.loads(out.strip().splitlines()[-1]) if driver.returncode == 0 else {}
            new = [line["what"] for line in read(folder)[lines:]]
        finally:
            end_left(folder)
    kept = len(before["values"].keys() & told.get("values", {}).keys())
    return {
        "cut": "experiment_state",
        "state_files": len(states),
        "trials_before": before["trials"],
        "of_them_in_the_result": kept,
        "trials_in_the_result": told.get("trials"),
        "run_after_the_cut": new.count("run"),
        "exit_code": driver.returncode,
        "said": [line[:300] for line in said if "tart" in line or "rror" in line][:6],
        "verdict": f"exit {driver.returncode}, {kept} of {before['trials']} trials left",
    }


def end_left(folder: Path, patience: float = 5.0) -> int:
    """End the processes of one experiment, known by their environment; how many there were."""
    found: dict[int, psutil.Process] = {}
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        alive = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get(MARK) == str(folder)
            except psutil.Error:
                continue
            if marked and process.pid != os.getpid():
                alive.append(process)
        if not alive:
            break
        for process in alive:
            found[process.pid] = process
            process.kill()
        psutil.wait_procs(alive, timeout=1.0)
    return len(found)


if __name__ == "__main__":
    drive(*sys.argv[2:4])
