"""Where a job trains: on the processor, or on the accelerator that it occupies a share of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from archsearch.errors import InputError
from archsearch.execute.environment import NO_ACCELERATOR, VISIBLE
from archsearch.train.draws import CPU


def device_for(gpus: float) -> torch.device:
    """The first accelerator that the process may see for a share of one, else the processor.

    Raises InputError where there is none.
    """
    if not gpus:
        return CPU
    if not torch.cuda.is_available():
        raise InputError(NO_ACCELERATOR)
    return torch.device("cuda", 0)


def names() -> list[str]:
    """The accelerators of this machine as ``CUDA_VISIBLE_DEVICES`` names them, none started."""
    told = os.environ.get(VISIBLE)
    count = torch.cuda.device_count()
    return [name.strip() for name in told.split(",")][:count] if told else [*map(str, range(count))]


def room(devices: int, share: float) -> int:
    """How many jobs that occupy ``share`` accelerators each run at once on so many."""
    return devices * int(1 / share + 1e-9) if share <= 1 else int(devices / share)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Inside, an accelerator computes in full single precision, the same way every time."""
    if device == CPU:
        yield
        return
    deterministic = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.utils.deterministic.fill_uninitialized_memory = False
    # what has no such form is told in the trial's log
    torch.use_deterministic_algorithms(True, warn_only=True)
    cudnn.allow_tf32 = matmul.allow_tf32 = cudnn.benchmark = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic, warn_only=warned)
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark = before
        torch.utils.deterministic.fill_uninitialized_memory = filled
