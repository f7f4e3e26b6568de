"""Studies of archsearch whose workers, supervisors and drivers are killed or paused at random."""

from __future__ import annotations

import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "faults"))

from history import stored, violations
from journal import Line, read
from killing import Follower, Killer, dose, left_behind
from toy_study import JOURNAL, LEASE, drive, results, undisturbed

from archsearch.store.store import open_store

TRIALS, WORKERS = 120, 4
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["toy_study", "optuna.samplers", "faults_optuna"])


def archsearch(url: str | None, kills: int, seed: int = 0) -> dict[str, Any]:
    """As many studies as it takes for so many faults; ``url`` None is a SQLite file."""
    rng = random.Random(seed)
    left = dose(kills)
    rng.shuffle(left)
    found: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    began = time.monotonic()
    number = 0
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        place = url or f"sqlite:///{folder}/studies.db"
        open_store(place).close()
        while left:
            plan = (f"{folder} {number}", TRIALS, "random", number)
            journal = Path(folder) / f"journal-{number}"
            left, done = _torment(place, plan, journal, left, rng)
            kinds += done
            found.update(_count(place, plan, journal))
            number += 1
        seconds = time.monotonic() - began
        damaged = None if url else _damaged(Path(folder))
    return {
        "faults": kills,
        "kinds": dict(kinds),
        "studies": number,
        **found,
        "damaged": damaged,
        "seconds": round(seconds, 1),
    }


def _torment(
    url: str, plan: tuple[Any, ...], journal: Path, left: list[str], rng: random.Random
) -> tuple[list[str], Counter[str]]:
    def launch() -> Any:
        driver = PROCESSES.Process(target=drive, args=(url, plan, str(journal), WORKERS, LEASE))
        driver.start()
        return driver

    killer = Killer(launch, Follower(journal), rng, LEASE)
    left = killer.torment(left)
    return left, killer.done


def _count(url: str, plan: tuple[Any, ...], journal: Path) -> dict[str, int]:
    """What the processes said they did, held against what is stored."""
    lines = list(read(journal))
    with open_store(url, read_only=True) as store:
        study = store.find_study(plan[0])
        assert study is not None
        end = stored(store, study.id)
        same = results(store, study.id) == undisturbed(plan)
    told = {line["trial"]: line["state"] for line in lines if line["what"] == "acknowledged"}
    lost = sum(end.trials["search", index].state != state for index, state in told.items())
    return {
        "trials": len(end.trials),
        "acknowledged": len(told),
        "lost": lost,
        "run_again": _run_again(lines),
        "stuck": sum(not trial.state.final for trial in end.trials.values()),
        "double_retries": _double_retries(lines),
        "left_processes": len(left_behind((JOURNAL, str(journal)))),
        "broken_promises": len(violations(lines, end)),
        "studies_that_differ_from_an_undisturbed_run": int(not same),
    }


def _run_again(lines: list[Line]) -> int:
    finished: set[int] = set()
    again = 0
    for line in lines:
        if line["what"] == "acknowledged":
            finished.add(line["trial"])
        elif line["what"] == "run" and line["trial"] in finished:
            again += 1
    return again


def _double_retries(lines: list[Line]) -> int:
    begun: Counter[tuple[int, int]] = Counter()
    for line in lines:
        if line.get("act") == "restart" and line["what"] == "did" and line["answer"] is not None:
            begun[line["trial"], line["answer"]] += 1
    return sum(times - 1 for times in begun.values())


def _damaged(folder: Path) -> dict[str, Any]:
    """What becomes of a study whose file is cut in half and which is run again."""
    file, journal = folder / "studies.db", folder / "journal-damaged"
    half = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(half)
    plan = (f"{folder} 0", TRIALS, "random", 0)
    driver = PROCESSES.Process(
        target=drive, args=(f"sqlite:///{file}", plan, str(journal), WORKERS, LEASE)
    )
    driver.start()
    driver.join()
    words = [line["words"] for line in read(journal) if line["what"] == "left"]
    return {
        "cut": "the SQLite file",
        "exit_code": driver.exitcode,
        "said": (words or [""])[0].replace(str(folder), "..."),
        "file_changed": file.read_bytes() != half,
        "verdict": f"refused, exit {driver.exitcode}" if words else "started over",
    }
