"""Peak memory of a training step of one cell as sequences grow, each in a process of its own.

    python benchmarks/memory_at_length.py
    python benchmarks/memory_at_length.py --only gla --only tcn

Forward and backward of 4 sequences of 512 to 4096 steps at width 64. A process is forked once
everything is loaded, runs the cell on a short sequence, sets the kernel's mark of the most memory
it held back to what it holds, and runs the long one: what counts is how far the mark rises. Every
tensor has a mapping of its own, which is given back with it; in workers, which keep what they once
had, holes between tensors add to this. The exponent is that of the growth from 1024 to 4096 steps,
one for linear. Writes benchmarks/results/memory.json.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
from pathlib import Path
from typing import Any

import torch
from kernels import as_a_worker, machine
from rich.console import Console
from rich.table import Table

from archsearch.cells.declared import CELLS
from archsearch.plugins import implementation

RESULTS = Path(__file__).parent / "results" / "memory.json"
WIDTH, ROWS, LENGTHS, SHORT = 64, 4, (512, 1024, 2048, 4096), 64
FAMILIES = ("linear", "convolution", "attention")
MAPPED = {
    "MALLOC_MMAP_MAX_": "1000000",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
LINEAR = 1.15  # the largest exponent that counts as linear
STATUS, MARKS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def held(field: str) -> int:
    """Kibibytes of a field of /proc/self/status."""
    rows = STATUS.read_text().splitlines()
    return int(next(row for row in rows if row.startswith(f"{field}:")).split()[1])


def peak(name: str, steps: int) -> float:
    """Mebibytes that forward and backward of a cell take beyond what is held before them."""
    declared = next(cell for cell in CELLS if cell.name == name)
    torch.manual_seed(0)
    sizes = {"length": steps} if "length" in declared.options else {}
    cell = implementation(declared)(WIDTH, **sizes)
    for length in (SHORT, steps):
        x = torch.randn(ROWS, length, WIDTH, requires_grad=True)
        before = held("VmRSS")
        MARKS.write_text("5")
        cell(x)[0].square().mean().backward()
    return round((held("VmHWM") - before) / 1024, 2)


def row_of(name: str, family: str) -> dict[str, Any]:
    forked = multiprocessing.get_context("fork")
    found = {}
    for steps in LENGTHS:
        with forked.Pool(1) as pool:
            found[steps] = pool.apply(peak, (name, steps))
    exponent = math.log2(found[4096] / found[1024]) / 2
    return {"cell": name, "family": family, "mib": found, "exponent": round(exponent, 3)}


def show(rows: list[dict[str, Any]]) -> None:
    table = Table("cell", "family", title=f"peak MiB, batch {ROWS}, width {WIDTH}")
    for title in (*map(str, LENGTHS), "exponent"):
        table.add_column(title, justify="right")
    for row in rows:
        sizes = (f"{size:.1f}" for size in row["mib"].values())
        style = "bold" if row["exponent"] > LINEAR else ""
        table.add_row(row["cell"], row["family"], *sizes, f"{row['exponent']:.2f}", style=style)
    Console().print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", action="append", help="a cell")
    chosen = options.parse_args().only
    as_a_worker(**MAPPED)
    facts = machine()
    cells = {cell.name: str(cell.target).split(".")[2] for cell in CELLS}
    wanted = {
        name: family
        for name, family in cells.items()
        if family in FAMILIES and (not chosen or name in chosen)
    }
    rows = sorted(
        (row_of(name, family) for name, family in wanted.items()),
        key=lambda row: row["mib"][LENGTHS[-1]],
    )
    show(rows)
    if not chosen:
        RESULTS.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
