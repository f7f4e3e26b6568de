"""What sparse attention patterns cost as sequences grow, beside full attention, in one run.

    python benchmarks/attention.py

Forward and backward of one attention cell of width 64 with four heads on one sequence of 1024 to
8192 steps, on one thread: the fewest processor seconds over turns that take every pattern in
order, and the peak memory of each in a process of its own. A pattern stands beside full attention
of the same normaliser. Writes benchmarks/results/attention.json.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import time
from pathlib import Path
from typing import Any

import torch
from kernels import as_a_worker, machine
from memory_at_length import MAPPED, MARKS, held
from rich.console import Console
from rich.progress import track
from rich.table import Table

from archsearch.cells.attention.attention import Attention
from archsearch.cells.attention.head_blocks import heaviest
from archsearch.cells.attention.routing import Routing
from archsearch.cells.cell import Cell

RESULTS = Path(__file__).parent / "results" / "attention.json"
WIDTH, HEADS, LENGTHS, TURNS = 64, 4, (1024, 2048, 4096, 8192), 5
PATTERNS: dict[str, dict[str, Any]] = {
    "full": {},
    "window 64": {"pattern": "window", "window": 64},
    "power": {"pattern": "power"},
    "dilated 16 by 64": {"pattern": "dilated", "window": 16, "stride": 64},
    "chunked 64": {"pattern": "chunked", "window": 64},
    "strided 64": {"pattern": "strided", "stride": 64},
    "fixed 64": {"pattern": "fixed", "stride": 64},
    "perhead 128, a quarter": {"pattern": "perhead", "block": 128},
    "routing 90": {"clusters": 90, "window": 64},
}
RECTIFIED = {"relu": "relu_length", "gated": "rela"}
PATTERNS |= {
    f"{pattern}, {name}": PATTERNS[pattern] | {"normaliser": RECTIFIED[name]}
    for name, patterns in {
        "relu": [pattern for pattern in PATTERNS if "routing" not in pattern],
        "gated": ["full", "window 64", "perhead 128, a quarter"],
    }.items()
    for pattern in patterns
}
WANTED = 4.0  # times faster than full attention at 8192 steps
CLAIMED = ("window 64", "power", "dilated 16 by 64")  # the others grow as T^1.5 or see no past
CLAIMED += (*(f"{pattern}, relu" for pattern in CLAIMED), "window 64, gated")


def cell_of(options: dict[str, Any]) -> Cell:
    """As it is after its first steps of training, with what it then keeps or has sorted by."""
    torch.manual_seed(0)
    if "clusters" in options:
        cell = Routing(WIDTH, HEADS, **options)
        cell(torch.randn(4, 512, WIDTH))
        return cell
    attention = Attention(WIDTH, HEADS, **options)
    if attention.blocks is not None:
        attention.blocks.calls.fill_(attention.blocks.dense)
        drawn = torch.rand(
            attention.blocks.chosen.shape, generator=torch.Generator().manual_seed(0)
        )
        attention.blocks.chosen.copy_(heaviest(drawn, 0.25))
    return attention


def step(cell: Cell, x: torch.Tensor) -> None:
    cell(x)[0].square().mean().backward()


def seconds(length: int) -> dict[str, float]:
    """Fewest processor seconds of each pattern."""
    cells = {name: cell_of(options) for name, options in PATTERNS.items()}
    x = torch.randn(1, length, WIDTH, requires_grad=True)
    spent: dict[str, list[float]] = {name: [] for name in cells}
    for turn in range(TURNS + 1):
        for name, cell in cells.items():
            began = time.process_time()
            step(cell, x)
            if turn:
                spent[name].append(time.process_time() - began)
    return {name: round(min(times), 4) for name, times in spent.items()}


def mebibytes(options: dict[str, Any], length: int) -> float:
    """Peak memory beyond what is held before, in a process of its own."""
    cell = cell_of(options)
    step(cell, torch.randn(1, 64, WIDTH))
    x = torch.randn(1, length, WIDTH, requires_grad=True)
    before = held("VmRSS")
    MARKS.write_text("5")
    step(cell, x)
    return round((held("VmHWM") - before) / 1024, 1)


def main() -> None:
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    as_a_worker(**MAPPED)
    forked = multiprocessing.get_context("fork")
    rows = []
    for length in track(LENGTHS, "attention", console=Console(stderr=True)):
        times = seconds(length)
        for name, options in PATTERNS.items():
            with forked.Pool(1) as pool:
                memory = pool.apply(mebibytes, (options, length))
            faster = round(times[rival(name)] / times[name], 2)
            rows.append(
                {"pattern": name, "length": length, "seconds": times[name], "mib": memory}
                | {"times_full": faster}
            )
    growth = {
        name: round(math.log2(of(rows, name, 8192) / of(rows, name, 2048)) / 2, 3)
        for name in PATTERNS
    }
    last = {row["pattern"]: row["times_full"] for row in rows if row["length"] == 8192}
    holds = all(last[name] >= WANTED and growth[name] <= 1.15 for name in CLAIMED)
    holds &= all(last[name] > 1 for name in PATTERNS if name != rival(name))
    told = {
        "machine": machine(),
        "rows": rows,
        "memory_exponent": growth,
        "claim": f"{'; '.join(CLAIMED)}: >= {WANTED} times full attention of their normaliser at"
        " 8192 steps, memory linear in them; all others: less time than it",
        "holds": holds,
    }
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    table = Table("pattern", "steps", "CPU s", "times full", "peak MiB")
    for row in rows:
        table.add_row(
            row["pattern"], *(str(row[key]) for key in ("length", "seconds", "times_full", "mib"))
        )
    Console().print(table, f"memory exponents {growth}; claim holds: {holds}; wrote {RESULTS}")


def rival(name: str) -> str:
    """Full attention of the same normaliser."""
    suffix = name.rpartition(", ")[2]
    return f"full, {suffix}" if suffix in RECTIFIED else "full"


def of(rows: list[dict[str, Any]], name: str, length: int) -> float:
    return next(row["mib"] for row in rows if (row["pattern"], row["length"]) == (name, length))


if __name__ == "__main__":
    main()
