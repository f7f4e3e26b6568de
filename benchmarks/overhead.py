"""What the driver itself costs per trial, beside plain Optuna and Ray Tune in the same run.

    python benchmarks/overhead.py            # all rows, about ten minutes
    python benchmarks/overhead.py --no-ray

Trials do nothing but report ten steps, so every millisecond is overhead. Nine decisions, two of
them conditional; lag 8. Rows are measured in turns, several times, and each trial counts with its
median over the turns. Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sqlite3
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from overhead_runs import archsearch, bare_commit, plain_optuna, ray_tune

RESULTS = Path(__file__).parent / "results" / "overhead.json"


@dataclass(frozen=True)
class Row:
    """One line of the table: what is measured, and how many times over."""

    name: str
    run: Callable[[], list[float]]
    turns: int


def rows(turns: int, long: int, with_ray: bool) -> list[Row]:
    found = [
        Row("archsearch random, memory", partial(archsearch, 1000, "random"), turns),
        Row("archsearch tpe, memory", partial(archsearch, long), turns),
        Row("archsearch tpe + halving, memory", partial(archsearch, long, "tpe", "halving"), turns),
        Row("archsearch tpe, SQLite file", partial(archsearch, 1000, file=True), turns),
        Row("archsearch tpe, memory, 1 local worker", partial(archsearch, 1000, local=1), turns),
        Row("archsearch tpe, memory, 2 local workers", partial(archsearch, 1000, local=2), turns),
        Row(
            "archsearch tpe, SQLite file, 2 local workers",
            partial(archsearch, 1000, file=True, local=2),
            turns,
        ),
        Row("optuna tpe, memory", partial(plain_optuna, long), 1),
        Row("optuna tpe, SQLite file", partial(plain_optuna, 300, file=True), turns),
    ]
    if with_ray:
        found.append(Row("ray tune random, default", partial(ray_tune, 40, "default"), 1))
        found.append(
            Row("ray tune random, reuse_actors", partial(ray_tune, 400, "reuse_actors"), 1)
        )
    return found


def around(costs: list[float], index: int, width: int = 100) -> float:
    """The median cost of the trials around one index."""
    low = max(0, min(index - width // 2, len(costs) - width))
    return round(statistics.median(costs[low : low + width]), 2)


def line(row: Row, measured: list[list[float]]) -> dict[str, Any]:
    """The figures of one row; each trial counts with its median over the turns."""
    costs = [statistics.median(turns) for turns in zip(*measured, strict=True)]
    if not costs:
        return {"what": row.name, "trials": 0}
    each = len(set(costs)) > 1
    return {
        "what": row.name,
        "trials": len(costs),
        "turns": len(measured),
        "ms_mean": round(statistics.fmean(costs), 2),
        "ms_mean_of_first_1000": round(statistics.fmean(costs[:1000]), 2),
        "ms_mean_of_each_turn": [round(statistics.fmean(turn), 2) for turn in measured],
        "ms_median": round(statistics.median(costs), 2) if each else None,
        "ms_at": {str(i): around(costs, i) for i in (100, 1000, 5000) if each and i <= len(costs)},
    }


def claims(lines: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What is promised of the driver, and what was measured."""

    def claim(words: str, measured: float, most: float) -> dict[str, Any]:
        return {
            "claim": words, "measured": round(measured, 3), "at_most": most,
            "holds": measured <= most,
        }  # fmt: skip

    ours, halving = lines["archsearch tpe, memory"], lines["archsearch tpe + halving, memory"]
    filed = lines["archsearch tpe, SQLite file"]
    found = [
        claim("ms per trial in memory, 1000 trials", ours["ms_mean_of_first_1000"], 10),
        claim("ms per trial on SQLite, 1000 trials", filed["ms_mean_of_first_1000"], 25),
    ]
    if "5000" in ours["ms_at"]:
        for name, row in (("tpe", ours), ("tpe + halving", halving)):
            ratio = row["ms_at"]["5000"] / row["ms_at"]["100"]
            found.append(claim(f"{name}: cost at trial 5000 / at trial 100", ratio, 1.5))
    return found


def ratios(lines: dict[str, dict[str, Any]]) -> dict[str, float]:
    """The cost of a trial in the first thousand, as a share of what it costs elsewhere."""
    pairs = (
        ("archsearch tpe, memory", "optuna tpe, memory"),
        ("archsearch tpe, SQLite file", "optuna tpe, SQLite file"),
        ("archsearch random, memory", "ray tune random, default"),
        ("archsearch random, memory", "ray tune random, reuse_actors"),
        ("archsearch tpe, SQLite file", "ray tune random, reuse_actors"),
    )
    found = {}
    for ours, theirs in pairs:
        other = lines.get(theirs, {}).get("ms_mean_of_first_1000")
        if other:
            name = f"{ours} / {theirs}"
            found[name] = round(lines[ours]["ms_mean_of_first_1000"] / other, 4)
    last = [lines[f"{who} tpe, memory"]["ms_at"].get("5000") for who in ("archsearch", "optuna")]
    if all(last):
        found["archsearch tpe, memory / optuna tpe, memory, at 5000"] = round(last[0] / last[1], 4)
    return found


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    models = [row for row in info.read_text().splitlines() if row.startswith("model name")]
    packages = ("archsearch", "optuna", "sqlalchemy", "numpy", "ray")
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "bare_durable_commit_ms": bare_commit(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "versions": {name: version(name) for name in packages},
        "date": datetime.date.today().isoformat(),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--no-ray", action="store_true")
    options.add_argument("--turns", type=int, default=3)
    options.add_argument("--long", type=int, default=5050, help="trials of the flatness rows")
    chosen = options.parse_args()
    RESULTS.parent.mkdir(exist_ok=True)
    facts = machine()
    asked = rows(chosen.turns, chosen.long, not chosen.no_ray)
    measured: dict[str, list[list[float]]] = {row.name: [] for row in asked}
    for turn in range(chosen.turns):
        for row in asked:
            if turn < row.turns:
                measured[row.name].append(row.run())
    facts["bare_durable_commit_ms_after"] = bare_commit()
    lines = [line(row, measured[row.name]) for row in asked]
    show(lines)
    named = {told["what"]: told for told in lines}
    promised, shares = claims(named), ratios(named)
    for each in promised:
        verdict = "holds" if each["holds"] else "FAILS"
        print(f"{each['claim']:70}{each['measured']:8.3f}  at most {each['at_most']}: {verdict}")
    for name, share in shares.items():
        print(f"{name:70}{share:8.3f}")
    results = {"machine": facts, "rows": lines, "claims": promised, "ratios": shares}
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


def show(lines: list[dict[str, Any]]) -> None:
    heads = ("trials", "mean", "median", "at 100", "at 1000", "at 5000")
    print(f"{'milliseconds per trial':46}" + "".join(f"{head:>9}" for head in heads))
    for told in lines:
        at = [told.get("ms_at", {}).get(index) for index in ("100", "1000", "5000")]
        cells = [told["trials"], told.get("ms_mean"), told.get("ms_median"), *at]
        shown = ("" if cell is None else cell for cell in cells)
        print(f"{told['what']:46}" + "".join(f"{cell:>9}" for cell in shown))


if __name__ == "__main__":
    main()
