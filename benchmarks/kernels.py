"""The package's kernels beside other ways to compute the same, forward and backward, one thread.

    python benchmarks/kernels.py                # all tables, a few minutes
    python benchmarks/kernels.py --only scan

Runs in the environment that workers get. Ways are measured in turns, one after the other, so that
whatever else the machine does meets all of them; figures are medians of processor time. Writes
benchmarks/results/kernels.json, where processors with other instructions have results of their own.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from memory_rivals import delta_forms, gated_forms
from scan_rivals import RIVALS
from torch import Tensor

from archsearch.execute.environment import SETTINGS
from archsearch.kernels.recurrences.recurrence import gru
from archsearch.kernels.recurrences.recurrence_cpu import plain
from archsearch.kernels.scans.linear_scan import linear_scan

RESULTS = Path(__file__).parent / "results" / "kernels.json"
SCANS = (
    *((32, 64, 64), (32, 256, 64), (32, 1024, 64), (32, 4096, 64)),
    *((32, 1024, 256), (1, 4096, 32)),
)
# (B, T, heads, size of a key and of a value)
MEMORIES = ((8, 256, 4, 16), (8, 1024, 4, 16), (32, 1024, 4, 16), (8, 1024, 2, 32))
# (B, T, width), the input as wide as the state
RECURRENCES = (
    *((32, 256, 32), (32, 256, 64), (32, 256, 128)),
    *((1, 256, 64), (1, 1024, 32), (8, 64, 256)),
)
Ways = dict[str, Callable[[], object]]


def medians(ways: Ways, seconds: float = 5.0, most: int = 41) -> dict[str, float]:
    """Milliseconds of each way: the median over turns, at least three and about ``seconds``."""
    for _ in range(2):
        for way in ways.values():
            way()
    spent: dict[str, list[float]] = {name: [] for name in ways}
    deadline = time.perf_counter() + seconds
    turn = 0
    while turn < 3 or (turn < most and time.perf_counter() < deadline):
        for name, way in ways.items():
            began = time.process_time()
            way()
            spent[name].append(1000 * (time.process_time() - began))
        turn += 1
    return {name: round(statistics.median(times), 4) for name, times in spent.items()}


def trained(form: Callable[..., Any], inputs: list[Tensor]) -> Callable[[], object]:
    """One forward and one backward pass of ``form``, to every input."""
    inputs = [part.clone().requires_grad_() for part in inputs]
    first = form(*inputs)
    shown = first if isinstance(first, tuple) else (first,)
    weights = [torch.randn_like(part) for part in shown]
    return lambda: torch.autograd.grad(form(*inputs), inputs, weights)


def agree(ways: dict[str, Callable[..., Any]], inputs: list[Tensor], within: float) -> None:
    """Raise AssertionError if two forms do not compute the same."""
    found = [form(*inputs) for form in ways.values()]
    for name, other in zip(ways, found, strict=True):
        torch.testing.assert_close(other, found[0], rtol=within, atol=within, msg=name)


def scans() -> list[dict[str, Any]]:
    rows = []
    for rows_, steps, units in SCANS:
        torch.manual_seed(0)
        a = 0.9 + 0.099 * torch.rand(rows_, steps, units)
        b, start = torch.randn_like(a), torch.zeros(rows_, units)
        forms: dict[str, Callable[..., Tensor]] = {
            "linear_scan": lambda a, b, start=start: linear_scan(a, b, start),
            **RIVALS,
        }
        agree(forms, [a, b], 1e-3)
        ways: Ways = {name: trained(form, [a, b]) for name, form in forms.items()}
        copies = [torch.empty_like(a) for _ in range(4)]
        # reads and writes as many tensors as the scan must: a, b, h, and a, h, dh, da, db
        ways["8 tensor passes"] = lambda copies=copies, a=a: [copy.copy_(a) for copy in copies]
        found = medians(ways)
        ours = found["linear_scan"]
        rows.append(
            {
                "size": [rows_, steps, units],
                "ms": found,
                "times_the_autograd_loop": round(found["loop, autograd"] / ours, 2),
                "times_the_best_rival": round(min(found[name] for name in RIVALS) / ours, 2),
                "share_of_8_passes": round(ours / found["8 tensor passes"], 2),
            }
        )
        show(rows[-1])
    return rows


def memories(forms_of: Callable[..., Any]) -> list[dict[str, Any]]:
    rows = []
    for rows_, steps, heads, size in MEMORIES:
        torch.manual_seed(0)
        forms, inputs = forms_of(rows_, steps, heads, size)
        # who is only evaluated gets the plain form
        agree(forms, [part.requires_grad_() for part in inputs], 1e-3)
        inputs = [part.detach() for part in inputs]
        found = medians({name: trained(form, inputs) for name, form in forms.items()})
        ratios = {
            f"times_the_{name.replace(' ', '_')}": round(found[name] / found["kernel"], 2)
            for name in found
            if name != "kernel"
        }
        rows.append({"size": [rows_, steps, heads, size], "ms": found} | ratios)
        show(rows[-1])
    return rows


def recurrences() -> list[dict[str, Any]]:
    rows = []
    for rows_, steps, width in RECURRENCES:
        torch.manual_seed(0)
        sizes = (3 * width, width), (3 * width, width), (3 * width,), (width,)
        inputs = [torch.randn(rows_, steps, width), torch.randn(rows_, width)]
        inputs += [width**-0.5 * torch.randn(size) for size in sizes]
        forms = {"gru": gru, "torch.gru": plain}
        agree(forms, [part.requires_grad_() for part in inputs], 1e-3)
        inputs = [part.detach() for part in inputs]
        found = medians({name: trained(form, inputs) for name, form in forms.items()})
        ratio = round(found["torch.gru"] / found["gru"], 2)
        rows.append({"size": [rows_, steps, width], "ms": found, "times_torch": ratio})
        show(rows[-1])
    return rows


def show(row: dict[str, Any]) -> None:
    times = ", ".join(f"{name} {ms:.3f}" for name, ms in row["ms"].items())
    ratios = ", ".join(
        f"{name} {value}" for name, value in row.items() if name not in ("size", "ms")
    )
    print(f"{row['size']!s:20} {times} ms; {ratios}", flush=True)


TABLES: dict[str, Callable[[], list[dict[str, Any]]]] = {
    "scan": scans,
    "gated linear attention": lambda: memories(gated_forms),
    "delta rule": lambda: memories(delta_forms),
    "gated recurrent unit": recurrences,
}


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    models = [row for row in info.read_text().splitlines() if row.startswith("model name")]
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("archsearch", "torch", "numpy", "numba")},
        "date": datetime.date.today().isoformat(),
    }


def as_a_worker(**changes: str) -> None:
    """Begin this process anew in the environment that workers get, changed, unless it has it."""
    wanted = SETTINGS | changes
    # the allocator reads its settings when a process begins
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)
    torch.set_num_threads(1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", choices=sorted(TABLES), action="append")
    chosen = options.parse_args()
    as_a_worker()
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in chosen.only or TABLES:
        print(f"-- {name}: milliseconds, forward and backward")
        facts = machine()
        here = known.setdefault(facts["instructions"], {})
        here[name] = {"machine": facts, "rows": TABLES[name]()}
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
