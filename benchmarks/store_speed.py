"""How fast the store is while it is safe, and what a driver costs trials of one second.

    tests/postgres.sh python benchmarks/store_speed.py          # about ten minutes

A pair is a trial started and finished, each durable before the next begins. ``apart`` they are two
commits; ``together`` what finished and what begins next are one, as drivers write them. A driver
writes for all of its workers: ``16 workers`` is one whose workers all end at the same time, so that
a commit finishes and begins 16. ``search`` is the whole of such a driver, with proposals and jobs.
``16 drivers`` are as many processes, each with a study of its own. ``bare`` are commits of one row
without this package: what the disk and the database allow. Each row is measured in turns and counts
with its best, for whatever else the machine does only makes it slower; all turns are in
benchmarks/results/store_speed.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from overhead import machine
from overhead_runs import database
from rich.console import Console
from rich.table import Table
from store_speed_runs import (
    SECOND,
    WORKERS,
    bare,
    bare_postgres,
    bare_sqlite,
    driven,
    filled,
    pairs,
    searched,
)

RESULTS = Path(__file__).parent / "results" / "store_speed.json"
POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
TRIALS = 10_000
OVERHEAD_TRIALS = 24
PAIRS, COMMITS = "pairs_per_second", "commits_per_second"


def rows(turns: int) -> list[dict[str, Any]]:
    measured: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {}
    for place, url in {"SQLite": None, **({"PostgreSQL": POSTGRES} if POSTGRES else {})}.items():
        measured |= {
            f"{place}, apart": (partial(pairs, url, 1, 0, 500), PAIRS),
            f"{place}, together": (partial(pairs, url, 1, 1, 500), PAIRS),
            f"{place}, 16 workers": (partial(pairs, url, 1, 16, 3200), PAIRS),
            f"{place}, 16 workers, search": (partial(searched, url, 16, 1600), PAIRS),
        }
    measured["SQLite, bare"] = (partial(bare_sqlite, 500), COMMITS)
    if POSTGRES:
        measured |= {
            "PostgreSQL, 16 drivers, apart": (partial(pairs, POSTGRES, 16, 0, 60), PAIRS),
            "PostgreSQL, 16 drivers, together": (partial(pairs, POSTGRES, 16, 1, 60), PAIRS),
            "PostgreSQL, bare, 1 client": (partial(bare_postgres, POSTGRES, 1), COMMITS),
            "PostgreSQL, bare, 16 clients": (partial(bare_postgres, POSTGRES, 16), COMMITS),
        }
    turned: dict[str, list[dict[str, Any]]] = {name: [] for name in measured}
    # a busy minute of the machine is then one turn of many rows and not all turns of one
    for _ in range(turns):
        for name, (run, by) in measured.items():
            # what the row before has left to be written is not this one's
            os.sync()
            met = round(os.getloadavg()[0], 2)
            turned[name].append(run() | {"load_before": met})
            print(name, turned[name][-1][by], "load", met, flush=True)
    return [
        {"what": name, **max(turned[name], key=lambda turn: turn[by]), "turns": turned[name]}
        for name, (_, by) in measured.items()
    ]


def resumption(turns: int) -> dict[str, Any]:
    """Seconds until a study of many trials, opened again, hands out the next one."""
    told = {"trials": TRIALS}
    measured = []
    for _ in range(turns):
        # each turn adds a trial
        with database() as url:
            filled(url, TRIALS)
            met = round(os.getloadavg()[0], 2)
            begun = time.monotonic()
            script = [sys.executable, str(Path(__file__).with_name("store_speed_runs.py"))]
            done = subprocess.run([*script, url], capture_output=True, text=True, check=True)
            seen = json.loads(done.stdout)
            whole = round(time.monotonic() - begun, 2)
            measured.append({**seen, "process_seconds": whole, "load_before": met})
    return {**told, **min(measured, key=lambda turn: turn["seconds"]), "turns": measured}


def overhead(turns: int) -> dict[str, Any]:
    """Trials of one second in two workers, beside two bare processes with the same work.

    Where those alone take much longer than they should, others had the cores, and the row tells
    nothing of the driver: it is ``disturbed`` and not judged.
    """
    found: dict[str, Any] = {}
    ideal = OVERHEAD_TRIALS / WORKERS * SECOND
    for kind in ("sleep", "cpu"):
        measured = []
        for _ in range(turns):
            met = round(os.getloadavg()[0], 2)
            alone, ours = bare(kind, OVERHEAD_TRIALS), driven(kind, OVERHEAD_TRIALS)
            percent = round(100 * (ours / alone - 1), 2)
            turn = {"bare_seconds": alone, "seconds": ours, "percent": percent, "load_before": met}
            measured.append(turn)
            disturbed = alone > 1.1 * ideal
            if disturbed:
                break
        found[kind] = {
            **min(measured, key=lambda turn: turn["seconds"]),
            "trials": OVERHEAD_TRIALS,
            "disturbed": disturbed,
            "turns": measured,
        }
    return found


def claims(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What is wanted of the store, and what was measured."""
    speeds = {row["what"]: row[PAIRS] for row in results["rows"] if PAIRS in row}
    wanted = {"SQLite, apart": 100.0, "SQLite, together": 100.0, "PostgreSQL, 16 workers": 800.0}
    found = [
        (f"pairs/s on {what}", speeds[what], ">=", least)
        for what, least in wanted.items()
        if what in speeds
    ]
    words = f"seconds to continue {TRIALS} trials"
    found.append((words, results["resumption"]["seconds"], "<=", 3.0))
    found.append((f"core-{words}", results["resumption"]["cpu_seconds"], "<=", 3.0))
    for kind, told in results["overhead"].items():
        words = f"per cent that a driver costs 1 s trials ({kind}), 2 workers"
        if not told["disturbed"]:
            found.append((words, told["percent"], "<=", 5.0))
    return [
        {
            "claim": words,
            "measured": measured,
            "wanted": f"{sign} {limit:g}",
            "holds": measured >= limit if sign == ">=" else measured <= limit,
        }
        for words, measured, sign, limit in found
    ]


PARTS = {"rows": rows, "resumption": resumption, "overhead": overhead}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--only", choices=PARTS, help="measure this anew, keep the rest")
    chosen = options.parse_args()
    out = Console(width=120)
    if not POSTGRES:
        out.print("no PostgreSQL: run under tests/postgres.sh to have its rows")
    before = json.loads(RESULTS.read_text()) if chosen.only else {}
    results: dict[str, Any] = {"machine": machine(), **{part: before.get(part) for part in PARTS}}
    for part, measure in PARTS.items():
        if chosen.only in (None, part):
            results[part] = measure(chosen.turns)
    results["machine"]["load_after"] = [round(load, 2) for load in os.getloadavg()]
    promised = claims(results)
    table = Table()
    for head in ("", "measured", "wanted", ""):
        table.add_column(head)
    for each in promised:
        verdict = "holds" if each["holds"] else "falls short"
        table.add_row(each["claim"], f"{each['measured']:.2f}", each["wanted"], verdict)
    out.print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results | {"claims": promised}, indent=2) + "\n")


if __name__ == "__main__":
    main()
