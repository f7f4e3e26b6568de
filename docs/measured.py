"""Fills the tables of docs/speed.md and docs/what-cells-solve.md from benchmarks/results.

python docs/measured.py
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks" / "results"
PAGES = ("speed.md", "what-cells-solve.md")
NAMES = {"AVX512": "AVX-512", "AVX2": "AVX2"}
SHOWN = {"solved": "✓", "partial": "◐", "failed": "✗", "diverged": "!", "not applicable": "–"}


def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(head), ["---"] * len(list(head)), *([str(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def training() -> str:
    told = read("throughput")
    ratios = {
        name: {row["model"]: f"{row['times_lstm']:.2f}" for row in run["rows"]}
        for name, run in told.items()
    }
    last = list(told)[-1]
    rows = (
        (
            f"`{row['model']}`",
            row["family"],
            f"{row['tokens_per_s']:,}",
            *(of.get(row["model"], "") for of in ratios.values()),
        )
        for row in told[last]["rows"]
    )
    titles = [f"times `nn.LSTM`, {NAMES[name]}" for name in told]
    return table(["cell", "kind", f"tokens per second, {NAMES[last]}", *titles], rows)


def options() -> str:
    """The options that change the time of a step by a quarter or more, the slowest first."""
    told = read("options")
    last = list(told)[-1]
    rows = sorted(
        (row["times_defaults"], cell, row["options"])
        for cell, rows in told[last]["cells"].items()
        for row in rows
        if not 0.8 < row["times_defaults"] < 1.25
    )
    return table(
        ["cell", "options", f"times the step of its defaults, {NAMES[last]}"],
        ((f"`{cell}`", f"`{changed}`", f"{ratio:.2f}") for ratio, cell, changed in reversed(rows)),
    )


def scan() -> str:
    rows = (
        (
            f"({', '.join(map(str, row['size']))})",
            NAMES[name],
            f"{row['ms']['linear_scan']:.2f}",
            f"{row['times_the_autograd_loop']:.1f}",
            f"{row['times_the_best_rival']:.1f}",
            f"{row['share_of_8_passes']:.1f}",
        )
        for name, told in read("kernels").items()
        for row in told["scan"]["rows"]
    )
    head = ["(B, T, D)", "processor", "ms", "times a loop", "times the best other way", "floors"]
    return table(head, rows)


def steps() -> str:
    told, rows = read("kernels"), []
    first = next(iter(told.values()))
    for name, rival, key in (
        ("gated linear attention", "a loop over steps", "times_the_step_loop"),
        ("delta rule", "a loop over steps", "times_the_step_loop"),
        ("gated recurrent unit", "`nn.GRU`", "times_torch"),
    ):
        rows += [
            (
                name,
                f"({', '.join(map(str, row['size']))})",
                rival,
                *(f"{run[name]['rows'][at][key]:.1f}" for run in told.values()),
            )
            for at, row in enumerate(first[name]["rows"])
        ]
    return table(["kernel", "size", "beside", *(f"times, {NAMES[name]}" for name in told)], rows)


def memory() -> str:
    rows = (
        (f"`{row['cell']}`", row["family"], f"{row['mib']['4096']:.0f}", f"{row['exponent']:.2f}")
        for row in read("memory")["rows"]
    )
    return table(["cell", "kind", "MiB at T = 4096", "grows as T to the"], rows)


def solved() -> str:
    told = read("matrix")
    tasks = list(told["settings"])
    places = {(entry["cell"], entry["task"]): entry for entry in told["entries"]}
    cells = dict.fromkeys(entry["cell"] for entry in told["entries"])
    return table(
        ["cell", *tasks],
        ([f"`{cell}`", *(_place(places.get((cell, task))) for task in tasks)] for cell in cells),
    )


def _place(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return ""
    shown = f"{SHOWN[entry['outcome']]} {entry['solved'].replace(' of ', '/')}"
    return f"**{shown}**" if entry["verdict"] == "disagree" else shown


def disagreements() -> str:
    rows = (
        (f"`{entry['cell']}`", entry["task"], entry["expected"], entry["source"], entry["remarks"])
        for entry in read("matrix")["entries"]
        if entry["verdict"] == "disagree"
    )
    return table(["cell", "task", "expected", "by", "what was found"], rows)


MADE = (training, options, scan, steps, memory, solved, disagreements)
TABLES = {made.__name__: made for made in MADE}


def filled(page: str) -> str:
    """The page with every table between ``<!-- name -->`` and ``<!-- end -->`` as measured."""

    def put(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{TABLES[found[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n.*?<!-- end -->", put, page, flags=re.DOTALL)


if __name__ == "__main__":
    for name in PAGES:
        (HERE / name).write_text(filled((HERE / name).read_text()))
