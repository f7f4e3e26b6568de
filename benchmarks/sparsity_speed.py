"""What zeros save in time: one matrix, dense, masked, with rows taken out, and stored as CSR.

The dense time is that of the fastest of three ways to write the product. All forms take turns, and
what counts is the median of many calls; their products agree to 1e-5.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

SIZES = ((512, 1), (1024, 1), (512, 512), (1024, 512))
SPARSITIES = (0.5, 0.8, 0.9, 0.95, 0.99)
SECONDS = 1.5
FEWEST = 30


def medians(ways: dict[str, Callable[[], Tensor]]) -> dict[str, float]:
    """Microseconds of each way, taken in turns."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for way in ways.values():
            way()
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until or len(spent[next(iter(ways))]) < FEWEST:
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            spent[name].append(time.perf_counter() - began)
    return {name: 1e6 * statistics.median(times) for name, times in spent.items()}


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
    assert torch.allclose((csr @ column).double(), exact, atol=1e-3)
    found = medians(ways)
    dense = min(found["linear"], found["W @ x"], found["x @ W'"])
    return {
        "size": size,
        "columns": columns,
        "sparsity": sparsity,
        "dense_us": round(dense, 1),
        "times_dense": {
            name: round(dense / found[name], 2)
            for name in ("mask at every call", "CSR", "rows taken out")
        },
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
