"""Whether tensors are what a loop or a program over a matrix memory reads."""

from __future__ import annotations

from torch import Tensor

from archsearch.kernels.trained import fit


def read_fits(q: Tensor, k: Tensor, v: Tensor, rates: Tensor, memory: Tensor) -> bool:
    """Of a memory that adds; one head of queries, keys or rates may serve all."""
    letters = "BthK" if rates.ndim == q.ndim else "Bth"
    return fit(f"btHk btHk bthv {letters} bhkv", q, k, v, rates, memory)


def overwriting_fits(q: Tensor, k: Tensor, *others: Tensor) -> bool:
    """Of one that overwrites, ``others`` being v, beta, the logarithm of the decay if there is one,
    and the memory; as many positions write as lie between two that read.
    """
    letters = "bsHk btHk bthv bth" + " bth" * (len(others) - 3) + " bhkv"
    asked = q.shape[1] > 0 and k.shape[1] % q.shape[1] == 0
    return asked and fit(letters, q, k, *others)
