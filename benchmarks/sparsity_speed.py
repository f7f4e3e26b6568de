"""What zeros save in time: one matrix, dense, masked, with rows taken out, and stored as CSR.

The dense time is that of the fastest of three ways to write the product. All forms take turns, call
by call, on one thread. Compared are medians of its processor time, which what else runs on the
machine does not stop; on the clock the median and the least are told beside them. The products
agree to 1e-5 of the largest.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch.nn.functional import linear

SIZES = ((512, 1), (1024, 1), (512, 512), (1024, 512))
FORMS = ("mask at every call", "CSR", "rows taken out")
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.99)
SECONDS = 0.5
FEWEST = 200
WARM = 5


class Times(NamedTuple):
    """Microseconds of a call: processor time and time on the clock, medians, and the least."""

    processor: float
    clock: float
    least: float

    def to_plain(self) -> dict[str, float]:
        return {f"{name}_us": round(value, 1) for name, value in self._asdict().items()}


def timed(ways: Mapping[str, Callable[[], Any]], seconds: float = 0.0) -> dict[str, Times]:
    """Each way at least 200 times and for so many seconds, taken in turns after a warm-up."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for way in ways.values():
        for _ in range(WARM):
            way()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(spent[next(iter(ways))]) < FEWEST:
        for name, way in ways.items():
            worked, began = time.thread_time(), time.perf_counter()
            way()
            ended = time.perf_counter()
            spent[name].append((1e6 * (time.thread_time() - worked), 1e6 * (ended - began)))
    return {
        name: Times(
            statistics.median(worked for worked, _ in calls),
            statistics.median(passed for _, passed in calls),
            min(passed for _, passed in calls),
        )
        for name, calls in spent.items()
    }


def row(size: int, columns: int, sparsity: float) -> dict[str, Any]:
    """The speed of each form over the fastest dense one, for a (size, size) matrix."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(size, size, generator=generator)
    x = torch.randn(columns, size, generator=generator)
    mask = torch.rand(size, size, generator=generator) >= sparsity
    masked, column = weight * mask, x.t().contiguous()
    transposed = masked.t().contiguous()
    left = weight[: max(1, round((1 - sparsity) * size))].contiguous()
    csr = masked.to_sparse_csr()
    ways = {
        "linear": lambda: linear(x, masked),
        "W @ x": lambda: masked @ column,
        "x @ W'": lambda: x @ transposed,
        "mask at every call": lambda: linear(x, weight * mask),
        "CSR": lambda: csr @ column,
        "rows taken out": lambda: linear(x, left),
    }
    exact = masked.double() @ column.double()
    assert float(((csr @ column) - exact).abs().max() / exact.abs().max()) < 1e-5
    times = timed(ways, SECONDS)
    best = min(("linear", "W @ x", "x @ W'"), key=lambda name: times[name].processor)
    dense = times[best].processor
    return {
        "size": size,
        "columns": columns,
        "sparsity": sparsity,
        "dense_us": round(dense, 1),
        "dense_form": best,
        "times": {name: times[name].to_plain() for name in (best, *FORMS)},
        "times_dense": {name: round(dense / times[name].processor, 2) for name in FORMS},
        "bytes": {
            "dense": 4 * size * size,
            "CSR": 8 * (size + 1) + 12 * int(mask.sum()),
            "rows taken out": 4 * left.numel(),
        },
    }


def table() -> list[dict[str, Any]]:
    torch.set_num_threads(1)
    with torch.inference_mode(False), torch.no_grad():
        return [row(*size, sparsity) for size in SIZES for sparsity in SPARSITIES]
