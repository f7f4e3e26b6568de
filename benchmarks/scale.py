"""What a study of 100,000 trials costs its driver, with 10 to 10,000 workers at once.

    tests/postgres.sh python benchmarks/scale.py    # a quarter of a core-hour, 1 GB of /dev/shm
    tests/postgres.sh python benchmarks/scale.py --only leaderboard

The study is filled with random trials up to its last part, which a real driver then searches (TPE,
lag four times the workers, at most 10,000) on simulated workers: trials train nothing and last a
minute or so of virtual time. Its core-seconds are the driver's own. The files lie in memory, and a
commit counts with 5 ms of virtual time. ``leaderboard`` reads the finished study. Writes
benchmarks/results/scale.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import copyfile
from typing import Any

from overhead import machine
from rich.console import Console
from rich.table import Table
from scale_runs import NAME
from sqlalchemy import create_engine, insert, select, text

from archsearch.store import tables
from archsearch.store.store import open_store

RESULTS = Path(__file__).parent / "results" / "scale.json"
RUNS = Path(__file__).with_name("scale_runs.py")
POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
MEMORY = Path("/dev/shm")
TRIALS = 100_000
# workers -> trials that are there before the driver begins
STARTS = {10: 98_000, 100: 98_000, 1_000: 96_000, 10_000: 70_000}
LARGEST_LAG = 10_000
LAGS = (1.0, 1.5, 2.0, 4.0, 8.0, 16.0)
TURNS = 3


def told(what: str, **settings: Any) -> dict[str, Any]:
    """One measurement, in a process of its own."""
    command = [sys.executable, str(RUNS), what, json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def file(folder: Path, trials: int) -> Path:
    return folder / f"{trials}.db"


def fill(folder: Path) -> None:
    """A file for each number of trials that a measurement begins with; those there are kept."""
    before = 0
    for trials in sorted({*STARTS.values(), TRIALS}):
        path = file(folder, trials)
        if not path.exists():
            if before:
                copyfile(file(folder, before), path)
            told("filled", url=f"sqlite:///{path}", first=before, last=trials)
        before = trials


def driven(folder: Path, workers: int) -> dict[str, Any]:
    path = folder / "driven.db"
    copyfile(file(folder, STARTS[workers]), path)
    met = round(os.getloadavg()[0], 2)
    lag = min(4 * workers, LARGEST_LAG)
    row = told(
        "driven", url=f"sqlite:///{path}", workers=workers, trials=TRIALS, sampler="tpe", lag=lag
    )
    path.unlink()
    return row | {"load_before": met}


def copied(path: Path, url: str) -> None:
    """The same rows in another database."""
    open_store(url).close()
    source, target = create_engine(f"sqlite:///{path}"), create_engine(url)
    with source.connect() as reading, target.begin() as writing:
        for table in (tables.result, tables.attempt, tables.trial, tables.study):
            writing.execute(table.delete())
        for table in (tables.study, tables.trial, tables.attempt, tables.result):
            rows = reading.execution_options(yield_per=5000).execute(select(table)).mappings()
            for part in rows.partitions():
                writing.execute(insert(table), [dict(row) for row in part])
    with target.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # what the server would do by itself within a minute
        connection.execute(text("ANALYZE"))


def leaderboards(folder: Path) -> list[dict[str, Any]]:
    path = file(folder, TRIALS)
    rows = [leaderboard("SQLite", f"sqlite:///{path}")]
    if POSTGRES:
        copied(path, POSTGRES)
        rows.append(leaderboard("PostgreSQL", POSTGRES))
    return rows


def leaderboard(store: str, url: str) -> dict[str, Any]:
    """The best of some turns, for whatever else the machine does only makes it slower."""
    turns = []
    for _ in range(TURNS):
        row = told("read", url=url)
        began = time.perf_counter()
        command = [sys.executable, "-m", "archsearch", "leaderboard", NAME, "--storage", url]
        subprocess.run(command, capture_output=True, check=True)
        row["seconds_of_the_command"] = round(time.perf_counter() - began, 2)
        turns.append(row | {"load_before": round(os.getloadavg()[0], 2)})
    best = {key: min(turn[key] for turn in turns) for key in turns[0] if key != "load_before"}
    return {"store": store, **best, "turns": turns}


def claims(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What is wanted at 100,000 trials, and what was measured."""
    found: list[tuple[str, float, float]] = []
    for row in results["driven"]:
        of = f", {row['workers']} workers"
        found.append((f"core-ms to propose{of}", row["propose_core_ms_median"], 50.0))
        found.append((f"MB of the driver{of}", row["megabytes"], 1000.0))
    for row in results["leaderboard"]:
        found.append(
            (f"core-s of leaderboard, {row['store']}", row["leaderboard_core_seconds"], 1.0)
        )
    return [
        {"claim": words, "measured": measured, "wanted": f"< {most:g}", "holds": measured < most}
        for words, measured, most in found
    ]


def measure(folder: Path, only: str | None, before: dict[str, Any]) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine(), "trials": TRIALS}
    fill(folder)
    results["store_bytes_per_trial"] = round(file(folder, TRIALS).stat().st_size / TRIALS)
    known = {row["workers"]: row for row in before.get("driven", [])}
    for workers in STARTS:
        if only in (None, str(workers)):
            known[workers] = driven(folder, workers)
            print(known[workers], flush=True)
    results["driven"] = [known[workers] for workers in STARTS if workers in known]
    results["lag"] = [
        told("lagged", workers=workers, times=times, trials=50 * workers)
        for workers in (10, 1_000)
        for times in LAGS
    ]
    results["leaderboard"] = before.get("leaderboard", [])
    if only in (None, "leaderboard"):
        results["leaderboard"] = leaderboards(folder)
    return results


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    parts = [*map(str, STARTS), "leaderboard"]
    options.add_argument("--only", choices=parts, help="measure this anew, keep the rest")
    options.add_argument("--folder", type=Path, help="keep the filled files here")
    chosen = options.parse_args()
    before = json.loads(RESULTS.read_text()) if chosen.only and RESULTS.exists() else {}
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as fresh:
        results = measure(chosen.folder or Path(fresh), chosen.only, before)
    promised = claims(results)
    table = Table()
    for head in ("", "measured", "wanted", ""):
        table.add_column(head)
    for each in promised:
        verdict = "holds" if each["holds"] else "falls short"
        table.add_row(each["claim"], f"{each['measured']:.2f}", each["wanted"], verdict)
    Console(width=120).print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results | {"claims": promised}, indent=2) + "\n")


if __name__ == "__main__":
    main()
