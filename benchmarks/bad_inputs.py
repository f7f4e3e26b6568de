"""Every bad input of tests/bad through a process of its own: what a refusal costs.

    python benchmarks/bad_inputs.py

Each case starts `archsearch` anew and is judged as in the tests. Prints the costliest and writes
processor seconds and peak memory to benchmarks/results/bad_inputs.json. Left to the tests are
plugins that hang until their time-out, and files whose permissions root would not notice.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "bad"))

from corpus import MEGABYTE, Row, rows, run_process  # noqa: E402
from test_corpus import Case  # noqa: E402

RESULTS = HERE / "results" / "bad_inputs.json"
LEFT_OUT = ("-hangs", "mode-000", "storage-may-not-be-written")
PROMISED_SECONDS, PROMISED_MEGABYTES = 1.0, 200


def cost(row: Row) -> tuple[float, float, str]:
    """Processor seconds, peak MiB, and what was wrong with the refusal, if anything."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        case = Case(row, Path(folder), stack)
        alone = row.category != "K-plugins" and case.arguments[0] == "validate"
        done = run_process(case.arguments, case.folder, case.site, sealed=alone)
        try:
            case.judge(done)
        except AssertionError as wrong:
            return done.seconds, done.grown / MEGABYTE, str(wrong)[:200]
    return done.seconds, done.grown / MEGABYTE, ""


def main() -> None:
    console = Console(stderr=True)
    load = os.getloadavg()[0]
    asked = [row for row in rows() if not any(word in row.file for word in LEFT_OUT)]
    measured = {row.file: cost(row) for row in track(asked, "bad inputs", console=console)}
    seconds = {file: found[0] for file, found in measured.items()}
    memory = {file: found[1] for file, found in measured.items()}
    worst = sorted(seconds, key=seconds.__getitem__, reverse=True)[:10]
    table = Table("case", "CPU seconds", "peak MiB")
    for file in worst:
        table.add_row(file, f"{seconds[file]:.2f}", f"{memory[file]:.0f}")
    console.print(table)
    told = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": round(load, 2),
            "date": str(datetime.datetime.now(datetime.UTC).date()),
        },
        "cases": len(measured),
        "refused_as_expected": sum(not found[2] for found in measured.values()),
        "wrong": {file: found[2] for file, found in measured.items() if found[2]},
        "median_cpu_seconds": round(statistics.median(seconds.values()), 3),
        "most_cpu_seconds": round(max(seconds.values()), 3),
        "above_one_second": [f for f in seconds if seconds[f] > PROMISED_SECONDS],
        "median_megabytes": round(statistics.median(memory.values())),
        "most_megabytes": round(max(memory.values())),
        "above_200_megabytes": [f for f in memory if memory[f] > PROMISED_MEGABYTES],
        "costliest": {f: [round(seconds[f], 3), round(memory[f])] for f in worst},
    }
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    console.print(f"wrote {RESULTS}")


if __name__ == "__main__":
    main()
